"""Running what was approved: once, on verified statements, after the log covers them.

The steps of `run`, in this order:
1. the action is approved, its document verifies, the time in which it can be stopped is over, and its statements satisfy the
   requirement;
2. the vault is ready, that time is over by the keeper's own clock too, and a signed checkpoint covers the decisions: until then
   nothing has begun and nothing is lost;
3. in one transaction: everything it depended on is compared again, approved -> executing by conditional UPDATE, the caps are
   committed, the lease is planned, "about to run" is in the log. From here on it runs at most once;
4. the keeper verifies the statements itself, spends the approval, and mints where the call uses an account;
5. the executor sends it, once, while the heartbeat says that somebody is at it;
6. in one transaction: the outcome, sealed, its state, the lease's end, the entry. Then the answer may leave.

If the process dies between 3 and 6, the heartbeat falls silent and the sweep calls it uncertain. Nothing is ever sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault import evidence
from vault.door import Evidence, Minted
from vault.errors import KeeperAway, KeeperError, VaultAway, VaultSealed
from vault.secret import Secret
from webapp import audit
from webapp.approvals import decisions, usage
from webapp.approvals.deciding import compare, void
from webapp.approvals.drift import Drift
from webapp.approvals.heartbeat import Heartbeat
from webapp.approvals.outcome import Executor, Outcome, Recheck, Upstream, nobody_came
from webapp.approvals.payloads import Sealer, sealer
from webapp.approvals.seeing import Opened, open_
from webapp.approvals.settling import Ended, settle
from webapp.approvals.tables import Action
from webapp.approvals.transitions import NOTHING_RAN, move, touch
from webapp.approvals.waiting import snapshot
from webapp.audit.tables import Entry
from webapp.broker import leases
from webapp.broker.tables import Lease
from webapp.connections.tables import Connection
from webapp.db.due import enqueue
from webapp.errors import Conflict
from webapp.ids import new_id
from webapp.people import suspension
from webapp.web.house import House

COVER = 5.0
"""Seconds to wait for the checkpoint that covers the decisions."""


class NotYet(Conflict):
    """Approved, and it can still be stopped: nothing runs before `at`."""

    default = "not_yet"

    def __init__(self, at: datetime) -> None:
        super().__init__("This can still be stopped. It runs after that.", detail=f"not before {at.isoformat()}")
        self.at = at


OVER = ("action.executing", *(f"action.{state}" for state in NOTHING_RAN))
"""Entries after which an action never runs."""


@dataclass(frozen=True)
class Started:
    """This process has it: `fence` says so in every later write."""

    opened: Opened
    fence: str
    lease: Lease | None
    sealer: Sealer


def run(house: House, action_id: str, executor: Executor, recheck: Recheck) -> Outcome:
    """Run an approved action once and return its outcome; an action that is void by now says so in its outcome.

    Raises Conflict when it is not approved (or another was first), or is not ours to send, NotYet while it can be
    stopped; LogStalled, VaultSealed, VaultAway and KeeperAway when it cannot begin (it stays approved), Tampered.
    """
    started = begin(house, action_id, recheck, enforced=True)
    if started is not None:
        _execute(house, started, executor)
    return _outcome(house, action_id)


def begin(house: House, action_id: str, recheck: Recheck, *, enforced: bool) -> Started | None:
    """Steps 1 to 3: from here on it runs at most once, by whoever called this. None when it is void or expired by now.
    `enforced`: whether the call is sent from here, or a token client that reported it gets the token. Raises as `run` does."""
    opened = _approved(house, action_id)
    if opened.document.enforced is not enforced:
        raise Conflict("This action is run in another way.", detail=action_id)
    runs_at = opened.resolution(house.clock()).runs_at
    if runs_at is not None and house.clock() < runs_at:
        raise _not_yet(house, opened, runs_at)
    why = _unmet(house, opened)
    if why is not None:
        house.database.write(lambda s: void(s, _reread(s, opened), Drift(why), house.clock()))
        return None
    _ready(house, opened, runs_at)
    audit.covered(house, list(opened.verified.entries), COVER)
    key = sealer(house)
    started = house.database.write(lambda s: _start(s, house, opened, key, recheck))
    return None if isinstance(started, str) else started


def delivered(session: Session, action_id: str, now: datetime) -> None:
    """The outcome was written whole to the agent, or its task's result was fetched: the next identical call is a new one."""
    action = session.get(Action, action_id)
    if action is None or action.ended_at is None or action.delivered_at is not None:
        return
    touch(session, action_id, now, delivered_at=now)
    audit.append(session, kind="action.delivered", actor=f"client:{action.client}", subject=action_id, at=now,
                 detail={"digest": action.digest, "state": action.state})


