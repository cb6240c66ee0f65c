"""The `counterseal` command. Each room registers its own group of commands here."""

from __future__ import annotations

import click

from webapp.audit.commands import audit
from webapp.clients.commands import client
from webapp.policy import commands as policy
from webapp.registry import pins


@click.group()
@click.version_option(package_name="counterseal")
def main() -> None:
    """Human approval and a credential vault for AI agents."""


main.add_command(audit)
main.add_command(client)
main.add_command(policy.group(pins.pinned))
