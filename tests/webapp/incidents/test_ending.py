"""Resuming and closing are two acts, and neither is for whom the incident is about."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from joserfc.jwk import OKPKey
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.token_client import with_certificate
from tests.webapp.incidents.conftest import Scene
from webapp.clients import certificates, keys, token_clients
from webapp.clients.tables import Client, TokenClient
from webapp.connections.tables import Connection, SuspendedProvider
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.incidents import ending, jobs
from webapp.incidents.ending import RESUME
from webapp.incidents.tables import Incident

ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def resume_account(scene: Scene) -> None:
    """What the worker does next."""
    jobs.resume(scene.house, Due(kind=RESUME, key=scene.account, payload={"actor": "cli"}))


def lift(scene: Scene, incident: str, actor: str = "cli") -> None:
    scene.house.database.write(lambda s: ending.lift(s, incident, actor, scene.house.clock()))


def test_a_person_who_was_resumed_signs_in_again_and_their_accounts_serve_again(scene: Scene) -> None:
    house = scene.house
    incident = scene.open("person", scene.ada.person)
    house.door.pause(connection=scene.account, person=scene.ada.person)
    assert scene.ruth.send(f"/incidents/{incident}/resume").status_code == 303
    assert scene.row().status == "paused"
    resume_account(scene)
    assert scene.row().status == "active"
    assert house.door.mint(
        connection=scene.account, person=scene.ada.person, scopes=["accounts:read"], receiver="bank", cap=60
    ).token.reveal()
    assert scene.people("ada").get("/you").status_code == 200
    assert scene.ruth.send(f"/incidents/{incident}/resume").status_code == 409
    assert "incident.lifted" in scene.log()


@ONE
def test_a_client_a_server_and_a_provider_are_as_they_were_before(scene: Scene) -> None:
    incidents = [scene.open("client", scene.desk.id), scene.open("provider", "harbour")]
    assert scene.ruth.send(f"/clients/{scene.desk.id}", change="resume").status_code == 409
    for incident in incidents:
        lift(scene, incident)
    with scene.house.database.read() as session:
        assert session.get(SuspendedProvider, "harbour") is None
    assert scene.row().suspended == ""
    with scene.house.database.read() as session:
        client = session.get_one(Client, scene.desk.id)
    assert (client.status, client.suspended) == ("active", "")


def test_a_client_comes_back_with_a_new_key_alone(scene: Scene) -> None:
    """Attack: whoever copied its private key waits until the incident is resumed, or has it registered again."""
    desk, fresh = scene.desk, OKPKey.generate_key("Ed25519")
    assert desk.own().json["error"] != "invalid_client"
    incident = scene.open("client", desk.id)
    assert scene.log().index("client.key_ended") < scene.log().index("incident.opened")
    report = scene.ruth.get(f"/incidents/{incident}").text
    assert "Certificates and keys of its own, which end" in report
    assert "A token client needs a new key or certificate before it comes back" in report
    add_key(scene, fresh)
    renewed = replace(desk, key=fresh)
    assert renewed.own().json["error"] == "invalid_client"
    lift(scene, incident)
    for stolen in (desk, replace(desk, key=OKPKey.generate_key("Ed25519"))):
        assert stolen.own().json["error"] == "invalid_client"
    with pytest.raises(Conflict, match="registered already"):
        add_key(scene, desk.key)
    assert renewed.own().json["error"] != "invalid_client"


def add_key(scene: Scene, key: OKPKey) -> None:
    """As `counterseal client add-key`."""

    def work(session: Session) -> None:
        token_clients.registered(session, scene.desk.id, token_clients.BY_KEY)
        keys.add(session, scene.desk.id, json.dumps(key.as_dict(private=False)), actor="cli", now=scene.house.clock())

    scene.house.database.write(work)


@ONE
def test_a_suspected_certificate_stays_revoked_when_its_client_is_resumed(scene: Scene) -> None:
    mutual = with_certificate(scene.house, "Mutual")
    incident = scene.open("client", mutual.id)
    lift(scene, incident)
    with scene.house.database.read() as session:
        assert not certificates.good(session, mutual.thumbprint, scene.house.clock())
        proofs = [part for part in session.get_one(Incident, incident).radius["parts"] if part["key"] == "proofs"]
    assert [part["count"] for part in proofs] == [1]
    assert "client.certificate_revoked" in scene.log()


@ONE
def test_a_client_that_was_revoked_before_gets_no_new_key(scene: Scene) -> None:
    assert scene.ruth.send(f"/clients/{scene.desk.id}", change="revoke").status_code == 303
    scene.open("client", scene.desk.id)
    with pytest.raises(Conflict, match="revoked"):
        add_key(scene, OKPKey.generate_key("Ed25519"))


def test_an_account_that_two_incidents_reach_is_resumed_by_the_last_alone(scene: Scene) -> None:
    first, second = scene.open("person", scene.ada.person), scene.open("provider", "harbour")
    lift(scene, first)
    resume_account(scene)
    assert (scene.row().status, scene.row().suspended) == ("paused", second)
    lift(scene, second)
    resume_account(scene)
    assert (scene.row().status, scene.row().suspended) == ("active", "")


@ONE
def test_an_account_that_was_paused_before_stays_paused(scene: Scene) -> None:
    scene.ada.send(f"/connections/{scene.account}/pause")
    lift(scene, scene.open("provider", "harbour"))
    resume_account_due = [kind for kind in scene.log() if kind == "connection.resumed"]
    assert (scene.row().status, resume_account_due) == ("paused", [])
    assert scene.ada.send(f"/connections/{scene.account}/resume").status_code == 303


@ONE
def test_closing_needs_a_note_and_resumes_nothing(scene: Scene) -> None:
    incident = scene.open("person", scene.ada.person)
    assert scene.ruth.send(f"/incidents/{incident}/close", note="  ").status_code == 400
    assert scene.ruth.send(f"/incidents/{incident}/close", note="x" * 501).status_code == 400
    assert scene.ruth.send(f"/incidents/{incident}/close", note="A lost phone; found.").status_code == 303
    assert scene.ruth.send(f"/incidents/{incident}/close", note="Again.").status_code == 409
    assert scene.row().suspended == incident
    page = scene.ruth.get(f"/incidents/{incident}").text
    assert "A lost phone; found." in page
    assert "Resume it" in page


@ONE
def test_a_suspected_admin_neither_resumes_nor_closes_what_is_about_them(scene: Scene) -> None:
    """By page they are out; by what they still hold (a form that was open, a second session) the rule compares the person."""
    ruth, rita = scene.ruth, scene.people("rita", groups=["admin"])
    second = scene.people.first_step("ruth", groups=["admin"])
    scene.people.second_step(second)
    incident = scene.open("person", ruth.person)
    for browser in (ruth, second):
        assert browser.send(f"/incidents/{incident}/resume").status_code in (401, 403)
    for act in (lambda: lift(scene, incident, f"person:{ruth.person}"), lambda: close(scene, incident, f"person:{ruth.person}")):
        with pytest.raises(Exception, match="another administrator"):
            act()
    assert rita.send(f"/incidents/{incident}/resume").status_code == 303


@ONE
def test_an_admin_does_not_resume_an_account_of_their_own(scene: Scene) -> None:
    ada = scene.people("ada", groups=["admin"])
    incident = scene.open("connection", scene.account, actor=f"person:{ada.person}")
    for what, fields in (("resume", {}), ("close", {"note": "All is well."})):
        assert ada.send(f"/incidents/{incident}/{what}", **fields).status_code == 403, what
    assert "Resume it" not in ada.get(f"/incidents/{incident}").text
    assert scene.ruth.send(f"/incidents/{incident}/resume").status_code == 303


@ONE
def test_the_owner_of_a_token_client_does_not_resume_it(scene: Scene) -> None:
    owner = scene.ruth.person

    def own(session: Session) -> None:
        session.get_one(TokenClient, scene.desk.id).owner = owner

    scene.house.database.write(own)
    incident = scene.open("client", scene.desk.id)
    assert scene.ruth.send(f"/incidents/{incident}/resume").status_code == 403
    assert scene.people("rita", groups=["admin"]).send(f"/incidents/{incident}/resume").status_code == 303


def close(scene: Scene, incident: str, actor: str) -> None:
    scene.house.database.write(lambda s: ending.close(s, incident, "Nothing.", actor, scene.house.clock()))


@ONE
def test_a_resume_that_meets_a_second_incident_leaves_the_account_suspended(scene: Scene) -> None:
    """The keeper was asked to resume; at that moment somebody suspends the account again."""
    house = scene.house
    lift(scene, scene.open("provider", "harbour"))
    real = type(house.door).resume

    class Door:
        def resume(self, **asked: str) -> None:
            real(house.door, **asked)
            scene.open("connection", scene.account)

    late = type(house)(house.settings, house.database, Door(), house.clock)  # type: ignore[arg-type]
    jobs.resume(late, Due(kind=RESUME, key=scene.account, payload={"actor": "cli"}))
    assert scene.row().status == "paused"
    assert scene.row().suspended


@ONE
def test_thousands_of_accounts_are_released_some_at_a_time(scene: Scene) -> None:
    now = scene.house.clock()
    many = [
        Connection(
            id=f"con_{number:03}", person=f"per_{number}", provider="harbour", account="a", label="a", scopes=[], status="active",
            created_at=now, connected_at=now, last_used_at=None, ended_at=None,
        ) for number in range(ending.AT_ONCE + 20)
    ]
    scene.house.database.write(lambda s: s.add_all(many))
    incident = scene.open("provider", "harbour")
    lift(scene, incident)
    assert held(scene) == 21
    assert jobs.release(scene.house, Due(kind=ending.RELEASE, key=incident, payload={"actor": "cli"})) is None
    assert held(scene) == 0


def held(scene: Scene) -> int:
    with scene.house.database.read() as session:
        return session.scalar(select(func.count()).select_from(Connection).where(Connection.suspended != "")) or 0


@ONE
def test_an_incident_that_was_lifted_is_not_lifted_again_by_anybody(scene: Scene) -> None:
    incident = scene.open("provider", "harbour")
    lift(scene, incident)
    again = scene.open("provider", "harbour")
    with pytest.raises(Conflict):
        lift(scene, incident)
    assert scene.row().suspended == again
    with scene.house.database.read() as session:
        assert session.get_one(Incident, again).lifted_at is None
