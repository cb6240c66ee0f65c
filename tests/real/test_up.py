"""`counterseal up`, with everything that belongs to it: as a newcomer types it, and when parts of it are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlsplit

import psutil
import pytest

from tests.up_parts import COMMAND, PATIENCE, ROOT, Up, start, until
from webapp import rotating
from webapp.connections import idle

pytestmark = pytest.mark.real


@pytest.fixture
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    one = start(tmp_path_factory.mktemp("up") / "i")
    one.wait()
    yield one
    if one.process.poll() is None:
        one.stop()


def test_from_nothing_to_signed_in_and_back_again(started: Up) -> None:
    """One address, one link, no second `up`; nothing is left behind, and what was there is there at the next start."""
    assert json.loads(started.get("/healthz")[1]) == {"status": "ok", "database": "ready", "keeper": "ready", "vault": "ready"}
    assert started.get("/evaluation/people")[0] == 403
    assert started.link().startswith(f"{started.url}/evaluation/enter#")
    assert started.get("/evaluation/enter", **{"X-Forwarded-For": "203.0.113.9"})[0] == 421
    _refuses_a_second(started)
    _holds_its_secrets(started)
    _plans_what_happens_by_itself(started)
    children, kept = started.children(), _keeps_a_connection(started)
    assert started.stop() == 0
    with kept:
        assert kept.recv(1) == b"", "what nobody asks anything on is closed, not waited for"
    assert not [log for log in (started.instance / "logs").iterdir() if "graceful timeout" in log.read_text(errors="replace")]
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    _comes_back(started)


def _keeps_a_connection(running: Up) -> socket.socket:
    """As a browser does after a page."""
    kept = HTTPConnection("127.0.0.1", urlsplit(running.url).port or 0, timeout=PATIENCE)
    kept.request("GET", "/healthz", headers={"Host": urlsplit(running.url).netloc})
    assert b"ok" in kept.getresponse().read()
    return kept.sock


def _plans_what_happens_by_itself(running: Up) -> None:
    """Its worker's loop: nobody asked for it."""
    wanted = {*((rotating.KIND, key) for key in rotating.KEYS), (idle.LOOK, "all")}

    def planned() -> bool:
        with closing(sqlite3.connect(running.instance / "counterseal.sqlite", timeout=PATIENCE)) as database:
            return wanted <= set(database.execute("SELECT kind, key FROM due"))

    until(planned, "it is planned")


def _refuses_a_second(running: Up) -> None:
    command = [*COMMAND, "up", "--instance", str(running.instance)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert second.returncode == 1
    assert "is running already" in second.stderr


def _holds_its_secrets(running: Up) -> None:
    """The secret of the run is on no command line and in no environment; what is in the instance is its owner's alone."""
    secret = json.loads((running.instance / "run" / "evaluation.json").read_text())["secret"]
    for child in running.children():
        assert secret not in " ".join(child.cmdline())
        assert secret not in " ".join(child.environ().values())
    assert running.instance.stat().st_mode & 0o077 == 0
    for file in running.instance.rglob("*"):
        assert file.lstat().st_mode & 0o077 == 0 or file.is_symlink() or file.is_socket(), file
    for log in (running.instance / "logs").iterdir():
        assert secret not in log.read_text(errors="replace")


def _comes_back(before: Up) -> None:
    ports = (before.instance / "evaluation" / "ports.json").read_text()
    again = start(before.instance)
    try:
        again.wait()
        assert (again.instance / "evaluation" / "ports.json").read_text() == ports
        verified = subprocess.run(
            [*COMMAND, "audit", "verify"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, "COUNTERSEAL_INSTANCE": str(again.instance)},
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        assert again.stop(signal.SIGINT) == 0


def test_a_part_that_is_killed_comes_back_and_so_does_the_work(started: Up) -> None:
    """And the vault gets another unseal key: it is away for seconds, and says so."""
    _another_unseal_key(started)
    for word in ("/bao", "vault.keeper", "gunicorn"):
        victim = started.part(word)
        victim.kill()
        victim.wait(PATIENCE)
        until(lambda: started.get("/healthz")[0] == 200, f"it is well again after {word} was killed")


def _another_unseal_key(running: Up) -> None:
    folder, heard, stop = running.instance / "vault", set[int](), threading.Event()

    def asking() -> None:
        while not stop.wait(0.05):
            heard.add(running.get("/healthz")[0])

    thread = threading.Thread(target=asking)
    thread.start()
    command = [*COMMAND, "rotate", "unseal", "--instance", str(running.instance)]
    environment = {**os.environ, "COUNTERSEAL_EVALUATION": "true", "COUNTERSEAL_PUBLIC_URL": running.url}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
    )
    stop.set()
    thread.join()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "opens with a new key" in done.stdout
    assert [path.name for path in folder.glob("seal*")] == ["seal-2.key"]
    assert heard <= {200, 503}, "every answer is right, or says to ask again"
    until(lambda: running.get("/healthz")[0] == 200, "it is well again")


def test_a_supervisor_that_is_killed_leaves_no_process_behind(started: Up) -> None:
    children = started.children()
    assert len(children) >= 7
    started.stop(signal.SIGKILL)
    _gone, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive
    again = start(started.instance)
    again.wait()
    assert again.get("/healthz")[0] == 200
    again.stop()
