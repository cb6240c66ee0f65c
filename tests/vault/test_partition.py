"""Three real nodes with cables between them, one of which is cut; and keepers that die on such a vault. Long: elections, what was
held back meanwhile, and four keepers on three nodes."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doomed import POINTS
from tests.figures import Figures
from tests.fleet import placed
from tests.scripted_provider import serve
from tests.vault.accounts import connected, stored
from tests.vault.clusters import Cluster, three, under_load
from tests.vault.places import Place
from tests.vault.test_single_flight import REQUESTS, all_of_them
from tests.vault_nodes import settings

# Python's own: `SSLSocket` leaves the socket of a node that dies during the handshake to the garbage collector.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with three(tmp_path_factory.mktemp("c"), cables=True) as made:
        yield made


def test_a_leader_that_is_cut_off_from_the_others_under_load(cluster: Cluster, figures: Figures) -> None:
    """It does not hear that it was deposed, and everybody still reaches it: what it answers is never older than what another node
    acknowledged. Healed, it follows."""
    leader = cluster.leader()
    try:
        under_load(cluster, cluster.nodes.cut, "cut off", figures, patient=False)
        assert cluster.nodes.health(leader) != 200, "it has noticed"
    finally:
        cluster.nodes.cables.heal()
    cluster.nodes.complete()


@pytest.mark.parametrize("point", POINTS)
def test_a_keeper_is_killed_at_each_point_of_a_refresh_on_a_cluster(
    cluster: Cluster, point: str, tmp_path: Path, figures: Figures
) -> None:
    """32 requests over four keepers on two volumes, whose vault has three nodes: one call of the provider, two where the answer
    was lost with the keeper; and everybody has the same token."""
    place = Place(cluster.nodes, tmp_path)

    def settle(made: Path) -> None:
        settings(made, cluster.nodes, namespace=place.name, secret_id_file=str(tmp_path / "secret-id"), timeout=3.0)

    with placed(settle, 4, 2, {"flight": "{extends: harbour}"}, embedded=False) as fleet, serve(grace=True) as provider:
        inside = fleet.inside()
        connection = connected(inside, provider, entry="flight")
        fleet.doom(point)
        tokens = all_of_them(fleet, connection, point)
        assert (len(tokens), len(set(tokens))) == (REQUESTS, 1)
        assert provider.shown() == Counted({"refresh-secret-1": 2 if point == "answered" else 1})
        assert stored(inside, connection)["status"] == "active"
        inside.vault.wire.close()
    figures.add("cluster: keepers killed while they asked", 1)
