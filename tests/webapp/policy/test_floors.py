"""Imports go down the floors, and to the keeper through its door: the contracts hold for this tree, and a deliberate violation
breaks them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

VIOLATIONS = {
    "a lower room calls up": (
        "webapp/policy/engine.py", "import webapp.approvals.rules", "webapp.policy is not allowed to import webapp.approvals",
    ),
    "two rooms of one floor": (
        "webapp/registry/pins.py", "import webapp.policy.facts", "webapp.registry is not allowed to import webapp.policy",
    ),
    "the keeper imports the app": (
        "vault/evidence.py", "import webapp.errors", "vault is not allowed to import webapp.errors",
    ),
    "around the keeper's door": (
        "webapp/broker/leases.py", "import vault.grants", "webapp is not allowed to import vault.grants",
    ),
    "a database in the keeper": (
        "vault/kv.py", "import sqlalchemy", "vault is not allowed to import sqlalchemy",
    ),
    "hidden in a function": (
        "webapp/audit/log.py", "def later() -> None:\n    import webapp.gateway.wire",
        "webapp.audit is not allowed to import webapp.gateway",
    ),
}


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """import-linter over a tree, as `make lint` runs it."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("webapp", "vault"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_this_tree_keeps_the_contracts(tree: Path) -> None:
    result = lint(tree)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(("path", "line", "said"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_deliberate_violation_breaks_it(tree: Path, path: str, line: str, said: str) -> None:
    file = tree / path
    file.write_text(f"{file.read_text()}\n\n{line}\n")
    result = lint(tree)
    assert result.returncode != 0
    assert said in result.stdout, result.stdout
