"""An incident against an approval that is about to run: it does not run, or it ran before; never both."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.webapp.approvals.parts import action, decide, draft, held, with_passkey
from tests.webapp.incidents.conftest import Scene
from webapp.approvals import execution
from webapp.errors import Conflict
from webapp.people import suspension


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


def test_of_a_start_and_an_incident_at_once_one_is_first(scene: Scene) -> None:
    """Two threads, let go together. Whoever is first: a call that was sent is done and listed as running or past; one that was
    withdrawn was never sent."""
    house, bob = scene.house, scene.people("bob", groups=["finance"])
    key = with_passkey(bob)
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
