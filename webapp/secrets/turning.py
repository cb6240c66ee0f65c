"""What can be made anew on demand, by name: one way for the command, the page and whoever else asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from webapp import audit
from webapp.errors import Missing, Said, said
from webapp.rotating import KEYS, rotate
from webapp.web.control import ask
from webapp.web.house import House

SECRET_ID = "secret-id"  # noqa: S105 a name
UNSEAL = "unseal"
PATIENCE = 200.0
"""Seconds for the supervisor to start the vault anew, three times at most."""


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
    _note(house, "key.rotating", name, actor, {})
    until = house.door.rotate_secret_id()
    _note(house, "key.rotated", name, actor, {"old_until": until.isoformat()})
    return said("a new one is in use; the one before ends at %(when)s UTC.", when=f"{until:%Y-%m-%d %H:%M}")


def _unseal(house: House, name: str, actor: str) -> Said:
    """The supervisor's to do: it started the vault, and starts it anew."""
    _note(house, "key.rotating", name, actor, {})
    ask(house.settings.instance, PATIENCE, do=UNSEAL)
    _note(house, "key.rotated", name, actor, {})
    return said("the vault opens with a new key, and the one before is gone.")


def _note(house: House, kind: str, subject: str, actor: str, detail: Mapping[str, object]) -> None:
    now = house.clock()
    house.database.write(lambda s: audit.append(s, kind=kind, actor=actor, subject=subject, detail=detail, at=now))


WAYS: dict[str, Callable[[House, str, str], Said]] = {**dict.fromkeys(KEYS, _key), SECRET_ID: _secret_id, UNSEAL: _unseal}
