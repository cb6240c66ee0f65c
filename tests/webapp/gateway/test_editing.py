"""An approver changes what an agent asked for: a new action with decisions of its own, and the agent hears what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from tests.app_parts import PUBLIC_URL, Browser, hidden
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.webapp.approvals.parts import decide, reject
from tests.webapp.gateway.conftest import CLASSES, Agent, World
from tests.webapp.gateway.peers import Peer
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action, Usage
from webapp.composition import job_handlers
from webapp.config import Settings
from webapp.db import Database
from webapp.db.due import Due
from webapp.policy import active
from webapp.registry.rules import Approval
from webapp.web.house import House

pytestmark = pytest.mark.real
sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
DESTROYING = 'forbid (principal, action, resource in ToolGroup::"destroy")'
ONE = f'@id("one")\n@hold("approvers=finance")\n@reason("Somebody of finance")\n{DESTROYING};'
TASKS = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock, tmp_path: Path) -> House:
    """Where finance decides what destroys, and nobody confirms but where an edit asks for it."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "20-confirm.cedar").write_text("")
    (tmp_path / "policies" / "own.cedar").write_text(ONE)
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url, instance=tmp_path)
    return House(settings, database, keeper.door, clock)


def actions(world: World) -> list[Action]:
    with world.house.database.read() as session:
        return list(session.scalars(select(Action).order_by(Action.created_at, Action.id)))


def ada(world: World, **capabilities: Any) -> Agent:
    world.browser("ada")
    world.browser("bob", groups=["finance"])
    world.browser("cleo", groups=["finance"])
    return world.agent("ada", **capabilities)


def destroy(agent: Agent, what: str = "x", **more: Any) -> Any:
    return agent.call("destroy_all", {"what": what}, **more)


def edit(browser: Browser, action_id: str, what: str = "y", why: str = "Only the old ones.", **more: str) -> TestResponse:
    page = browser.get(f"/actions/{action_id}/edit")
    fields = {"shown": hidden(page, "shown"), "a0": what, "a0-given": "1", "why": why}
    return browser.send(f"/actions/{action_id}/edit", **{**fields, **more})


def agree(world: World, action_id: str) -> None:
    """Cleo approves it, and Ada, whose agent asked, confirms it."""
    assert world.people is not None
    for name in ("cleo", "ada"):
        browser = world.browser(name)
        done = decide(browser, world.people.passkeys[browser.person].passkey, action_id)
        assert done.status_code == 303, done.text


def sent(peer: Peer, before: int) -> list[Any]:
    return [one["json"]["params"]["arguments"] for one in peer.seen("tools/call")[before:]]


def test_an_edit_is_a_new_action_that_its_proposer_cannot_approve_and_the_agent_hears_what_ran(behind: World, peer: Peer) -> None:
    agent, before = ada(behind), len(peer.seen("tools/call"))
    bob = behind.browser("bob")
    first = destroy(agent)
    [old] = actions(behind)
    assert "Propose changes" in bob.get(f"/actions/{old.id}").text
    done = edit(bob, old.id)
    assert done.status_code == 303, done.text
    old, new = actions(behind)
    assert (old.state, old.replaced_by, new.state, new.edit_of, new.edited_by) == ("void", new.id, "held", old.id, bob.person)
    document = open_(behind.house, new.id).document
    assert document.envelope["arguments"] == {"what": "y"}
    asked = [(need["kind"], need["group"]) for need in document.envelope["requirement"]]
    assert asked == [("approvers", "finance"), ("confirm", "")]
    assert document.envelope["facts"]["edit"] == {
        "of": old.id, "by": bob.person, "name": "Bob", "why": "Only the old ones.",
        "changes": [{"what": "What", "before": "x", "now": "y"}],
    }
    assert open_(behind.house, old.id).document.digest != document.digest
    page = bob.get(f"/actions/{new.id}").text
    assert "You cannot approve this: you proposed it" in page
    assert bob.send(f"/actions/{new.id}/challenge", shown=new.digest).status_code == 403
    assert "Bob changed what the agent asked for" in behind.browser("cleo").get(f"/actions/{new.id}").text
    waiting = destroy(agent, params={"requestState": first.result["requestState"]})
    assert waiting.result["resultType"] == "input_required", "the leg that waited on the old one waits on the new one"
    agree(behind, new.id)
    answer = destroy(agent, params={"requestState": first.result["requestState"]})
    told, ran = (one["text"] for one in answer.result["content"])
    assert ran == "destroyed y"
    assert "An approver changed the arguments of this call (What: x is now y). Why: Only the old ones." in told
    assert sent(peer, before) == [{"what": "y"}]
    assert actions(behind)[1].delivered_at is not None
    destroy(agent)
    assert [one.state for one in actions(behind)] == ["void", "done", "held"], "delivered: the same call is a new one"


