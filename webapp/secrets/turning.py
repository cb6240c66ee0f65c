"""What can be made anew on demand, by name: one way for the command, the page and whoever else asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.audit.tables import Entry
from webapp.connections import idle
from webapp.db.due import Due, enqueue
from webapp.errors import Missing, Said, nsaid, said
from webapp.rotating import KEYS, PUSH, rotate
from webapp.web.control import ask
from webapp.web.house import House

SECRET_ID = "secret-id"  # noqa: S105 a name
UNSEAL = "unseal"
SPOOL = "spool"
ACCOUNTS = "accounts"
"""Refresh tokens of connected accounts."""
PATIENCE = 200.0
"""Seconds for the supervisor to start the vault anew, three times at most."""
FINISH = "secrets.finish"
"""Due row, by the secret's name: what was begun is said to be done, where it is."""
UNFINISHED, LATER = timedelta(minutes=6), timedelta(hours=1)
"""When whoever began has either finished or died; and when one that goes on at the vault's next start is looked at again."""
CLOCKS = timedelta(minutes=1)
"""By which the vault's clock may be behind. Nothing is replaced twice in that time."""


def turn(house: House, name: str, actor: str) -> Said:
    """Replace one secret, said in the log before it happens and after; what was done, in words. Raises Missing for a name that is
    none, the keeper's errors, LogStalled."""
    found = WAYS.get(name)
    if found is None:
        raise Missing(said("Nothing called %(name)s can be replaced from here.", name=name))
    return found(house, name, actor)


def _key(house: House, name: str, actor: str) -> Said:
    made = rotate(house, name, actor)
    return said("version %(version)s, used from %(when)s UTC.", version=made.version, when=f"{made.used_from:%Y-%m-%d %H:%M:%S}")


def _secret_id(house: House, name: str, actor: str) -> Said:
    _begun(house, name, actor)
    until = house.door.rotate_secret_id()
    _note(house, "key.rotated", name, actor, {"old_until": until.isoformat()})
    return said("a new one is in use; the one before ends at %(when)s UTC.", when=f"{until:%Y-%m-%d %H:%M}")


def _spool(house: House, name: str, actor: str) -> Said:
    _begun(house, name, actor)
    house.door.rotate_spool_key()
    _note(house, "key.rotated", name, actor, {})
    return said("this keeper’s volume has a new key; the one before opens what it sealed.")


def _push(house: House, name: str, actor: str) -> Said:
    made = rotate(house, name, actor)
    return said(
        "version %(version)s, used from %(when)s UTC. From then on every browser that is told by push has to be asked again.",
        version=made.version, when=f"{made.used_from:%Y-%m-%d %H:%M:%S}",
    )


def _unseal(house: House, name: str, actor: str) -> Said:
    """The supervisor's to do: it started the vault, and starts it anew."""
    _begun(house, name, actor)
    ask(house.settings.instance, PATIENCE, do=UNSEAL)
    _note(house, "key.rotated", name, actor, {})
    return said("the vault opens with a new key, and the one before is gone.")


def accounts(house: House, actor: str, provider: str = "") -> Said:
    """The refresh tokens of all accounts in use, or of those at one provider: written down with the log's entry, for the worker.
    Raises Missing where there is none at that provider."""
    now = house.clock()

    def work(session: Session) -> idle.Planned:
        planned = idle.all_(session, house.settings, provider, now)
        if provider and not planned.count:
            raise Missing(said("No account in use is connected at %(provider)s.", provider=provider))
        detail = {"accounts": planned.count, **({"provider": provider} if provider else {})}
        audit.append(session, kind="accounts.renewing", actor=actor, subject=ACCOUNTS, detail=detail, at=now)
        return planned

    planned = house.database.write(work)
    if not planned.count:
        return said("no account is in use.")
    return nsaid(
        "the worker renews %(num)s account, from now on.",
        "the worker renews %(num)s accounts, at most %(pace)s a minute at each provider, the last from %(when)s UTC on.",
        planned.count, pace=house.settings.rotation.renewals_per_minute, when=f"{planned.last:%Y-%m-%d %H:%M}",
    )


def _begun(house: House, name: str, actor: str) -> None:
    """Whoever dies from here on leaves a row that finishes it."""
    now = house.clock()

    def write(session: Session) -> None:
        audit.append(session, kind="key.rotating", actor=actor, subject=name, detail={}, at=now)
        enqueue(session, FINISH, name, now + UNFINISHED)

    house.database.write(write)


def finish(house: House, due: Due) -> datetime | None:
    """Say in the log that it was replaced, where whoever had it replaced died before that, or never heard that it was done.
    Nothing where it was not: it is as old as it was."""
    with house.database.read() as session:
        last = session.scalar(select(Entry).where(
            Entry.subject == due.key, Entry.kind.in_(("key.rotating", "key.rotated"))
        ).order_by(Entry.id.desc()).limit(1))
    if last is None or last.kind == "key.rotated":
        return None
    found = next((one for one in house.door.ages() if one.kind == due.key), None)
    if found is None or found.since < last.at - CLOCKS:
        return None
    if found.unfinished:
        return house.clock() + LATER
    _note(house, "key.rotated", due.key, "system", {})
    return None


def _note(house: House, kind: str, subject: str, actor: str, detail: Mapping[str, object]) -> None:
    now = house.clock()
    house.database.write(lambda s: audit.append(s, kind=kind, actor=actor, subject=subject, detail=detail, at=now))


WAYS: dict[str, Callable[[House, str, str], Said]] = {
    **dict.fromkeys(KEYS, _key), SPOOL: _spool, SECRET_ID: _secret_id, UNSEAL: _unseal, PUSH: _push,
    ACCOUNTS: lambda house, _name, actor: accounts(house, actor),
}
jobs: dict[str, Callable[[House, Due], datetime | None]] = {FINISH: finish}
