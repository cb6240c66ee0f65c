"""`counterseal receipt verify`."""

from __future__ import annotations

from pathlib import Path

import click

from webapp.approvals.receipt_check import BadReceipt, Findings, fingerprint, verify
from webapp.approvals.receipt_shape import BYTES
from webapp.audit.keys import FILE, VerifierKey, pinned
from webapp.config import Settings
from webapp.errors import CountersealError

BESIDE = (f"The key: it is the {FILE} beside the receipt. If both came from the same hand, compare the key's SHA-256 with "
          "whoever runs the instance, or name the folder of a key that you trust with --keys.")


@click.group()
def receipt() -> None:
    """Receipts of actions: verify one offline."""


@receipt.command("verify")
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--keys", "folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help=f"A folder with the instance's {FILE}; by default the one FILE is in, then the instance folder.")
def verify_command(path: Path, folder: Path | None) -> None:
    """Verify a receipt. Asks no server and no vault. Exit status 1 if it does not hold, or if there is no key to verify by."""
    try:
        key, where = _pinned(path, folder)
        with path.open("rb") as file:
            found = verify(file.read(BYTES + 1), key)
    except CountersealError as error:
        raise click.ClickException(f"The receipt does not hold. {error.hint}") from error
    if folder is None and where == path.resolve().parent:
        found.weaker.append(BESIDE)
    _say(found, key)


def _pinned(path: Path, folder: Path | None) -> tuple[VerifierKey, Path]:
    """And where it was. Never one that the receipt brings along: whoever makes up a receipt makes up its keys."""
    places = [folder] if folder else [path.resolve().parent, Settings().instance]
    known = next((place / FILE for place in places if (place / FILE).exists()), None)
    if known is None:
        raise BadReceipt(f"There is no {FILE} to verify it by. Get it from whoever runs the instance, by a way that you trust, "
                         "and name its folder with --keys.")
    keys = pinned(known)
    if not keys:
        raise BadReceipt(f"{known} is empty.")
    return keys[0], known.parent


def _say(found: Findings, key: VerifierKey) -> None:
    click.echo(f"The receipt holds, by the log's key {key.name} (SHA-256 {fingerprint(key)}).")
    for title, lines in (("Verified", found.verified), ("Weaker", found.weaker), ("A receipt cannot show", found.unknown)):
        if lines:
            click.echo(f"\n{title}:")
        for line in lines:
            click.echo("  - " + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line))
