"""`counterseal backup`, `counterseal backup keygen` and `counterseal restore`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from webapp.backup import restoring, sealed, taking
from webapp.config import Settings
from webapp.supervisor.commands import instance_option
from webapp.web.house import utc_now

KeyFile = click.Path(exists=True, dir_okay=False, path_type=Path)
NewFile = click.Path(dir_okay=False, path_type=Path)

STOPS = (signal.SIGTERM, signal.SIGHUP)
"""SIGHUP: the terminal is gone, as when a connection to the machine breaks; a vault's key must not be left behind for that."""


@contextmanager
def _in_order() -> Iterator[None]:
    """Told to stop, what was begun is undone: an exception passes every `finally`, a signal none."""
    before = {number: signal.signal(number, lambda got, _frame: sys.exit(128 + got)) for number in STOPS}
    try:
        yield
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'The disk'}: {error.strerror or error}.") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _settings(instance: Path) -> Settings:
    os.environ["COUNTERSEAL_INSTANCE"] = str(instance.resolve())
    return Settings()


@click.group("backup", invoke_without_command=True)
@click.option("--to", type=NewFile, help="The file to write. It must not be there yet.")
@click.option("--recipient", type=KeyFile, help="A file with the recipient (age1…) whose identity opens the backup.")
@instance_option
@click.pass_context
def backup(ctx: click.Context, to: Path | None, recipient: Path | None, instance: Path) -> None:
    """Write all of an instance to one encrypted file, while it runs or while it is stopped."""
    if ctx.invoked_subcommand is not None:
        return
    if to is None or recipient is None:
        raise click.UsageError("Say where to and for whom: --to FILE --recipient KEYFILE. `backup keygen` makes a key.")
    with _in_order():
        recipients = sealed.recipients(recipient)
        taken = taking.take(_settings(instance), to=to.absolute(), recipients=recipients, clock=utc_now)
    click.echo(f"{taken.manifest.id}: {taken.size} bytes in {to}, the log in it has {taken.manifest.entries} entries.")
    click.echo(f"SHA-256 {taken.digest}")


@backup.command("keygen")
@click.argument("file", type=NewFile)
def keygen_command(file: Path) -> None:
    """Make the key of a recipient: the identity goes to FILE, which opens backups; keep it off this machine. Its recipient is
    printed, and goes to FILE.pub."""
    public = file.with_name(file.name + ".pub")
    if os.path.lexists(public):
        raise click.UsageError(f"{public} is there already.")
    recipient = sealed.make_identity(file)
    public.write_text(recipient + "\n")
    click.echo(f"{recipient}\nThe identity is in {file}: keep it elsewhere, in two places. For --recipient: {public}")


@click.command("restore")
@click.argument("file", type=KeyFile)
@click.option("--identity", type=KeyFile, required=True, help="The identity that opens the backup.")
@click.option("--checkpoint", type=KeyFile, help="The last checkpoint that you kept elsewhere: says what this copy lacks.")
@instance_option
def restore_command(file: Path, identity: Path, checkpoint: Path | None, instance: Path) -> None:
    """Restore a backup into a folder that is empty or not there. Then start it with `counterseal up`."""
    with _in_order():
        keys = sealed.identities(identity)
        done = restoring.restore(
            file, instance=instance.absolute(), identities=keys, checkpoint=checkpoint, clock=utc_now
        )
    found = done.manifest
    at = f"{found.taken_at:%Y-%m-%d %H:%M} UTC"
    click.echo(f"{instance} is as it was at {at}, the log has {found.entries} entries ({found.id}).")
    if done.missing:
        click.echo(f"It is older than your checkpoint: its log lacks {done.missing} of the entries, and it what they tell of.")
    click.echo(
        "At the first start everybody is signed out, agents ask for new tokens, what was approved waits until somebody has "
        "looked, and each account is tried. Never run it beside the instance it was copied from."
    )
