"""Which of a person's tickets no longer count, though they verify: those of sessions that were ended, and all of before they were
signed out everywhere. Whoever holds such a session's cookie, in a web process that they took over, has nothing signed with it.

Not by times: a ticket carries the generation that the person's sessions were in when they signed in, and two clocks that differ,
or one second that holds a sign-out and a sign-in, change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vault.errors import BadRequest, SessionEnded
from vault.kv import Data
from vault.people import person
from vault.secret import Secret
from vault.table import Body, Keeper, flag, segment, strings
from vault.tickets import LIFETIME, SKEW, Ticket, session_hash

MOST = 200
"""Ended sessions that are remembered one by one, each for as long as a ticket lives. Above it, all of the person's are ended."""
HASH = re.compile(r"[0-9a-f]{64}")


def path(who: str) -> str:
    return f"people/{who}/sessions"


def generation(keeper: Keeper, who: str) -> int:
    """For a new ticket: read before it is signed, so that a sign-out at the same moment ends it too."""
    found = keeper.kv.read(path(who))
    return int(found.data["generation"]) if found else 0


def refuse_ended(keeper: Keeper, ticket: Ticket, session: Secret[str]) -> None:
    """Raises SessionEnded."""
    found = keeper.kv.read(path(ticket.person))
    data = found.data if found else _none()
    if ticket.generation != data["generation"] or session_hash(session) in data["ended"]:
        raise SessionEnded("a ticket of a session that was ended")


def sessions_end(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.sessions_end`. It only tightens: nobody has to prove anything. Again is once more, and does no harm."""
    who = person(keeper, segment(body, "person")).id
    given, everything = strings(body, "sessions", most=MOST), flag(body, "everything")
    if not all(HASH.fullmatch(one) for one in given):
        raise BadRequest("sessions are named by the SHA-256 of their cookie")
    now = keeper.clock().timestamp()

    def change(old: Data | None) -> tuple[Data, None]:
        data = old or _none()
        kept = {one: until for one, until in data["ended"].items() if until > now}
        kept |= dict.fromkeys(given, int(now) + LIFETIME + SKEW)
        if everything or len(kept) > MOST:
            return {"generation": data["generation"] + 1, "ended": {}}, None
        return {"generation": data["generation"], "ended": kept}, None

    keeper.kv.update(path(who), change)
    return {}


def end_everything(keeper: Keeper, who: str) -> int:
    """Nothing that this person signed in to until now counts. The generation of what comes after."""

    def change(old: Data | None) -> tuple[Data, int]:
        later = (old or _none())["generation"] + 1
        return {"generation": later, "ended": {}}, later

    return keeper.kv.update(path(who), change)


def _none() -> Data:
    return {"generation": 0, "ended": {}}


HANDLERS = {"sessions_end": sessions_end}
