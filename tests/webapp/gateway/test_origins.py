"""The page of a held call says in which earlier result of the same agent its values were, and a marked tool taints the agent:
at every server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from tests.conftest import Clock
from tests.webapp.approvals.parts import decide, with_passkey
from tests.webapp.gateway.conftest import Agent, World
from tests.webapp.gateway.peers import RawServer, http_answer, modern, rpc
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action
from webapp.gateway.origins import SIZE, carried
from webapp.gateway.tables import HeardResult, Tainted
from webapp.oauth.grants import revoke
from webapp.registry.rules import Approval
from webapp.registry.tables import Tool

pytestmark = pytest.mark.real
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

LUMEN, STRANGER = "DE89370400440532013000", "GB33BUKB20201555555555"
STRING = {"type": "string"}
TOOLS: dict[str, dict[str, Any]] = {
    "list_payees": {}, "read_mail": {}, "look_up": {"iban": STRING}, "note": {"text": STRING},
    "pay": {"iban": STRING, "amount": STRING, "currency": STRING},
}
POINTERS = {
    "amount": {"pointer": "/amount", "unit": "major"}, "currency": {"pointer": "/currency"},
    "recipient": {"pointer": "/iban", "kind": "iban"},
}
CLASSES = {
    "list_payees": Approval("read"), "read_mail": Approval("read", outside=True), "look_up": Approval("read"),
    "note": Approval("write"), "pay": Approval("money", POINTERS),
}


ONE, OTHER = "client_ada_peer", "client_ada_other"


def answered(message: dict[str, Any]) -> bytes:
    if message["method"] == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object", "properties": given}} for name, given in TOOLS.items()]
        return http_answer(rpc(message, {"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private"}))
    name, given = message["params"]["name"], message["params"]["arguments"]
    said: dict[str, dict[str, Any]] = {
        "list_payees": {"structuredContent": {"payees": [{"name": "Lumen Studio", "iban": LUMEN, "last": "480.00"}]}},
        "read_mail": {"content": [{"type": "text", "text": f"Our new account: {STRANGER}."}]},
        "look_up": {"content": [{"type": "text", "text": f"{given.get('iban', '')} is a valid account number"}]},
    }
    result = {"resultType": "complete", "content": [], "isError": False, **said.get(name, {})}
    return http_answer(rpc(message, result))


@pytest.fixture
def agent(world: World, raw: Callable[..., RawServer]) -> Agent:
    world.put(raw(modern(answered)).url, CLASSES)
    return world.agent("ada")


@pytest.fixture
def second(world: World, raw: Callable[..., RawServer]) -> Agent:
    """The same agent, at another server: a grant of its own."""
    world.put(raw(modern(answered)).url, CLASSES, name="second")
    return world.agent("ada", "second", client=ONE)


def held(world: World) -> list[Action]:
    with world.house.database.read() as session:
        return list(session.scalars(select(Action).order_by(Action.id)))


def facts(world: World) -> dict[str, Any]:
    """Of the last action's document."""
    return dict(open_(world.house, held(world)[-1].id).document.envelope["facts"])


def pay(agent: Agent, iban: str = LUMEN, amount: str = "480.00") -> None:
    agent.call("pay", {"iban": iban, "amount": amount, "currency": "EUR"})


def test_a_value_is_traced_to_the_result_it_was_in_and_else_its_origin_is_unknown(
    world: World, agent: Agent, clock: Clock
) -> None:
    agent.call("list_payees", {})
    clock.now += timedelta(minutes=2)
    pay(agent, amount="1250.00")
    origins = facts(world)["origins"]
    assert origins["amount"] == {"found": False}
    assert origins["recipient"] == {
        "found": True, "server": "peer", "tool": "list_payees", "outside": False,
        "at": (clock.now - timedelta(minutes=2)).isoformat(timespec="seconds"),
    }


