"""Everything that a token client is not given: by the wire, by its registration, by the person, by the account, by policy."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from tests import token_parts
from tests.app_parts import People
from tests.keeper_parts import PUBLIC_URL
from tests.scripted_provider import error as fails
from tests.token_parts import permit
from tests.webapp.exchange.conftest import SCOPES, Scene
from webapp.approvals.tables import Usage
from webapp.audit.tables import Entry
from webapp.broker.tables import Lease
from webapp.clients import status
from webapp.composition import create_app
from webapp.config import Clients
from webapp.connections.tables import Connection
from webapp.oauth import grants, rfc8693
from webapp.oauth.tables import Assertion, Grant

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

REFRESH = "urn:ietf:params:oauth:token-type:refresh_token"
CALL = {"type": "tool_call", "tool": "create_note"}


def details(*calls: Any) -> str:
    return json.dumps(list(calls))


def refused(scene: Scene, code: str, **fields: Any) -> dict[str, Any]:
    asked = len(scene.provider.refreshes)
    answer = scene.desk.exchange(scene.subject, **fields)
    assert (answer.status_code, answer.json["error"]) == (400, code), f"{fields}: {answer.text}"
    assert "access_token" not in answer.json
    assert len(scene.provider.refreshes) == asked
    return dict(answer.json)


WIRE: list[tuple[dict[str, Any], str]] = [
    ({"requested_token_type": REFRESH}, "invalid_request"),
    ({"actor_token": "csa_x", "actor_token_type": REFRESH}, "invalid_request"),
    ({"subject_token_type": REFRESH}, "invalid_request"), ({"subject_token_type": None}, "invalid_request"),
    ({"subject_token": None}, "invalid_request"), ({"subject_token": "csa_" + "A" * 43}, "invalid_request"),
    ({"scope": None}, "invalid_scope"), ({"scope": " "}, "invalid_scope"), ({"scope": 'a"b'}, "invalid_scope"),
    ({"scope": "accounts:read admin"}, "invalid_scope"), ({"scope": " ".join(f"s{n}" for n in range(60))}, "invalid_scope"),
    ({"audience": None}, "invalid_target"), ({"audience": "Harbour!"}, "invalid_target"),
    ({"audience": "github"}, "invalid_target"),
    ({"resource": "https://elsewhere.example/connections/con_1"}, "invalid_target"),
    ({"resource": f"{PUBLIC_URL}/connections/con_0000"}, "invalid_target"),
    ({"resource": f"{PUBLIC_URL}/connections/../con_1"}, "invalid_target"),
    ({"resource": [f"{PUBLIC_URL}/connections/con_1", f"{PUBLIC_URL}/connections/con_2"]}, "invalid_target"),
    ({"scope": ["accounts:read", "payments:send"]}, "invalid_request"),
]
REPORTED = [
    "", "{}", "[]", "null", "[1]", details(CALL, CALL), details({**CALL, "type": "payment_initiation"}),
    details({"type": "tool_call"}), details({**CALL, "tool": "(token)"}), details({**CALL, "tool": "a b"}),
    details({**CALL, "arguments": []}),
    details({**CALL, "resources": "x"}), details({**CALL, "resources": [""]}), details({**CALL, "resources": ["a\u202eb"]}),
    details({**CALL, "enforced": True}), '[{"type":"tool_call","type":"tool_call","tool":"create_note"}]',
    '[{"type":"tool_call","tool":"create_note","arguments":{"n":1e400}}]', "[" * 40 + "]" * 40,
]
BOUNDS: list[tuple[tuple[str, ...], tuple[str, ...], str | None]] = [
    ((), (), details(CALL)), (("create_note",), (), None), (("other",), (), details(CALL)),
    (("create_note",), ("a",), details(CALL)), (("create_note",), ("a",), details({**CALL, "resources": ["a", "b"]})),
    (("create_note",), (), details({**CALL, "resources": ["a"]})), ((), ("a",), None),
]


def test_the_wire_is_read_strictly(scene: Scene) -> None:
    for fields, code in WIRE:
        refused(scene, code, **fields)


def test_what_is_reported_is_read_strictly(scene: Scene) -> None:
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "harbour", SCOPES, ("create_note",)))
    for sent in REPORTED:
        refused(scene, "invalid_authorization_details", authorization_details=sent)


def test_only_registered_tools_and_resources_are_named_and_an_empty_list_names_none(scene: Scene) -> None:
    for tools, resources, sent in BOUNDS:
        scene.house.database.write(lambda s, t=tools, r=resources: permit(s, scene.desk.id, "harbour", SCOPES, t, r))
        refused(scene, "invalid_authorization_details", authorization_details=sent)


def test_a_registered_tool_and_resource_are_given_and_answered(scene: Scene) -> None:
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "harbour", SCOPES, ("create_note",), ("a", "b")))
    answer = scene.desk.exchange(scene.subject, authorization_details=details({**CALL, "resources": ["b"]}))
    assert answer.status_code == 200, answer.text
    assert answer.json["authorization_details"] == [{**CALL, "arguments": {}, "resources": ["b"]}]


def test_a_token_for_another_server_is_no_subject(scene: Scene, app: Flask) -> None:
    """Else whoever is called by an agent could act for it everywhere."""
    other = token_parts.desk(scene.house, app, name="Other", resource="https://other.example/mcp", scopes=SCOPES)
    token_parts.allow(scene.house, other, scene.ada.person, scene.account, scopes=SCOPES)
    stolen = other.exchange(scene.subject)
    assert (stolen.status_code, stolen.json["error"]) == (400, "invalid_request")
    gateway = token_parts.agents_token(scene.house, scene.ada.person, f"{PUBLIC_URL}/mcp/bank")
    refused(scene, "invalid_request", subject_token=gateway)
    nowhere = token_parts.desk(scene.house, app, name="None", resource="", scopes=SCOPES)
    assert nowhere.exchange(scene.subject).json["error"] == "invalid_request"


def test_an_expired_or_revoked_subject_is_none(scene: Scene) -> None:
    with scene.house.database.read() as session:
        grant = session.scalars(select(Grant.id).where(Grant.resource == scene.desk.resource)).one()
    scene.house.clock.forward(minutes=11)  # type: ignore[attr-defined]
    refused(scene, "invalid_request")
    fresh = token_parts.agents_token(scene.house, scene.ada.person, scene.desk.resource)
    assert scene.desk.exchange(fresh).status_code == 200
    scene.house.database.write(lambda s: grants.revoke(s, grant, "system", "test", scene.house.clock()))
    refused(scene, "invalid_request", subject_token=scene.subject)


def test_nobody_exchanges_without_proof(scene: Scene, app: Flask) -> None:
    fields = {"grant_type": rfc8693.GRANT, "subject_token": scene.subject, "audience": "harbour"}
    client = app.test_client()
    for more in ({}, {"client_id": scene.desk.id}, {"client_id": scene.desk.id, "client_secret": "guess"}):
        answer = client.post("/oauth/token", data={**fields, **more}, base_url=PUBLIC_URL)
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client")
    proof = scene.desk.proof()
    assert scene.desk.exchange(scene.subject, **proof).status_code == 200
    assert scene.desk.exchange(scene.subject, **proof).status_code == 401


def test_another_persons_account_looks_like_none(scene: Scene, signed_in: People) -> None:
    bob = signed_in("bob")
    theirs = token_parts.account(scene.house, scene.provider, bob.person)
    token_parts.allow(scene.house, scene.desk, bob.person, theirs)
    found = refused(scene, "invalid_target", audience=None, resource=f"{PUBLIC_URL}/connections/{theirs}")
    none = refused(scene, "invalid_target", audience=None, resource=f"{PUBLIC_URL}/connections/con_0")
    assert found == none


def test_without_consent_the_answer_holds_the_page_to_show(scene: Scene) -> None:
    scene.ada.send(f"/connections/consents/{scene.consent}/withdraw")
    found = refused(scene, "interaction_required")
    page = f"{PUBLIC_URL}/connections/consents/new?client={scene.desk.id}&connection={scene.account}"
    assert found["error_uri"] == page
    assert page in found["error_description"]
    assert "Issue Desk" in scene.ada.get(page.removeprefix(PUBLIC_URL)).text


def test_a_consent_for_less_is_no_consent_for_more(scene: Scene) -> None:
    token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=("accounts:read",))
    assert scene.desk.exchange(scene.subject).status_code == 200
    refused(scene, "interaction_required", scope="payees:read")


def test_registration_bounds_what_consent_allows(scene: Scene) -> None:
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "harbour", ("accounts:read",)))
    refused(scene, "invalid_scope", scope="payees:read")


def test_without_an_account_the_answer_leads_to_connecting_one(scene: Scene, signed_in: People) -> None:
    bob = signed_in("bob")
    subject = token_parts.agents_token(scene.house, bob.person, scene.desk.resource)
    found = refused(scene, "interaction_required", subject_token=subject)
    assert found["error_uri"] == f"{PUBLIC_URL}/connections/new?provider=harbour"


@pytest.mark.parametrize(("values", "code"), [
    ({"status": "paused"}, "access_denied"), ({"status": "needs_consent"}, "interaction_required"),
    ({"status": "disconnected"}, "interaction_required"), ({"scopes": ["payees:read"]}, "interaction_required"),
])
def test_an_account_that_is_not_in_order_gives_nothing(scene: Scene, values: dict[str, Any], code: str) -> None:
    scene.house.database.write(lambda s: s.execute(update(Connection).where(Connection.id == scene.account).values(**values)))
    refused(scene, code)


def test_a_client_that_was_shut_out_gets_nothing(scene: Scene) -> None:
    scene.house.database.write(lambda s: status.change(s, scene.desk.id, "pause", actor="cli", now=scene.house.clock()))
    assert scene.desk.exchange(scene.subject).status_code == 401


def test_every_refusal_is_in_the_log_and_no_token_ever_is(scene: Scene) -> None:
    refused(scene, "invalid_scope", scope="admin")
    given = scene.desk.exchange(scene.subject).json
    with scene.house.database.read() as session:
        kinds = list(session.scalars(select(Entry.kind).order_by(Entry.id)))
        bodies = "".join(str(one) for row in session.execute(select(Entry.__table__)) for one in row)
        leases = "".join(str(one) for row in session.execute(select(Lease.__table__)) for one in row)
    assert "token.refused" in kinds
    assert kinds[-1] == "lease.planned"
    for secret in (given["access_token"], scene.subject):
        assert secret not in bodies + leases


def test_a_provider_that_answers_more_than_was_judged_gives_nothing(scene: Scene) -> None:
    scene.provider.ignores_scope = True
    token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=("accounts:read",))
    answer = scene.desk.exchange(scene.subject)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_scope"), answer.text


def test_a_provider_that_is_down_is_a_failure_that_is_written_down(scene: Scene) -> None:
    scene.provider.before += [fails(503)] * 6
    answer = scene.desk.exchange(scene.subject)
    assert answer.status_code in (502, 503), answer.text
    assert "access_token" not in answer.json
    with scene.house.database.read() as session:
        lease = session.scalars(select(Lease)).one()
        assert (lease.state, lease.outcome) == ("closed", "failed")
        assert session.scalars(select(Usage.state).where(Usage.id == lease.id)).all() == ["released"]


def test_own_use_needs_an_account_that_was_given_for_it(scene: Scene) -> None:
    """A consent for callers is none for the client itself."""
    assert scene.desk.own().json["error"] == "invalid_target"
    named = scene.desk.own(audience=None, resource=f"{PUBLIC_URL}/connections/{scene.account}")
    assert named.json["error"] == "invalid_target"
    assert "error_uri" not in named.json
    token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=("accounts:read",), kind="service")
    given = scene.desk.own()
    assert given.status_code == 200, given.text
    assert scene.desk.introspect(given.json["lease_id"])["act"] == {"sub": scene.desk.id}
    assert scene.desk.own(subject_token=scene.subject).json["error"] == "invalid_request"
    assert scene.desk.own(scope="payees:read").json["error"] == "invalid_target"


def test_leases_are_the_clients_own(scene: Scene, app: Flask) -> None:
    given = scene.desk.exchange(scene.subject).json
    lease = given["lease_id"]
    told = scene.desk.introspect(lease)
    assert (told["active"], told["scope"], told["client_id"], told["sub"]) == (
        True, "accounts:read", scene.desk.id, scene.ada.person
    )
    assert told["act"]["sub"] == scene.desk.id
    assert told["act"]["act"]["sub"].startswith("cli_")
    other = token_parts.desk(scene.house, app, name="Other", resource="https://other.example/mcp")
    assert other.introspect(lease) == {"active": False}
    assert other.revoke(lease).status_code == 200
    assert scene.desk.introspect(lease)["active"]
    assert scene.desk.introspect(given["access_token"]) == {"active": False}
    assert scene.desk.revoke(lease).status_code == 200
    assert scene.desk.introspect(lease) == {"active": False}
    assert scene.desk.revoke(lease).status_code == 200
    assert scene.desk.revoke("lea_0").status_code == 200


def test_a_lease_counts_only_while_what_it_rests_on_does(scene: Scene) -> None:
    lease = scene.desk.exchange(scene.subject).json["lease_id"]
    paused = update(Connection).where(Connection.id == scene.account)
    scene.house.database.write(lambda s: s.execute(paused.values(status="paused")))
    assert scene.desk.introspect(lease) == {"active": False}
    scene.house.database.write(lambda s: s.execute(paused.values(status="active")))
    assert scene.desk.introspect(lease)["active"]
    scene.house.clock.forward(seconds=301)  # type: ignore[attr-defined]
    assert scene.desk.introspect(lease) == {"active": False}


def test_a_client_that_floods_is_turned_away_and_nothing_is_written(scene: Scene) -> None:
    """Attack: each refused request is an entry in the log. Nobody else's requests are counted with it, and a minute later it may
    ask again."""
    limits = Clients(requests_per_minute=2)
    house = replace(scene.house, settings=scene.house.settings.model_copy(update={"clients": limits}))
    app = create_app(house)
    flooding, other = replace(scene.desk, app=app), token_parts.desk(house, app, name="Other", resource="https://other.example")

    def written() -> tuple[int, int]:
        with house.database.read() as session:
            entries, spent = (session.scalar(select(func.count()).select_from(table)) for table in (Entry, Assertion))
            return entries or 0, spent or 0

    for _ in range(2):
        assert flooding.own(audience="github").json["error"] == "invalid_target"
    before = written()
    answer = flooding.own(audience="github")
    assert (answer.status_code, answer.json["error"], answer.headers["Retry-After"]) == (429, "slow_down", "60")
    assert written() == before
    assert flooding.own(client_assertion="not.a.proof").status_code == 401
    assert other.own().status_code == 400
    house.clock.forward(seconds=60)  # type: ignore[attr-defined]
    assert flooding.own().status_code == 400
