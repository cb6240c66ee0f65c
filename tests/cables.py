"""What lies between the nodes of a cluster, and can be cut: a forwarder before each node's cluster address.

Which node a connection comes from the kernel tells (/proc): all are on this machine. A cable that is cut passes nothing and says
nothing, as a network does that lost a link; healed, it passes what was held back. All of it is a process of its own
(`python -m tests.cables`): raft's elections must not wait for what else a test does.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Cables:
    """A test's side of it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def before(self, number: int, port: int) -> int:
        """A port that leads to that one of node `number`."""
        return int(self._ask(before=number, port=port))

    def cut(self, number: int, owners: Mapping[int, int]) -> None:
        """That node and the others hear nothing of each other from now on. `owners`: the nodes by their process ids."""
        self._ask(alone=[number], owners=[*owners.items()])

    def heal(self) -> None:
        self._ask(alone=[], owners=[])

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _ask(self, **words: Any) -> Any:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cables"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@dataclass(eq=False)
class Cable:
    """One connection to node `number`, from a port of whoever made it."""

    number: int
    port: int
    here: socket.socket
    there: socket.socket
    whole: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        for ends in ((self.here, self.there), (self.there, self.here)):
            threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65536):
                self.whole.wait()
                target.sendall(piece)
        self.whole.set()
        for one in (self.here, self.there):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class House:
    """All cables, and which node is alone."""

    def __init__(self) -> None:
        self._alone: set[int] = set()
        self._owners: dict[int, int] = {}
        self._cables: list[Cable] = []
        self._lock = threading.Lock()

    def before(self, number: int, port: int) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, args=(listening, number, port), daemon=True).start()
        return int(listening.getsockname()[1])

    def set(self, alone: set[int], owners: dict[int, int]) -> None:
        with self._lock:
            self._alone, self._owners = alone, owners
            for cable in self._cables:
                self._settle(cable)

    def _settle(self, cable: Cable) -> None:
        """One whose other end nobody has is gone, or will be told: it passes nothing meanwhile."""
        ends = {cable.number, _of(cable.port, self._owners)} if self._alone else set[int]()
        if ends & {*self._alone, -1}:
            cable.whole.clear()
        else:
            cable.whole.set()

    def _accept(self, listening: socket.socket, number: int, port: int) -> None:
        while True:
            here, (_, source) = listening.accept()
            try:
                there = socket.create_connection(("127.0.0.1", port))
            except OSError:
                here.close()  # that node is not running
                continue
            cable = Cable(number, source, here, there)
            with self._lock:
                self._cables = [one for one in self._cables if one.here.fileno() >= 0] + [cable]
                self._settle(cable)
            cable.run()


def _of(port: int, owners: Mapping[int, int]) -> int:
    """The number of the node whose process has the connection that comes from this port of loopback; -1 for nobody's."""
    wanted = f"0100007F:{port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == wanted}
    for pid, number in owners.items():
        with suppress(OSError):  # a process that is gone
            for one in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):  # a file of its that is gone
                    if str(one.readlink()) in inodes:
                        return number
    return -1


def main() -> None:
    house = House()
    for line in sys.stdin:
        asked, answer = json.loads(line), 0
        if "before" in asked:
            answer = house.before(asked["before"], asked["port"])
        else:
            house.set({*asked["alone"]}, dict(asked["owners"]))
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
