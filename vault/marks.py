"""The mark in a held call's envelope: a call that somebody asked for, or a decoy that only sees whether people look.

Both kinds carry one, an HMAC over the action's id under a key that the keeper alone has, so that neither a page nor the database
tells them apart. A decoy is refused wherever something is spent, always; who decides on one is told by what the keeper signs.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from vault.envelope import MARK, Envelope
from vault.errors import BadRequest, NotApproved
from vault.table import Body, Keeper, flag, random_once, segment

DOMAIN = "counterseal/mark/v1"
DECOY = "Nobody asked for this: it is a decoy. Nothing runs."


def of(keeper: Keeper, action: str, *, decoy: bool) -> str:
    """Hexadecimal. The domain and the kind have no line feed, and an action's id none either: no two inputs have one encoding."""
    said = f"{DOMAIN}\n{'decoy' if decoy else 'asked'}\n{action}"
    return hmac.digest(_key(keeper), said.encode(), "sha256").hex()[:MARK]


def is_decoy(keeper: Keeper, envelope: Envelope) -> bool:
    """Raises BadRequest for a mark that is none of ours, or another action's: such a call is nothing that can be decided."""
    mark, action = envelope.get("mark"), envelope["action"]
    if mark is None or hmac.compare_digest(mark, of(keeper, action, decoy=False)):
        return False
    if hmac.compare_digest(mark, of(keeper, action, decoy=True)):
        return True
    raise BadRequest(f"the mark of {action} is not ours")


def require_asked(keeper: Keeper, envelope: Envelope) -> None:
    """Raises NotApproved for anything but a call that somebody asked for, whatever was signed on it."""
    try:
        decoy = is_decoy(keeper, envelope)
    except BadRequest as error:
        raise NotApproved(error.detail) from error
    if decoy:
        raise NotApproved(f"{envelope['action']} is a decoy", hint=DECOY)


def mark(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    return {"mark": of(keeper, segment(body, "action"), decoy=flag(body, "decoy"))}


def _key(keeper: Keeper) -> bytes:
    """Made once and never replaced: as long as an action waits, its mark has to say what it said."""
    if "marks" not in keeper.memory:
        keeper.memory["marks"] = random_once(keeper, "keeper/marks")
    found: bytes = keeper.memory["marks"].reveal()
    return found


HANDLERS = {"mark": mark}
