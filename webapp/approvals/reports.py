"""Reject and report: the action is rejected, and at once nothing more runs that this agent asks in this person's name.

Whoever may reject may report. Only the person whose agent it is, or an admin, resumes it, and says why. A pause is a row, and a
row only tightens: what a resumed agent asks is judged and decided as ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals import deciding
from webapp.approvals.pace.tables import Report
from webapp.approvals.reasons import PAUSED, Reason
from webapp.approvals.rules import WAITING
from webapp.approvals.seeing import Opened
from webapp.approvals.tables import Action
from webapp.approvals.transitions import QUEUE, move
from webapp.clients.tables import Client
from webapp.db.count import changed
from webapp.db.direct import Made, Where, direct
from webapp.errors import BadInput, Conflict, Forbidden, Missing, said
from webapp.ids import new_id
from webapp.web.house import House
from webapp.web.viewer import Viewer

PAGE = "/approvals/reports"
SHOWN = 50
OPEN = Made(
    select(Report.id, Report.clients, Report.known)
    .where(Report.person == bindparam("person"), Report.resumed_at.is_(None)).order_by(Report.id)
)


@dataclass(frozen=True)
class Stopped:
    """Why a call is not even judged. Falsy, as a denial is."""

    report: str
    address: str

    def __bool__(self) -> bool:
        return False

    @property
    def words(self) -> str:
        return (
            "This agent was reported, and its calls are paused. Nothing ran. Calling again does not help: the person whose agent "
            f"it is, or an administrator, has to look and resume it here: {self.address}"
        )


def holds(clients: Collection[str], known: bool, asking: Mapping[str, bool]) -> bool:
    """Pure: whether a report of `clients` stops a call that these programs make together (id: vouched for or not). Attack: the
    agent that was reported comes back under another name; so without a name that somebody vouched for, every such one stops."""
    return bool(set(clients) & asking.keys()) or (not known and not all(asking.values()))


def stopped(where: Where, public_url: str, person: str, asking: Mapping[str, bool]) -> Stopped | None:
    """The report that stops what these programs ask in this person's name now; None when there is none."""
    for report, clients, known in direct(where).rows(OPEN, {"person": person}):
        if holds(clients, known, asking):
            return Stopped(report, f"{public_url}{PAGE}")
    return None


def report(house: House, action_id: str, viewer: Viewer, *, shown: str, reason: Reason) -> str:
    """Reject this action and pause its agent, in one transaction; the report's id, empty where it was a decoy, which no agent
    asked for. Raises as `deciding.reject` does."""
    made: list[str] = []

    def pause(session: Session, opened: Opened) -> None:
        made.append(_pause(session, opened, viewer, reason, house.clock()))

    deciding.reject(house, action_id, viewer, shown=shown, reason=reason.words, code=reason.code, also=pause)
    return made[-1] if made else ""


def _pause(session: Session, opened: Opened, viewer: Viewer, reason: Reason, now: datetime) -> str:
    """The steps: 1. who asked, by the document; 2. the report; 3. what else of theirs waits is taken back: nobody should decide
    on it as if nothing had happened, and a pause may last."""
    document = opened.document
    person, agent = document.parties.principal, document.envelope["client"]
    asking = vouched(session, [agent["id"], *([] if document.enforced else [document.envelope["server"]["name"]])])
    known = all(asking.values())
    found = Report(
        id=new_id("rep"), action=opened.action.id, person=person, clients=sorted(asking), client_name=agent["name"][:120],
        known=known, reporter=viewer.person, reason=reason.words, reason_code=reason.code, withdrawn=0, created_at=now,
    )
    found.withdrawn = _take_back(session, found, now)
    session.add(found)
    audit.append(
        session, kind="agent.reported", actor=f"person:{viewer.person}", subject=found.id, at=now,
        detail={"action": found.action, "person": person, "clients": found.clients, "known": known, "reason": reason.code,
                "withdrawn": found.withdrawn},
    )
    session.info.setdefault("topics", set()).add(QUEUE)
    return found.id


def vouched(session: Session, clients: Sequence[str]) -> dict[str, bool]:
    """Who is known by more than its own word: vouched for, or registered by an admin."""
    rows = session.execute(select(Client.id, Client.kind, Client.verified).where(Client.id.in_(clients)))
    known = {client: verified or kind == "token" for client, kind, verified in rows}
    return {client: known.get(client, False) for client in clients}


def _take_back(session: Session, found: Report, now: datetime) -> int:
    """How many. One that somebody decides on at this very moment is left to the recheck before it runs: two reports at once would
    wait for each other."""
    waiting = select(Action).where(Action.person == found.person, Action.state.in_(WAITING)).order_by(Action.id)
    count = 0
    for action in session.scalars(waiting.with_for_update(skip_locked=True)).all():
        pair = [action.client, *([action.server] if "reported" in action.flags else [])]
        if holds(found.clients, found.known, vouched(session, pair)):
            move(session, action, "withdrawn", now, actor=f"person:{found.reporter}", values={"reason_code": PAUSED},
                 reason="its agent was reported, and its calls are paused.", detail={"report": found.id})
            count += 1
    return count


def resume(house: House, report_id: str, viewer: Viewer, *, note: str) -> None:
    """Let the agent ask again. Raises Missing, Forbidden for who only reported it, BadInput without a reason, Conflict when it
    was resumed already."""
    note, limit = note.strip(), house.settings.approvals.reason_length
    if not note or len(note) > limit:
        raise BadInput(said("Say why it may go on, in at most %(most)s characters.", most=limit))

    def work(session: Session) -> None:
        found, now = _find(session, report_id, viewer), house.clock()
        if not (viewer.admin or viewer.person == found.person):
            raise Forbidden("Only the person whose agent it is, or an administrator, can resume it.")
        done = session.execute(
            update(Report).where(Report.id == report_id, Report.resumed_at.is_(None))
            .values(resumed_at=now, resumed_by=viewer.person, note=note), execution_options={"synchronize_session": False},
        )
        if changed(done) != 1:
            raise Conflict("Somebody has resumed it already.")
        audit.append(session, kind="agent.resumed", actor=f"person:{viewer.person}", subject=report_id, at=now,
                     detail={"person": found.person, "clients": found.clients, "reason": note})
        session.info.setdefault("topics", set()).add(QUEUE)

    house.database.write(work)


def _find(session: Session, report_id: str, viewer: Viewer) -> Report:
    """Raises Missing for what is not there and for what is not theirs to see: both look alike."""
    found = session.get(Report, report_id)
    if found is None or not (viewer.admin or viewer.person in (found.person, found.reporter)):
        raise Missing("There is no such report, or it is not yours to see.")
    return found


def seen_by(session: Session, viewer: Viewer, *, only_open: bool = False) -> Sequence[Report]:
    """Their own agents', those they made, and for an admin all; the open ones first, then the newest."""
    found = select(Report).order_by(Report.resumed_at.is_not(None), Report.id.desc()).limit(SHOWN)
    if not viewer.admin:
        found = found.where(or_(Report.person == viewer.person, Report.reporter == viewer.person))
    return session.scalars(found.where(Report.resumed_at.is_(None)) if only_open else found).all()


def to_resume(session: Session, viewer: Viewer) -> Sequence[Report]:
    """Open reports that this person may resume: shown to them until somebody does."""
    return [one for one in seen_by(session, viewer, only_open=True) if viewer.admin or one.person == viewer.person]
