"""The set that decides: loaded once in each process, and the same in all of them, or nothing is decided."""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp import audit
from webapp.config import Settings
from webapp.policy.engine import DEFAULTS, PolicySet, load
from webapp.policy.errors import PolicyDiffers, PolicyRefused
from webapp.policy.tables import ONLY, ActivePolicy
from webapp.web.house import House

log = logging.getLogger("counterseal.policy")

DIFFERS = "This process holds another set of rules than the active one. It decides nothing until it is restarted or reloaded."
REFUSED = "The rules of this process do not load. Nothing is decided until an operator has run `counterseal policy check`."
NONE = "No set of rules was activated yet. Nothing is decided until one is."

ACTIVE = select(ActivePolicy.digest).where(ActivePolicy.id == ONLY)

_loaded: dict[str, PolicySet] = {}
_lock = threading.Lock()


def folders(settings: Settings) -> list[Path]:
    """The shipped defaults, and the operator's own over them."""
    return [DEFAULTS, settings.instance / "policies"]


def read(settings: Settings) -> PolicySet:
    """Load the set from its files. Raises PolicyRefused."""
    return load(folders(settings), settings.policy, within=settings.approvals.within)


def loaded(settings: Settings) -> PolicySet:
    """This process's set: read at first use and then kept, whatever happens to the files, until `reload`."""
    key = _key(settings)
    with _lock:
        if key not in _loaded:
            _loaded[key] = read(settings)
        return _loaded[key]


def reload(settings: Settings) -> PolicySet:
    """Read the files anew. Raises PolicyRefused, and then this process keeps the set it had."""
    fresh = read(settings)
    with _lock:
        _loaded[_key(settings)] = fresh
    return fresh


def current(house: House, session: Session | None = None) -> PolicySet:
    """The set to decide with. Raises PolicyDiffers (503) unless it is the one recorded as active. `session`: the caller's,
    where it has one open; one indexed read either way."""
    try:
        found = loaded(house.settings)
    except PolicyRefused as error:
        raise PolicyDiffers(REFUSED, detail=error.hint) from error
    if session is not None:
        check(session, found)
    else:
        with house.database.read() as own:
            check(own, found)
    return found


def check(session: Session, found: PolicySet) -> None:
    digest = session.connection().execute(ACTIVE).scalar_one_or_none()
    if digest != found.digest:
        raise PolicyDiffers(NONE if digest is None else DIFFERS, detail=f"active {digest}, here {found.digest}")


def activate(session: Session, found: PolicySet, actor: str, now: datetime) -> bool:
    """Record the set as the one that decides, with its entry, in the caller's transaction; whether that changed anything."""
    row = session.get(ActivePolicy, ONLY, with_for_update=True)
    before = row.digest if row else ""
    if before == found.digest:
        return False
    if row is None:
        session.add(ActivePolicy(id=ONLY, digest=found.digest, activated_at=now, activated_by=actor))
    else:
        row.digest, row.activated_at, row.activated_by = found.digest, now, actor
    audit.append(
        session, kind="policy.activated", actor=actor, subject=found.digest, at=now,
        detail={"before": before, "rules": [rule.id for rule in found.rules]},
    )
    session.flush()
    return True


def at_start(house: House, actor: str = "system") -> PolicySet:
    """What a starting process does: load, and record the set as active if none is. A set that differs from a recorded one is
    not activated by starting, else two machines would take turns; `counterseal policy activate` does that.

    Raises PolicyRefused."""
    found = loaded(house.settings)

    def first(session: Session) -> None:
        if session.get(ActivePolicy, ONLY) is None:
            activate(session, found, actor, house.clock())

    try:
        house.database.write(first)
    except IntegrityError:
        log.info("another process activated its set first")
    return found


def _key(settings: Settings) -> str:
    return "\n".join((
        str(settings.instance), settings.policy.model_dump_json(), str(settings.approvals.within),
    ))
