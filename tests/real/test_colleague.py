"""Somebody who is signed in too, on every route there is, with the ids of another's things."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text
from werkzeug.routing import Map

from tests.keeper_parts import PUBLIC_URL
from tests.real.scripted import Scripted
from tests.real.standing import Standing
from tests.real.visitor import hidden
from webapp.composition import create_app
from webapp.config import Settings
from webapp.db import Database
from webapp.web.house import House

pytestmark = pytest.mark.real

OWN = re.compile("^(/you|/views$|/connections/(new|consents/new|keys/new)$|/sign-|/incidents/ledger/by-hand)")
"""What a form there changes is one's own alone: they are sent empty, so that whoever tries goes on as they are."""
FIELDS = {
    "reason": "No.", "regret": "No.", "note": "Looked.", "found": "ran", "name": "Mira's", "words": "Mira's", "code": "123456",
    "group": "finance", "minutes": "60", "confirm": "yes", "pick": "", "argument": "{}",
}
"""All that a form could ask for: what keeps Mira out is whose it is."""


def routes(stand: Standing) -> Map:
    environment = stand.environment
    settings = Settings(
        instance=stand.keeper.instance, public_url=PUBLIC_URL, database_url=environment["COUNTERSEAL_DATABASE_URL"],
    )
    database = Database(settings.database)
    try:
        return create_app(House(settings, database, stand.keeper.door)).url_map
    finally:
        database.close()


def test_a_colleague_sees_and_changes_nothing_of_anothers_on_any_route(stand: Standing, upstream: Scripted, what: str) -> None:
    """Every route, with the ids of Ada's own things in it and what her own page's forms would send. What Mira gets holds none of
    them, and all is afterwards as before."""
    action, mira = stand.agent("ada", "scripted").task("pay", {"what": what}), stand.visitor("mira")
    ids, page = {"action_id": action, **ids_of(stand)}, stand.visitor("ada").get(f"/actions/{action}")
    fields = {**FIELDS, "pick": action, **{name: hidden(page, name) for name in ("shown", "sealed")}}
    before, tried = snapshot(stand), set[str]()
    for rule in routes(stand).iter_rules():
        streams = rule.endpoint.endswith(("approvals.count", "steps", "static"))
        if streams or rule.rule.startswith(("/oauth", "/sign-", "/mcp")) or rule.endpoint == "people.end_all":
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(ids.get(found.group(1), "scripted")), rule.rule)
        tried |= rule.arguments & set(ids)
        for method in sorted((rule.methods or set()) & {"GET", "POST"}):
            whole = {} if OWN.match(rule.rule) and not rule.arguments else fields
            answer = mira.get(path) if method == "GET" else mira.send(path, **whole)
            assert answer.status_code < 500, (method, path, answer.text[:500])
            shown = [one for one in (*ids.values(), what) if len(one) > 5 and one in answer.text.replace(path, "")]
            assert shown == [], (method, path, answer.status_code)
    assert tried == set(ids), "a route of each"
    assert mira.get("/you").status_code == 200, "whoever is signed out by the way has tried nothing since"
    assert snapshot(stand) == before
    assert stand.state(action) == "held"


def ids_of(stand: Standing) -> dict[str, str]:
    """Of what is Ada's, by the names that routes have for them."""
    ada = stand.visitor("ada")
    assert ada.send("/views", name="Ada's own", here="/actions?tab=me").status_code == 303
    queries = {
        "connection": "SELECT id FROM connections WHERE person = :p", "grant": "SELECT id FROM oauth_grant WHERE person = :p",
        "session": "SELECT id FROM session WHERE person = :p AND ended_at IS NULL",
        "view_id": "SELECT id FROM saved_view WHERE person = :p", "client_id": "SELECT client FROM oauth_grant WHERE person = :p",
        "entry": "SELECT id FROM audit_entries WHERE actor = 'person:' || :p ORDER BY id DESC LIMIT 1",
    }
    with stand.engine.connect() as database:
        found = {name: str(database.scalar(text(query), {"p": ada.person})) for name, query in queries.items()}
    [factor] = stand.keeper.door.factors(ada.person)
    return {**found, "factor": factor.id, "kind": "csv"}


def snapshot(stand: Standing) -> list[Any]:
    """What is Ada's and the house's: actions and decisions, accounts, grants, clients, servers, sessions, views and factors."""
    ada = {"p": stand.visitor("ada").person}
    queries = (
        "SELECT id, state FROM action ORDER BY id", "SELECT id, status, name, preferred FROM connections ORDER BY id",
        "SELECT id, status FROM oauth_grant ORDER BY id", "SELECT id, status FROM client ORDER BY id",
        "SELECT id, status FROM server ORDER BY id", "SELECT id, status, pin FROM tool ORDER BY id",
        "SELECT id, ended_at FROM session WHERE person = :p ORDER BY id", "SELECT count(*) FROM decision",
        "SELECT id, name FROM saved_view WHERE person = :p ORDER BY id", "SELECT action, person FROM claim ORDER BY action",
    )
    with stand.engine.connect() as database:
        rows = [database.execute(text(query), ada if ":p" in query else {}).all() for query in queries]
    return [*rows, stand.keeper.door.factors(ada["p"])]
