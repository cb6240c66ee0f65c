"""One action stops a person, a client, a server, an account or a provider, and all that rests on it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests import token_parts
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.webapp.approvals.parts import action, decide, draft, forge, held, with_passkey
from tests.webapp.incidents.conftest import Scene
from tests.webapp.registry.parts import put
from vault.errors import Paused
from webapp.approvals.tables import Action
from webapp.broker import leases
from webapp.broker.jobs import end_tokens
from webapp.broker.tables import Lease
from webapp.clients.tables import Client
from webapp.connections import lookup
from webapp.connections.lookup import NoConnection
from webapp.connections.tables import Connection, ConnectionConsent
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.incidents import ending, opening, radius, reports
from webapp.incidents.rules import KINDS, Kind
from webapp.incidents.tables import Incident, IncidentNotice
from webapp.oauth import tokens
from webapp.oauth.tables import Grant
from webapp.registry import pins
from webapp.registry.pins import ToolRefused

READ = ("accounts:read",)
OTHER = "https://elsewhere.example/mcp"
ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def counts(scene: Scene, incident: str) -> dict[str, int]:
    with scene.house.database.read() as session:
        return {part["key"]: part["count"] for part in session.get_one(Incident, incident).radius["parts"]}


def test_a_person_is_signed_out_kept_out_and_all_in_their_name_ends(scene: Scene) -> None:
    house, bob = scene.house, scene.people("bob")
    incident = scene.open("person", scene.ada.person)
    assert scene.ada.get("/you").status_code == 303
    again = scene.people.stranger()
    answer = scene.people.idp.authorize(
        again.at_idp(), subject=scene.people.subject("ada"), name="Ada", email="ada@people.example", groups=["user"],
    )
    refused = again.back(answer)
    assert refused.status_code == 403
    assert "suspended" in refused.text
    assert again.get("/you").status_code == 303
    with house.database.read() as session:
        with pytest.raises(tokens.InvalidToken):
            tokens.authenticate(session, scene.subject, f"{PUBLIC_URL}/mcp/bank", house.clock())
        assert set(session.scalars(select(Grant.status))) == {"revoked"}
        assert set(session.scalars(select(ConnectionConsent.status))) == {"withdrawn"}
        with pytest.raises(NoConnection, match="suspended"):
            lookup.usable(session, scene.ada.person, "harbour", READ)
        assert session.scalars(select(IncidentNotice.person)).all() == [scene.ada.person]
    assert scene.row().status == "paused"
    assert action(house, scene.waiting).state == "withdrawn"
    assert bob.get("/you").status_code == 200
    found = counts(scene, incident)
    assert (found["pauses"], found["sessions"], found["grants"], found["consents"], found["actions"]) == (1, 1, 1, 1, 1)
    assert scene.log()[-2:] == ["incident.opened", "sign_in.failed"]


@ONE
def test_the_keeper_pauses_the_account_and_the_provider_confirms(scene: Scene) -> None:
    house = scene.house
    minted = house.door.mint(connection=scene.account, person=scene.ada.person, scopes=list(READ), receiver="bank", cap=60)
    incident = scene.open("person", scene.ada.person)
    with house.database.read() as session:
        assert [line.state for line in reports.one(session, house.settings, incident).ledger] == ["pending"]
    assert end_tokens(house, Due(kind="broker.end_tokens", key=scene.account, payload={})) is None
    with pytest.raises(Paused):
        house.door.mint(connection=scene.account, person=scene.ada.person, scopes=list(READ), receiver="bank", cap=60)
    with house.database.read() as session:
        line = reports.one(session, house.settings, incident).ledger[0]
    assert line.words == "Harbour Bank confirmed"
    assert minted.token.reveal() not in str(line)


def test_what_a_suspected_approver_said_yes_to_does_not_run(scene: Scene) -> None:
    """Bob's decision is signed and verifies; the incident withdraws the call of Ada's that rests on it."""
    house, bob = scene.house, scene.people("bob", groups=["finance"])
    key = with_passkey(bob)
    assert decide(bob, key, scene.waiting).status_code == 303
    assert action(house, scene.waiting).state == "approved"
    incident = scene.open("person", bob.person)
    assert action(house, scene.waiting).state == "withdrawn"
    assert scene.row().status == "active"
    assert told(scene, incident) == {scene.ada.person, bob.person}


def told(scene: Scene, incident: str) -> set[str]:
    with scene.house.database.read() as session:
        return set(session.scalars(select(IncidentNotice.person).where(IncidentNotice.incident == incident)))


CONCERNED: dict[Kind, set[str]] = {
    "person": {"ada", "per_dora"}, "client": {"ada", "per_carl"}, "server": {"ada", "per_carl", "per_dora", "per_ed"},
    "connection": {"ada", "per_dora"}, "provider": {"ada", "per_dora", "per_ed"},
}


@ONE
@pytest.mark.parametrize("kind", KINDS)
def test_all_those_concerned_are_told_and_nobody_else(scene: Scene, kind: Kind) -> None:
    """Carl allowed agents at the server and at the token client and connected no account that a tool there could use; a call
    of Dora's waits at the server, with Ada's account; Ed's account was lent to the server lately, and he allows nothing there any
    more; Zoe uses other things."""
    house = scene.house
    names = scene.subjects()
    for person, resource in (("per_carl", f"{PUBLIC_URL}/mcp/bank"), ("per_carl", scene.desk.resource), ("per_zoe", OTHER)):
        token_parts.agents_token(house, person, resource)
    forge(house, held(house, draft(house, "per_dora", grant="grt_2")), connection=scene.account, owner=scene.ada.person)
    house.database.write(lambda s: s.add(Connection(
        id="con_ed", person="per_ed", provider="harbour", account="e", label="e", scopes=[], status="active",
        created_at=house.clock(), connected_at=house.clock(), last_used_at=None, ended_at=None,
    )))
    lease(scene, server="bank", account="con_ed")
    incident = scene.open(kind, names[kind])
    assert told(scene, incident) == {scene.ada.person if one == "ada" else one for one in CONCERNED[kind]}
    assert counts(scene, incident)["concerned"] == len(CONCERNED[kind])


@ONE
def test_a_client_is_paused_and_what_people_allowed_it_ends(scene: Scene) -> None:
    house, desk = scene.house, scene.desk
    incident = scene.open("client", desk.id)
    assert desk.own().json["error"] == "invalid_client"
    with house.database.read() as session:
        assert session.get_one(Client, desk.id).status == "paused"
        assert set(session.scalars(select(ConnectionConsent.status))) == {"withdrawn"}
        assert session.scalars(select(Grant.status)).all() == ["active"]
    assert counts(scene, incident)["accounts"] == 1
    resumed = scene.ruth.send(f"/clients/{desk.id}", change="resume")
    assert resumed.status_code == 409
    assert incident in resumed.text


@ONE
def test_an_agent_is_stopped_and_comes_back_with_nothing_of_what_people_allowed_it(scene: Scene) -> None:
    """Its own tokens, those that a token client would ask for in its name, and the call of its that waits."""
    house, desk, agent, bank = scene.house, scene.desk, "cli_suspect", f"{PUBLIC_URL}/mcp/bank"
    here, there = (
        token_parts.agents_token(house, scene.ada.person, each, client=agent, name="Odd Agent") for each in (bank, desk.resource)
    )
    made = draft(house, scene.ada.person, grant="grt_2")
    asked = held(house, replace(made, client={**made.client, "id": agent}))
    incident = scene.open("client", agent)
    found = counts(scene, incident)
    assert (found["grants"], found["actions"], found["concerned"]) == (2, 1, 1)
    assert "proofs" not in found
    assert (action(house, asked).state, action(house, scene.waiting).state) == ("withdrawn", "held")
    assert desk.exchange(there).status_code == 400
    assert scene.ruth.send(f"/clients/{agent}", change="resume").status_code == 409
    scene.house.database.write(lambda s: ending.lift(s, incident, "cli", house.clock()))
    with house.database.read() as session:
        assert session.get_one(Client, agent).status == "active"
        assert set(session.scalars(select(Grant.status).where(Grant.client == agent))) == {"revoked"}
        with pytest.raises(tokens.InvalidToken):
            tokens.authenticate(session, here, bank, house.clock())
        tokens.authenticate(session, scene.subject, bank, house.clock())


def test_a_server_refuses_every_tool_and_what_it_was_given_is_forgotten(scene: Scene) -> None:
    house = scene.house
    house.database.write(lambda s: put(s, now=house.clock(), provider="harbour"))
    given = lease(scene, server="bank")
    incident = scene.open("server", "bank")
    with house.database.read() as session:
        with pytest.raises(ToolRefused, match="paused"):
            pins.pinned(session, "bank", "get_balance")
        assert session.get_one(Lease, given).state == "closed"
        assert [line.subject for line in reports.one(session, house.settings, incident).ledger] == [f"{scene.account}@bank"]
    assert action(house, scene.waiting).state == "withdrawn"
    assert counts(scene, incident)["used"] == 1
    assert scene.ruth.send("/servers/bank/pause", paused="no").status_code == 409


def lease(scene: Scene, server: str, account: str = "") -> str:
    def plan(session: Session) -> str:
        connection = session.get_one(Connection, account or scene.account)
        return leases.plan(
            session, connection=connection, scopes=READ, person=connection.person, client="cli_1", grant="grt_1", server=server,
            tool="get_balance", action=None, exclusive=False, cap=60, now=scene.house.clock(),
        ).id

    return scene.house.database.write(plan)


@ONE
def test_a_suspected_account_cannot_be_used_resumed_or_connected_again(scene: Scene) -> None:
    scene.open("connection", scene.account, actor=f"person:{scene.ada.person}")
    assert scene.row().suspended
    assert scene.row().status == "paused"
    assert scene.ada.send(f"/connections/{scene.account}/resume").status_code == 409
    for fields in ({"provider": "harbour"}, {"connection": scene.account}):
        assert scene.ada.send("/connections/new", scope=["accounts:read"], **fields).status_code == 409, fields
    page = scene.ada.get(f"/connections/{scene.account}").text
    assert "Suspended" in page
    assert "/resume" not in page
    scene.house.clock.forward(seconds=1)
    assert scene.ada.send(f"/connections/{scene.account}/disconnect").status_code == 303
    assert scene.ada.send("/connections/new", provider="harbour", scope=["accounts:read"]).status_code == 409


@ONE
def test_a_providers_accounts_are_paused_and_none_is_connected(scene: Scene) -> None:
    bob = scene.people("bob")
    scene.open("provider", "harbour")
    assert scene.row().status == "paused"
    assert bob.send("/connections/new", provider="harbour", scope=["accounts:read"]).status_code == 409


@ONE
def test_an_account_whose_provider_cannot_end_a_token_alone_is_disconnected(scene: Scene, keeper: KeeperParts) -> None:
    path = keeper.instance / "providers" / "harbour.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("{overrides: harbour, revoke_effect: grant, grants_apart: false}")
    try:
        scene.open("connection", scene.account)
    finally:
        path.unlink()
    assert scene.row().status == "disconnected"


def test_a_dry_run_changes_nothing_and_says_what_the_real_thing_does(scene: Scene) -> None:
    house = scene.house
    names = scene.subjects()
    lease(scene, server="bank")
    assert set(names) == set(KINDS)
    for kind, name in names.items():
        before = scene.log(), scene.row().status, action(house, scene.waiting).state
        with house.database.read() as session:
            _target, found = opening.look(session, house.settings, kind, name, house.clock())
        assert (scene.log(), scene.row().status, action(house, scene.waiting).state) == before
        incident = scene.open(kind, name)
        with house.database.read() as session:
            assert session.get_one(Incident, incident).radius == radius.written(found)


@ONE
def test_what_is_suspended_is_not_suspended_twice(scene: Scene) -> None:
    incident = scene.open("person", scene.ada.person)
    with pytest.raises(Conflict, match=incident):
        scene.open("person", scene.ada.person)


@ONE
def test_a_call_that_another_agent_of_nobody_concerned_made_goes_on(scene: Scene) -> None:
    house, bob = scene.house, scene.people("bob")
    other = held(house, draft(house, bob.person, grant="grt_2"))
    token_parts.agents_token(house, bob.person, f"{PUBLIC_URL}/mcp/bank")
    scene.open("person", scene.ada.person)
    with house.database.read() as session:
        assert session.get_one(Action, other).state == "held"
        assert session.scalars(select(Grant.status).where(Grant.person == bob.person)).all() == ["active"]


@ONE
def test_what_a_suspected_persons_server_asked_in_anothers_name_is_withdrawn(scene: Scene) -> None:
    """As with their agent: who has their key has asked it."""
    house, bob = scene.house, scene.people("bob")
    made = draft(house, bob.person, grant="grt_2")
    asked = held(house, replace(made, server={**made.server, "owner": scene.ada.person}))
    scene.open("person", scene.ada.person)
    assert action(house, asked).state == "withdrawn"
