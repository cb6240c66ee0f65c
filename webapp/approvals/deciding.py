"""What people do with an action: confirm or approve it, reject it, withdraw it, close an uncertain one.

A decision is a statement that the keeper signs over the envelope's bytes; what is written here only says where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from vault.door import Answer, Challenge
from vault.errors import FactorRefused, MatchRefused, MayNotDecide
from vault.evidence import Statement
from webapp import audit
from webapp.approvals import decisions, drift, kept_words, since, usage
from webapp.approvals.decoys import telling
from webapp.approvals.drift import Drift
from webapp.approvals.outcome import Recheck
from webapp.approvals.pace import looks
from webapp.approvals.part import code_counts
from webapp.approvals.reasons import OTHER
from webapp.approvals.rules import Resolution, may_reject, resolve
from webapp.approvals.seeing import Opened, open_for
from webapp.approvals.settling import remember
from webapp.approvals.tables import Action, Decision
from webapp.approvals.transitions import move, touch
from webapp.db.due import enqueue
from webapp.errors import BadInput, Conflict, Forbidden, said
from webapp.ids import new_id
from webapp.people import linking, suspension
from webapp.web.house import House
from webapp.web.viewer import Viewer

Close = Literal["ran", "did_not_run"]
NUMBER = re.compile(r"[0-9]{2}", re.ASCII)
"""What counts as a try at an agent's number (`vault.matching`)."""
CHANGED = "This action has changed since the page was shown. Look at it again before you decide."


def challenge(house: House, action_id: str, viewer: Viewer, *, shown: str, recheck: Recheck) -> Challenge:
    """A passkey challenge over the envelope that was shown (its digest is `shown`). Raises Conflict when that is not the one,
    MayNotDecide when this person has nothing to give."""
    opened = still(house, action_id, viewer, shown, recheck)
    viewer = opened.speaker(viewer, house.clock())
    verdict = opened.part(viewer.person, viewer.groups, viewer.same_as)
    if verdict not in ("confirm", "approve"):
        raise MayNotDecide
    return house.door.decision_challenge(
        proof=viewer.proof, envelope=opened.document.raw, verdict=verdict, delegations=viewer.named, idp=house.settings.people.idp
    )


def decide(
    house: House, action_id: str, viewer: Viewer, *, shown: str, answer: Answer, recheck: Recheck, typed: str = "",
    match: str = "",
) -> str:
    """Confirm or approve, whichever is this person's part; the state afterwards. `typed`: the detail that is asked for after
    several quick approvals; `match`: the number that their agent shows, where the rule asks for it: the third wrong one rejects.

    Raises BadInput when that is asked for and not what was typed, Conflict when anything changed since the page was shown,
    MayNotDecide, FactorRefused, MatchRefused.
    """
    opened = still(house, action_id, viewer, shown, recheck)
    viewer = opened.speaker(viewer, house.clock())
    verdict = opened.part(viewer.person, viewer.groups, viewer.same_as)
    if verdict not in ("confirm", "approve"):
        raise MayNotDecide
    if answer.assertion is None and not code_counts(opened.subject, verdict, viewer.groups):
        raise FactorRefused(hint="This decision asks for a passkey. An authenticator code does not count here.")
    asked = looks.require(house, viewer.person, opened, typed)
    try:
        statement = house.door.decide(
            proof=viewer.proof, envelope=opened.document.raw, verdict=verdict, answer=answer, delegations=viewer.named,
            match=match,
        )
    except MatchRefused:
        if NUMBER.fullmatch(match):
            house.database.write(lambda s: _missed(s, opened, viewer, house.clock()))
        raise
    return house.database.write(lambda s: _decided(s, house, opened, viewer, statement, asked=asked))


def _decided(session: Session, house: House, opened: Opened, viewer: Viewer, statement: Statement, *, asked: bool) -> str:
    """Somebody confirmed, and what the keeper signed may be a rejection: for the third wrong number."""
    if decisions.given_of(statement, opened.keys, opened.document.envelope).verdict == "reject":
        _missed(session, opened, viewer, house.clock())
    return record(session, house, opened, statement, asked=asked)


def _missed(session: Session, opened: Opened, viewer: Viewer, now: datetime) -> None:
    """That a number was wrong, not which. What was no number was no try."""
    audit.append(session, kind="action.number_missed", actor=f"person:{viewer.person}", subject=opened.action.id, at=now,
                 detail={"digest": opened.document.digest})


