"""A decoy is made after a call that ran, looks like one, and counts for nothing of the people whose call it seems to be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from tests.app_parts import Browser
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.webapp.approvals.parts import decide
from tests.webapp.gateway.conftest import Agent, World
from tests.webapp.gateway.peers import RawServer, modern
from tests.webapp.gateway.test_origins import CLASSES, LUMEN, answered, pay
from webapp.approvals import execution, jobs
from webapp.approvals.decoys import seeding
from webapp.approvals.decoys.jobs import KIND, plan, work
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action, Usage
from webapp.config import Settings
from webapp.config_approvals import Decoys
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.oauth import grants
from webapp.people.tables import Person
from webapp.policy import active
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
ASKED = '@id("pay")\n@hold("approvers=finance")\n@reason("Somebody of finance")\n' \
        'forbid (principal, action, resource in ToolGroup::"money");'


ESCALATING = ASKED.replace("approvers=finance", "approvers=finance escalate=30m:leads+2h:board")


@pytest.fixture
def rule() -> str:
    return ASKED


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock, tmp_path: Path, rule: str) -> House:
    (tmp_path / "policies").mkdir()
    for shipped in ("20-confirm", "30-money"):
        (tmp_path / "policies" / f"{shipped}.cedar").write_text("")
    (tmp_path / "policies" / "own.cedar").write_text(rule)
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url, instance=tmp_path)
    settings.approvals.decoys = Decoys(per_week=7, groups=["finance"])
    settings.approvals.quick_row = 0
    return House(settings, database, keeper.door, clock)


@pytest.fixture
def ran(world: World, raw: Callable[..., RawServer]) -> tuple[RawServer, Agent]:
    """Ada's agent paid once, with a word of finance."""
    server = raw(modern(answered))
    world.house.settings.evaluation = True  # a factor need not be a day old
    world.put(server.url, CLASSES)
    world.browser("ada")
    bob, agent = world.browser("bob", groups=["finance"]), world.agent("ada")
    agent.call("list_payees", {})
    pay(agent)
    approve(world, bob, actions(world)[-1].id)
    pay(agent)
    assert actions(world)[-1].state == "done"
    return server, agent


def approve(world: World, browser: Browser, action_id: str) -> None:
    assert world.people is not None
    assert decide(browser, world.people.passkeys[browser.person].passkey, action_id).status_code == 303


def actions(world: World) -> list[Action]:
    with world.house.database.read() as session:
        return list(session.scalars(select(Action).order_by(Action.id)))


def seeded(world: World, seed: int = 1) -> str:
    assert world.room.handed.editor
    made = seeding.seed(world.house, world.room.handed.editor, Random(seed))
    assert made is not None
    return made


def usage(world: World, person: str) -> int:
    with world.house.database.read() as session:
        return len(session.scalars(select(Usage.id).where(Usage.person == person)).all())


def test_it_looks_like_a_call_of_the_same_agent_and_is_nobodys(world: World, ran: tuple[RawServer, Agent]) -> None:
    ada, bob = world.browser("ada"), world.browser("bob")
    before = usage(world, ada.person)
    first, one = actions(world)[0], seeded(world)
    envelope = open_(world.house, one).document.envelope
    real = open_(world.house, first.id).document.envelope
    for same in ("principal", "client", "connection", "server", "tool", "scopes"):
        assert envelope[same] == real[same], same
    assert envelope["arguments"] != real["arguments"]
    assert envelope["facts"].keys() == real["facts"].keys()
    assert "Ada’s agent wants to" in bob.get(f"/actions/{one}").text
    assert one in bob.get("/actions").text
    assert usage(world, ada.person) == before
    assert ada.get(f"/actions/{one}").status_code == 404
    for page in ("/actions", "/actions?tab=mine", "/actions?tab=others", "/history", "/"):
        assert one not in ada.get(page).text, page
    row = actions(world)[-1]
    assert not {row.person, row.owner, row.agent_owner, row.grant_id, row.client} & {first.person, first.grant_id, first.client}
    assert row.person_name == "Ada"


def test_a_sweep_leaves_it_alone_until_what_it_is_made_after_drifts(world: World, ran: tuple[RawServer, Agent]) -> None:
    one = seeded(world)
    assert jobs.compare(world.house, Due(key=one), world.room.handed) is not None
    assert actions(world)[-1].state == "held"
    _, agent = ran
    world.house.database.write(lambda s: grants.revoke(s, agent.grant, "cli", "over", world.house.clock()))
    jobs.compare(world.house, Due(key=one), world.room.handed)
    assert actions(world)[-1].state == "void", "as a call of that agent would be"