@sqlite
def test_who_proposed_a_change_approves_it_no_more_when_another_corrects_it_and_no_row_names_the_server(behind: World) -> None:
    """Attack: Bob proposes what he wants, Cleo mends a word of it, and Bob approves his own."""
    agent = ada(behind)
    bob, cleo = behind.browser("bob"), behind.browser("cleo")
    destroy(agent)
    title = open_(behind.house, actions(behind)[0].id).document.server_title
    behind.house.database.write(lambda s: s.execute(update(Action).values(server_title="Everybody’s trusted bank")))
    assert edit(bob, actions(behind)[-1].id, "y").status_code == 303
    assert edit(cleo, actions(behind)[-1].id, "z").status_code == 303
    last = actions(behind)[-1]
    document = open_(behind.house, last.id).document
    changed = document.envelope["facts"]["edit"]
    assert (changed["by"], changed["earlier"]) == (cleo.person, [bob.person])
    assert changed["changes"] == [{"what": "What", "before": "x", "now": "z"}], "beside what the agent asked for"
    assert document.server_title == title
    for browser in (bob, cleo):
        assert browser.send(f"/actions/{last.id}/challenge", shown=last.digest).status_code == 403
        assert "You cannot approve this: you proposed it" in browser.get(f"/actions/{last.id}").text


@sqlite
def test_a_task_and_a_legacy_call_find_the_changed_one(behind: World, peer: Peer) -> None:
    agent, bob = ada(behind, **TASKS), behind.browser("bob")
    task = destroy(agent, "t").result["taskId"]
    assert edit(bob, task).status_code == 303
    status = agent.modern("tasks/get", {"taskId": task}).result
    assert (status["taskId"], status["status"]) == (task, "working")
    assert "An approver changed" in status["statusMessage"]
    new = actions(behind)[-1]
    agree(behind, new.id)
    due = Due(id="x", kind="approvals.run", key=new.id, run_at=behind.house.clock(), payload={})
    job_handlers(behind.room.handed)["approvals.run"](behind.house, due)
    status = agent.modern("tasks/get", {"taskId": task}).result
    assert (status["status"], status["result"]["content"][1]["text"]) == ("completed", "destroyed y")
    legacy = behind.agent("ada")
    legacy.initialize()
    legacy.legacy("tools/call", {"name": "destroy_all", "arguments": {"what": "l"}})
    assert edit(bob, actions(behind)[-1].id, "m").status_code == 303
    agree(behind, actions(behind)[-1].id)
    answer = legacy.legacy("tools/call", {"name": "destroy_all", "arguments": {"what": "l"}})
    assert [one["text"] for one in answer.result["content"]][1] == "destroyed m"


@sqlite
def test_a_rejected_edit_is_told_to_the_agent_with_what_was_changed_and_cancelling_takes_the_edit_back(behind: World) -> None:
    agent, bob = ada(behind, **TASKS), behind.browser("bob")
    task = destroy(agent, "t").result["taskId"]
    edit(bob, task)
    agent.modern("tasks/cancel", {"taskId": task})
    assert [one.state for one in actions(behind)] == ["void", "withdrawn"]
    with behind.house.database.read() as session:
        assert set(session.scalars(select(Usage.state))) == {"released"}
    plain = behind.agent("ada")
    destroy(plain, "r")
    edit(bob, actions(behind)[-1].id, "s")
    assert reject(behind.browser("cleo"), actions(behind)[-1].id, "Neither.").status_code == 303
    answer = destroy(plain, "r")
    assert answer.result["isError"] is True
    assert "What: r is now s" in answer.text
    assert "Neither." in answer.text


@sqlite
def test_nobody_but_an_approver_edits_and_nothing_is_lost_when_an_edit_is_refused(behind: World) -> None:
    agent, bob = ada(behind), behind.browser("bob")
    destroy(agent)
    [old] = actions(behind)
    for name, status in (("ada", 403), ("eve", 404)):
        browser = behind.browser(name)
        assert browser.get(f"/actions/{old.id}/edit").status_code == status
        assert browser.send(f"/actions/{old.id}/edit", shown=old.digest, a0="y", why="w").status_code == status
    for changed, status, words in (
        ({"what": "x"}, 400, "Nothing was changed"), ({"why": " "}, 400, "Say why"), ({"shown": "00" * 32}, 409, "changed"),
    ):
        answer = edit(bob, old.id, **changed)
        assert (answer.status_code, words in answer.text) == (status, True), answer.text
        assert "Only the old ones." in answer.text or "why" in changed, "what was typed is kept"
    assert [one.state for one in actions(behind)] == ["held"]


@sqlite
def test_an_edit_that_policy_refuses_leaves_the_call_as_it_was(behind: World, peer: Peer) -> None:
    folder = behind.house.settings.instance / "policies"
    (folder / "own.cedar").write_text(ONE + (
        '\n@id("not-there")\n@reason("Not to them")\nforbid (principal, action, resource) '
        'when { context has recipient && context.recipient.value == "thief" };'
    ))
    found = active.read(behind.house.settings)
    behind.house.database.write(lambda s: active.activate(s, found, "test", behind.house.clock()))
    to_what = Approval("destroy", pointers={"recipient": {"pointer": "/what", "kind": "text"}})
    behind.put(peer.url, {**CLASSES, "destroy_all": to_what})
    agent, bob = ada(behind), behind.browser("bob")
    destroy(agent)
    answer = edit(bob, actions(behind)[0].id, "thief")
    assert (answer.status_code, "Policy refuses the changed call: Not to them" in answer.text) == (400, True)
    assert [one.state for one in actions(behind)] == ["held"]
    with behind.house.database.read() as session:
        assert list(session.scalars(select(Usage.state))) == ["reserved"]
