"""`counterseal server add`, `server list` and `server approve`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.door import Door
from webapp.config import Settings
from webapp.db import Database
from webapp.errors import BadInput
from webapp.registry import deciding, digest, look, pages, suggest
from webapp.registry.rules import Approval
from webapp.registry.tables import CLASSES, Server, Tool
from webapp.web.house import House

ACTOR = "cli"


@click.group()
def server() -> None:
    """MCP servers behind the gateway, and what their tools may do."""


@server.command("add")
@click.argument("name")
@click.argument("url")
@click.option("--title", default="", help="What people read; the name by default.")
@click.option("--provider", default="", help="The OAuth provider whose accounts its tools use.")
@click.option("--accept-suggested", is_flag=True, help="Approve every tool with the class and pointers that its names suggest.")
def add_command(name: str, url: str, title: str, provider: str, accept_suggested: bool) -> None:
    """Ask the server at URL for its tools and add it as NAME. Nothing of it can be called until its tools are approved."""
    with _house() as house:
        look.add(house, name=name, url=url, title=title, provider=provider, actor=ACTOR)
        with house.database.read() as session:
            _, tools = pages.server(session, name)
        for tool in tools:
            _suggested(house, name, tool.name, accept_suggested)
    if accept_suggested:
        click.echo(f"\nWhat was suggested was guessed from names that the server chose. Look at {name} before an agent does.")
    else:
        click.echo(f"\nApprove them one by one: counterseal server approve {name} TOOL --class CLASS, or on the page Servers.")


@server.command("list")
@click.argument("name", required=False)
def list_command(name: str | None) -> None:
    """All servers; or the tools of one, with their state, class and pointers."""
    with _house() as house, house.database.read() as session:
        if name is None:
            for found in pages.servers(session):
                counts = ", ".join(f"{count} {status}" for status, count in sorted(found.counts.items())) or "no tools"
                click.echo(f"{found.name:<20} {found.status:<8} {found.url}  {counts}")
            return
        for tool in pages.server(session, name)[1]:
            facts = " ".join(f"{fact}={where}" for fact, where in tool.facts)
            click.echo(f"{tool.name:<32} {tool.status:<9} {tool.cls:<8} {facts} {tool.credential}".rstrip())


@server.command("approve")
@click.argument("name")
@click.argument("tool")
@click.option("--class", "cls", type=click.Choice(CLASSES), required=True, help="What the tool does; when in doubt, the worse.")
@click.option("--pointers", default="{}", help="""JSON: {"amount": {"pointer": "/sum", "unit": "major"}, "currency": "/cur"}.""")
@click.option("--changes-recipients", is_flag=True, help="It changes who can receive something.")
@click.option("--outside", is_flag=True, help="It brings in what strangers can write: mail, web pages, tickets.")
@click.option("--provider", default="", help="Whose account's token it gets; none by default.")
@click.option("--scope", "scopes", multiple=True, help="A scope of that token; may be given several times.")
@click.option("--placement", default="authorization", help="Where the token goes: authorization, or header:NAME.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def approve_command(name: str, tool: str, cls: str, pointers: str, yes: bool, **use: Any) -> None:
    """Approve TOOL of server NAME as it is listed now, after showing what the server says about it."""
    approval = Approval(
        cls, _json(pointers), changes_recipients=use["changes_recipients"], provider=use["provider"], scopes=tuple(use["scopes"]),
        placement=use["placement"], outside=use["outside"],
    )
    with _house() as house:
        with house.database.read() as session:
            text = _listed(session, name, tool)
        click.echo("The server says:\n" + _visible(json.dumps(json.loads(text), indent=2)))
        if not yes:
            click.confirm(f"Approve it as {cls}?", abort=True)
        pin = _approve(house, name, tool, approval, text)
    click.echo(f"Approved. Pin {pin}")


def _suggested(house: House, name: str, tool: str, accept: bool) -> None:
    with house.database.read() as session:
        text = _listed(session, name, tool)
    if why := digest.why_unreadable(text):
        click.echo(f"{tool:<32} cannot be approved: {why}")
        return
    found = suggest.suggest(json.loads(text)).approval
    facts = " ".join(f"{fact}={where.get('pointer')}" for fact, where in found.pointers.items())
    if accept:
        _approve(house, name, tool, found, text)
    click.echo(f"{tool:<32} {'approved as' if accept else 'suggested:'} {found.cls:<8} {facts}".rstrip())


def _approve(house: House, name: str, tool: str, approval: Approval, text: str) -> str:
    now = house.clock()
    return house.database.write(lambda s: deciding.approve(
        s, server=name, tool=tool, approval=approval, seen=digest.of(text), actor=ACTOR, now=now
    ))


def _listed(session: Session, name: str, tool: str) -> str:
    text = session.scalar(
        select(Tool.listed).join(Server, Tool.server_id == Server.id).where(Server.name == name, Tool.name == tool)
    )
    if text is None:
        raise BadInput(f"There is no tool `{tool}` on a server `{name}`.")
    return text


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadInput("--pointers is not JSON.") from error
    if not isinstance(found, dict):
        raise BadInput("--pointers is a JSON object.")
    return found


def _visible(text: str) -> str:
    """Escape sequences and hidden characters of a server's text must not reach the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\u{{{ord(char):x}}}" for char in text)


@contextmanager
def _house() -> Iterator[House]:
    settings = Settings()
    database = Database(settings.database)
    try:
        yield House(settings, database, Door(settings.socket, timeout=settings.door_timeout))
    finally:
        database.close()
