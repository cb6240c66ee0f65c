"""`counterseal vault`: for operators of a Vault or OpenBao of their own. It runs on the keeper's side, under settings that
the web process does not have."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

Instance = click.option(
    "--instance", type=click.Path(path_type=Path, file_okay=False), default="instance", envvar="COUNTERSEAL_INSTANCE",
    show_default=True, help="The folder with keeper.toml.",
)


@click.group("vault")
def vault() -> None:
    """A Vault or OpenBao of your own: set it up."""


@vault.command("policy")
@Instance
@click.option("--cli", type=click.Choice(["bao", "vault"]), default="bao", show_default=True, help="Whose commands.")
@click.option("--hcl", is_flag=True, help="The keeper's policy alone.")
def policy_command(instance: Path, cli: str, hcl: bool) -> None:
    """Print the commands that set it up for the keeper, as its settings have it: prefix, namespace and login."""
    _become("vault.operators", instance, "--cli", cli, *(["--hcl"] if hcl else []))


def _become(module: str, instance: Path, *words: str) -> None:
    command = [sys.executable, "-m", module, "--instance", str(instance.resolve()), *words]
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 no shell is wanted
