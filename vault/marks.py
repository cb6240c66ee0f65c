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
from vault.roots import MARKS, Generation
from vault.table import Body, Keeper, flag, segment

DOMAIN = "counterseal/mark/v1"
DECOY = "Nobody asked for this: it is a decoy. Nothing runs."


def of(keeper: Keeper, action: str, *, decoy: bool) -> str:
    """Hexadecimal. The domain and the kind have no line feed, and an action's id none either: no two inputs have one encoding."""
    return _mark(MARKS.used(keeper), action, decoy=decoy)


def _mark(key: Generation, action: str, *, decoy: bool) -> str:
    said = f"{DOMAIN}\n{'decoy' if decoy else 'asked'}\n{action}"
    return hmac.digest(key.root.reveal(), said.encode(), "sha256").hex()[:MARK]


def is_decoy(keeper: Keeper, envelope: Envelope) -> bool:
    """Raises BadRequest for a mark that is none of ours, or another action's: such a call is nothing that can be decided."""
    mark, action = envelope.get("mark"), envelope["action"]
    if mark is None:
        return False
    for key, _until in MARKS.good(keeper):
        for decoy in (False, True):
            if hmac.compare_digest(mark, _mark(key, action, decoy=decoy)):
                return decoy
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


HANDLERS = {"mark": mark}
