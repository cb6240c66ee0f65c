"""What an incident touched has its refresh token traded in: whoever copied the one of before has nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from tests import token_parts
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted
from tests.webapp.incidents.conftest import Scene
from tests.webapp.incidents.test_opening import lease
from webapp.connections.health_check import TRY
from webapp.connections.jobs import jobs as connections
from webapp.db.due import Due
from webapp.incidents import ending
from webapp.incidents.jobs import jobs as incidents
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
    worker, found = Worker(scene.house, {**connections, **incidents}), rows(scene, kind)
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


@ONE
@pytest.mark.parametrize("act", [
    pytest.param(server, id="server"), pytest.param(token_client, id="client"),
    *(pytest.param(resumed(kind), id=kind) for kind in SUSPENDED),
])
def test_a_refresh_token_that_somebody_copied_is_worth_nothing_after_an_incident(
    scene: Scene, provider: Scripted, keeper: KeeperParts, act: Callable[[Scene], None]
) -> None:
    def stored() -> tuple[str, str]:
        found = keeper.inside().kv.read(f"connections/{scene.account}")
        assert found is not None
        return found.data["print"], found.data["refresh"]

    act(scene)
    (before, copied), asked = stored(), len(provider.refreshes)
    assert copied in provider.living
    assert work(scene, TRY) == [scene.account]
    after, fresh = stored()
    assert len(provider.refreshes) == asked + 1
    assert after != before
    assert fresh in provider.living
    assert copied not in provider.living


@ONE
def test_an_account_that_the_suspected_server_was_never_given_is_left_alone(scene: Scene) -> None:
    lease(scene, server="other")
    scene.open("server", scene.subjects()["server"])
    assert rows(scene, TRY) == []
