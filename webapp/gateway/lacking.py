"""A call for which no account of the person's serves: they are shown where they change that, and the call goes on when they did.

A client that can show a link is asked to (URL-mode elicitation); its `accept` only says that the link was opened, so the next
legs wait until the account is there. Any other client gets the link in an error. Nothing was decided and nothing is stored: the
retried call is judged anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Final

from webapp.connections import lookup, providers
from webapp.connections.lookup import NoConnection
from webapp.errors import LimitReached
from webapp.gateway.eras import Ask, complete
from webapp.gateway.executing import error_result
from webapp.gateway.request_state import Bound, State
from webapp.gateway.room import Room
from webapp.gateway.wire import URL_ELICITATION_REQUIRED, Result, RpcError, Step, Tick
from webapp.ids import new_id

INPUT: Final = "counterseal_account"
AGAIN: Final = "Nothing was done. Call again with identical arguments afterwards."


def answer(
    room: Room, ask: Ask, error: NoConnection, state: State, bound: Bound, ready: Callable[[], bool], again: Callable[[], Step]
) -> Step:
    """The ways, the first that applies. `ready` says whether the account is there now; `again` answers the call then."""
    told, link = words(room, error), f"{room.house.settings.public_url}{error.url}"
    if ask.era == "modern" and ask.url and state.round == 0:
        yield _link(room, ask, told, link, bound)
    elif ask.era == "modern" and ask.url and not _declined(ask):
        yield from _leg(room, ask, f"{told} {link}", state, bound, ready, again)
    elif ask.version == "2025-11-25" and ask.url and ask.caller.client in room.house.settings.gateway.url_elicitation_required:
        raise _elicitation_required(told, link)
    else:
        yield _error(ask, f"{told} {link}")


def words(room: Room, error: NoConnection) -> str:
    """With the provider's title as the operator's catalogue has it."""
    return error.named(providers.find(room.house.settings, error.provider).title) if error.provider else error.hint


def _link(room: Room, ask: Ask, told: str, link: str, bound: Bound) -> Result:
    sealed = room.states.seal(State(round=1), bound, room.house.clock())
    params = {"mode": "url", "url": link, "message": told}
    return Result(complete(ask, {
        "resultType": "input_required", "requestState": sealed,
        "inputRequests": {INPUT: {"method": "elicitation/create", "params": params}},
    }))


def _declined(ask: Ask) -> bool:
    found = ask.object("inputResponses").get(INPUT)
    return isinstance(found, dict) and found.get("action") in ("decline", "cancel")


def _elicitation_required(told: str, link: str) -> RpcError:
    shown = {"mode": "url", "elicitationId": new_id("eli"), "url": link, "message": told}
    return RpcError(URL_ELICITATION_REQUIRED, told, data={"elicitations": [shown]})


def _leg(
    room: Room, ask: Ask, told: str, state: State, bound: Bound, ready: Callable[[], bool], again: Callable[[], Step]
) -> Step:
    """One leg of at most 45 s. Clients stop after ten rounds: the ninth is answered with the link and how to go on."""
    settings, this = room.house.settings.gateway, state.round + 1
    if (yield from _until(room, ask, told, settings.wait_leg, ready)):
        yield from again()
    elif this >= settings.rounds:
        yield _error(ask, f"{told} {AGAIN}")
    else:
        sealed = room.states.seal(State(round=this), bound, room.house.clock())
        yield Result(complete(ask, {"resultType": "input_required", "requestState": sealed}))


def _until(room: Room, ask: Ask, told: str, seconds: float, ready: Callable[[], bool]) -> Generator[Tick | Result, None, bool]:
    """Within the caps on waiting: above them the client is answered at once, and asks again."""
    try:
        room.places.take(ask.caller.person)
    except LimitReached:
        return ready()
    try:
        return (yield from _ticking(room, ask, told, seconds, ready))
    finally:
        room.places.leave(ask.caller.person)


def _ticking(room: Room, ask: Ask, told: str, seconds: float, ready: Callable[[], bool]) -> Generator[Tick, None, bool]:
    changes, topic, every = room.house.database.changes, lookup.topic(ask.caller.person), room.house.settings.gateway.ping_every
    end, number = time.monotonic() + seconds, 0
    while True:
        mark = changes.mark(topic)
        if ready():
            return True
        if ask.gone() or time.monotonic() >= end:
            return False
        number += 1
        yield Tick(number, told)
        changes.wait(mark, topic, timeout=max(0.0, min(every, end - time.monotonic())))


def _error(ask: Ask, told: str) -> Result:
    return Result(complete(ask, error_result(told)))
