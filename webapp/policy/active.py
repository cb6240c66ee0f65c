"""The set that decides: loaded once in each process, and the same in all of them, or nothing is decided.

A process keeps its set whatever happens to the files, until another one is activated: then it reads its files once more, and
goes on if they are the activated set."""

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
from webapp.db.direct import Made, Where, direct
from webapp.policy.engine import DEFAULTS, PolicySet, load
from webapp.policy.errors import PolicyDiffers, PolicyRefused
from webapp.policy.tables import ONLY, ActivePolicy
from webapp.web.house import House

log = logging.getLogger("counterseal.policy")

Files = frozenset[tuple[str, int, int]]

DIFFERS = "This process holds another set of rules than the active one. It decides nothing until its files are the active ones."
REFUSED = "The rules of this process do not load. Nothing is decided until an operator has run `counterseal policy check`."
NONE = "No set of rules was activated yet. Nothing is decided until one is."

ACTIVE = Made(select(ActivePolicy.digest).where(ActivePolicy.id == ONLY))

_loaded: dict[str, PolicySet] = {}
_in_vain: dict[str, tuple[str, Files]] = {}
"""By process settings: the digest that was looked for last, and the files that did not have it."""
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


def current(house: House, session: Where | None = None) -> PolicySet:
    """The set to decide with: the one recorded as active. Raises PolicyDiffers (503) where this process neither holds it nor
    finds it in its files. `session`: the caller's, where it has one open; one indexed read either way."""
    try:
        found = loaded(house.settings)
    except PolicyRefused as error:
        raise PolicyDiffers(REFUSED, detail=error.hint) from error
    if session is not None:
        return agreed(session, house.settings, found)
    with house.database.look() as own:
        return agreed(own, house.settings, found)


def agreed(session: Where, settings: Settings, found: PolicySet) -> PolicySet:
    """`found` if it is the active set, or what the files hold by now if that is. Raises PolicyDiffers."""
    row = direct(session).row(ACTIVE)
    digest = row[0] if row is not None else None
    if digest == found.digest:
        return found
    renewed = None if digest is None else _renewed(settings, digest)
    if renewed is None:
        raise PolicyDiffers(NONE if digest is None else DIFFERS, detail=f"active {digest}, here {found.digest}")
    return renewed


def _renewed(settings: Settings, wanted: str) -> PolicySet | None:
    """The set with this digest, if the files hold it now. They are read once for each digest and each change of theirs: a
    process that differs is asked all the time."""
    key, looked_at = _key(settings), (wanted, _files(settings))
    if _in_vain.get(key) == looked_at:
        return None
    try:
        fresh = read(settings)
    except PolicyRefused as error:
        log.warning("another set of rules was activated, and the files here do not load: %s", error.hint)
        fresh = None
    if fresh is None or fresh.digest != wanted:
        _in_vain[key] = looked_at
        return None
    with _lock:
        _loaded[key] = fresh
    log.info("another set of rules was activated, and is in use here now: %s", wanted)
    return fresh


def _files(settings: Settings) -> Files:
    found = [file for folder in folders(settings) for file in sorted(folder.glob("*.cedar"))]
    return frozenset((str(file), stat.st_mtime_ns, stat.st_size) for file in found for stat in [file.stat()])


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
