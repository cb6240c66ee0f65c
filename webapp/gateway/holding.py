"""A call that waits for people: how each client waits, and how it gets the outcome.

Modern clients: a task; else a link they can show, and then waiting legs; else waiting legs alone. Legacy clients: one stream, 50
seconds. When the waiting is over before the decision is made, an error result says to call again: that call finds the action.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from vault.evidence import Account
from webapp.approvals import holding as actions
from webapp.approvals import payloads, waiting
from webapp.approvals.envelope import Draft, facts_document
from webapp.approvals.holding import Held
from webapp.approvals.outcome import Snapshot
from webapp.approvals.same_call import Existing
from webapp.approvals.usage import Used
from webapp.errors import LimitReached
from webapp.gateway import tainting, tasks
from webapp.gateway.drifting import caller as asks
from webapp.gateway.eras import Ask, complete
from webapp.gateway.executing import error_result
from webapp.gateway.judging import Case
from webapp.gateway.outcomes import ACTION, deliver, settled, withdraw
from webapp.gateway.request_state import Bound, State
from webapp.gateway.room import Room
from webapp.gateway.tables import Asker
from webapp.gateway.wire import URL_ELICITATION_REQUIRED, Result, RpcError, Step, Tick
from webapp.policy.calls import Hold

INPUT: Final = "counterseal_decision"
AGAIN: Final = "It has not run yet. Call again with identical arguments to go on waiting and to get the outcome."


def storing(room: Room, ask: Ask, case: Case) -> Callable[[Session, Hold, Used], Held]:
    """Stores the action and tells those who may decide, in the transaction that judged it; made before it. Raises KeeperError;
    what it returns raises LimitReached."""
    sealer, now = payloads.for_holding(room.house), room.house.clock()
    origins = room.origins.of(case.who.asker, case.facts, now)

    def store(session: Session, verdict: Hold, used: Used) -> Held:
        draft = _draft(ask, case, used, _before(session, case.who.asker, origins, now))
        return actions.hold(
            session, draft=draft, verdict=verdict, sealer=sealer, settings=room.house.settings.approvals,
            now=room.house.clock(), evaluation=room.house.settings.evaluation,
        )

    return store


def _before(session: Session, asker: Asker, origins: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """What the agent had read when it asked: where the call's values were, and whether strangers may have written some of it."""
    tainted = tainting.tainted(session, asker, now)
    return {"origins": dict(origins), **({"session": {"tainted": True}} if tainted else {})}


def held(room: Room, ask: Ask, held: Held, bound: Bound, spent: int = 0) -> Step:
    """Wait in the client's way. `spent` rounds went into waiting for an account: clients count them too."""
    if held.existing is not None:
        return join(room, ask, held.existing, bound)
    return _wait(room, ask, State(held.action_id, spent), bound, new=True)


def join(room: Room, ask: Ask, existing: Existing, bound: Bound) -> Step:
    """The same call again: wait with it, or get what it came to."""
    if existing.what == "join":
        yield from _wait(room, ask, State(existing.action_id), bound)
    else:
        yield deliver(room, ask, waiting.snapshot(room.house, existing.action_id))


def resume(room: Room, ask: Ask, state: State, bound: Bound) -> Step:
    """The next leg of a call whose state came back. What ended is answered as often as it is asked for: nothing runs twice."""
    yield from _wait(room, ask, state, bound)


def _draft(ask: Ask, case: Case, used: Used, before: Mapping[str, Any]) -> Draft:
    caller, pin, connection = ask.caller, case.pin, case.connection
    account: Account | None = None if connection is None else {
        "id": connection.id, "owner": connection.person, "provider": connection.provider, "account": connection.account,
        "label": connection.label,
    }
    return Draft(
        server={"name": pin.server, "url": pin.url, "manifest": pin.manifest},
        tool={"name": pin.tool, "pin": pin.pin, "title": pin.title, "cls": pin.cls},
        arguments=case.arguments, principal={"person": caller.person, "name": caller.person_name},
        client={"id": caller.client, "grant": caller.grant, "name": caller.client_name, "owner": caller.person},
        connection=account, scopes=case.scopes, facts=facts_document(case.facts, used) | {"caller": asks(case.who), **before},
        server_title=pin.server_title, runs="approval" if ask.tasks else "return", pointers=dict(pin.pointers),
        pinned=pin.document,
    )


