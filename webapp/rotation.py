"""`counterseal rotate`: secrets anew; and how old each secret is, when it is replaced next, and by whom."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from vault.errors import KeeperError
from webapp.config import Settings
from webapp.errors import CountersealError
from webapp.rotating import CA, KEYS
from webapp.secrets.page import KINDS as GROUPS
from webapp.secrets.status import MOST, counts, status, table
from webapp.secrets.turning import ACCOUNTS, SECRET_ID, SPOOL, WAYS, accounts, turn
from webapp.supervisor.commands import instance_option
from webapp.web.house import House, opened


@click.command("rotate")
@click.argument("names", nargs=-1, type=click.Choice([*WAYS]), metavar=f"[{'|'.join(WAYS)}]...")
@click.option("--all", "every", is_flag=True, help="All that the keeper can replace, but `unseal` and `push`; and `accounts`.")
@click.option("--provider", default="", metavar="PROVIDER", help="Of `accounts`: those at this provider alone.")
@click.option("--status", "wanted", is_flag=True, help="Each secret's age, and when it is replaced next.")
@instance_option
def rotate_command(names: tuple[str, ...], every: bool, provider: str, wanted: bool, instance: Path) -> None:
    """Replace the keys in the vault that sign decisions and tickets (authority), sign the audit log (audit) and wrap the keys
    of stored documents (payload), the one that cookies and forms are signed with (app), the one that the keeper seals begun
    sign-ins and challenges with (keeper), what it tells decoys (marks), makes the numbers on agents' screens (match) and seals
    people's addresses with (channels), the key of its spool (spool), the authority for client certificates (ca), what the
    keeper logs in with (secret-id), what an instance's own OpenBao unseals itself with (unseal: it is away for some seconds),
    by what push services know this installation (push: every browser that is told by push has to be asked again), and the
    refresh tokens of connected accounts (accounts); or look how old the secrets are. What older keys signed and wrapped stays
    good. Needs the running keeper; the worker finishes what `payload` begins, and renews the accounts."""
    if bool(names) + every + wanted != 1:
        raise click.UsageError("Say which keys, or --all; or --status.")
    if provider and names != (ACCOUNTS,):
        raise click.UsageError("--provider goes with `accounts` alone.")
    os.environ["COUNTERSEAL_INSTANCE"] = str(instance.resolve())
    with opened(Settings()) as house:
        if wanted:
            click.echo(table(status(house), datetime.now(UTC)))
            for kind, count in counts(house).items():
                if count > MOST:
                    click.echo(f"{GROUPS[kind][1]}: the {MOST} oldest of {count}.")
        elif provider:
            click.echo(f"{ACCOUNTS}: {accounts(house, 'cli', provider)}")
        elif not rotated(house, all_of(house) if every else tuple(dict.fromkeys(names))):
            sys.exit(1)


def rotated(house: House, names: tuple[str, ...]) -> bool:
    """Each by itself: one that is refused keeps none of the others. Whether all were."""
    good = True
    for name in names:
        try:
            said = turn(house, name, "cli")
        except (KeeperError, CountersealError) as error:
            click.echo(f"{name}: {error.hint}", err=True)
            good = False
        else:
            click.echo(f"{name}: {said}")
    return good


def all_of(house: House) -> tuple[str, ...]:
    """What `--all` replaces. Raises the keeper's errors."""
    ages = house.door.ages()
    without = () if any(one.kind == CA and one.next is None for one in ages) else (CA,)
    own = (SECRET_ID,) if any(one.kind == SECRET_ID and one.next is not None for one in ages) else ()
    return (*(key for key in KEYS if key not in without), SPOOL, *own, ACCOUNTS)
