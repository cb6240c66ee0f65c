"""libfaketime: a library that, loaded before all others, tells a whole process tree another time of day.

Where it is not installed (on Debian: `apt-get install libfaketime`) its package is fetched and unpacked into a folder of the
test's own, for which nobody has to be root; where that cannot be either, the tests that need it are skipped and say so.
"""

from __future__ import annotations

import glob
import subprocess
from pathlib import Path

import pytest

PLACES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/local/lib/faketime/libfaketime.so.1")
CACHED = "/var/cache/apt/archives/libfaketime_*.deb"
HOW = "libfaketime is not here and cannot be fetched. On Debian: sudo apt-get update && sudo apt-get install libfaketime"


def library(folder: Path) -> Path:
    """The library; skips the test where there is none. `folder`: of this test, for unpacking."""
    found = _first(PLACES)
    if found is None:
        package = _first((CACHED,)) or _fetched(folder)
        found = _unpacked(package, folder) if package is not None else None
    if found is None:
        pytest.skip(HOW)
    return found


def environment(library: Path, file: Path) -> dict[str, str]:
    """What a process is started with, to read its time of day from `file` at every look. Its monotonic clock stays the machine's:
    a time server steps only the other."""
    return {
        "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
    }


def step(file: Path, seconds: int) -> None:
    """From here on it is so many seconds later (or earlier) than the machine says. Written whole: others read it meanwhile."""
    new = file.with_suffix(".new")
    new.write_text(f"{seconds:+d}\n")
    new.replace(file)


def _first(patterns: tuple[str, ...]) -> Path | None:
    return next((Path(one) for pattern in patterns for one in sorted(glob.glob(pattern))), None)


def _fetched(folder: Path) -> Path | None:
    try:
        subprocess.run(["apt-get", "download", "-q", "libfaketime"], cwd=folder, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return _first((str(folder / "libfaketime_*.deb"),))


def _unpacked(package: Path, folder: Path) -> Path | None:
    try:
        subprocess.run(["dpkg-deb", "-x", str(package), str(folder)], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return _first((f"{folder}/usr/lib/*/faketime/libfaketime.so.1",))
