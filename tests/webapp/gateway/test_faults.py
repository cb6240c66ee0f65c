"""Accounts, and what happens when something that a call needs is not there: nothing runs, nothing is lost, and it is said so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.app_parts import PUBLIC_URL
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.webapp.gateway.conftest import CLASSES, World, opened
from tests.webapp.gateway.peers import Peer
from vault.door import Door, Minted
from vault.errors import Disconnected, KeeperAway, KeeperError, NeedsConsent, ScopeRefused, VaultSealed
from vault.secret import Secret
from webapp.broker.tables import Lease
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.db import Base, Database
from webapp.errors import Unavailable
from webapp.registry.rules import Approval
from webapp.web.house import House

pytestmark = pytest.mark.real
TOKEN = "at_ada_secret"


@dataclass(frozen=True)
class Minting(Door):
    """The keeper's door, but for the mint, which does as it is told: a fault at a chosen point."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    faults: list[KeeperError] = field(default_factory=list)

    def mint(self, **asked: Any) -> Minted:
        self.asked.append(asked)
        if self.faults:
            raise self.faults[0]
        return Minted(Secret(TOKEN), Clock().now + timedelta(minutes=5), tuple(asked["scopes"]), exclusive=False)


def made(tmp_path: Path, keeper: KeeperParts, rules: str = "") -> World:
    database = Database(f"sqlite:///{tmp_path / 'faults.sqlite'}")
    Base.metadata.create_all(database.engine)
    (tmp_path / "policies").mkdir()
    if rules:
        (tmp_path / "policies" / "own.cedar").write_text(rules)
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url, instance=tmp_path)
    return opened(House(settings, database, Minting(keeper.door.socket), Clock()))


@pytest.fixture
def banked(tmp_path: Path, keeper: KeeperParts, peer: Peer) -> Iterator[World]:
    """`echo` needs an account at the bank, which Ada has connected."""
    world = made(tmp_path, keeper)
    world.put(peer.url, {**CLASSES, "echo": Approval("read", provider="bank", scopes=("balance",))})
    now, person = world.house.clock(), world.person("ada")
    world.house.database.write(lambda s: s.add(Connection(
        id="con_ada", person=person, provider="bank", account="1", label="Ada", scopes=["balance"], status="active",
        created_at=now, connected_at=now,
    )))
    yield world
    shut(world)


def shut(world: World) -> None:
    world.room.upstreams.close()
    world.house.database.close()
    world.house.door.close()


def door(world: World) -> Minting:
    assert isinstance(world.house.door, Minting)
    return world.house.door


def leases(world: World) -> list[Lease]:
    with world.house.database.read() as session:
        return list(session.scalars(select(Lease)))


def test_a_token_is_leased_for_the_call_and_goes_to_the_server_alone(banked: World, peer: Peer) -> None:
    answer = banked.agent().call("echo", {"text": "x"})
    assert answer.text == "heard x"
    sent = peer.seen("tools/call")[-1]
    assert sent["headers"]["authorization"] == f"Bearer {TOKEN}"
    assert [(one.state, one.outcome, one.scopes) for one in leases(banked)] == [("closed", "done", ["balance"])]
    assert door(banked).asked[0]["receiver"] == "peer"
    assert TOKEN not in str(banked.entries())
    assert TOKEN not in answer.response.text


def test_what_is_about_to_happen_is_written_before_the_keeper_is_asked(banked: World) -> None:
    door(banked).faults.append(KeeperAway())
    answer = banked.agent().call("echo", {"text": "x"})
    assert (answer.status, answer.error["data"]["code"]) == (503, "keeper_away")
    assert [one["kind"] for one in banked.entries("lease.planned", "call.allowed", "call.failed")] == [
        "lease.planned", "call.allowed", "call.failed",
    ]
    assert leases(banked)[0].outcome == "failed"
    door(banked).faults.clear()
    assert banked.agent().call("echo", {"text": "x"}).status == 200


@pytest.mark.parametrize("fault", [NeedsConsent(), Disconnected()])
def test_an_account_that_ended_says_what_to_do(banked: World, peer: Peer, fault: KeeperError) -> None:
    door(banked).faults.append(fault)
    before = len(peer.seen("tools/call"))
    answer = banked.agent().call("echo", {"text": "x"})
    assert answer.result["isError"] is True
    assert f"{PUBLIC_URL}/connections" in answer.text
    assert len(peer.seen("tools/call")) == before