def test_the_agents_own_identical_call_does_not_meet_it(world: World, ran: tuple[RawServer, Agent]) -> None:
    one = seeded(world)
    _, agent = ran
    sent = open_(world.house, one).document.envelope["arguments"]
    agent.call("pay", dict(sent))
    held = [row for row in actions(world) if row.state == "held"]
    assert {row.id for row in held} > {one}
    assert len(held) == 2


def test_approved_it_is_told_and_no_call_reaches_the_server(world: World, ran: tuple[RawServer, Agent]) -> None:
    server, agent = ran
    before, one = len(server.calls()), seeded(world)
    approve(world, world.browser("bob"), one)
    assert actions(world)[-1].mark == "decoy"
    with pytest.raises(Conflict):
        execution.run(world.house, one, world.room.handed.executor, world.room.handed.recheck)
    pay(agent)
    assert len(server.calls()) == before


@pytest.mark.parametrize("who", ["in the group", "an admin", "lent to", "gone"])
def test_none_is_made_after_the_call_of_somebody_who_would_see_it(world: World, ran: tuple[RawServer, Agent], who: str) -> None:
    ada, now = world.browser("ada"), world.house.clock()
    kinds: dict[str, dict[str, Any]] = {
        "in the group": {"groups": ["user", "finance"]}, "an admin": {"groups": ["admin"]},
        "lent to": {"lent_until": now + timedelta(days=1)}, "gone": {"suspended": "inc_1"},
    }
    values = kinds[who]

    def write(session: Any) -> None:
        for name, value in values.items():
            setattr(session.get_one(Person, ada.person), name, value)

    world.house.database.write(write)
    assert world.room.handed.editor
    assert seeding.seed(world.house, world.room.handed.editor, Random(1)) is None
    assert len(actions(world)) == 1


def test_only_the_groups_that_were_named_are_asked(world: World, ran: tuple[RawServer, Agent]) -> None:
    world.house.settings.approvals.decoys = Decoys(per_week=7, groups=["board"])
    assert world.room.handed.editor
    assert seeding.seed(world.house, world.room.handed.editor, Random(1)) is None
    assert len(actions(world)) == 1


@pytest.mark.parametrize("rule", [ESCALATING])
@pytest.mark.parametrize("named", [True, False])
def test_nor_a_group_that_is_asked_only_after_a_while(world: World, ran: tuple[RawServer, Agent], named: bool) -> None:
    """It would be escalated to people whom nobody named for it, some of whom may be those whose call it seems to be."""
    groups = ["finance", "leads", "board"] if named else ["finance", "leads"]
    world.house.settings.approvals.decoys = Decoys(per_week=7, groups=groups)
    assert world.room.handed.editor
    assert (seeding.seed(world.house, world.room.handed.editor, Random(1)) is not None) == named
    assert len(actions(world)) == 1 + named


class Always(Random):
    def random(self) -> float:
        return 0.0


def test_the_worker_puts_one_before_people_seldom_and_none_where_none_is_wanted(
    world: World, ran: tuple[RawServer, Agent], clock: Clock
) -> None:
    house, handed = world.house, world.room.handed
    assert work(house, Due(key="all"), handed, Always(1)) == clock.now + timedelta(minutes=1)
    assert [row.state for row in actions(world)] == ["done", "held"]
    house.settings.approvals.decoys = Decoys()
    assert work(house, Due(key="all"), handed, Always(1)) is not None, "one waits of which nobody was told"
    assert len(actions(world)) == 2


@pytest.mark.parametrize(("decoys", "planned"), [(Decoys(), 0), (Decoys(per_week=1, groups=["finance"]), 1)], ids=["off", "on"])
def test_a_worker_looks_only_where_there_is_something_to_look_for(house: House, decoys: Decoys, planned: int) -> None:
    house.settings.approvals.decoys = decoys
    active.at_start(house)
    plan(house)
    with house.database.read() as session:
        assert len(session.scalars(select(Due.key).where(Due.kind == KIND)).all()) == planned


def test_its_values_have_no_origin(world: World, ran: tuple[RawServer, Agent]) -> None:
    """That of the call it is made after was in a result, at another time: it would show."""
    real = open_(world.house, actions(world)[0].id).document.envelope["facts"]["origins"]
    assert real["recipient"]["found"] is True
    made = open_(world.house, seeded(world)).document.envelope["facts"]["origins"]
    assert {name: one for name, one in made.items() if name != "within"} == {
        "amount": {"found": False}, "recipient": {"found": False},
    }
    assert LUMEN
