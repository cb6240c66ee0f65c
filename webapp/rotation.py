"""`counterseal rotate`: the keeper's keys anew; and how old each secret is, when it is replaced next, and by whom."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.door import Age
from vault.errors import KeeperError
from vault.providers.catalogue import Catalogue, load
from webapp.clients.tables import Certificate, Client, ClientKey
from webapp.composition import make_house
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.errors import CountersealError
from webapp.rotating import KEYS
from webapp.secrets.turning import SECRET_ID, WAYS, turn
from webapp.supervisor.commands import instance_option
from webapp.web.house import House

AT_USE = "by itself, at the next use after its access token ended"
BY_HAND = "by hand"
AT_ONCE = 200
"""Accounts that the keeper is asked about in one request."""
CONNECTED = select(Connection).where(Connection.status != "disconnected").order_by(Connection.id)
OF_KEEPER = {
    "key": ("Vault key", "by the worker, or counterseal rotate"),
    "provider": ("Client secret at provider", BY_HAND),
    "idp": ("Client secret at identity provider", BY_HAND),
    "secret-id": ("AppRole secret-id of", ""),
    "own-secret-id": ("AppRole secret-id of", ""),
}


@dataclass(frozen=True)
class Row:
    """One secret. `next` is a time where there is one, else `how` alone says it."""

    what: str
    since: datetime
    how: str
    next: datetime | None = None

    @property
    def when(self) -> str:
        return f"{self.next:%Y-%m-%d %H:%M} UTC, {self.how}" if self.next is not None else self.how


def rows(
    ages: Iterable[Age], renewed: Mapping[str, datetime], session: Session, catalogue: Catalogue, now: datetime, keys_days: int
) -> list[Row]:
    """All of them, the oldest first. `renewed`: when accounts were, by connection. `keys_days`: how old a key of the vault
    gets."""
    of_keeper = [
        Row(f"{OF_KEEPER[one.kind][0]} {one.name}", one.since, one.how or OF_KEEPER[one.kind][1],
            one.since + timedelta(days=keys_days) if one.kind == "key" else one.next) for one in ages
    ]
    found = [*of_keeper, *_accounts(session, renewed, catalogue), *_clients(session, now)]
    return sorted(found, key=lambda row: (row.since, row.what))


def _accounts(session: Session, renewed: Mapping[str, datetime], catalogue: Catalogue) -> Iterator[Row]:
    """Tokens of accounts, since the last renewal or else the consent; and API keys."""
    for one in session.scalars(CONNECTED):
        facts = catalogue.get(one.provider)
        if facts is None or facts.kind != "key":
            yield Row(f"Account {one.id} at {one.provider}", renewed.get(one.id, one.connected_at), AT_USE)
            continue
        due = one.connected_at + timedelta(days=facts.rotate_days)
        due = min(due, one.key_until) if one.key_until is not None else due
        yield Row(f"API key {one.id} at {one.provider}", one.connected_at, "by its person, who is reminded", due)


def _clients(session: Session, now: datetime) -> Iterator[Row]:
    live = select(Certificate).where(Certificate.revoked_at.is_(None), Certificate.not_after > now).order_by(Certificate.serial)
    for one in session.scalars(live):
        yield Row(f"Certificate {one.serial} of {one.client}", one.issued_at, "by its client, before it ends", one.not_after)
    keys = select(ClientKey).join(Client, Client.id == ClientKey.client)
    for key in session.scalars(keys.where(ClientKey.ended_at.is_(None), Client.status != "revoked").order_by(ClientKey.id)):
        yield Row(f"Key {key.id} of {key.client}", key.added_at, f"{BY_HAND}: counterseal client add-key, then end-key")


def table(found: list[Row], now: datetime) -> str:
    lines = [(row.what, age(now - row.since), row.when) for row in found]
    widths = [max(len(line[column]) for line in [("secret", "age", ""), *lines]) for column in (0, 1)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c}" for a, b, c in [("secret", "age", "next"), *lines])


def age(since: timedelta) -> str:
    if since < timedelta(hours=1):
        return f"{max(0, int(since.total_seconds() // 60))} min"
    return f"{int(since.total_seconds() // 3600)} h" if since < timedelta(days=2) else f"{since.days} days"


def status(house: House) -> list[Row]:
    """Raises the keeper's errors, Unavailable."""
    ages, catalogue = house.door.ages(), load(house.settings.instance, local=house.settings.evaluation)
    with house.database.read() as session:
        ids = [one.id for one in session.scalars(CONNECTED)]
    renewed: dict[str, datetime] = {}
    for start in range(0, len(ids), AT_ONCE):
        found = house.door.connections(ids[start:start + AT_ONCE])
        renewed |= {name: one.renewed_at for name, one in found.items() if one.renewed_at is not None}
    with house.database.read() as session:
        return rows(ages, renewed, session, catalogue, house.clock(), house.settings.rotation.keys_days)


@click.command("rotate")
@click.argument("names", nargs=-1, type=click.Choice([*WAYS]), metavar="[authority|audit|payload|app|secret-id]...")
@click.option("--all", "every", is_flag=True, help="The four keys, and the keeper's secret-id where it is its own to replace.")
@click.option("--status", "wanted", is_flag=True, help="Each secret's age, and when it is replaced next.")
@instance_option
def rotate_command(names: tuple[str, ...], every: bool, wanted: bool, instance: Path) -> None:
    """Replace the keys in the vault that sign decisions and tickets (authority), sign the audit log (audit) and wrap the keys of
    stored documents (payload), the one that cookies and forms are signed with (app), and what the keeper logs in with
    (secret-id); or look how old the secrets are. What older keys signed and wrapped stays good. Needs the running keeper; the
    worker finishes what `payload` begins."""
    if bool(names) + every + wanted != 1:
        raise click.UsageError("Say which keys, or --all; or --status.")
    os.environ["COUNTERSEAL_INSTANCE"] = str(instance.resolve())
    house = make_house(Settings())
    try:
        if wanted:
            click.echo(table(status(house), datetime.now(UTC)))
        elif not rotated(house, all_of(house) if every else tuple(dict.fromkeys(names))):
            sys.exit(1)
    finally:
        house.database.close()
        house.door.close()


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
    own = any(one.kind == SECRET_ID and one.next is not None for one in house.door.ages())
    return (*KEYS, SECRET_ID) if own else KEYS
