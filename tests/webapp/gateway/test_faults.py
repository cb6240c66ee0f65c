"""Accounts, and what happens when something that a call needs is not there: nothing runs, nothing is lost, and it is said so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.app_parts import PUBLIC_URL
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted, serve
from tests.vault.accounts import ALL, connected
from tests.webapp.gateway.conftest import CLASSES, World, opened
from tests.webapp.gateway.peers import Peer
from vault.door import Door
from webapp.approvals.tables import Usage
from webapp.broker.tables import Lease
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.db import Base, Database
from webapp.errors import Unavailable
from webapp.registry.rules import Approval
from webapp.web.house import House

pytestmark = pytest.mark.real
READ = ("accounts:read",)


def made(tmp_path: Path, keeper: KeeperParts, rules: str = "") -> World:
    database = Database(f"sqlite:///{tmp_path / 'faults.sqlite'}")
    Base.metadata.create_all(database.engine)
    (tmp_path / "policies").mkdir()
    if rules:
        (tmp_path / "policies" / "own.cedar").write_text(rules)
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url, instance=tmp_path)
    return opened(House(settings, database, Door(keeper.door.socket), Clock()))


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with serve() as running:
        yield running


@pytest.fixture
def banked(tmp_path: Path, keeper: KeeperParts, peer: Peer, provider: Scripted) -> Iterator[World]:
    """`echo` needs an account at the bank, which Ada has really connected: the keeper has its tokens."""
    world = made(tmp_path, keeper)
    world.put(peer.url, {**CLASSES, "echo": Approval("read", provider="harbour", scopes=READ)})
    connect(world, keeper, provider)
    yield world
    shut(world)


def connect(world: World, keeper: KeeperParts, provider: Scripted) -> None:
    now, person, inside = world.house.clock(), world.person("ada"), keeper.inside()
    connection = connected(inside, provider, person=person)
    inside.vault.wire.close()
    world.house.database.write(lambda s: s.add(Connection(
        id=connection, person=person, provider="harbour", account=provider.account, label="Ada", scopes=list(ALL),
        status="active", created_at=now, connected_at=now,
    )))


def shut(world: World) -> None:
    world.room.upstreams.close()
    world.house.database.close()
    world.house.door.close()


def leases(world: World) -> list[Lease]:
    with world.house.database.read() as session:
        return list(session.scalars(select(Lease).order_by(Lease.id)))


def counted(world: World) -> list[str]:
    """What each allowed call counts as for the caps, the first one first."""
    with world.house.database.read() as session:
        return list(session.scalars(select(Usage.state).order_by(Usage.id)))


def bearer(sent: dict[str, Any]) -> str:
    return str(sent["headers"]["authorization"]).removeprefix("Bearer ")


def test_a_token_is_leased_for_the_call_and_goes_to_the_server_alone(banked: World, peer: Peer) -> None:
    answer = banked.agent().call("echo", {"text": "x"})
    assert answer.text == "heard x"
    token = bearer(peer.seen("tools/call")[-1])
    assert token.startswith("access-secret-"), "the provider's own"
    assert [(one.state, one.outcome, one.scopes) for one in leases(banked)] == [("closed", "done", list(READ))]
    assert token not in str(banked.entries())
    assert token not in answer.response.text


def test_what_is_about_to_happen_is_written_before_the_keeper_is_asked(banked: World, keeper: KeeperParts) -> None:
    banked.agent().call("add", {"a": 1, "b": 2})
    keeper.stop_vault()
    answer = banked.agent().call("echo", {"text": "x"})
    assert (answer.status, answer.error["data"]["code"]) == (503, "vault_away")
    assert [one["kind"] for one in banked.entries("lease.planned", "call.allowed", "call.failed")] == [
        "call.allowed", "lease.planned", "call.allowed", "call.failed",
    ]
    assert leases(banked)[0].outcome == "failed"
    assert counted(banked) == ["committed", "released"], "nothing ran of the second one"
    keeper.start_vault()
    assert banked.agent().call("echo", {"text": "x"}).status == 200


def refused_for_good(_world: World, provider: Scripted) -> None:
    """The provider no longer takes the refresh token."""
    provider.living.clear()


def disconnected_in_the_vault_alone(world: World, _provider: Scripted) -> None:
    with world.house.database.read() as session:
        row = session.scalars(select(Connection)).one()
    world.house.door.disconnect(connection=row.id, person=row.person)


@pytest.mark.parametrize("fault", [refused_for_good, disconnected_in_the_vault_alone])
def test_an_account_that_ended_says_what_to_do(
    banked: World, peer: Peer, provider: Scripted, fault: Callable[[World, Scripted], None]
) -> None:
    fault(banked, provider)
    before = len(peer.seen("tools/call"))
    answer = banked.agent().call("echo", {"text": "x"})
    assert answer.result["isError"] is True
    assert f"{PUBLIC_URL}/connections" in answer.text
    assert len(peer.seen("tools/call")) == before


def test_with_the_vault_sealed_nothing_is_sent(banked: World, peer: Peer, keeper: KeeperParts) -> None:
    banked.agent().call("add", {"a": 1, "b": 2})
    before = len(peer.seen("tools/call"))
    keeper.seal()
    assert banked.agent().call("echo", {"text": "x"}).error["data"]["code"] == "vault_sealed"
    assert len(peer.seen("tools/call")) == before
    keeper.unseal()
    assert banked.agent().call("echo", {"text": "x"}).text == "heard x"


def test_a_scope_that_the_database_has_and_the_vault_has_not_is_refused_and_nothing_is_sent(banked: World, peer: Peer) -> None:
    """Whoever writes to the database widens what a connection seems to grant."""
    banked.put(peer.url, {**CLASSES, "echo": Approval("read", provider="harbour", scopes=("admin:everything",))}, "wider")
    banked.house.database.write(lambda s: s.execute(update(Connection).values(scopes=[*ALL, "admin:everything"])))
    before = len(peer.seen("tools/call"))
    assert banked.agent(server="wider").call("echo", {"text": "x"}).error["data"]["code"] == "scope_refused"
    assert len(peer.seen("tools/call")) == before


@pytest.mark.parametrize("status", ["paused", "needs_consent", "disconnected"])
def test_an_account_that_cannot_be_used_says_where_to_go(banked: World, status: str) -> None:
    banked.house.database.write(lambda s: s.execute(update(Connection).values(status=status)))
    answer = banked.agent().call("echo", {"text": "x"})
    assert answer.result["isError"] is True
    assert f"{PUBLIC_URL}/connections" in answer.text
    assert leases(banked) == []
    assert banked.entries("call.refused")


def test_nobody_uses_another_persons_account(banked: World) -> None:
    answer = banked.agent("bob").call("echo", {"text": "x"})
    assert answer.result["isError"] is True
    assert "/connections/new?provider=harbour" in answer.text
    assert leases(banked) == []


def test_the_listing_is_asked_with_a_reading_token_and_survives_without(
    banked: World, peer: Peer, keeper: KeeperParts
) -> None:
    agent = banked.agent()
    assert agent.modern("tools/list").result["tools"]
    assert bearer(peer.seen("tools/list")[-1]).startswith("access-secret-")
    keeper.stop_vault()
    assert agent.modern("tools/list").result["tools"]
    assert banked.entries("tools.listed")[-1]["detail"]["upstream"] == "away"


def test_a_server_that_is_away_sends_nothing_and_says_so(banked: World) -> None:
    from webapp.registry.tables import Server

    banked.house.database.write(lambda s: s.execute(update(Server).values(url="http://127.0.0.1:1/mcp")))
    answer = banked.agent().call("add", {"a": 1, "b": 2})
    assert answer.result["isError"] is True
    assert "Nothing was sent" in answer.text
    assert banked.entries("call.failed")
    assert counted(banked) == ["released"]


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

    monkeypatch.setattr(banked.house.database, "commit", gone)
    answer = agent.call("echo", {"text": "x"})
    assert (answer.status, answer.error["code"], answer.headers["Retry-After"]) == (503, -31503, "5")
    monkeypatch.setattr(banked.house.database, "look", gone)
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
