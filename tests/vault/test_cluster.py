"""Three real nodes with raft, whose leader is killed under load (`tests.vault.clusters`)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.figures import Figures
from tests.processes import freeze
from tests.vault.clusters import Cluster, three, under_load
from tests.vault_nodes import Node
from vault.doctor import examine
from vault.settings import load
from vault.table import make, utc_now

# Python's own: `SSLSocket` leaves the socket of a node that dies during the handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with three(tmp_path_factory.mktemp("c")) as made:
        yield made


def test_a_standby_answers_no_read(cluster: Cluster) -> None:
    """OpenBao's standbys would: from what they were told so far."""
    settings_ = replace(cluster.keepers[0].settings, vault_address=cluster.standby().address)
    keeper = make(settings_)
    for number in range(5):
        cluster.keepers[1].kv.update("people/fresh", lambda _, n=number: ({"n": n}, None))
        found = keeper.kv.read("people/fresh")
        assert found
        assert found.data == {"n": number}
    assert keeper.vault.wire._at == cluster.leader().address
    assert keeper.vault.state()[0] == "ready"
    keeper.vault.wire.close()


def test_the_doctor_looks_at_each_node(cluster: Cluster) -> None:
    found = list(examine(load(cluster.instance, evaluation=False, environ={}), utc_now()))
    assert [one.words for one in found if one.state == "wrong"] == []
    said = sorted(one.words.rpartition(" ")[2] for one in found if one.check == "address")
    assert said == ["active.", "standby.", "standby."]


def test_the_leader_is_killed_under_load(cluster: Cluster, figures: Figures) -> None:
    under_load(cluster, Node.kill, "killed", figures, patient=False)
    for node in cluster.nodes.nodes:
        if node.process is None:
            node.start()
    cluster.nodes.complete()


@pytest.mark.long
def test_the_leader_freezes_steps_down_and_is_killed_again_under_load(cluster: Cluster, figures: Figures) -> None:
    """Long: three elections; a frozen leader that keeps its connections keeps each request waiting for its whole timeout, and a
    claim that nobody heard of its half minute."""

    def frozen(node: Node) -> None:
        assert node.process
        freeze(node.process.pid)

    def step_down(node: Node) -> None:
        assert cluster.nodes.ask("PUT", "sys/step-down", node=node)[0] == 204

    for fault, words in ((frozen, "frozen"), (step_down, "stepped down"), (Node.kill, "killed again")):
        under_load(cluster, fault, words, figures, patient=True)
        for node in cluster.nodes.nodes:
            if node.process is None:
                node.start()
            node.process.send_signal(signal.SIGCONT)
        cluster.nodes.complete()