def _wait(room: Room, ask: Ask, state: State, bound: Bound, *, new: bool = False) -> Step:
    """The ways, in the protocol's order. The first that applies answers. The link of a `new` action was not shown yet."""
    found = waiting.snapshot(room.house, state.action)
    if found.outcome is not None:
        yield deliver(room, ask, found)
    elif ask.era == "legacy":
        yield from _legacy(room, ask, found)
    elif ask.tasks:
        yield Result(tasks.created(room, ask, found))
    elif ask.url and (new or state.round == 0):
        yield _link(room, ask, found, bound, state.round + 1)
    elif _declined(ask):
        yield give_up(ask, found)
    else:
        yield from _leg(room, ask, state, bound)


def _legacy(room: Room, ask: Ask, found: Snapshot) -> Step:
    settings = room.house.settings.gateway
    if ask.version == "2025-11-25" and ask.url and ask.caller.client in settings.url_elicitation_required:
        raise _elicitation_required(found)
    now = yield from _until(room, ask, found, settings.wait_legacy)
    yield give_up(ask, now) if now.outcome is None else deliver(room, ask, now)


def _leg(room: Room, ask: Ask, state: State, bound: Bound) -> Step:
    """One leg of at most 45 s. Clients stop after ten rounds: the ninth is answered as giving up."""
    settings, this = room.house.settings.gateway, state.round + 1
    now = yield from _until(room, ask, waiting.snapshot(room.house, state.action), settings.wait_leg)
    if now.outcome is not None:
        yield deliver(room, ask, now)
    elif this >= settings.rounds:
        yield give_up(ask, now)
    else:
        sealed = room.states.seal(State(state.action, this), bound, room.house.clock())
        yield Result(complete(ask, {"resultType": "input_required", "requestState": sealed}))


def _link(room: Room, ask: Ask, found: Snapshot, bound: Bound, this: int) -> Result:
    """One request to show the person a link. Its `accept` says that the link was opened, and approves nothing."""
    params = {"mode": "url", "url": found.link, "message": found.status_message}
    sealed = room.states.seal(State(found.action_id, this), bound, room.house.clock())
    return Result(complete(ask, {
        "resultType": "input_required", "requestState": sealed,
        "inputRequests": {INPUT: {"method": "elicitation/create", "params": params}},
    }))


def _declined(ask: Ask) -> bool:
    """The person at the agent would not open the link: waiting on would only keep the agent busy. Others may still decide."""
    answer = ask.object("inputResponses").get(INPUT)
    return isinstance(answer, dict) and answer.get("action") in ("decline", "cancel")


def _elicitation_required(found: Snapshot) -> RpcError:
    """2025-11-25 only, and only for clients that an operator named: others take the error for the end."""
    shown = {"mode": "url", "elicitationId": found.action_id, "url": found.link, "message": found.status_message}
    return RpcError(URL_ELICITATION_REQUIRED, found.status_message, data={"elicitations": [shown]})


def _until(room: Room, ask: Ask, found: Snapshot, seconds: float) -> Generator[Tick | Result, None, Snapshot]:
    """Wait for the outcome, with a tick at once and every 10 s, within the caps on waiting. Runs the call when it is approved."""
    try:
        room.places.take(ask.caller.person)
    except LimitReached:
        return found
    try:
        return (yield from _ticking(room, ask, found, seconds))
    except GeneratorExit:
        _left(room, ask, found)
        raise
    finally:
        room.places.leave(ask.caller.person)


def _left(room: Room, ask: Ask, found: Snapshot) -> None:
    """Closing a modern stream cancels its call; a legacy disconnect is no cancellation (2025-11-25, Transports)."""
    if ask.era == "modern":
        withdraw(room, ask, found.action_id, "the agent closed its call.")


def _ticking(room: Room, ask: Ask, found: Snapshot, seconds: float) -> Generator[Tick, None, Snapshot]:
    end, number, every = time.monotonic() + seconds, 0, room.house.settings.gateway.ping_every
    while True:
        number += 1
        yield Tick(number, found.status_message)
        found = settled(room, waiting.wait(room.house, found.action_id, max(0.0, min(every, end - time.monotonic()))))
        if found.outcome is None and ask.gone():
            _left(room, ask, found)
            return waiting.snapshot(room.house, found.action_id)
        if found.outcome is not None or time.monotonic() >= end:
            return found


def give_up(ask: Ask, found: Snapshot) -> Result:
    """The waiting is over, the action is not."""
    result: dict[str, Any] = error_result(f"{found.status_message} {AGAIN}")
    return Result(complete(ask, {**result, "_meta": {ACTION: found.action_id}}))
