"""What is started as a process of its own is of this installation, whatever lies in the folder where a command is typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.keeper_parts import ROOT
from webapp import modules

TRAP = "import sys; sys.exit('run from the current folder')"


@pytest.mark.parametrize(("name", "words", "says"), [
    ("vault.keeper", ("--help",), "--instance"), ("webapp.gunicorn_web", ("--help",), "--workers"),
    ("vault.doctor", ("--help",), "--json"), ("vault.operators", ("--help",), "--hcl"),
])
def test_a_module_that_lies_about_is_not_run(tmp_path: Path, name: str, words: tuple[str, ...], says: str) -> None:
    for trap in ("json.py", "argparse.py", "gunicorn.py", "vault.py", "webapp.py", "ssl.py"):
        (tmp_path / trap).write_text(TRAP)
    done = subprocess.run(modules.command(name, *words), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout
    plain = subprocess.run(
        [sys.executable, "-m", name, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert plain.returncode != 0, "without this it would be: the test can fail"


def test_the_web_servers_own_app_is_looked_for_nowhere_else(tmp_path: Path) -> None:
    """gunicorn itself puts the current folder first on the path before it loads the app."""
    (tmp_path / "trap.py").write_text("")
    found = subprocess.run(
        modules.command("webapp.gunicorn_web", "--check-config", "trap:app"), cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )
    assert found.returncode != 0
    assert "No module named 'trap'" in found.stdout + found.stderr


def test_each_process_of_ours_is_started_so() -> None:
    for file in [*(ROOT / "webapp").rglob("*.py"), *(ROOT / "vault").rglob("*.py")]:
        assert '"-m"' not in file.read_text(), file
