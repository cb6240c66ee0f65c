"""`counterseal client list`, `pause`, `resume` and `revoke`; what is for token clients alone is in `token_commands`."""

from __future__ import annotations

import click

from webapp.clients import lookup, overview, status
from webapp.clients.token_commands import COMMANDS, People
from webapp.config import Settings
from webapp.db.commands import opened
from webapp.web.house import utc_now


@click.group()
def client() -> None:
    """Agents and other OAuth clients: list them, shut one out."""


def group(people: People) -> click.Group:
    """The commands. `people` finds persons; it is handed down because their room is on the same floor."""
    return click.Group("client", commands=client.commands, help=client.help, context_settings={"obj": people})


@client.command("list")
@click.option("--limit", default=50, show_default=True, help="How many, the newest first.")
@click.pass_obj
def list_command(people: People, limit: int) -> None:
    """List the clients. What stands last is only what each calls itself."""
    settings = Settings()
    with opened() as database, database.read() as session:
        found = lookup.page(session, size=limit)
        tokens = overview.of(session, found, settings, utc_now())
        names = people.names(session, {one.owner for one in tokens.values()} - {""})
        for row in found:
            vouched = "vouched" if row.verified else "unverified"
            click.echo(f"{row.id}  {row.kind}  {row.status:<7}  {vouched:<10}  {row.created_at:%Y-%m-%d %H:%M}  {row.name!r}")
            for line in overview.lines(tokens[row.id], names) if row.id in tokens else ():
                click.echo(f"    {line}")


def _change(client_id: str, what: str) -> None:
    with opened() as database:
        row = database.write(lambda s: status.change(s, client_id, what, actor="cli", now=utc_now()))
    click.echo(f"{row.id} is {row.status}." + (" Its tokens are refused from now on." if row.status != "active" else ""))


@client.command("pause")
@click.argument("client_id")
def pause_command(client_id: str) -> None:
    """Refuse a client's tokens until an admin resumes it."""
    _change(client_id, "pause")


@client.command("revoke")
@click.argument("client_id")
def revoke_command(client_id: str) -> None:
    """Shut a client out for good."""
    _change(client_id, "revoke")


@client.command("resume")
@click.argument("client_id")
def resume_command(client_id: str) -> None:
    """Let a paused client come back."""
    _change(client_id, "resume")


for _command in COMMANDS:
    client.add_command(_command)
