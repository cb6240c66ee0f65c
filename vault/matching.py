"""Number matching: a confirmation for which its person types the two digits that their agent's screen shows.

It answers a question that no factor answers: is this the call that I see my agent make? Whoever has another agent make a call at
the same moment, and a tired person confirm the wrong one, would have to show them its number first.

The number is derived, never stored. It is shown to whoever may make that call, so it is no secret of the web process: what it
stops and what it does not is in `docs/policy.md`.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from vault import spent
from vault.envelope import Envelope, asks_match
from vault.errors import BadRequest, MatchRefused
from vault.roots import MATCH, Generation
from vault.said import nsaid, said
from vault.table import SEGMENT, Body, Keeper, text

log = logging.getLogger("counterseal.keeper.matching")

DOMAIN = b"counterseal/match/v1\n"
TRIES = 3
"""Wrong numbers for one envelope; the last one rejects it. By chance one in 33 is met."""
NUMBER = re.compile(r"[0-9]{2}", re.ASCII)
DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
CLOCKS = timedelta(minutes=5)
"""By which the clock of whoever held a call may be behind."""
REASON = said("Three wrong numbers were typed.")


def number(keeper: Keeper, action: str, digest: str) -> str:
    """Of this action and this very envelope alone, the same in every keeper process."""
    return _number(MATCH.used(keeper), action, digest)


def _number(key: Generation, action: str, digest: str) -> str:
    made = hmac.new(key.root.reveal(), DOMAIN + action.encode() + b"\n" + digest.encode(), hashlib.sha256).digest()
    return f"{int.from_bytes(made[:8], 'big') % 100:02}"


def match_number(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.match_number`. Each is logged, without the number: that somebody asked who had no agent to show it to can be seen."""
    action, digest = text(body, "action", limit=128), text(body, "digest", limit=64)
    if not SEGMENT.fullmatch(action) or not DIGEST.fullmatch(digest):
        raise BadRequest("no action, or no digest of an envelope")
    log.info("number of an action asked for action=%s", action)
    return {"number": number(keeper, action, digest)}


def typed(body: Body, envelope: Envelope, verdict: str) -> str:
    """What was typed; empty where nothing has to be. Before a factor's answer is spent. Raises MatchRefused."""
    if verdict != "confirm" or not asks_match(envelope):
        return ""
    found = text(body, "match", limit=16, optional=True)
    if not NUMBER.fullmatch(found):
        raise MatchRefused("no number", hint="Type the two digits that your agent shows for this call.")
    return found


def matched(keeper: Keeper, envelope: Envelope, digest: str, given: str) -> bool:
    """Whether it is the number. A try is spent before it is compared, and each can be spent once, by any keeper process: of many
    answers at once three are looked at. From the third wrong one on this is False: it is to be rejected, for good. Raises
    MatchRefused for a wrong one before that."""
    this = next((one for one in range(1, TRIES + 1) if spent.once(keeper, f"match {one}", digest)), None)
    shown = [_number(key, envelope["action"], digest) for key in _keys(keeper, envelope)]
    if this is not None and any(hmac.compare_digest(one, given) for one in shown):
        return True
    if this is not None and this < TRIES:
        raise MatchRefused(f"try {this}", hint=nsaid(
            "That is not the number of this call. Look at your agent: does it show this one? You have %(num)s try left.",
            "That is not the number of this call. Look at your agent: does it show this one? You have %(num)s tries left.",
            TRIES - this,
        ))
    return False


def _keys(keeper: Keeper, envelope: Envelope) -> list[Generation]:
    """Under which its number may have been shown: the one in use, and of those before it what was still in use when the call was
    held. A call that is held later has one number."""
    held = datetime.fromisoformat(envelope["created_at"])
    return [key for key, until in MATCH.good(keeper) if until is None or held <= until - MATCH.held + CLOCKS]


HANDLERS = {"match_number": match_number}
