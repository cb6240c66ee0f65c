"""Several real keepers on one vault and on some spool volumes, of which any can be made to die (`tests.doomed`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from tests.keeper_parts import PUBLIC_URL, ROOT, KeeperParts, until
from tests.processes import ended
from vault.door import Door
from vault.settings import load
from vault.table import Keeper, make


@dataclass
class Fleet:
    """`doors[n]` is the door of keeper n. Keepers are dealt out to the volumes in turn."""

    folder: Path
    volumes: list[Path]
    instances: list[Path]
    doors: list[Door]
    processes: list[subprocess.Popen[bytes]]
    embedded: bool = True
    """Whether their vault is that of an evaluation instance."""

    def ahead(self, seconds: float) -> None:
        """All of them think it so many seconds later than it is."""
        for volume in self.volumes:
            _whole(volume / "ahead", str(seconds))

    def doom(self, point: str, count: int = 1) -> None:
        """The first keeper in which `count` connections stand at this point dies of it; no other."""
        _whole(self.folder / "doom", json.dumps({"point": point, "count": count}))

    @property
    def doomed(self) -> bool:
        """Whether nobody has died of it yet."""
        return (self.folder / "doom").exists()

    def spare(self) -> None:
        (self.folder / "doom").unlink(missing_ok=True)
        for volume in self.volumes:
            (volume / "down").unlink(missing_ok=True)

    def down(self, number: int, *, but: int) -> None:
        """Keepers of this volume that die do not come back before `spare`; all of them but one die now."""
        _whole(self.volumes[number] / "down", "")
        for keeper in range(number, len(self.processes), len(self.volumes)):
            if keeper != but:
                psutil.Process(self.processes[keeper].pid).children()[0].kill()

    def ready(self) -> None:
        """All of them answer: whoever died was started again."""
        for door in self.doors:
            until(lambda door=door: door.status().vault == "ready", "the keeper is back")  # type: ignore[misc]

    def inside(self, number: int = 0) -> Keeper:
        """A Keeper object of the test's own, on the volume of that one."""
        found = load(self.instances[number], evaluation=self.embedded, environ={"COUNTERSEAL_PUBLIC_URL": PUBLIC_URL})
        return make(replace(found, evaluation=True))


def _whole(path: Path, text: str) -> None:
    """Nobody reads half of it."""
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.replace(path)


def _instance(folder: Path, number: int, volume: Path, providers: Mapping[str, str]) -> Path:
    """One that shares nothing with the others but its volume with some."""
    made = folder / f"k{number}"
    (made / "run").mkdir(parents=True)
    (made / "keeper").symlink_to(volume)
    (made / "providers").mkdir()
    for name, text in providers.items():
        (made / "providers" / f"{name}.yaml").write_text(text)
    return made


@contextmanager
def running(
    vault: KeeperParts, keepers: int = 4, volumes: int = 2, providers: Mapping[str, str] | None = None
) -> Iterator[Fleet]:
    """On the vault of `vault`. `providers`: files of the operator's own, by name; nobody else knows those."""

    def settle(made: Path) -> None:
        (made / "vault").symlink_to(vault.instance / "vault")
        (made / "run" / "vault").symlink_to(vault.instance / "run" / "vault")

    try:
        with placed(settle, keepers, volumes, providers or {}, embedded=True) as made:
            yield made
    finally:
        vault.forget_providers(dict(providers or {}))


@contextmanager
def placed(
    settle: Callable[[Path], object], keepers: int, volumes: int, providers: Mapping[str, str], *, embedded: bool
) -> Iterator[Fleet]:
    """`settle` gives an instance its vault."""
    folder = Path(tempfile.mkdtemp(prefix="cs-fleet-", dir="/tmp"))
    processes: list[subprocess.Popen[bytes]] = []
    made = Fleet(folder, [folder / f"volume{number}" for number in range(volumes)], [], [], processes, embedded)
    for volume in made.volumes:
        volume.mkdir()
        (volume / "doom").symlink_to(folder / "doom")
    made.ahead(0)
    try:
        for number in range(keepers):
            instance = _instance(folder, number, made.volumes[number % volumes], providers)
            settle(instance)
            made.instances.append(instance)
            made.doors.append(Door(instance / "run" / "keeper" / "door.sock"))
            processes.append(_start(instance, embedded))
        made.ready()
        yield made
    except TimeoutError:
        for instance in made.instances:
            sys.stderr.write((instance / "log").read_text()[-4000:])
        raise
    finally:
        for door in made.doors:
            door.close()
        for process in processes:
            process.terminate()
        for process in processes:
            ended(process)
        shutil.rmtree(folder, ignore_errors=True)


def _start(instance: Path, embedded: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.doomed", "--instance", str(instance), *(["--evaluation"] if embedded else [])]
    with (instance / "log").open("ab") as log:
        return subprocess.Popen(
            command, env={**os.environ, "COUNTERSEAL_PUBLIC_URL": PUBLIC_URL}, cwd=ROOT, stdout=log, stderr=log
        )
