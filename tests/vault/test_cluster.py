"""Three real nodes with raft, whose leader is killed under load: no answer is wrong, nothing is lost or done twice, and service
is back when another node leads. The figures are printed."""

from __future__ import annotations

import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.figures import Figures
from tests.keeper_parts import until
from tests.processes import freeze
from tests.scripted_provider import serve
from tests.vault.accounts import OWNER, connected, mint
from tests.vault.books import Counter, Rotating, Spender
from tests.vault_nodes import Node, Nodes, keeper_on, running, settings
from vault import embedded
from vault.declared import policy
from vault.doctor import examine
from vault.door import Door
from vault.errors import KeeperAway, ProviderAway, VaultAway, VaultSealed
from vault.secret import Secret
from vault.settings import load
from vault.table import Keeper, make, utc_now

# Python's own: `SSLSocket` leaves the socket of a node that dies during the handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
AWAY = (VaultAway, VaultSealed, KeeperAway, ProviderAway)
"""All that a caller may hear meanwhile, and none of it says that anything was done or refused."""
ELECTED = 45.0
"""Seconds until another node leads: raft's own business, a few of them, and more where two nodes got half of the votes each."""
SERVED = 15.0
"""Seconds from then on until reads, writes and the real keeper are served: ours, and one or two. A request on its way to a frozen
node waits for its whole timeout (three), and then for its turn on a machine that is busy with all the others."""


@dataclass
class Cluster:
    """`door` is a real keeper's; `keepers` are two more on the same nodes, in this process, whose provider is on this machine."""

    nodes: Nodes
    door: Door
    keepers: tuple[Keeper, Keeper]
    instance: Path

    def leader(self) -> Node:
        until(lambda: self.nodes.active() is not None, "a node leads")
        found = self.nodes.active()
        assert found
        return found

    def follows(self, leader: Node) -> bool:
        """Whether another node leads by now. The one that was struck is not asked: it may be frozen."""
        return any(self.nodes.health(one) == 200 for one in self.nodes.nodes if one is not leader)

    def standby(self) -> Node:
        leader = self.leader()
        return next(one for one in self.nodes.nodes if one is not leader and one.process)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("c")
    with ExitStack() as stack:
        nodes = stack.enter_context(running(3))
        for one in embedded.declared():
            nodes.write(one.path, {"secret_id": "its-secret-id"} if one.name == "secret-id" else dict(one.data))
        nodes.write("sys/policies/acl/counterseal-keeper", {"policy": policy("counterseal-", "approle")})
        (folder / "secret-id").write_text("its-secret-id")
        (folder / "secret-id").chmod(0o600)
        # A short path: a socket's may have 107 bytes.
        instance = settings(nodes.folder / "keeper", nodes, secret_id_file=str(folder / "secret-id"), timeout=3.0)
        door = stack.enter_context(keeper_on(instance))
        door.log_head()
        found = load(instance, evaluation=False, environ={})
        # An evaluation instance has no vault but its own; these two have this one, for the sake of a provider without TLS.
        # They share a folder for what a provider answered: whoever comes first takes over what the other could not store.
        (nodes.folder / "two").mkdir()
        found = replace(found, evaluation=True, refreshes_per_minute=100_000, instance=nodes.folder / "two")
        two = [make(found), make(found)]
        for one in two:
            stack.callback(one.vault.wire.close)
        yield Cluster(nodes, door, (two[0], two[1]), instance)


