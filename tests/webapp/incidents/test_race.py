"""An incident against an approval that is about to run: it does not run, or it ran before; never both."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from tests import token_parts
from tests.webapp.approvals.parts import action, decide, draft, held, with_passkey
from tests.webapp.incidents.conftest import Scene
from webapp.approvals import execution
from webapp.clients.tables import Client
from webapp.errors import Conflict, Forbidden
from webapp.oauth import grants
from webapp.oauth.tables import Grant
from webapp.people import suspension

pytestmark = pytest.mark.both


class Interrupted:
    """The keeper's door; when it is asked whether it is ready, something else happens first."""

    def __init__(self, door: Any, then: Any) -> None:
        self._door, self._then = door, then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._door, name)

    def status(self) -> Any:
        self._then()
        return self._door.status()


def approved(scene: Scene, who: str = "bob") -> tuple[str, Any]:
    """A call of Ada's that somebody of finance approved."""
    browser = scene.people(who, groups=["finance"])
    assert decide(browser, with_passkey(browser), scene.waiting).status_code == 303
    assert action(scene.house, scene.waiting).state == "approved"
    return scene.waiting, browser


def test_an_incident_between_the_look_at_an_approval_and_its_start_keeps_it_from_running(scene: Scene) -> None:
    action_id, _bob = approved(scene)
    handed = scene.server.handed
    late = replace(scene.house, door=Interrupted(scene.house.door, lambda: scene.open("person", scene.ada.person)))
    with pytest.raises(Conflict):
        execution.run(late, action_id, handed.executor, handed.recheck)
    assert scene.server.calls == []
    assert action(scene.house, action_id).state == "withdrawn"


def test_a_decision_of_somebody_who_is_suspended_since_carries_nothing(scene: Scene) -> None:
    """As where the incident did not see the call: its decision was written at the same moment."""
    action_id, bob = approved(scene)
    handed = scene.server.handed
    scene.house.database.write(lambda s: suspension.suspend(s, bob.person, "inc_1"))
    assert execution.run(scene.house, action_id, handed.executor, handed.recheck).state == "void"
    assert scene.server.calls == []


def test_what_is_agreed_to_while_a_person_is_being_suspended_does_not_outlive_it(scene: Scene) -> None:
    """Two pages were open when it came: one that allows an agent, one that lets a server use an account."""
    house, ada = scene.house, scene.ada.person
    house.database.write(lambda s: suspension.suspend(s, ada, "inc_1"))
    with pytest.raises(Forbidden, match="suspended"):
        token_parts.agents_token(house, ada, "https://late.example/mcp")
    with pytest.raises(Forbidden, match="suspended"):
        token_parts.allow(house, scene.desk, ada, scene.account)


def test_a_server_hears_nothing_of_a_suspended_persons_token(scene: Scene) -> None:
    """Also where a grant slipped through: introspection asks what every use of the token asks."""
    raw = token_parts.agents_token(scene.house, scene.ada.person, scene.desk.resource)
    assert scene.desk.introspect(raw)["active"]
    scene.house.database.write(lambda s: suspension.suspend(s, scene.ada.person, "inc_1"))
    assert scene.desk.introspect(raw) == {"active": False}


def test_a_suspended_account_is_given_to_no_server(scene: Scene) -> None:
    """By its owner, or whoever sits in their browser: it would be live when the account comes back."""
    scene.open("connection", scene.account)
    with pytest.raises(Conflict, match="suspended"):
        token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account)
    refused = scene.desk.exchange(scene.subject).json or {}
    assert "paused by its owner" not in str(refused), refused


def test_a_grant_that_is_being_given_is_ended_with_the_rest(scene: Scene) -> None:
    """On PostgreSQL the incident waits for the grant; SQLite has one writer."""
    house, begun, done = scene.house, threading.Event(), threading.Event()

    def give() -> None:
        def work(session: Any) -> None:
            row = session.get(Client, scene.desk.id)
            grants.consent(session, person=scene.ada.person, client=row, resource="https://late.example/mcp", scopes=["mcp"],
                           now=house.clock())
            session.flush()
            begun.set()
            done.wait(0.5)  # the incident has begun meanwhile: it finds the grant, or waits for it

        house.database.write(work)

    giving = threading.Thread(target=give)
    giving.start()
    assert begun.wait(20)
    scene.open("person", scene.ada.person)
    giving.join()
    with house.database.read() as session:
        assert set(session.scalars(select(Grant.status).where(Grant.person == scene.ada.person))) == {"revoked"}


def test_of_a_start_and_an_incident_at_once_one_is_first(scene: Scene) -> None:
    """Two threads, let go together. Whoever is first: a call that was sent is done and listed as running or past; one that was
    withdrawn was never sent."""
    house, bob = scene.house, scene.people("bob", groups=["finance"])
    key = with_passkey(bob)
    house.settings.approvals.quick_row = 0  # Bob approves one after the other here, and no detail is asked for
    for turn in range(4):
        ada = scene.people(f"ada{turn}")
        action_id = held(house, draft(house, ada.person, grant=f"grt_{turn}"))
        assert decide(bob, key, action_id).status_code == 303
        together(lambda made=action_id: run(scene, made), lambda who=ada.person: scene.open("person", who))
        sent = [one for one, _envelope, _token in scene.server.calls]
        assert (action(house, action_id).state, action_id in sent) in (("withdrawn", False), ("done", True))


def run(scene: Scene, action_id: str) -> None:
    handed = scene.server.handed
    with contextlib.suppress(Conflict):
        execution.run(scene.house, action_id, handed.executor, handed.recheck)


def together(*works: Any) -> None:
    ready, failed = threading.Barrier(len(works)), []

    def begin(work: Any) -> None:
        ready.wait(30)
        try:
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=begin, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
