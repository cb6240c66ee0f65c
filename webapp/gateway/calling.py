"""`tools/call`, step by step: pin, arguments, facts, account, policy, and then allowed, denied or held.

Two writes for an allowed call: what is about to happen, before it happens; what happened, before the answer leaves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.orm import Session

from vault.errors import Disconnected, KeeperError, NeedsConsent, Paused
from vault.secret import Secret
from webapp import audit
from webapp.approvals import reports, usage
from webapp.approvals.deciding import void_to_recipients
from webapp.approvals.holding import Held
from webapp.approvals.judged import keeping
from webapp.approvals.reasons import PAUSED
from webapp.approvals.same_call import CallKey, Existing, held_before, same
from webapp.approvals.usage import Used
from webapp.broker import leases
from webapp.broker.tables import Lease
from webapp.canonical import canonical
from webapp.connections.lookup import NoConnection
from webapp.db.direct import Where, session_of
from webapp.errors import BadInput, CountersealError
from webapp.gateway import holding, lacking, mirrored, tainting
from webapp.gateway.eras import Ask, complete
from webapp.gateway.executing import error_result
from webapp.gateway.judging import Case, Who, groups, judged, open_case
from webapp.gateway.negotiation import Target
from webapp.gateway.origins import LARGEST, Noted
from webapp.gateway.outcomes import REASON
from webapp.gateway.request_state import Bound, State
from webapp.gateway.room import Room
from webapp.gateway.upstream import Outcome, ToolCall
from webapp.gateway.wire import INVALID_PARAMS, Json, Result, RpcError, Step, dump
from webapp.ids import new_id
from webapp.policy import active
from webapp.policy.calls import Call, Deny, Hold
from webapp.policy.engine import PolicySet
from webapp.registry.pins import ToolRefused, pinned

UNKNOWN: Final = (
    "The call was sent and no whole answer came: it may have run. It is not sent again by itself. Find out before calling again."
)


@dataclass(frozen=True)
class Allowed:
    """Written down; nothing has happened yet. `id` is also the idempotency key the server gets."""

    id: str
    lease: Lease | None


def call(room: Room, ask: Ask) -> Step:
    """Answer one `tools/call`. Raises RpcError for what the client got wrong, errors of the house for what is out of service."""
    tool, state = ask.required("name"), _state(room, ask)
    try:
        case, existing = _prepare(room, ask, tool)
    except ToolRefused as error:
        _refused(room, ask, tool, error.code)
        raise RpcError(INVALID_PARAMS, error.hint, data={"code": error.code}) from error
    except NoConnection as error:
        if state.round == 0:  # the later legs wait for the same account
            _refused(room, ask, tool, error.code)
        yield from lacking.answer(
            room, ask, error, state, bound(ask), lambda: _served(room, ask, tool), lambda: call(room, ask)
        )
        return
    except BadInput as error:
        _refused(room, ask, tool, error.code)
        yield _error(ask, error.hint)
        return
    if state.action:
        yield from holding.resume(room, ask, state, bound(ask))
    elif existing is not None:
        yield from holding.join(room, ask, existing, bound(ask))
    else:
        yield from _decide(room, ask, case, state)


def bound(ask: Ask) -> Bound:
    """What a `requestState` of this call is bound to. The parameters that the protocol itself changes from leg to leg are out."""
    salient = {"name": ask.message.params.get("name"), "arguments": ask.object("arguments")}
    digest = hashlib.sha256(canonical(salient)).hexdigest()
    return Bound(ask.caller.person, ask.caller.grant, ask.server, ask.message.method, digest)


def _state(room: Room, ask: Ask) -> State:
    text = ask.text("requestState") if ask.era == "modern" else None
    return State() if text is None else room.states.open(text, bound(ask), room.house.clock())


def _prepare(room: Room, ask: Ask, tool: str) -> tuple[Case, Existing | None]:
    """All reads as of one moment."""
    settings, caller, arguments = room.house.settings, ask.caller, ask.object("arguments")
    with room.house.database.look() as session:
        pin = pinned(session, ask.server, tool)
        if ask.era == "modern":
            mirrored.check_params(mirrored.params(pin.input_schema), arguments, ask.headers)
        who = Who(
            caller.person, groups(session, caller.person), caller.client, caller.client_verified, caller.grant, caller.mtls
        )
        case = open_case(session, settings.policy, who, pin, arguments)
        key = CallKey(caller.person, caller.grant, pin.server, pin.tool, case.digest)
        known = held_before(session, key)
    return case, _existing(room, key) if known else None


def _existing(room: Room, key: CallKey) -> Existing | None:
    with room.house.database.read() as session:
        return same(session, key, room.house.clock(), room.house.settings.approvals)


def _served(room: Room, ask: Ask, tool: str) -> bool:
    """Whether an account is there for it now. Whatever else is wrong with the call is said when it is asked again."""
    try:
        _prepare(room, ask, tool)
    except NoConnection:
        return False
    except CountersealError:
        return True
    return True


def _decide(room: Room, ask: Ask, case: Case, state: State) -> Step:
    admitted = room.house.database.commit(lambda s: _admit(s, room, ask, case))
    if isinstance(admitted, Hold):
        store = holding.storing(room, ask, case)
        admitted = room.house.database.write(lambda s: _admit_held(s, room, ask, case, store))
    if isinstance(admitted, reports.Stopped):
        yield Result(complete(ask, {**error_result(admitted.words), "_meta": {REASON: PAUSED}}))
    elif isinstance(admitted, Deny):
        yield _error(ask, f"Policy refused this call: {admitted.reason}")
    elif isinstance(admitted, Allowed):
        yield _run(room, ask, case, admitted, state)
    elif isinstance(admitted, Held):
        yield from holding.held(room, ask, admitted, bound(ask), state.round)


Admitted = Allowed | Deny | reports.Stopped | Hold | Held
Store = Callable[[Session, Hold, Used], Held]


def _admit_held(session: Session, room: Room, ask: Ask, case: Case, store: Store) -> Admitted:
    """What policy holds is judged once more in the transaction that stores it, so that it counts from the moment in which it was
    judged: a hundred calls at once do not each find the place below a cap that is there for one. The same call, asked meanwhile
    by another request, is found and not judged."""
    who = case.who
    usage.one_at_a_time(session, who.person)
    key = CallKey(who.person, who.grant, case.pin.server, case.pin.tool, case.digest)
    found = same(session, key, room.house.clock(), room.house.settings.approvals)
    return Held(found.action_id, False, found) if found is not None else _admit(session, room, ask, case, store)


def _admit(session: Where, room: Room, ask: Ask, case: Case, store: Store | None = None) -> Admitted:
    """The verdict and what follows from it, in one transaction: an allowed call is counted, its lease planned, and the log
    says that it is about to happen. An agent that was reported is not judged. Without `store`, a hold is only said."""
    now, call_id, actor = room.house.clock(), new_id("call"), f"client:{ask.caller.client}"
    rules = active.current(room.house, session)
    verdict, used, asked = judged(session, rules, case, now)
    asking = {ask.caller.client: ask.caller.client_verified}
    stopped = reports.stopped(session, room.house.settings.public_url, ask.caller.person, asking)
    if stopped is not None:
        detail = _detail(ask, case) | {"report": stopped.report}
        audit.append(session, kind="call.denied", actor=actor, subject=call_id, detail=detail, at=now)
        return stopped
    if isinstance(verdict, Hold):
        return verdict if store is None else _stored(session, rules, asked, verdict, used, store)
    keeping.keep(session, call_id, asked, verdict, session_known=rules.asks_session(asked.cls))
    detail = _detail(ask, case) | {"policy": verdict.digest, "rules": list(verdict.rules)}
    if isinstance(verdict, Deny):
        audit.append(session, kind="call.denied", actor=actor, subject=call_id, detail=detail, at=now)
        return verdict
    lease = _plan(session, room, case, now) if case.connection is not None else None
    usage.record(session, case.counted(), now, call_id)
    if case.pin.changes_recipients and case.connection is not None:
        void_to_recipients(session_of(session), case.connection.id, now)
    if case.pin.outside:
        tainting.taint(session_of(session), case.who.asker, case.pin, now, room.house.settings.gateway.tainted)
    detail |= {"lease": lease.id if lease else None}
    audit.append(session, kind="call.allowed", actor=actor, subject=call_id, detail=detail, at=now)
    return Allowed(call_id, lease)


def _stored(session: Where, rules: PolicySet, asked: Call, verdict: Hold, used: Used, store: Store) -> Held:
    held = store(session_of(session), verdict, used)
    if held.created:
        keeping.keep(session, held.action_id, asked, verdict, session_known=rules.asks_session(asked.cls))
    return held


def _detail(ask: Ask, case: Case) -> dict[str, Any]:
    return {
        "server": case.pin.server, "tool": case.pin.tool, "pin": case.pin.pin, "manifest": case.pin.manifest,
        "arguments": case.digest, "person": ask.caller.person, "grant": ask.caller.grant,
        "connection": case.connection.id if case.connection else None,
    }


def _plan(session: Where, room: Room, case: Case, now: Any) -> Lease:
    assert case.connection is not None
    return leases.plan(
        session, connection=case.connection, scopes=case.scopes, person=case.who.person, client=case.who.client,
        grant=case.who.grant, server=case.pin.server, tool=case.pin.tool, action=None, exclusive=False,
        cap=room.house.settings.broker.cap, now=now,
    )


def _run(room: Room, ask: Ask, case: Case, allowed: Allowed, state: State) -> Result:
    """Mint, send, write down, answer."""
    try:
        token = _mint(room, allowed)
    except KeeperError as error:
        _ended(room, ask, allowed, Outcome("not_sent", detail=error.code, nothing_ran=True))
        if isinstance(error, NeedsConsent | Disconnected | Paused):
            return _error(ask, f"{error.hint} {room.house.settings.public_url}/connections")
        raise
    placement = case.pin.credential.placement if case.pin.credential else "authorization"
    target = Target(case.pin.url, f"{case.who.person} {case.who.grant}", token, placement)
    sent = ToolCall(case.pin.tool, case.raw, allowed.id, dict(case.pin.input_schema), state.upstream or None)
    outcome = room.upstreams.call(target, sent)
    size = _ended(room, ask, allowed, outcome)
    answer = _answer(room, ask, outcome)
    return replace(answer, written=lambda: _note(room, case, outcome.result)) if 0 < size <= LARGEST else answer


def _note(room: Room, case: Case, result: Json) -> None:
    """What it said, for the page of a later call that uses it: after the answer left."""
    who, pin = case.who, case.pin
    room.origins.note(Noted(who.asker, pin.server, pin.tool, pin.outside, case.arguments, result, room.house.clock()))


def _mint(room: Room, allowed: Allowed) -> Secret[str] | None:
    return None if allowed.lease is None else leases.mint(room.house, allowed.lease).token


ENTRY: Final[Mapping[str, str]] = {
    "answered": "call.answered", "asks": "call.answered", "refused": "call.failed", "not_sent": "call.failed",
    "silent": "call.unknown",
}
LEASE: Final[Mapping[str, str]] = {
    "answered": "done", "asks": "done", "refused": "failed", "not_sent": "failed", "silent": "uncertain",
}


def _ended(room: Room, ask: Ask, allowed: Allowed, outcome: Outcome) -> int:
    """Written down. How large the result is, in bytes; 0 where there is none."""
    now, raw = room.house.clock(), dump(outcome.result) if outcome.result else b""
    result = hashlib.sha256(raw).hexdigest() if raw else None

    def write(session: Where) -> None:
        if allowed.lease is not None:
            leases.close(session, allowed.lease.id, LEASE[outcome.kind], now)
        if outcome.nothing_ran:
            usage.give_back(session, allowed.id)
        audit.append(
            session, kind=ENTRY[outcome.kind], actor=f"client:{ask.caller.client}", subject=allowed.id, at=now,
            detail={"result": result, "why": outcome.detail[:200]},
        )

    room.house.database.commit(write)
    return len(raw) if outcome.kind == "answered" else 0


def _answer(room: Room, ask: Ask, outcome: Outcome) -> Result:
    if outcome.kind == "answered":
        return Result(complete(ask, outcome.result))
    if outcome.kind == "refused" and outcome.error is not None:
        raise outcome.error
    if outcome.kind == "asks":
        return _asks(room, ask, outcome.result)
    if outcome.kind == "silent":
        return _error(ask, UNKNOWN)
    return _error(ask, "The server could not be reached. Nothing was sent; call again later.")


def _asks(room: Room, ask: Ask, result: Json) -> Result:
    """A server's own state, nested in ours: its next leg is judged as a call of its own."""
    if ask.era != "modern":
        return _error(ask, "The server asks for another round, which this protocol version does not know.")
    state = room.states.seal(State(upstream=result["requestState"]), bound(ask), room.house.clock())
    return Result(complete(ask, {"resultType": "input_required", "requestState": state}))


def _refused(room: Room, ask: Ask, tool: str, code: str) -> None:
    """What never came before policy is in the log too."""
    now = room.house.clock()
    detail = {"server": ask.server, "tool": tool, "code": code, "person": ask.caller.person, "grant": ask.caller.grant}
    room.house.database.write(lambda s: audit.append(
        s, kind="call.refused", actor=f"client:{ask.caller.client}", subject=new_id("call"), detail=detail, at=now,
    ))


def _error(ask: Ask, words: str) -> Result:
    return Result(complete(ask, error_result(words)))