def reject(
    house: House, action_id: str, viewer: Viewer, *, shown: str, reason: str, code: str = OTHER,
    also: Callable[[Session, Opened], None] = lambda _session, _opened: None,
) -> str:
    """Say no, with a reason that the agent gets to read (`code`: the same for a program). Beats any approval until the action is
    executed. `also` is done in the same transaction, once it is rejected."""
    reason = reason.strip()
    if not reason or len(reason) > house.settings.approvals.reason_length:
        raise BadInput(said("Give a reason of at most %(most)s characters.", most=house.settings.approvals.reason_length))
    opened = open_for(house, action_id, viewer)
    _require_shown(opened, shown)
    viewer = opened.speaker(viewer, house.clock())
    if not may_reject(opened.document.requirement, opened.document.parties, viewer.person, viewer.groups):
        raise MayNotDecide
    statement = house.door.decide(
        proof=viewer.proof, envelope=opened.document.raw, verdict="reject", reason=reason, delegations=viewer.named
    )

    def work(session: Session) -> str:
        state = record(session, house, opened, statement)
        session.execute(update(Action).where(Action.id == action_id, Action.state == "rejected").values(reason_code=code))
        if state == "rejected":  # a decoy is nobody's call: nothing follows from it
            also(session, opened)
        return state

    return house.database.write(work)


def withdraw(house: House, action_id: str, viewer: Viewer) -> None:
    """The requester takes it back, before it runs."""
    opened = open_for(house, action_id, viewer)
    if not opened.document.parties.includes(viewer.person):
        raise Forbidden("Only whose agent asked, or whose account it is, can withdraw an action.")
    house.database.write(lambda s: move(
        s, _locked(s, action_id), "withdrawn", house.clock(), actor=f"person:{viewer.person}",
        reason="withdrawn by the person whose agent asked",
    ))


def close(house: House, action_id: str, viewer: Viewer, *, found: Close, note: str) -> None:
    """An uncertain action: a person has looked at the other side and says whether it ran."""
    note = note.strip()
    if len(note) > house.settings.approvals.reason_length:
        raise BadInput(said("Keep the note within %(most)s characters.", most=house.settings.approvals.reason_length))
    opened = open_for(house, action_id, viewer)
    if not (viewer.admin or opened.document.parties.includes(viewer.person)):
        raise Forbidden("Only its owner or an admin can close an uncertain action.")
    house.database.write(lambda s: _close(s, house, opened, viewer, found, note))


def drifted(house: House, opened: Opened, recheck: Recheck) -> Drift | None:
    """Compare a waiting action with what it depended on; void it, and say why, when that changed."""
    if opened.action.state not in ("held", "approved"):
        return None
    now = house.clock()
    with house.database.read() as session:
        found = compare(session, opened, recheck, now)
    if found is None:
        return None
    house.database.write(lambda s: void(s, _locked(s, opened.action.id), found, now))
    return found


def compare(session: Session, opened: Opened, recheck: Recheck, now: datetime) -> Drift | None:
    """What the envelope depended on, and the groups of those who gave their word for one."""
    return drift.of_deciders(session, opened.verified.statements, opened.document.envelope, now) or recheck(
        session, opened.document.envelope, now
    )


def void(session: Session, action: Action, why: Drift, now: datetime) -> str:
    """With what changed, which the page shows; the log has the names of what changed, and none of the texts."""
    return move(
        session, action, "void", now, actor="system", reason=why.why, values={"drift": why.document()},
        detail={"changed": [one.what[:200] for one in drift.bounded(why.changes)]} if why.changes else None,
    )


def void_to_recipients(session: Session, connection: str, now: datetime) -> int:
    """A tool that changes recipients ran on this account: whoever was shown may not be who is meant. How many were voided."""
    waiting = select(Action).where(
        Action.connection == connection, Action.state.in_(("held", "approved")), Action.recipient != ""
    ).order_by(Action.id).with_for_update()
    actions = session.scalars(waiting).all()
    for action in actions:
        void(session, action, Drift("the account's recipients were changed while it waited"), now)
    return len(actions)


def still(house: House, action_id: str, viewer: Viewer, shown: str, recheck: Recheck) -> Opened:
    """The action, if it is still what the page showed and still waits."""
    opened = open_for(house, action_id, viewer)
    _require_shown(opened, shown)
    found = drifted(house, opened, recheck)
    if found is not None:
        why = kept_words.reason(found.why)
        raise Conflict(said("What this action depended on has changed. It is void; nothing will run. %(why)s", why=why))
    if opened.resolution(house.clock()).state != "held":
        raise Conflict(CHANGED)
    since.require_same(opened, opened.speaker(viewer, house.clock()), shown, house.clock())
    return opened