@sqlite
def test_the_page_says_where_it_was_and_what_nobody_knows(world: World, agent: Agent, clock: Clock) -> None:
    world.browser("ada")
    agent = world.agent("ada")
    agent.call("list_payees", {})
    clock.now += timedelta(minutes=2)
    pay(agent, amount="1250.00")
    text = " ".join(world.browser("ada").get(f"/actions/{held(world)[-1].id}").text.split())
    assert 'Appeared in the result of <bdi class="mono">list_payees</bdi> at <bdi>peer</bdi>, 2 minutes before it asked' in text
    assert "Unknown origin: in no result known here that this agent got in the hour before it asked" in text


@sqlite
def test_what_a_stranger_wrote_is_said_first_and_marked(world: World, agent: Agent) -> None:
    """The same account may stand in a later, harmless answer too."""
    agent.call("read_mail", {})
    pay(agent, STRANGER)
    found = facts(world)["origins"]["recipient"]
    assert (found["tool"], found["outside"]) == ("read_mail", True)


@sqlite
def test_a_tool_that_repeats_what_it_was_given_is_no_origin(world: World, agent: Agent) -> None:
    agent.call("look_up", {"iban": STRANGER})
    pay(agent, STRANGER)
    assert facts(world)["origins"]["recipient"] == {"found": False}


@sqlite
def test_another_agents_results_say_nothing(world: World, agent: Agent) -> None:
    world.agent("ada", client=OTHER).call("list_payees", {})
    world.agent("bob", client=ONE).call("list_payees", {})
    pay(agent)
    assert facts(world)["origins"]["recipient"] == {"found": False}


@sqlite
def test_what_it_got_at_another_server_is_found_and_that_server_is_named(world: World, agent: Agent, second: Agent) -> None:
    assert second.grant != agent.grant
    agent.call("read_mail", {})
    pay(second, STRANGER)
    found = facts(world)["origins"]["recipient"]
    assert (found["server"], found["tool"], found["outside"]) == ("peer", "read_mail", True)


@sqlite
def test_after_an_hour_it_is_unknown_and_with_the_next_result_gone(world: World, agent: Agent, clock: Clock) -> None:
    agent.call("list_payees", {})
    world.room.origins.flush()
    clock.now += timedelta(hours=1, seconds=1)
    pay(agent)
    assert facts(world)["origins"]["recipient"] == {"found": False}
    agent.call("read_mail", {})
    world.room.origins.flush()
    with world.house.database.read() as session:
        assert session.scalars(select(HeardResult.tool)).all() == ["read_mail"]


@sqlite
def test_an_agent_keeps_so_many_values_and_no_more(world: World, agent: Agent) -> None:
    world.house.settings.gateway.origins_values = 4
    for _ in range(5):
        agent.call("list_payees", {})
        world.room.origins.flush()
    with world.house.database.read() as session:
        kept = session.scalar(select(func.sum(func.length(HeardResult.digests)))) or 0
    assert 0 < kept <= 4 * SIZE


@sqlite
def test_nothing_that_a_server_answered_can_be_read_in_the_table(world: World, agent: Agent) -> None:
    agent.call("list_payees", {})
    world.agent("ada", client=OTHER).call("list_payees", {})
    world.agent("bob", client=ONE).call("list_payees", {})
    world.room.origins.flush()
    with world.house.database.read() as session:
        rows = session.scalars(select(HeardResult.digests)).all()
    assert not any(LUMEN.encode() in row for row in rows)
    one, two, three = ({row[at:at + SIZE] for at in range(0, len(row), SIZE)} for row in rows)
    assert not one & two | one & three | two & three, "the same values of two agents could be compared"


