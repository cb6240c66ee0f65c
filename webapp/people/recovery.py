"""Recovery codes: made and shown once, spent to sign in and enrol a new factor. The keeper keeps their hashes; here are the
bounds on trying, the session that gets the ticket, and the log."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session as DbSession

from vault.errors import FactorRefused
from vault.secret import Secret
from webapp import audit
from webapp.errors import BadInput
from webapp.people import attempts, sessions
from webapp.web.house import House
from webapp.web.viewer import Viewer

FEW = 3
"""From so many on a person is told that few are left."""
LONGEST = 64


def read(text: str) -> Secret[str]:
    """A code as people type it. Raises BadInput; the keeper says whether it is one."""
    code = text.strip()
    if not code or len(code) > LONGEST:
        raise BadInput("Enter one of your recovery codes: twelve letters and digits.")
    return Secret(code)


def make(house: House, viewer: Viewer) -> tuple[Secret[str], ...]:
    """Ten new ones. It is in the log before those of before are void. Raises TooMany, FactorTooYoung."""
    house.database.write(lambda db: _log(db, house, viewer, "recovery.making", {}))
    codes = house.door.recovery_make(proof=viewer.proof)
    house.database.write(lambda db: _log(db, house, viewer, "recovery.made", {"codes": len(codes)}))
    return codes


def use(house: House, viewer: Viewer, code: Secret[str]) -> int:
    """Spend one in place of the second step; how many are left. From here on this session can enrol a factor, and nothing else.
    Raises FactorRefused, LimitReached, TooMany."""
    house.database.write(lambda db: attempts.spend(db, viewer.person, house.settings.people, house.clock()))
    try:
        done = house.door.recovery_use(proof=viewer.proof, code=code)
    except FactorRefused as error:
        detail = {"code": error.code, "kind": "recovery"}
        house.database.write(lambda db: _log(db, house, viewer, "second_step.failed", detail))
        raise

    def spent(db: DbSession) -> None:
        sessions.replace_ticket(db, viewer.session, done.ticket)
        attempts.clear(db, viewer.person)
        _log(db, house, viewer, "recovery.used", {"left": done.left})

    house.database.write(spent)
    return done.left


def _log(db: DbSession, house: House, viewer: Viewer, kind: str, detail: Mapping[str, object]) -> None:
    audit.append(db, kind=kind, actor=f"person:{viewer.person}", subject=viewer.session, detail=detail, at=house.clock())