def _approved(house: House, action_id: str) -> Opened:
    opened = open_(house, action_id)
    if opened.action.state != "approved":
        raise Conflict("This action is not waiting to be run.", detail=f"{action_id} is {opened.action.state}")
    return opened


def _unmet(house: House, opened: Opened) -> str | None:
    """Why the statements do not carry it. The state in the database alone approves nothing."""
    now = house.clock()
    resolution = opened.resolution(now)
    if resolution.state == "expired":
        return None
    verdict = evidence.satisfied(
        opened.document.requirement, opened.verified.statements, opened.document.raw, keys=opened.keys, now=now,
        groups_now=None, same_now={one.person: one.same_as for one in opened.verified.given},
    )
    if resolution.state != "approved" or isinstance(verdict, evidence.Unmet):
        return "its decisions do not verify"
    return None


def _ready(house: House, opened: Opened, runs_at: datetime | None) -> None:
    """Ask before anything begins: an approval outlives a sealed vault, and a keeper whose clock is behind ours would
    refuse what runs too early once it is too late to wait."""
    status = house.door.status()
    if status.keeper != "ready":
        raise KeeperAway
    if status.vault != "ready":
        raise VaultSealed if status.vault == "sealed" else VaultAway
    if runs_at is not None and status.now is not None and status.now < runs_at:
        raise _not_yet(house, opened, house.clock() + (runs_at - status.now))


def _not_yet(house: House, opened: Opened, at: datetime) -> NotYet:
    """Whoever waits looks at the row: it must not say an earlier time, or they would ask again and again."""
    if opened.action.runs_at is None or opened.action.runs_at < at:
        house.database.write(lambda s: touch(s, opened.action.id, house.clock(), runs_at=at))
    return NotYet(at)


def _reread(session: Session, opened: Opened) -> Action:
    """The row as it was opened, or Conflict: what is written next rests on what was read then."""
    action = session.get(Action, opened.action.id, with_for_update=True)
    if action is None or action.state != opened.action.state or action.digest != opened.document.digest:
        raise Conflict("This action has changed while it was about to run.")
    return action


def _start(session: Session, house: House, opened: Opened, key: Sealer, recheck: Recheck) -> Started | str:
    """Step 3. Why it does not run (then it is void or expired, and written so), or what was started."""
    now, settings = house.clock(), house.settings.approvals
    usage.one_at_a_time(session, opened.document.parties.principal)  # before the row, as everybody who locks both
    action = _reread(session, opened)
    audit.require_flowing(session, now, settings.log_stalled)
    if now >= min(action.run_by or opened.document.expires_at, _lapses(opened, settings.pick_up)):
        return move(session, action, "expired", now, actor="system", reason=nobody_came(action))
    account = _account(session, opened)
    why = _refused(session, opened) or (account if isinstance(account, str) else None)
    drift = Drift(why) if why is not None else compare(session, opened, recheck, now)
    if drift is not None or isinstance(account, str):
        return void(session, action, drift or Drift(""), now)
    fence = new_id("run")
    lease = _plan(session, house, opened, account, now) if account else None
    usage.commit(session, action.id, now)
    move(
        session, action, "executing", now, actor="system",
        detail={"run": fence, "statements": list(opened.verified.entries), "lease": lease.id if lease else None},
        values={"run": fence, "started_at": now, "heartbeat_at": now, "lease": lease.id if lease else None},
    )
    enqueue(session, "approvals.sweep", action.id, now + timedelta(seconds=settings.silence))
    return Started(opened, fence, lease, key)


