"""`/openapi.json`: valid, true of every address it names, and nothing that schemathesis finds."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests import token_parts
from tests.keeper_parts import PUBLIC_URL
from webapp.oauth import metadata
from webapp.policy import active
from webapp.web.guards import guard_of
from webapp.web.house import House

EXAMPLES = 12
schemathesis.serializer.alias("application/pkcs10", "text/plain")
METHODS = ("get", "post", "put", "patch", "delete")
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def described(app: Flask, house: House) -> dict[str, Any]:
    active.at_start(house)
    answer = app.test_client().get(metadata.OPENAPI, base_url=PUBLIC_URL)
    assert answer.status_code == 200
    return dict(answer.json or {})


@pytest.fixture
def schema(described: dict[str, Any], app: Flask) -> OpenApiSchema:
    made = schemathesis.openapi.from_wsgi(metadata.OPENAPI, app, base_url=PUBLIC_URL)
    assert isinstance(made, OpenApiSchema)
    return made


def test_it_names_this_server_and_every_address_answers(described: dict[str, Any], app: Flask) -> None:
    assert described["openapi"] == "3.1.0"
    assert described["servers"] == [{"url": PUBLIC_URL}]
    routes = {(rule.rule, method.lower()) for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    for path, operations in described["paths"].items():
        for method in set(operations) & set(METHODS):
            assert (path, method) in routes


BY_A_STANDARD = {
    "/.well-known/oauth-protected-resource/mcp/<name>": "RFC 9728", "/.well-known/oauth-authorization-server": "RFC 8414",
    "/oauth/register": "RFC 7591", "/mcp/<server>": "MCP", "/openapi.json": "OpenAPI 3.1",
    "/sign-in/backchannel-logout": "OpenID Connect Back-Channel Logout 1.0",
}


def test_whatever_programs_may_call_is_described_here_or_by_a_standard(described: dict[str, Any], app: Flask) -> None:
    programs = {rule.rule for rule in app.url_map.iter_rules() if guard_of(app.view_functions[rule.endpoint]) == "machine"}
    assert programs - set(described["paths"]) == set(BY_A_STANDARD)


def test_it_and_the_metadata_name_the_same_grants(described: dict[str, Any], app: Flask) -> None:
    found = app.test_client().get(metadata.AUTHORIZATION_SERVER, base_url=PUBLIC_URL).json
    assert set(found["grant_types_supported"]) >= {
        schema["allOf"][-1]["properties"]["grant_type"]["const"]
        for schema in (described["components"]["schemas"][name] for name in ("Exchange", "OwnUse", "Poll"))
    }


def test_schemathesis_finds_nothing(schema: OpenApiSchema) -> None:
    """Requests that fit the description, and requests that do not, at each address: no fault, and every answer as described."""
    seen: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:
            bounded(operation.as_strategy(generation_mode=mode), seen)()
    assert min(seen[200], seen[401] - EXAMPLES) > 0, seen


def test_nor_does_it_behind_the_clients_proof(schema: OpenApiSchema, house: House, app: Flask) -> None:
    """The same with a proof that holds, so that every request is read to its end. What was generated in place of the proof is
    overwritten: whether it would have been refused is not asked here."""
    desk = token_parts.desk(house, app, scopes=token_parts.ALL)
    seen: Counter[int] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.startswith("/oauth/"):
            for mode in GenerationMode:
                bounded(operation.as_strategy(generation_mode=mode), seen, desk)()
    assert min(seen[200], seen[400]) > 0, seen


def bounded(cases: Any, seen: Counter[int], desk: token_parts.Desk | None = None) -> Any:
    unasked = [checks.positive_data_acceptance, checks.negative_data_rejection] if desk else []

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def call(case: schemathesis.Case) -> None:
        if desk and isinstance(case.body, dict):
            case.body = {**case.body, "client_id": desk.id, **desk.proof()}
        seen[case.call_and_validate(base_url=PUBLIC_URL, excluded_checks=unasked).status_code] += 1

    return call
