"""`counterseal person`: which sign-ins are one human, and who is let in again by the operator alone."""

from __future__ import annotations

import click

from webapp.config import Settings
from webapp.people import linking, lookup, readmission
from webapp.web.house import House, opened

ALONE = """\
NOBODY ELSE CONFIRMS THIS. Whoever signs in as {name} at the identity provider can then, once and within three days, set up a new
second step in place of all that {name} has. It is in the log, in the keeper’s log, and on {name}’s own page."""


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


@person.command("readmit")
@click.argument("one")
@click.option("--reason", required=True, help="Why: they, and whoever reads the log, read it. At least ten characters.")
@click.option("--yes", is_flag=True, help="Do not ask whether it is meant.")
def readmit(one: str, reason: str, yes: bool) -> None:
    """Let ONE set up a new second step in place of all that they have: where there are not two administrators who could say so on
    the page "Lost devices". Only an operator of the keeper can."""
    with opened(Settings()) as house:
        ids, names = _means(house, one)
        click.echo(f"{ALONE.format(name=names[0])}\n", err=True)
        if not yes:
            click.confirm("Is that meant?", abort=True, err=True)
        said = readmission.by_operator(house, ids[0], reason)
    click.echo(f"{names[0]} is signed out everywhere, and may set up a new second step until {said.until:%d %B %Y, %H:%M} UTC.")


def _means(house: House, *called: str) -> tuple[list[str], list[str]]:
    with house.database.read() as session:
        ids = [lookup.one(session, each) for each in called]
        known = lookup.names(session, ids)
    return ids, [known[each] for each in ids]
