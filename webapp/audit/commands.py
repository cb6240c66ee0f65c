"""`counterseal audit verify` and `counterseal audit export`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TextIO

import click
from sqlalchemy import func, select

from webapp.audit.keys import FILE, Head, VerifierKey, kept, pinned
from webapp.audit.sequencer import pending
from webapp.audit.tables import Checkpoint, Entry
from webapp.audit.verify import Report, export, stored_bodies, stored_notes, verify, verify_export
from webapp.config import Settings
from webapp.db import Database
from webapp.errors import CountersealError

WAIT = 5.0


@click.group()
def audit() -> None:
    """The audit log: verify it offline, export it."""


@audit.command("verify")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An export to verify instead.")
@click.option("--key", type=click.Path(dir_okay=False, path_type=Path), help=f"Public keys; instance/{FILE} by default.")
@click.option("--checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A checkpoint that you kept elsewhere (`audit checkpoint`): the log has to continue it.")
def verify_command(path: Path | None, key: Path | None, checkpoint: Path | None) -> None:
    """Verify the whole log against the pinned public key. Needs no vault. Exit status 1 if it does not hold."""
    settings = Settings()
    try:
        keys = pinned(key or settings.instance / FILE)
        head = kept(checkpoint, keys) if checkpoint else None
        report = verify_export(path, keys, head) if path else _verify_live(settings, keys, head)
    except CountersealError as error:
        raise click.ClickException(f"The log does not hold. {error.hint}") from error
    click.echo(f"The log holds: {report.entries} entries under {report.checkpoints} signed checkpoints, root {report.root[:16]}…")
    if report.pending:
        click.echo(f"{report.pending} entries wait for the next checkpoint.")


def _verify_live(settings: Settings, keys: list[VerifierKey], head: Head | None) -> Report:
    database = Database(settings.database)
    try:
        end = time.monotonic() + WAIT
        while True:
            with database.read() as session:
                waiting = pending(session)
            if not waiting or time.monotonic() > end:
                break
            time.sleep(0.2)
        with database.read() as session:
            unplaced = session.scalar(select(func.count()).select_from(Entry).where(Entry.place.is_(None))) or 0
            return verify(
                bodies=stored_bodies(session), notes=stored_notes(session), keys=keys, pending=unplaced, kept=head
            )
    finally:
        database.close()


@audit.command("checkpoint")
def checkpoint_command() -> None:
    """Print the last signed checkpoint. Keep it on another machine: a log that does not continue it was put back or changed."""
    database = Database(Settings().database)
    try:
        with database.read() as session:
            note = session.scalar(select(Checkpoint.note).order_by(Checkpoint.size.desc()).limit(1))
    finally:
        database.close()
    if note is None:
        raise click.ClickException("Nothing was signed yet.")
    click.echo(note, nl=False)


@audit.command("export")
@click.argument("out", type=click.File("w", encoding="utf-8", lazy=False))
def export_command(out: TextIO) -> None:
    """Write the log to OUT (- for standard output) as JSON lines; `audit verify --file OUT` verifies it anywhere."""
    database = Database(Settings().database)
    try:
        with database.read() as session:
            count = export(session, out)
    finally:
        database.close()
    click.echo(f"{count} entries.", err=True)
