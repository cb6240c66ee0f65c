"""What the gateway keeps of each call, so that other rules can be tried on it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select

from tests.clock import Clock
from tests.webapp.gateway.conftest import World
from tests.webapp.gateway.test_caps import asked, case
from vault.door import Door
from webapp.approvals.judged.keeping import asked_again, session_known
from webapp.approvals.judged.tables import Judged
from webapp.approvals.tables import Action
from webapp.config import Settings
from webapp.db import Database
from webapp.gateway import calling
from webapp.insights import replay
from webapp.policy import active
from webapp.policy.calls import Deny
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def kept(world: World) -> list[Judged]:
    with world.house.database.read() as session:
        return list(session.scalars(select(Judged).order_by(Judged.number)))


def test_every_judged_call_is_kept_once_under_its_own_id(behind: World) -> None:
    """A second request of a call that waits is not another call, and one that never came before policy is none."""
    agent = behind.agent("ada")
    agent.call("echo", {"text": "secret words"})
    agent.call("destroy_all", {"what": "x"})
    agent.call("destroy_all", {"what": "x"})
    agent.call("no_such_tool", {})
    allowed, held = sorted(kept(behind), key=lambda row: row.verdict)
    [logged] = behind.entries("call.allowed")
    with behind.house.database.read() as session:
        [action] = session.scalars(select(Action.id)).all()
    assert (allowed.id, allowed.verdict, allowed.tool) == (logged["subject"], "allow", "echo")
    assert (held.id, held.verdict, held.rules) == (action, "hold", "destroy-confirm")
    assert "secret" not in allowed.asked
    assert (session_known(allowed), session_known(held)) == tuple(
        active.loaded(behind.house.settings).asks_session(row.cls) for row in (allowed, held)
    )
    rules = active.loaded(behind.house.settings)
    assert not rules.decide(asked_again(held))
    assert rules.decide(asked_again(allowed))
    found = replay.run(behind.house.database, rules, days=1, now=behind.house.clock(), active=rules.digest)
    assert (found.calls, found.not_kept, found.changed, found.other_set) == (2, 0, 0, 0)


def test_a_denied_call_is_kept_with_the_rules_that_denied_it(database: Database, clock: Clock, tmp_path: Path) -> None:
    settings = Settings(public_url="http://localhost:8000", database_url=database.url, instance=tmp_path)
    house = House(settings, database, Door(tmp_path / "none.sock"), clock)
    rules = active.at_start(house)
    room: Any = SimpleNamespace(house=house)
    large = case(house, "read", "60000.00")
    assert isinstance(database.commit(lambda s: calling._admit(s, room, asked(), large)), Deny)
    with database.read() as session:
        [kept] = session.scalars(select(Judged))
    assert (kept.verdict, kept.person) == ("deny", "per_ada")
    assert {"person-daily-limit", "recipient-daily-limit"} <= set(kept.rules.split())
    assert "Nordlicht" not in kept.asked
    found = replay.run(database, rules, days=1, now=clock(), active=rules.digest)
    assert (found.calls, found.not_kept, found.changed) == (1, 0, 0)
