"""`counterseal policy check`, `policy activate` and `policy try`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import click
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webapp.canonical import parse
from webapp.config import Settings
from webapp.db import Database
from webapp.errors import CountersealError
from webapp.people.tables import Person
from webapp.policy import active, facts, reading, schema_check
from webapp.policy.calls import Agent, Allow, Call, Deny, Verdict
from webapp.policy.facts import Facts
from webapp.policy.tables import ONLY, ActivePolicy
from webapp.web.house import utc_now


class Pin(Protocol):
    """What of a pinned tool a rule can see."""

    @property
    def cls(self) -> str: ...
    @property
    def pointers(self) -> Mapping[str, Mapping[str, str]]: ...
    @property
    def input_schema(self) -> Mapping[str, Any]: ...
    @property
    def hints(self) -> Mapping[str, Any]: ...
    @property
    def pin(self) -> str: ...


def group(pinned: Callable[[Session, str, str], Pin]) -> click.Group:
    """The commands. `pinned` finds a tool as approved; it is handed down because the registry is on the same floor."""

    @click.group()
    def policy() -> None:
        """The rules: check them, make them the active ones, try a call against them."""

    policy.add_command(check_command)
    policy.add_command(activate_command)
    policy.add_command(_try_command(pinned))
    return policy


@click.command("check")
def check_command() -> None:
    """Read and validate the rules in the instance folder over the shipped ones, and list them. Changes nothing."""
    settings = Settings()
    with _spoken():
        found = active.read(settings)
    for rule in found.rules:
        kind = "hold  " if rule.requirements is not None else rule.effect
        click.echo(f"{kind}  {rule.id:<24} {rule.source:<20} {rule.reason}")
        if rule.requirements is not None:
            click.echo(f"{'':8}{', '.join(str(each) for each in rule.requirements)}")
    for path in reading.ignored(active.folders(settings)):
        click.echo(f"Not read: {path} (rules are in files that end in .cedar)", err=True)
    click.echo(f"\n{len(found.rules)} rules hold together. Digest {found.digest}")


@click.command("activate")
def activate_command() -> None:
    """Make the rules in the instance folder the active ones. Running processes answer 503 until they are restarted."""
    settings = Settings()
    with _spoken(), _database(settings) as database:
        found = active.read(settings)
        changed = database.write(lambda s: active.activate(s, found, "cli", utc_now()))
    click.echo(f"{'Active' if changed else 'Active already'}: {found.digest}")


def _try_command(pinned: Callable[[Session, str, str], Pin]) -> click.Command:
    @click.command("try")
    @click.argument("server")
    @click.argument("tool")
    @click.option("--as", "person", required=True, help="Who asks: an e-mail address or person id.")
    @click.option("--args", "arguments", default="{}", help="The call's arguments, as JSON.")
    @click.option("--group", "groups", multiple=True, help="Groups of the person, instead of those of their last sign-in.")
    @click.option("--verified", is_flag=True, help="As if an admin had vouched for the agent.")
    @click.option("--tainted", is_flag=True, help="As if the agent had read what strangers can write.")
    @click.option("--reported", is_flag=True, help="As reported by a server that is not behind the gateway.")
    def try_command(server: str, tool: str, person: str, arguments: str, groups: tuple[str, ...], **flags: bool) -> None:
        """Say what would happen to this call, and why. Runs nothing, records nothing, and takes nothing as used before."""
        settings = Settings()
        with _spoken(), _database(settings) as database:
            found = active.read(settings)
            with database.read() as session:
                pin = pinned(session, server, tool)
                identity, known = _who(session, person)
                decides = session.scalar(select(ActivePolicy.digest).where(ActivePolicy.id == ONLY))
            read = _read(pin, arguments, settings)
            call = Call(
                person=identity, groups=groups or known, agent=Agent("try", verified=flags["verified"]), server=server, tool=tool,
                cls=pin.cls, now=utc_now(), facts=read, tainted=flags["tainted"], enforced=not flags["reported"], hints=pin.hints,
            )
            _explain(call, found.decide(call))
            if decides != found.digest:
                click.echo("These are the rules in the instance folder. The active ones are others: `policy activate`.", err=True)

    return try_command


def _read(pin: Pin, arguments: str, settings: Settings) -> Facts:
    given = parse(arguments.encode())
    schema_check.check(pin.input_schema, given, pin=pin.pin)
    return facts.read(pin.pointers, given, settings.policy, cls=pin.cls)


def _who(session: Session, person: str) -> tuple[str, tuple[str, ...]]:
    rows = session.execute(select(Person.id, Person.groups).where(or_(Person.id == person, Person.email == person))).all()
    if len(rows) != 1:
        raise click.ClickException(f"{'Nobody' if not rows else 'More than one person'} here is `{person}`.")
    return rows[0][0], tuple(rows[0][1])


def _explain(call: Call, verdict: Verdict) -> None:
    click.echo(f"{call.server}/{call.tool} is of class {call.cls}.")
    for line in _facts(call.facts):
        click.echo(f"  {line}")
    if isinstance(verdict, Allow):
        click.echo("It would run.")
    elif isinstance(verdict, Deny):
        click.echo(f"It would be refused: {verdict.reason}")
        click.echo(f"  {', '.join(verdict.rules) or 'no rule permits it'}")
    else:
        click.echo(f"It would be held, for at most {verdict.within // 60} minutes, until these are met:")
        for need in verdict.needs:
            click.echo(f"  {_need(need)} ({need['rule']})")
        if verdict.undo:
            click.echo(f"Then it could be stopped for {verdict.undo} seconds before it ran,")
        click.echo("because:")
        for each in verdict.reasons:
            click.echo(f"  {each.text} ({each.rule})")


def _facts(read: Facts) -> Iterator[str]:
    amount = read.amount
    if amount.status == "ok":
        yield f"amount {amount.minor} minor units of {amount.currency}, {amount.base_minor} in the base currency"
    elif amount.status == "unknown":
        yield f"amount unreadable: {amount.why}"
    if read.recipient:
        yield f"recipient {json.dumps(read.recipient.value)} ({read.recipient.kind})"
    if read.inferred_amount:
        yield f"amount inferred from its name: {read.inferred_amount.minor} minor units of {read.inferred_amount.currency}"
    if read.inferred_recipient:
        yield f"recipient inferred from its name: {json.dumps(read.inferred_recipient.value)}"


def _need(need: Mapping[str, Any]) -> str:
    if need["kind"] == "confirm":
        who = "confirmation by the account's owner"
    else:
        who = f"approval by {need['quorum']} of {need['group']}"
    who = f"{who}, with a {need['factor']}" if need["factor"] else who
    who = f"{who} and the number that the agent shows" if need.get("match") else who
    return f"{who}, within the hours {need['hours']}" if need.get("hours") else who


@contextmanager
def _spoken() -> Iterator[None]:
    """Errors that explain themselves, without a traceback; exit status 1."""
    try:
        yield
    except CountersealError as error:
        raise click.ClickException(error.hint) from error


@contextmanager
def _database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database)
    try:
        yield database
    finally:
        database.close()
