"""The second step and the factors of a person. The keeper keeps the factors and checks the answers; here are the bounds on
trying, the session that gets the new ticket, and the log.

What is about to change is in the log before the keeper is asked, what came of it before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session as DbSession

from vault.door import Answer, Checked, FactorKind
from vault.errors import FactorRefused, Stale
from vault.secret import Secret
from webapp import audit
from webapp.errors import Said, said
from webapp.people import attempts, factor_rows, sessions
from webapp.web.house import House
from webapp.web.languages import told
from webapp.web.viewer import Viewer

NAMES: Mapping[FactorKind, Said] = {"passkey": said("Passkey"), "totp": said("Authenticator app")}
NAME_LENGTH = 60


def factor_name(given: str, kind: FactorKind) -> str:
    """What the person calls this factor, on one line, or what it is in their language."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in given).split())
    return plain[:NAME_LENGTH].rstrip() or told(NAMES[kind])


def check(house: House, viewer: Viewer, answer: Answer) -> None:
    """The second step of signing in. Raises FactorRefused or Stale when the answer is not accepted, LimitReached when the
    person has to wait."""
    _spend(house, viewer)
    checked = _asked(house, viewer, lambda: house.door.check(proof=viewer.proof, answer=answer))
    house.database.write(lambda db: _passed(db, viewer, checked, "second_step.done", house.clock()))


def add_totp(house: House, viewer: Viewer, *, sealed: str, code: Secret[str], name: str) -> int:
    """Enrol an authenticator with its first code. Ends the person's other sessions; how many. Raises as `check` does."""
    name = factor_name(name, "totp")
    _spend(house, viewer)
    _announce(house, viewer, "factor.adding", {"kind": "totp", "name": name})
    checked = _asked(
        house, viewer, lambda: house.door.totp_finish(proof=viewer.proof, sealed=sealed, code=code, name=name)
    )
    return house.database.write(lambda db: _added(db, viewer, checked, house.clock()))


def add_passkey(house: House, viewer: Viewer, *, sealed: str, attestation: Mapping[str, Any], name: str) -> int:
    """Enrol a passkey. Ends the person's other sessions; how many. Raises FactorRefused or Stale when it does not verify."""
    name = factor_name(name, "passkey")
    _announce(house, viewer, "factor.adding", {"kind": "passkey", "name": name})
    checked = _asked(
        house, viewer,
        lambda: house.door.passkey_finish(proof=viewer.proof, sealed=sealed, attestation=attestation, name=name),
    )
    return house.database.write(lambda db: _added(db, viewer, checked, house.clock()))


def remove(house: House, viewer: Viewer, factor: str) -> int:
    """Remove one factor and end the person's other sessions; how many those were. The keeper refuses the last factor."""
    _announce(house, viewer, "factor.removing", {"factor": factor[:64]})
    house.door.factor_remove(proof=viewer.proof, factor=factor)

    def removed(db: DbSession) -> int:
        now = house.clock()
        factor_rows.forget(db, viewer.person, factor)
        _log(db, viewer, "factor.removed", {"factor": factor[:64]}, now)
        return sessions.end_others(db, person=viewer.person, keep=viewer.session, why="a factor was removed", now=now)

    return house.database.write(removed)


def _spend(house: House, viewer: Viewer) -> None:
    house.database.write(lambda db: attempts.spend(db, viewer.person, house.settings.people, house.clock()))


def _asked(house: House, viewer: Viewer, ask: Callable[[], Checked]) -> Checked:
    try:
        return ask()
    except (FactorRefused, Stale) as error:
        _announce(house, viewer, "second_step.failed", {"code": error.code})
        raise


def _announce(house: House, viewer: Viewer, kind: str, detail: Mapping[str, Any]) -> None:
    house.database.write(lambda db: _log(db, viewer, kind, detail, house.clock()))


def _passed(db: DbSession, viewer: Viewer, checked: Checked, kind: str, now: datetime) -> None:
    sessions.replace_ticket(db, viewer.session, checked.ticket)
    attempts.clear(db, viewer.person)
    factor_rows.note(db, viewer.person, checked.factor)
    _log(db, viewer, kind, {"factor": checked.factor.id, "kind": checked.factor.kind, "name": checked.factor.name}, now)


def _added(db: DbSession, viewer: Viewer, checked: Checked, now: datetime) -> int:
    _passed(db, viewer, checked, "factor.added", now)
    return sessions.end_others(db, person=viewer.person, keep=viewer.session, why="a factor was added", now=now)


def _log(db: DbSession, viewer: Viewer, kind: str, detail: Mapping[str, Any], now: datetime) -> None:
    audit.append(db, kind=kind, actor=f"person:{viewer.person}", subject=viewer.session, detail=detail, at=now)