@sqlite
def test_the_answer_does_not_wait_for_what_is_noted(world: World, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> None:
        raise AssertionError("written before the answer left")

    monkeypatch.setattr(world.room.origins, "flush", never)
    monkeypatch.setattr("webapp.gateway.origins.EVERY", 3600.0)
    assert agent.call("list_payees", {}).result["isError"] is False


@sqlite
def test_reading_what_strangers_write_taints_the_agent_for_a_while(world: World, agent: Agent, clock: Clock) -> None:
    agent.call("note", {"text": "before"})
    assert held(world) == []
    agent.call("read_mail", {})
    world.agent("ada", client=OTHER).call("note", {"text": "another agent's"})
    world.agent("bob", client=ONE).call("note", {"text": "another person's"})
    assert held(world) == []
    agent.call("note", {"text": "after"})
    assert [one.tool for one in held(world)] == ["note"]
    assert facts(world)["session"] == {"tainted": True}
    clock.now += timedelta(hours=1, seconds=1)
    agent.call("note", {"text": "an hour later"})
    assert len(held(world)) == 1


def test_it_is_tainted_at_every_server_for_as_long_as_its_grants_come_and_go(world: World, agent: Agent, second: Agent) -> None:
    """Attack: a hostile mail, read at one server, has the agent write at another."""
    agent.call("read_mail", {})
    second.call("note", {"text": "as the mail asked"})
    assert [(one.server, one.tool) for one in held(world)] == [("second", "note")]
    assert facts(world)["session"] == {"tainted": True}
    world.house.database.write(lambda s: revoke(s, second.grant, "person:ada", "taken back", world.house.clock()))
    again = world.agent("ada", "second", client=ONE)
    assert again.grant != second.grant
    again.call("note", {"text": "allowed anew"})
    assert len(held(world)) == 2
    world.agent("ada", "second", client=OTHER).call("note", {"text": "another agent's"})
    assert len(held(world)) == 2


@sqlite
@pytest.mark.usefixtures("agent", "second")
def test_what_ran_once_it_was_approved_taints_too(world: World, raw: Callable[..., RawServer]) -> None:
    """A tool that is both: held, and with an answer by strangers."""
    world.put(raw(modern(answered)).url, {**CLASSES, "pay": Approval("money", POINTERS, outside=True)})
    browser, agent = world.browser("ada"), world.agent("ada", client=ONE)
    pay(agent)
    assert decide(browser, with_passkey(browser), held(world)[0].id).status_code == 303
    pay(agent)
    assert held(world)[0].state == "done"
    world.agent("ada", "second", client=ONE).call("note", {"text": "at another server"})
    assert held(world)[-1].tool == "note"


@sqlite
def test_a_call_from_before_is_not_void_by_what_was_read_after(world: World, agent: Agent) -> None:
    world.browser("ada")
    agent = world.agent("ada")
    pay(agent)
    agent.call("read_mail", {})
    browser = world.browser("ada")
    assert decide(browser, with_passkey(browser), held(world)[0].id).status_code == 303
    assert "session" not in facts(world)


@sqlite
def test_what_was_held_for_its_taint_stays_held_when_the_row_is_gone(world: World, agent: Agent) -> None:
    """A row of the database lets nothing through: the document says what the session was when it asked."""
    world.browser("ada")
    agent = world.agent("ada")
    agent.call("read_mail", {})
    agent.call("note", {"text": "after"})
    world.house.database.write(lambda s: s.execute(delete(Tainted)))
    agent.call("note", {"text": "after"})
    assert [one.state for one in held(world)] == ["held"]


@sqlite
def test_the_mark_of_a_tool_cannot_be_taken_off_in_the_database(world: World, agent: Agent) -> None:
    world.house.database.write(lambda s: s.execute(update(Tool).where(Tool.name == "read_mail").values(outside=False)))
    assert agent.call("read_mail", {}).error["data"]["code"] == "drifted"


def test_after_an_edit_only_what_stayed_has_an_origin() -> None:
    before = {
        "amount": {"text": "480.00"}, "recipient": {"text": LUMEN},
        "origins": {"within": 3600, "amount": {"found": False}, "recipient": {"found": True}},
    }
    after = {"amount": {"text": "48.00"}, "recipient": {"text": LUMEN}}
    assert carried(before, after) == {"origins": {"within": 3600, "recipient": {"found": True}}}
    assert carried({}, after) == {}
