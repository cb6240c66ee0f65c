"""`counterseal vault`: for operators of a Vault or OpenBao of their own. Both run on the keeper's side, under its settings; the
web process has neither."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from webapp import modules

Instance = click.option(
    "--instance", type=click.Path(path_type=Path, file_okay=False), default="instance", envvar="COUNTERSEAL_INSTANCE",
    show_default=True, help="The folder with keeper.toml.",
)


@click.group("vault")
def vault() -> None:
    """A Vault or OpenBao of your own: set it up, and look whether it is right."""


@vault.command("policy")
@Instance
@click.option("--cli", type=click.Choice(["bao", "vault"]), default="bao", show_default=True, help="Whose commands.")
@click.option("--hcl", is_flag=True, help="The keeper's policy alone.")
def policy_command(instance: Path, cli: str, hcl: bool) -> None:
    """Print the commands that set it up for the keeper, as its settings have it: prefix, namespace and login."""
    _become("vault.operators", instance, "--cli", cli, *(["--hcl"] if hcl else []))


@vault.command("doctor")
@Instance
@click.option("--operator", is_flag=True, help="Look with an operator's token too: VAULT_TOKEN, or typed.")
@click.option("--operator-file", type=click.Path(path_type=Path, dir_okay=False), help="A file with that token.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def doctor_command(instance: Path, operator: bool, operator_file: Path | None, as_json: bool) -> None:
    """Look at the vault as the keeper, say what is wrong and how to mend it. Exit code 1 when something is wrong."""
    words = ["--operator"] * operator + ["--json"] * as_json
    _become("vault.doctor", instance, *words, *(["--operator-file", str(operator_file)] if operator_file else []))


def _become(module: str, instance: Path, *words: str) -> None:
    command = modules.command(module, "--instance", str(instance.resolve()), *words)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 no shell is wanted
