"""Deciding by signing in again at the identity provider: there and back. The keeper begins it over this very envelope and
verdict, redeems what comes back, and signs; here is which page it was begun on, in which session, and that it is used once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from vault.door import Answer, SignedAgain
from vault.errors import MayNotDecide
from webapp.approvals.deciding import record, still
from webapp.approvals.outcome import Recheck
from webapp.approvals.pace import looks
from webapp.approvals.seeing import Opened
from webapp.approvals.tables import StepUp
from webapp.db.count import changed
from webapp.errors import BadInput
from webapp.ids import new_id
from webapp.people.rules import fingerprint
from webapp.web.house import House
from webapp.web.viewer import Viewer

BACK = "/actions/sign-in-again/back"
KEPT = timedelta(days=1)
OVER = "This took too long, was used already, or was begun in another browser. Nothing was decided: open the action again."


@dataclass(frozen=True)
class Part:
    opened: Opened
    viewer: Viewer
    """With the groups that count on this action."""
    verdict: Literal["confirm", "approve"]


def begin(house: House, action_id: str, viewer: Viewer, *, shown: str, typed: str, recheck: Recheck) -> str:
    """Where to send the browser. Raises as `deciding.decide` does."""
    part = _part(house, action_id, viewer, shown, recheck)
    asked = looks.require(house, viewer.person, part.opened, typed)
    begun = house.door.step_up_begin(
        proof=viewer.proof, envelope=part.opened.document.raw, verdict=part.verdict, idp=house.settings.people.idp,
        redirect_uri=house.settings.public_url + BACK, delegations=part.viewer.named,
    )
    now = house.clock()
    row = StepUp(
        id=new_id("stp"), state=fingerprint(begun.state), session=viewer.session, person=viewer.person, action=action_id,
        page=shown, sealed=begun.sealed, asked=asked, created_at=now, spent_at=None,
        expires_at=now + timedelta(seconds=house.settings.people.attempt_lifetime),
    )

    def write(session: Session) -> None:
        session.execute(delete(StepUp).where(StepUp.expires_at < now - KEPT))
        session.add(row)

    house.database.write(write)
    return begun.url


def came(house: House, viewer: Viewer, state: str) -> StepUp:
    """What was begun in this session under this state, spent. Of two that come at once, one finds it. Raises BadInput."""
    now, hashed = house.clock(), fingerprint(state)

    def use(session: Session) -> StepUp | None:
        done = session.execute(update(StepUp).where(
            StepUp.state == hashed, StepUp.session == viewer.session, StepUp.person == viewer.person, StepUp.spent_at.is_(None),
            StepUp.expires_at > now,
        ).values(spent_at=now))
        return session.scalar(select(StepUp).where(StepUp.state == hashed)) if changed(done) == 1 else None

    found = house.database.write(use)
    if found is None:
        raise BadInput(OVER, code="step_up_over")
    return found


def decide(house: House, viewer: Viewer, begun: StepUp, again: SignedAgain, recheck: Recheck) -> str:
    """The action's state afterwards. Raises as `deciding.decide` does, and ProviderRefused, ProviderAway."""
    part = _part(house, begun.action, viewer, begun.page, recheck)
    statement = house.door.decide(
        proof=viewer.proof, envelope=part.opened.document.raw, verdict=part.verdict, delegations=part.viewer.named,
        answer=Answer(sealed=begun.sealed, again=again),
    )
    return house.database.write(lambda s: record(s, house, part.opened, statement, asked=begun.asked))


def _part(house: House, action_id: str, viewer: Viewer, shown: str, recheck: Recheck) -> Part:
    opened = still(house, action_id, viewer, shown, recheck)
    speaker = opened.speaker(viewer, house.clock())
    verdict = opened.part(speaker.person, speaker.groups, speaker.same_as)
    if verdict not in ("confirm", "approve"):
        raise MayNotDecide
    return Part(opened, speaker, verdict)