def _require_shown(opened: Opened, shown: str) -> None:
    if since.digest_of(shown) != opened.document.digest:
        raise Conflict(CHANGED, detail=f"shown {shown[:64]!r}")


def _locked(session: Session, action_id: str) -> Action:
    """On PostgreSQL two deciders must see each other's statements: one waits for the other's commit here."""
    return session.scalars(select(Action).where(Action.id == action_id).with_for_update()).one()


def record(session: Session, house: House, opened: Opened, statement: Statement, *, asked: bool = False) -> str:
    """Store the statement and go where all of them lead. Raises Conflict when the action no longer waits for it. `asked`: a
    detail was asked for, and typed."""
    now = house.clock()
    action = _locked(session, opened.action.id)
    given = decisions.given_of(statement, opened.keys, opened.document.envelope)
    if suspension.among(session, [given.person, *given.same_as]):
        raise Forbidden(suspension.KEPT_OUT, code="suspended")
    waits = ("held", "approved") if given.verdict == "reject" else ("held",)
    if action.state not in waits or action.digest != opened.document.digest:
        raise Conflict(CHANGED, detail=action.id)
    entry = audit.append(
        session, kind="action.decided", actor=f"person:{given.person}", subject=action.id, at=now,
        detail={"digest": action.digest, "verdict": given.verdict, "factor": given.factor, "statement": statement.signature},
    )
    row = Decision(id=new_id("dec"), action=action.id, person=given.person, verdict=given.verdict, body=statement.body,
                   signature=statement.signature, entry=entry, at=now)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Conflict("You have decided this already.") from error
    if action.mark == "sealed" and not given.decoy:
        telling.tell(session, action, now, decoy=False)
    if given.verdict != "break_glass" and not given.decoy:  # an emergency says nothing about how somebody approves
        looks.decided(session, house.settings.approvals, action.id, given.person, given.verdict, asked=asked, now=now)
    return _advance(session, house, opened, action, now)


def _advance(session: Session, house: House, opened: Opened, action: Action, now: datetime) -> str:
    rows = decisions.stored(session, action.id)
    verified = decisions.verify(
        rows, expected_action=action.id, expected_digest=opened.document.digest, keys=opened.keys,
        envelope=opened.document.envelope, same=linking.others(session, decisions.persons(rows)),
    )
    subject = opened.document.subject(action.state, action.run_by, action.expires_at)
    resolution = resolve(subject, verified.given, now)
    if resolution.state == "approved" and action.state == "held":
        _approved(session, house, action, opened, resolution.runs_at)
    elif resolution.state == "rejected":
        _rejected(session, action, resolution, now)
    elif resolution.state == "withdrawn":
        telling.end(session, action, now)
    elif resolution.state == "expired":
        raise Conflict("This action lapsed before the decision arrived. Nothing will run.")
    else:
        touch(session, action.id, now)
    return resolution.state


def _approved(session: Session, house: House, action: Action, opened: Opened, runs_at: datetime | None) -> None:
    """It may run from `runs_at` on, None: at once; who picks it up has their time from then."""
    now = house.clock()
    begins = max(now, runs_at) if runs_at is not None else now
    run_by = min(opened.document.expires_at, begins + timedelta(seconds=house.settings.approvals.pick_up))
    values, (approved, runs) = {"decided_at": now, "run_by": run_by, "runs_at": runs_at}, (action.id, action.runs)
    move(session, action, "approved", now, actor="system", values=values)
    enqueue(session, "approvals.expire", approved, run_by)
    if runs == "approval":
        enqueue(session, "approvals.run", approved, begins)


def _rejected(session: Session, action: Action, resolution: Resolution, now: datetime) -> None:
    refusal = resolution.rejected_by
    assert refusal is not None
    move(session, action, "rejected", now, actor=f"person:{refusal.person}", reason=refusal.reason, values={"decided_at": now})


def _close(session: Session, house: House, opened: Opened, viewer: Viewer, found: Close, note: str) -> None:
    now = house.clock()
    action = _locked(session, opened.action.id)
    if action.state != "uncertain":
        raise Conflict(CHANGED)
    ran = found == "ran"
    words = f"{viewer.name} looked and found that it {'ran' if ran else 'did not run'}." + (f" {note}" if note else "")
    move(session, action, "done" if ran else "failed", now, actor=f"person:{viewer.person}", reason=words,
         detail={"found": found}, values={"closed_by": viewer.person, "closed_at": now})
    if ran:
        remember(session, action, opened.document, now)
    else:
        usage.release(session, action.id)

