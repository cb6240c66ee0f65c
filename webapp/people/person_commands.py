"""`counterseal person`: which sign-ins are one human."""

from __future__ import annotations

import click

from webapp.config import Settings
from webapp.people import linking, lookup
from webapp.web.house import House, opened


@click.group()
def person() -> None:
    """Persons who sign in here."""


@person.command("link")
@click.argument("one")
@click.argument("other")
def link(one: str, other: str) -> None:
    """ONE and OTHER are the same human: neither approves what the other asked for, and both together count once. Each is named by
    id, by the identity provider's name, or by e-mail address."""
    with opened(Settings()) as house:
        ids, names = _means(house, one, other)
        together = linking.link(house, *ids)
    click.echo(f"{' and '.join(names)} are one human from now on ({len(together)} sign-ins).")


@person.command("unlink")
@click.argument("one")
def unlink(one: str) -> None:
    """ONE is a human of their own again, for what is held from now on."""
    with opened(Settings()) as house:
        ids, names = _means(house, one)
        parted = linking.unlink(house, ids[0])
    was = f"was linked to {len(parted)} other{'s' if len(parted) > 1 else ''}" if parted else "was not linked"
    click.echo(f"{names[0]} {was}, and is a human of their own for what is held from now on.")


def _means(house: House, *called: str) -> tuple[list[str], list[str]]:
    with house.database.read() as session:
        ids = [lookup.one(session, each) for each in called]
        known = lookup.names(session, ids)
    return ids, [known[each] for each in ids]
