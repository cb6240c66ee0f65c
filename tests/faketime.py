"""libfaketime: a library that, loaded before all others, tells a whole process tree another time of day.

Where it is not installed (on Debian: `apt-get install libfaketime`) its package is fetched by the system's own package client and
unpacked into a folder of the test's own, for which nobody has to be root. Where that cannot be either, the test fails and says
so: a clock that nobody stepped proves nothing.
"""

from __future__ import annotations

import contextlib
import glob
import os
import subprocess
from pathlib import Path

import pytest

PLACES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")
CACHED = "/var/cache/apt/archives/libfaketime_*.deb"
HOW = "libfaketime is not here and cannot be fetched. On Debian: sudo apt-get update && sudo apt-get install libfaketime"


def library(folder: Path) -> Path:
    """The library; fails the test where there is none. `folder`: of this test, for unpacking."""
    found = _first(PLACES)
    if found is None:
        package = _first((CACHED,)) or _fetched(folder) or _fetched_afresh(folder)
        found = _unpacked(package, folder) if package is not None else None
    if found is None:
        pytest.fail(HOW, pytrace=False)
    return found


SLEEP = """import select
import time

time.sleep = lambda seconds: select.select((), (), (), seconds) and None
"""
"""Imported by every Python that is started so: libfaketime 0.9.10 breaks `clock_nanosleep` until a moment of the monotonic clock,
which is how Python sleeps, where it leaves that clock alone."""


def environment(library: Path, file: Path) -> dict[str, str]:
    """What a process is started with, to read its time of day from `file` at every look. Its monotonic clock stays the machine's:
    a time server steps only the other."""
    own = file.with_name("own-sleep")
    own.mkdir(exist_ok=True)
    (own / "sitecustomize.py").write_text(SLEEP)
    return {
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": os.pathsep.join((str(own), *filter(None, [os.environ.get("PYTHONPATH")]))),
    }


def step(file: Path, seconds: int) -> None:
    """From here on it is so many seconds later (or earlier) than the machine says. Written whole: others read it meanwhile."""
    new = file.with_suffix(".new")
    new.write_text(f"{seconds:+d}\n")
    new.replace(file)


def _first(patterns: tuple[str, ...]) -> Path | None:
    return next((Path(one) for pattern in patterns for one in sorted(glob.glob(pattern))), None)


def _fetched(folder: Path, *options: str) -> Path | None:
    _run(["apt-get", *options, "download", "-q", "libfaketime"], folder)
    return _first((str(folder / "libfaketime_*.deb"),))


def _fetched_afresh(folder: Path) -> Path | None:
    """With lists of packages of our own: the system's are empty on a new machine, and only root may fill them."""
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    options = ("-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}")
    _run(["apt-get", *options, "update", "-q"], folder)
    return _fetched(folder, *options)


def _unpacked(package: Path, folder: Path) -> Path | None:
    _run(["dpkg-deb", "-x", str(package), str(folder)], folder)
    return _first((f"{folder}/usr/lib/*/faketime/libfaketime.so.1",))


def _run(words: list[str], folder: Path) -> None:
    """What it could not do is seen by what is not there."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(words, cwd=folder, check=True, capture_output=True, timeout=120)
