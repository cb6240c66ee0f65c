"""README's commands, as a newcomer types them: in a fresh clone, with an empty home. It downloads what the project needs, so it
takes minutes."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.keeper_parts import ROOT, until
from tests.processes import free_port
from tests.real.running import Running, short_folder, start

pytestmark = [pytest.mark.real, pytest.mark.long]
MINUTES = 60.0
KEPT = ("PATH", "LANG", "LC_ALL", "PIP_INDEX_URL", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE")
"""Of the environment: how a machine reaches its downloads, and nothing else."""


def test_make_run_in_a_fresh_clone_with_an_empty_home() -> None:
    """It comes up where it was told to, is well, keeps what it wrote in its own folders, and Ctrl-C stops all of it. The next one
    installs nothing, and has the data of the first."""
    with short_folder("cs-new-") as folder:
        clone, home = folder / "clone", folder / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        port, instance = free_port(), folder / "here"
        environment = {**{name: os.environ[name] for name in KEPT if name in os.environ}, "HOME": str(home)}
        environment |= {"PORT": str(port), "INSTANCE": str(instance)}
        entries = []
        for number in (1, 2):
            with make_run(clone, environment, folder / f"output{number}") as running:
                assert f"Counterseal is running: http://localhost:{port}" in running.output
                assert ("Installing what Counterseal needs" in running.output) == (number == 1)
                assert status(port, "/healthz") == 200
                assert re.search(r"sign-in link .* is in \S+/run/link", running.output)
                assert "sign-in link" in counterseal(clone, instance, "link")
                entries.append(verified(clone, instance))
            assert status(port, "/healthz") == 0
        assert 0 < entries[0] < entries[1], "what the first one wrote, and more"
        assert changed(clone) == "", "a run leaves the checkout as it was"


@contextmanager
def make_run(clone: Path, environment: Mapping[str, str], output: Path) -> Iterator[Running]:
    words = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), "make", "-C", str(clone), "run"]
    running = start(words, output, {})
    try:
        until(lambda: "is running:" in running.output or running.process.poll() is not None, "it is up", 15 * MINUTES)
        assert running.process.poll() is None, running.output
        yield running
    finally:
        os.killpg(running.pid, signal.SIGINT)  # as a terminal sends it, to make and to what make started
        running.process.wait(MINUTES)
    assert "Stopping." in running.output
    assert "Traceback" not in running.output


def verified(clone: Path, instance: Path) -> int:
    """How many entries the log has, by the command that README's reader has at hand."""
    found = re.match(r"The log holds: (\d+) entries", counterseal(clone, instance, "audit", "verify"))
    assert found
    return int(found[1])


def counterseal(clone: Path, instance: Path, *words: str) -> str:
    environment = {"PATH": os.environ["PATH"], "COUNTERSEAL_INSTANCE": str(instance)}
    return subprocess.run(
        [".venv/bin/counterseal", *words], cwd=clone, env=environment, capture_output=True, text=True, check=True
    ).stdout


def changed(clone: Path) -> str:
    return subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True,
    ).stdout


def status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("localhost", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
