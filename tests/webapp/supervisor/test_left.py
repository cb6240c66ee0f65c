"""What a restore that was killed leaves behind holds a vault's keys: it is found and removed, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.keeper_parts import ROOT
from webapp.supervisor import left

KILLED = """
import os, signal, sys
from pathlib import Path
from webapp.supervisor import left
with left.workplace(Path(sys.argv[1])) as folder:
    (folder / "vault").mkdir()
    (folder / "vault" / "seal.key").write_text("a key")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_restore_that_was_killed_is_tidied_up_and_one_that_lives_is_not(tmp_path: Path) -> None:
    instance = tmp_path / "i"
    done = subprocess.run([sys.executable, "-c", KILLED, str(instance)], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    (key,) = tmp_path.glob(".r*/vault/seal.key")
    others = [tmp_path / name for name in (".rabcdef", ".r12", "r123456")]
    for other in others:
        other.mkdir()
    (others[1] / left.MARK).touch()
    (tmp_path / ".r000000").symlink_to(others[1])
    with left.workplace(instance) as mine:
        assert mine.stat().st_mode & 0o077 == 0
        assert left.remove(instance) == [key.parents[1]]
        assert not key.parents[1].exists()
        assert mine.exists()
        assert left.remove(instance) == []
    assert not mine.exists()
    assert all(other.exists() for other in others), "what has no mark, or another's name, is nobody's to remove"
    assert left.remove(tmp_path / "nowhere" / "i") == []


def test_one_that_was_put_in_place_stays(tmp_path: Path) -> None:
    with left.workplace(tmp_path / "i") as mine:
        mine.rename(tmp_path / "i")
    assert (tmp_path / "i").exists()
    assert os.listdir(tmp_path) == ["i"]
