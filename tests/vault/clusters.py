"""Three real nodes with raft, keepers on them, and a load under which their leader is struck: no answer is wrong, nothing is
lost or done twice, and service is back when another node leads. The figures are printed."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from tests.figures import Figures
from tests.keeper_parts import until
from tests.scripted_provider import serve
from tests.vault.accounts import OWNER, connected, mint
from tests.vault.books import Counter, Rotating, Spender
from tests.vault_nodes import Node, Nodes, declare, keeper_on, running, settings
from vault.door import Door
from vault.errors import KeeperAway, ProviderAway, VaultAway, VaultSealed
from vault.secret import Secret
from vault.settings import load
from vault.table import Keeper, make, utc_now
from vault.wire import Unheard, Unreached, Wire

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


@contextmanager
def three(folder: Path, *, cables: bool = False) -> Iterator[Cluster]:
    """With `cables` between them, that can be cut."""
    with ExitStack() as stack:
        nodes = stack.enter_context(running(3, cables=cables))
        declare(nodes)
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


@dataclass
class Struck:
    """The node that was the leader, asked as a keeper asks that knows no other: whatever it thinks itself to be, its answers are
    not older than what anybody acknowledged."""

    counter: Counter
    node: Node
    cluster: Cluster
    answers: int = 0

    def __post_init__(self) -> None:
        self._asked = Wire(self.node.address, timeout=3.0, tls=self.cluster.keepers[0].settings.tls())

    def ask(self) -> None:
        before = self.counter.known
        headers = {**self.cluster.keepers[1].vault.wire._strict, "X-Vault-Token": self.cluster.nodes.root}
        try:
            heard = self._asked.request("GET", f"/v1/counterseal-kv/data/{self.counter.path}", headers=headers, again=True)
        except (Unheard, Unreached):
            return
        if heard.status == 200:
            seen = json.loads(heard.body)["data"]["data"]["n"]
            assert before <= seen <= self.counter.attempts, f"read {seen}, acknowledged {before}, tried {self.counter.attempts}"
            self.answers += 1

    def close(self) -> None:
        self._asked.close()


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
    a write that nobody heard of waits until the claim runs out: `patient` waits with it; who does not asks that node too."""
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
        itself = Struck(counter, leader, cluster)
        if not patient:
            jobs["itself"] = itself.ask
        with load.running(jobs), closing(itself):
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
            ("refreshes", len(provider.refreshes)), ("values spent", len(spender.winners)), ("reads of itself", itself.answers),
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
