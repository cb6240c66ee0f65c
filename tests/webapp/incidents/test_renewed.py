"""What an incident touched has its refresh token traded in: whoever copied the one of before has nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from tests import token_parts
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted
from tests.webapp.connections.parts import log
from tests.webapp.incidents.conftest import Scene
from tests.webapp.incidents.test_opening import lease
from vault.errors import Disconnected, Paused
from webapp.broker.jobs import jobs as broker
from webapp.connections.health_check import TRY
from webapp.connections.jobs import jobs as connections
from webapp.connections.states import END_TOKENS
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.incidents import ending
from webapp.incidents.jobs import jobs as incidents
from webapp.incidents.opening import TRADE
from webapp.incidents.rules import Kind
from webapp.jobs import Worker
from webapp.policy import active

SUSPENDED: tuple[Kind, ...] = ("person", "connection", "provider")
ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def rows(scene: Scene, kind: str) -> list[Due]:
    """Those that a worker would take now."""
    with scene.house.database.read() as session:
        found = list(session.scalars(select(Due).where(Due.kind == kind, Due.run_at <= scene.house.clock())))
        session.expunge_all()
        return found


def work(scene: Scene, kind: str) -> list[str]:
    """A worker does them; of which accounts, or incidents, they were."""
    worker, found = Worker(scene.house, {**broker, **connections, **incidents}), rows(scene, kind)
    assert [worker.work(row) for row in found] == [(None, None) for _ in found]
    return [row.key for row in found]


def server(scene: Scene) -> None:
    """A server behind the gateway that was given a token lately."""
    lease(scene, server="bank")
    scene.open("server", scene.subjects()["server"])


def token_client(scene: Scene) -> None:
    active.at_start(scene.house)
    answer = scene.desk.exchange(token_parts.agents_token(scene.house, scene.ada.person, scene.desk.resource))
    assert answer.status_code == 200, answer.text
    scene.open("client", scene.desk.id)


def resumed(kind: Kind) -> Callable[[Scene], None]:
    """An account that was suspended is traded in when it is used again; until then nothing uses it."""

    def act(scene: Scene) -> None:
        incident = scene.open(kind, scene.subjects()[kind])
        scene.house.door.pause(connection=scene.account, person=scene.ada.person)
        assert rows(scene, TRY) == []
        scene.house.database.write(lambda s: ending.lift(s, incident, "cli", scene.house.clock()))
        assert work(scene, ending.RESUME) == [scene.account]

    return act


def stored(scene: Scene, keeper: KeeperParts) -> dict[str, Any]:
    found = keeper.inside().kv.read(f"connections/{scene.account}")
    assert found is not None
    return found.data


def minted(scene: Scene) -> str:
    asked = {"connection": scene.account, "person": scene.ada.person, "scopes": ["accounts:read"], "receiver": "bank", "cap": 60}
    return scene.house.door.mint(**asked).token.reveal()


def lifted(scene: Scene, incident: str) -> Connection:
    scene.house.database.write(lambda s: ending.lift(s, incident, "cli", scene.house.clock()))
    assert work(scene, ending.RESUME) == [scene.account]
    with scene.house.database.read() as session:
        return session.get_one(Connection, scene.account)


@ONE
@pytest.mark.parametrize("kind", SUSPENDED)
def test_a_refresh_token_is_traded_in_while_nothing_can_use_the_account(
    scene: Scene, provider: Scripted, keeper: KeeperParts, kind: Kind
) -> None:
    """The copy dies during the pause, and nobody is handed anything for it: what came with it is ended there too."""
    copied = stored(scene, keeper)["refresh"]
    incident = scene.open(kind, scene.subjects()[kind])
    [row] = rows(scene, TRADE)
    worker = Worker(scene.house, {**broker, **incidents})
    again, failed = worker.work(row)
    assert (again is not None and again > scene.house.clock(), failed) == (True, None), "the keeper has not heard of the pause"
    assert copied in provider.living
    assert work(scene, END_TOKENS) == [scene.account]
    assert work(scene, TRADE) == [scene.account]
    assert copied not in provider.living
    assert stored(scene, keeper)["refresh"] in provider.living
    assert stored(scene, keeper)["live"] == []
    with pytest.raises(Paused):
        minted(scene)
    assert work(scene, END_TOKENS)[0] == scene.account
    assert f"access-secret-{provider._count}" in {form["token"] for form in provider.revoked}
    assert log(scene.house).count("connection.traded_in") == 1
    assert lifted(scene, incident).status == "active"
    assert minted(scene)


@ONE
def test_a_copy_that_was_shown_first_ends_the_grant_and_the_person_is_told(scene: Scene, provider: Scripted) -> None:
    """The thief was faster: at a provider that notices a second use nobody has anything, and the page asks to reconnect."""
    provider.reuse_kills = True
    incident = scene.open("person", scene.ada.person)
    work(scene, END_TOKENS)
    provider.trade(next(iter(provider.living)))
    assert work(scene, TRADE) == [scene.account]
    assert provider.living == set()
    with scene.house.database.read() as session:
        assert session.get_one(Connection, scene.account).status == "needs_consent"
    assert lifted(scene, incident).status == "needs_consent"


@ONE
def test_an_account_that_is_in_use_is_not_traded_in_this_way(scene: Scene, provider: Scripted) -> None:
    asked = len(provider.refreshes)
    assert scene.house.door.trade_in(connection=scene.account) == "in_use"
    scene.house.door.disconnect(connection=scene.account, person=scene.ada.person)
    with pytest.raises(Disconnected):
        scene.house.door.trade_in(connection=scene.account)
    assert len(provider.refreshes) == asked


@ONE
@pytest.mark.parametrize("act", [
    pytest.param(server, id="server"), pytest.param(token_client, id="client"),
    *(pytest.param(resumed(kind), id=kind) for kind in SUSPENDED),
])
def test_a_refresh_token_that_somebody_copied_is_worth_nothing_after_an_incident(
    scene: Scene, provider: Scripted, keeper: KeeperParts, act: Callable[[Scene], None]
) -> None:
    def known() -> tuple[str, str]:
        found = stored(scene, keeper)
        return found["print"], found["refresh"]

    act(scene)
    (before, copied), asked = known(), len(provider.refreshes)
    assert copied in provider.living
    assert work(scene, TRY) == [scene.account]
    after, fresh = known()
    assert len(provider.refreshes) == asked + 1
    assert after != before
    assert fresh in provider.living
    assert copied not in provider.living


@ONE
def test_an_account_that_the_suspected_server_was_never_given_is_left_alone(scene: Scene) -> None:
    lease(scene, server="other")
    scene.open("server", scene.subjects()["server"])
    assert rows(scene, TRY) == []
