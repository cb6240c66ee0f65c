"""What a process loads at its start: each of these costs a second start of an instance a tenth of a second or more."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.keeper_parts import ROOT

VAULT_S = {"hvac", "requests", "urllib3", "webauthn", "vault.client", "vault.table"}
LATER = {"alembic", "mcp", "mcp_types", "pyrage", "segno"}


def loaded(module: str) -> set[str]:
    script = f"import {module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_web_process_loads_nothing_that_talks_to_the_vault_and_nothing_before_it_is_needed() -> None:
    assert loaded("webapp.composition") & (VAULT_S | LATER) == set()


@pytest.mark.parametrize("module", ["webapp.cli", "webapp.supervisor.up"])
def test_the_command_and_the_supervisor_load_no_web_framework(module: str) -> None:
    assert loaded(module) & {"flask", "sqlalchemy", "pydantic", "gevent", "webapp.composition"} == set()