@pytest.mark.parametrize("fault", [VaultSealed(), ScopeRefused()])
def test_what_the_keeper_refuses_is_an_error_and_nothing_is_sent(banked: World, peer: Peer, fault: KeeperError) -> None:
    door(banked).faults.append(fault)
    before = len(peer.seen("tools/call"))
    assert banked.agent().call("echo", {"text": "x"}).error["data"]["code"] == fault.code
    assert len(peer.seen("tools/call")) == before


@pytest.mark.parametrize("status", ["paused", "needs_consent", "disconnected"])
def test_an_account_that_cannot_be_used_says_where_to_go(banked: World, status: str) -> None:
    banked.house.database.write(lambda s: s.execute(update(Connection).values(status=status)))
    answer = banked.agent().call("echo", {"text": "x"})
    assert answer.result["isError"] is True
    assert f"{PUBLIC_URL}/connections" in answer.text
    assert door(banked).asked == []
    assert banked.entries("call.refused")


def test_nobody_uses_another_persons_account(banked: World) -> None:
    answer = banked.agent("bob").call("echo", {"text": "x"})
    assert answer.result["isError"] is True
    assert "/connections/new?provider=bank" in answer.text
    assert door(banked).asked == []


def test_the_listing_is_asked_with_a_reading_token_and_survives_without(banked: World, peer: Peer) -> None:
    agent = banked.agent()
    assert agent.modern("tools/list").result["tools"]
    assert peer.seen("tools/list")[-1]["headers"]["authorization"] == f"Bearer {TOKEN}"
    door(banked).faults.append(KeeperAway())
    assert agent.modern("tools/list").result["tools"]
    assert banked.entries("tools.listed")[-1]["detail"]["upstream"] == "away"


def test_a_server_that_is_away_sends_nothing_and_says_so(banked: World) -> None:
    from webapp.registry.tables import Server

    banked.house.database.write(lambda s: s.execute(update(Server).values(url="http://127.0.0.1:1/mcp")))
    answer = banked.agent().call("add", {"a": 1, "b": 2})
    assert answer.result["isError"] is True
    assert "Nothing was sent" in answer.text
    assert banked.entries("call.failed")


def test_a_rule_that_forbids_denies_and_says_why(tmp_path: Path, keeper: KeeperParts, peer: Peer) -> None:
    rule = '@id("no-echo") @reason("Not while the books are open") forbid (principal, action, resource == Tool::"peer/echo");'
    world = made(tmp_path, keeper, rule)
    world.put(peer.url, CLASSES)
    before = len(peer.seen("tools/call"))
    answer = world.agent().call("echo", {"text": "x"})
    assert answer.result["isError"] is True
    assert "Not while the books are open" in answer.text
    assert world.entries("call.denied")[0]["detail"]["rules"] == ["no-echo"]
    assert len(peer.seen("tools/call")) == before
    assert "echo" not in {tool["name"] for tool in world.agent().modern("tools/list").result["tools"]}
    shut(world)


def test_without_the_database_there_is_an_error_and_no_call(
    banked: World, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, before = banked.agent(), len(peer.seen("tools/call"))

    def gone(*_: Any) -> Any:
        raise Unavailable("The database does not answer. Nothing was done.", code="database_away")

    monkeypatch.setattr(banked.house.database, "write", gone)
    answer = agent.call("echo", {"text": "x"})
    assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, -31503, "5")
    monkeypatch.setattr(banked.house.database, "read", gone)
    answer = agent.call("echo", {"text": "x"})
    assert (answer.status, answer.error["data"]["code"]) == (503, "database_away")
    assert len(peer.seen("tools/call")) == before


def test_a_fault_of_ours_tells_nothing_of_itself(banked: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("secret-in-a-traceback")

    monkeypatch.setattr(banked.room.upstreams, "call", broken)
    answer = banked.agent().call("add", {"a": 1, "b": 2})
    assert (answer.status, answer.error["code"]) == (500, -32603)
    assert "secret-in-a-traceback" not in answer.response.text
