"""A call that asks for a number: the agent is answered with it, its person types it on another device, and the call runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.webapp.approvals.parts import decide, with_passkey
from tests.webapp.gateway.conftest import World
from tests.webapp.gateway.peers import Peer
from tests.webapp.gateway.test_holding import TASKS, actions, ada, destroy, work
from webapp.config import Settings
from webapp.db import Database
from webapp.web.house import House

pytestmark = pytest.mark.real
RULES = """
@id("destroy-by-number")
@hold("confirm match")
@reason("This cannot be undone")
forbid (principal, action == Action::"call", resource in ToolGroup::"destroy");
"""
SAID = re.compile(r"Show your person this number, which they type there: ([0-9]{2})\.")


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock, tmp_path: Path) -> House:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "20-confirm.cedar").write_text("")
    (tmp_path / "policies" / "own.cedar").write_text(RULES)
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url, instance=tmp_path)
    settings.approvals.quick_row = 0
    return House(settings, database, keeper.door, clock)


def test_the_number_that_the_agent_is_answered_confirms_its_call_and_no_other_does(behind: World, peer: Peer) -> None:
    agent, browser, before = ada(behind, **TASKS), behind.browser("ada"), len(peer.seen("tools/call"))
    key, task = with_passkey(browser), destroy(agent).result
    shown = SAID.search(task["statusMessage"])
    assert shown, task
    assert SAID.search(agent.modern("tasks/get", {"taskId": task["taskId"]}).result["statusMessage"])[1] == shown[1]  # type: ignore[index]
    page = browser.get(f"/actions/{task['taskId']}").text
    assert "Type the two digits that your agent shows" in page
    other = f"{(int(shown[1]) + 1) % 100:02}"
    assert "That is not the number of this call" in decide(browser, key, task["taskId"], match=other).text
    work(behind)
    assert (actions(behind)[0].state, len(peer.seen("tools/call"))) == ("held", before)
    assert decide(browser, key, task["taskId"], match=shown[1]).status_code == 303
    work(behind)
    done = agent.modern("tasks/get", {"taskId": task["taskId"]}).result
    assert done["result"]["content"][0]["text"] == "destroyed x"
    assert "number" not in str(done)
    assert len(peer.seen("tools/call")) == before + 1