@dataclass
class Load:
    """Threads that ask without end, and what they were answered. `wrong` must stay empty."""

    cluster: Cluster
    done: dict[str, int] = field(default_factory=dict)
    away: int = 0
    wrong: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self, jobs: dict[str, Callable[[], None]]) -> Iterator[None]:
        self.done = dict.fromkeys(jobs, 0)
        threads = [threading.Thread(target=self._repeat, args=(name, job), name=name) for name, job in jobs.items()]
        for one in threads:
            one.start()
        try:
            yield
        finally:
            self._stop.set()
            for one in threads:
                one.join(120)

    def _repeat(self, name: str, job: Callable[[], None]) -> None:
        while not self._stop.wait(0.01):
            try:
                job()
            except AWAY:
                with self._lock:
                    self.away += 1
                self._stop.wait(0.1)
            except Exception as error:  # anything else is a wrong answer
                self.wrong.append(f"{name}: {type(error).__name__}: {error}")
                return
            else:
                with self._lock:
                    self.done[name] += 1

    def moves_on(self, times: int, names: Iterable[str] | None = None) -> None:
        """Wait until each of these jobs, or each there is, was done so many times more."""
        goal = {name: self.done[name] + times for name in names or self.done}
        words = f"served again: {', '.join(goal)}"
        until(lambda: bool(self.wrong) or all(self.done[name] >= goal[name] for name in goal), words, 120)


def keys_through_the_door(cluster: Cluster) -> Callable[[], None]:
    """An account with a key, handed out by the real keeper as it is."""
    cluster.door.provider_put("tavily", {})
    connection, key = f"con_{secrets.token_hex(6)}", f"tvly-{secrets.token_hex(16)}"
    cluster.door.key_put(connection=connection, person=OWNER, provider="tavily", key=Secret(key), label="x")

    def ask() -> None:
        minted = cluster.door.mint(connection=connection, person=OWNER, scopes=["search"], receiver="bank", cap=300)
        assert minted.token.reveal() == key

    return ask


def under_load(
    cluster: Cluster, fault: Callable[[Node], None], words: str, figures: Figures, *, patient: bool
) -> None:
    """Load on all keepers; the leader is struck; everything goes on, and the books agree. An account whose refresh was claimed by
    a write that nobody heard of waits until the claim runs out: `patient` waits with it."""
    first, second = cluster.keepers
    counter = Counter(first, second, f"people/{secrets.token_hex(6)}")
    spender = Spender(cluster.keepers)
    with serve(expires_in=3600) as provider:
        rotating = Rotating(cluster.keepers, provider, [connected(first, provider) for _ in range(3)])
        load = Load(cluster)
        jobs: dict[str, Callable[[], None]] = {
            "count": counter.count, "read": counter.read, "door": keys_through_the_door(cluster),
            "race one": lambda: spender.race(0), "race two": lambda: spender.race(1),
            "mint one": lambda: rotating.mint(0), "mint two": lambda: rotating.mint(1),
        }
        leader = cluster.leader()
        with load.running(jobs):
            load.moves_on(12)
            struck = time.monotonic()
            fault(leader)
            until(lambda: cluster.follows(leader), "another node leads")
            elected = time.monotonic() - struck
            load.moves_on(1, ["count", "read", "door"])
            served = time.monotonic() - struck - elected
            load.moves_on(12, None if patient else [name for name in jobs if not name.startswith("mint")])
        figures.add(f"ms until another node led, leader {words}", round(elected * 1000))
        figures.add(f"ms from then until all was served, leader {words}", round(served * 1000))
        for what, count in (
            ("answers", sum(load.done.values())), ("times away", load.away), ("wrong answers", len(load.wrong)),
            ("refreshes", len(provider.refreshes)), ("values spent", len(spender.winners)),
        ):
            figures.add(f"{what}, leader {words}", count)
        assert load.wrong == []
        assert elected < ELECTED, f"{words}: another node led after {elected:.1f} s"
        assert served < SERVED, f"{words}: and {served:.1f} s later all was served"
        found = second.kv.read(counter.path)
        assert found
        assert counter.known <= found.data["n"] <= counter.attempts
        assert len(set(rotating.minted)) == len(rotating.minted), "no token was handed out twice"
        later = replace(second, clock=lambda: utc_now() + timedelta(minutes=10))
        for connection in rotating.connections:
            assert mint(later, connection, exclusive=True)["token"], "its refresh token was not lost"


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
