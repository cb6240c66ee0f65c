"""An agent that somebody reported: what waits is refused with the reason, and what it asks next is not judged."""

from __future__ import annotations

import pytest

from tests.app_parts import hidden
from tests.webapp.gateway.conftest import World
from tests.webapp.gateway.peers import Peer
from webapp.approvals.tables import Action

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


def held(world: World) -> Action:
    from sqlalchemy import select

    with world.house.database.read() as session:
        return session.scalars(select(Action)).one()


def test_the_agent_is_told_why_and_what_to_do_in_both_eras(behind: World, peer: Peer) -> None:
    ada = behind.browser("ada")
    agent, before = behind.agent("ada"), len(peer.seen("tools/call"))
    agent.call("destroy_all", {"what": "x"})
    action, page = held(behind), ada.get(f"/actions/{held(behind).id}")
    done = ada.send(f"/actions/{action.id}/report", shown=hidden(page, "shown"), preset="not_asked_for", reason="Stop.")
    assert done.status_code == 303, done.text
    told = agent.call("destroy_all", {"what": "x"})
    assert "Reason: Nobody asked for this. Stop." in told.text
    assert told.result["_meta"]["counterseal/reason"] == "not_asked_for"
    assert told.result["isError"] is True
    for answer in (agent.call("echo", {"text": "hello"}), agent.call("destroy_all", {"what": "y"})):
        assert answer.result["isError"] is True
        assert "/approvals/reports" in answer.text
        assert answer.result["_meta"]["counterseal/reason"] == "agent_paused"
    agent.initialize()
    old = agent.legacy("tools/call", {"name": "echo", "arguments": {"text": "hello"}})
    assert "paused" in old.text
    assert old.result["_meta"]["counterseal/reason"] == "agent_paused"
    assert len(peer.seen("tools/call")) == before
    report = behind.entries("agent.reported")[0]["subject"]
    assert [one["detail"]["report"] for one in behind.entries("call.denied")] == [report] * 3
    assert ada.send(f"/approvals/reports/{report}/resume", note="My mistake.").status_code == 303
    assert agent.call("echo", {"text": "hello"}).result["isError"] is False