def _lapses(opened: Opened, pick_up: int) -> datetime:
    """By the envelope, and by the last of the signed statements. Attack: `run_by` moved in the database, to use an approval long
    after everyone saw it lapse. One on which nobody gave a word never ran in time."""
    if not opened.verified.given:
        return opened.document.asked_at
    last = evidence.undo_over(opened.document.undo, max(one.at for one in opened.verified.given))
    return min(opened.document.expires_at, last + timedelta(seconds=pick_up) + evidence.SKEW)


def _refused(session: Session, opened: Opened) -> str | None:
    """A rejection that came since, or the suspension of somebody whose word carries it; and what the log knows of. Attack: the
    state of a call that ran, lapsed or was taken back is set to approved in the database, and its decisions still verify."""
    if any(row.verdict == "reject" for row in decisions.stored(session, opened.action.id)):
        return "it was rejected"
    if suspension.among(session, {who for one in opened.verified.given for who in (one.person, *one.same_as)}):
        return "somebody who decided on it is suspended"
    before = select(Entry.kind).where(Entry.subject == opened.action.id, Entry.kind.in_(OVER)).limit(1)
    found = session.scalar(before)
    return None if found is None else "it was run before" if found == "action.executing" else "it had ended before"


def _account(session: Session, opened: Opened) -> Connection | str | None:
    """The very account that was shown: its owner, and the account at the provider. Or why not; None where there is none."""
    shown = opened.document.envelope["connection"]
    if shown is None:
        return None
    found = session.get(Connection, shown["id"])
    if found is None or (found.person, found.provider, found.account) != (shown["owner"], shown["provider"], shown["account"]):
        return "the connected account is no longer the one that was shown"
    return found


def _plan(session: Session, house: House, opened: Opened, account: Connection, now: datetime) -> Lease:
    envelope = opened.document.envelope
    actors: Sequence[str] = envelope["facts"].get("actors") or ()
    return leases.plan(
        session, connection=account, scopes=envelope["scopes"], person=account.person,
        client=actors[0] if actors else envelope["client"]["id"], grant=envelope["client"]["grant"],
        server=envelope["server"]["name"], tool=envelope["tool"]["name"], action=opened.action.id, exclusive=True,
        cap=house.settings.broker.cap, now=now, consent=envelope["facts"].get("consent", ""), actors=actors,
    )


def _execute(house: House, started: Started, executor: Executor) -> None:
    """Steps 4 to 6. Whatever is raised after the call may have been sent leaves the action uncertain, and is raised."""
    ended = Ended("uncertain", Upstream("unknown", error="the program that ran it failed before it had an answer."))
    with Heartbeat(house, started.opened.action.id, started.fence):
        try:
            ended = _send(house, started, executor)
        finally:
            house.database.write(lambda s: settle(s, house, started.opened, started.fence, started.lease, started.sealer, ended))


def _send(house: House, started: Started, executor: Executor) -> Ended:
    try:
        token = _mint(house, started)
    except KeeperError as error:
        return Ended("failed", Upstream("refused", error=f"no access was given for it: {error.hint}"))
    answer = executor(started.opened.document.envelope, token, started.opened.action.id)
    return Ended.of(answer)


def _mint(house: House, started: Started) -> Secret[str] | None:
    """The keeper's own look at the decisions, whether a token comes of it or not."""
    document = started.opened.document
    decided = Evidence(document.raw, started.opened.verified.statements)
    if started.lease is None:
        house.door.spend(receiver=document.envelope["server"]["name"], evidence=decided)
        return None
    minted: Minted = leases.mint(house, started.lease, decided)
    return minted.token


def _outcome(house: House, action_id: str) -> Outcome:
    found = snapshot(house, action_id)
    return found.outcome or Outcome(action_id, found.state, error=found.status_message)


