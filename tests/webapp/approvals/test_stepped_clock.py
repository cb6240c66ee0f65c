"""The machine's clock is stepped back and forth under the app and the keeper (libfaketime): nothing runs late, twice or again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import faketime
from tests.keeper_parts import ROOT

pytestmark = [pytest.mark.real, pytest.mark.long]


def test_a_machine_whose_clock_is_stepped_runs_nothing_late_and_revives_nothing(tmp_path: Path) -> None:
    """Real processes, whose own clocks are read: the injected clock of the other tests leaves out every look that forgets to ask
    it. Run by make test-long: it takes half a minute, and fetches the library where that is not installed, which no landing
    should hang on."""
    library, file = faketime.library(tmp_path), tmp_path / "time"
    faketime.step(file, 0)
    done = subprocess.run(
        [sys.executable, "-m", "tests.webapp.approvals.stepped", str(tmp_path)], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, **faketime.environment(library, file)}, timeout=300, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    states = dict(one.split("=") for one in done.stdout.split("STATES ")[1].split())
    assert int(states.get("done", 0)) >= 1
    assert int(states.get("expired", 0)) >= 1
    # Void: what was signed an hour ahead does not verify for a keeper whose clock was set back.
    assert set(states) <= {"held", "approved", "done", "failed", "expired", "void"}, states
