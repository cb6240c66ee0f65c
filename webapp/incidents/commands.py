"""`counterseal incident`: stop what may be compromised, see what was at stake, and what the providers answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy.orm import Session

from webapp.config import Settings
from webapp.db import Database
from webapp.db.commands import opened
from webapp.incidents import ending, ledger, linked, opening, reports, rules, targets
from webapp.incidents.ledger import Line
from webapp.incidents.radius import written
from webapp.incidents.rules import Target
from webapp.incidents.tables import Incident
from webapp.web.house import utc_now


@click.group()
def incident() -> None:
    """When something may be compromised: stop it, see what was at stake, resume it."""


@incident.command("open")
@click.argument("kind", type=click.Choice(rules.KINDS))
@click.argument("name")
@click.option("--reason", default="", help="Why: everyone concerned reads it. Required but for --dry-run.")
@click.option("--dry-run", is_flag=True, help="Only say what would be stopped, and what is within reach.")
@click.option("--linked", "too", is_flag=True, help="Of a person: their other sign-ins too, each by an incident of its own.")
def open_command(kind: str, name: str, reason: str, dry_run: bool, too: bool) -> None:
    """Suspend a person, client, server, connection or provider, and all that rests on it, at once."""
    settings, now = Settings(), utc_now()
    with opened() as database:
        if dry_run:
            with database.read() as session:
                target, found = opening.look(session, settings, targets.kind_of(kind), name, now)
            click.echo(f"Would suspend the {target.kind} {target.name!r} ({target.id}).")
            _parts(written(found))
            _others(database, target)
            return
        made, target = database.write(lambda s: _open(s, settings, kind, name, reason, now, too))
        click.echo(f"{made} is open.")
        _show(database, settings, made)
        _others(database, target)


def _open(
    session: Session, settings: Settings, kind: str, name: str, reason: str, now: datetime, too: bool
) -> tuple[str, Target]:
    target = targets.find(session, settings, targets.kind_of(kind), name)
    also = [one.id for one in linked.of(session, target.kind, target.id)] if too else []
    return linked.open_with(session, settings, target, also, reason=reason, actor="cli", now=now), target


def _others(database: Database, target: Target) -> None:
    with database.read() as session:
        found = linked.of(session, target.kind, target.id)
    for one in found:
        state = f"suspended by {one.suspended}" if one.suspended else "not suspended (--linked suspends it too)"
        click.echo(f"Another sign-in of the same person: {one.name!r} {one.email!r} ({one.id}), {state}")


def _parts(radius: Mapping[str, Any]) -> None:
    for part in radius["parts"]:
        click.echo(f"{part['title']}: {part['count']}")
        for item in part["items"]:
            click.echo(f"    {item['name']!r}{', ' if item['text'] else ''}{item['text']}")
        if 0 < len(part["items"]) < part["count"]:
            click.echo(f"    and {part['count'] - len(part['items'])} more")
    for each in radius["by_hand"]:
        click.echo(f"To be done by hand: {each}")


@incident.command("list")
@click.option("--limit", default=50, show_default=True, help="How many, the newest first.")
def list_command(limit: int) -> None:
    """List the incidents."""
    with opened() as database, database.read() as session:
        for row in reports.listed(session, size=limit):
            click.echo(f"{row.id}  {row.opened_at:%Y-%m-%d %H:%M}  {_state(row)}  {row.kind} {row.name!r}")


def _state(row: Incident) -> str:
    return f"{'closed' if row.closed_at else 'open':<6}  {'resumed' if row.lifted_at else 'suspended':<9}"


@incident.command("show")
@click.argument("incident_id")
def show_command(incident_id: str) -> None:
    """The report of one incident, with what the providers have answered until now."""
    with opened() as database:
        _show(database, Settings(), incident_id)


def _show(database: Database, settings: Settings, incident_id: str) -> None:
    with database.read() as session:
        report = reports.one(session, settings, incident_id)
    row = report.incident
    click.echo(f"{row.kind} {row.name!r} ({row.subject}), {_state(row).strip()}")
    click.echo(f"Opened {row.opened_at:%Y-%m-%d %H:%M} by {report.opened_by}: {row.reason}")
    _parts(row.radius)
    _lines(report.ledger)
    if row.closed_at:
        click.echo(f"Closed {row.closed_at:%Y-%m-%d %H:%M} by {report.closed_by}: {row.note}")


def _lines(lines: Sequence[Line]) -> None:
    for line in lines:
        times = f", again {line.next_at:%Y-%m-%d %H:%M}" if line.next_at else ""
        settled = f" {line.settled_at:%Y-%m-%d %H:%M}" if line.settled_at and not line.open else ""
        click.echo(f"{line.subject}  {line.what} of {line.label!r}, {line.owner}: {line.words}{settled}{times}")
        if line.rest:
            click.echo(f"    {line.rest}")
        if line.state == "unsupported" and line.url:
            click.echo(f"    by hand: {line.url}")


@incident.command("resume")
@click.argument("incident_id")
def resume_command(incident_id: str) -> None:
    """Lift the suspension. What the incident ended stays ended."""
    with opened() as database:
        database.write(lambda s: ending.lift(s, incident_id, "cli", utc_now()))
    click.echo(f"{incident_id} no longer suspends anything.")


@incident.command("close")
@click.argument("incident_id")
@click.option("--note", required=True, help="What it was, and what was done.")
def close_command(incident_id: str, note: str) -> None:
    """Close an incident with a note. It resumes nothing."""
    with opened() as database:
        database.write(lambda s: ending.close(s, incident_id, note, "cli", utc_now()))
    click.echo(f"{incident_id} is closed.")


@incident.command("ledger")
@click.option("--limit", default=200, show_default=True, help="How many.")
def ledger_command(limit: int) -> None:
    """What providers were asked to end and have not confirmed."""
    with opened() as database, database.read() as session:
        lines = ledger.open_lines(session, Settings(), size=limit)
        outlived = ledger.outlived(session, Settings(), utc_now())
        _lines(lines)
        if not lines:
            click.echo("Nothing is open: providers confirmed what they were asked to end, or a person ended it there.")
        if outlived:
            click.echo(f"Access that was handed out before may still work at {', '.join(outlived)}.")


@incident.command("by-hand")
@click.argument("subject")
def by_hand_command(subject: str) -> None:
    """Say that you ended SUBJECT (as `ledger` names it) at the provider yourself."""
    with opened() as database:
        database.write(lambda s: ledger.by_hand(s, subject, person="", admin=True, actor="cli", now=utc_now()))
    click.echo("Written down. The provider is not asked any more.")
