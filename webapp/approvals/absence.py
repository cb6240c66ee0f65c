"""What the page of an action says about people: whether enough are there, who is on it, whom to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy.orm import Session

from vault.evidence import others_from
from webapp.approvals import claims, extending, seen, shortage, suggesting
from webapp.approvals.seeing import Opened, may_pass_alone
from webapp.approvals.shortage import Shortage
from webapp.approvals.tables import Action, Claim
from webapp.errors import Unavailable
from webapp.people import lookup
from webapp.web.house import House
from webapp.web.viewer import Viewer

LOOKED = 3


@dataclass(frozen=True)
class Absence:
    """`suggested`: by group, who can decide, whom to ask first before the rest."""

    short: Shortage | None = None
    claim: Claim | None = None
    looked: Sequence[tuple[str, datetime]] = ()
    """Who else opened it, by name, and when: the latest first."""
    may_claim: bool = False
    may_pass_alone: bool = False
    """Break-glass."""
    extend_until: datetime | None = None
    """Until when this person may have it wait."""
    suggested: Mapping[str, Sequence[str]] | None = None
    steps: Mapping[str, Sequence[tuple[str, datetime]]] = field(default_factory=dict)
    """By group: which others may decide in its place, and from when, the earliest first."""


def of(house: House, opened: Opened, viewer: Viewer) -> Absence:
    """Nothing for an action that no longer waits. Whether somebody is missing is looked at afresh, and kept for the lists."""
    if opened.action.state != "held":
        return Absence()
    now = house.clock()
    with house.database.read() as session:
        found = _read(session, house, opened, viewer, now)
    found = replace(found, may_pass_alone=may_pass_alone(house, opened, viewer))
    if opened.action.short != (found.short.why if found.short is not None else ""):
        with suppress(Unavailable):  # what cannot be noted for the lists is said on the page all the same
            house.database.write(lambda s: _keep(s, opened.action.id, found.short, now))
    return found


def _read(session: Session, house: House, opened: Opened, viewer: Viewer, now: datetime) -> Absence:
    document, given = opened.document, opened.verified.given
    claim = claims.standing(session, opened.action.id, now)
    decided = claim is not None and any(one.person == claim.person for one in given)
    return Absence(
        short=shortage.of(session, document.requirement, document.parties, given, now, evaluation=house.settings.evaluation),
        looked=_looked(session, opened, viewer),
        claim=None if decided else claim, may_claim=claims.decides(opened, viewer, now),
        extend_until=extending.until(opened, viewer, now),
        steps=others_from(document.envelope),
        suggested=suggesting.names(session, opened, now, house.settings.policy, evaluation=house.settings.evaluation),
    )


def _keep(session: Session, action_id: str, found: Shortage | None, now: datetime) -> None:
    action = session.get(Action, action_id, with_for_update=True)
    if action is not None and action.state == "held":
        shortage.keep(session, action, found, now)


def _looked(session: Session, opened: Opened, viewer: Viewer) -> list[tuple[str, datetime]]:
    rows = [one for one in seen.first(session, opened.action.id) if one.opened_at is not None and one.person != viewer.person]
    latest = sorted(rows, key=lambda one: one.opened_at or opened.action.created_at, reverse=True)[:LOOKED]
    names = lookup.names(session, {one.person for one in latest})
    return [(names[one.person], one.opened_at) for one in latest if one.opened_at is not None]
