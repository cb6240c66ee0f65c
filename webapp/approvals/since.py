"""What changed between the page that a person decides from and what is now: told apart from the form itself, said in words.

The document never changes; what a decision does with it may. The form carries what its page showed. Nobody gains by changing
that: it decides nothing, and only says what its own person has seen.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vault.evidence import canonical
from webapp.approvals import kept_words
from webapp.approvals.page import Change
from webapp.approvals.rules import Given, only_confirmed, progress
from webapp.approvals.seeing import Opened
from webapp.approvals.tables import Action
from webapp.errors import Conflict, psaid, said
from webapp.web.viewer import Viewer

LONGEST = 20_000
"""Beyond what a page writes where three hundred people have decided."""
OTHERS = "Somebody has decided since this page was shown, and your word now does something else. Look again before you give it."
UNSAID = "What was sent does not say what its page showed. Open the action again, and decide there."
STATES = {
    "held": said("Waiting for a decision"), "approved": said("Approved, not run yet"), "executing": said("Running"),
    "done": said("It ran"), "failed": said("It was sent and failed"),
    "uncertain": said("It was sent; nobody knows whether it ran"), "rejected": said("Rejected"),
    "expired": said("Lapsed: nobody decided in time"), "withdrawn": said("Taken back by whose agent asked"),
    "void": said("Void"),
}
CONFIRMED = said("Confirmed, not run yet")
PARTS = {
    "confirm": said("You confirm it"), "approve": said("You approve it"), "given": said("You have given your word"),
    "enough": said("Your group has given its word"), "owner": said("It is yours, and others decide"),
    "server": said("Your server asks, and others decide"), "editor": said("You changed it, and others decide"),
    "none": said("Nothing to decide for you"),
}
VERDICTS = {
    "approve": said("approved it"), "confirm": said("confirmed it"), "reject": said("rejected it"),
    "break_glass": said("passed it alone"),
}
UNKNOWN = said("Something else")
"""What a form says that no page of ours wrote is not repeated where the system speaks."""
COUNTED = ("confirm", "approve", "given", "enough")


@dataclass(frozen=True)
class Seen:
    """What a page showed of where the action stood. `last`: this person's word is the last that is needed."""

    digest: str
    state: str
    part: str
    last: bool
    given: tuple[tuple[str, str], ...]
    """Person and verdict of each decision."""

    def written(self) -> str:
        rest = {"state": self.state, "part": self.part, "last": self.last, "given": [list(one) for one in self.given]}
        return f"{self.digest}.{base64.urlsafe_b64encode(canonical(rest)).decode()}"


def look(opened: Opened, viewer: Viewer, now: datetime) -> Seen:
    part = opened.part(viewer.person, viewer.groups, viewer.same_as)
    given = tuple((one.person, one.verdict) for one in opened.verified.given)
    return Seen(opened.document.digest, opened.resolution(now).state, part, _last(opened, viewer, part), given)


def _last(opened: Opened, viewer: Viewer, part: str) -> bool:
    if part not in ("confirm", "approve"):
        return False
    would = Given(viewer.person, "", tuple(viewer.groups), "confirm" if part == "confirm" else "approve", "passkey", "",
                  opened.document.expires_at, tuple(viewer.same_as), matched=True)
    return all(one.met for one in progress(opened.subject, opened.verified.given, would))


def digest_of(shown: str) -> str:
    return shown.partition(".")[0]


def read(shown: str) -> Seen | None:
    """None where the form says the document's digest alone, or something that no page of ours wrote."""
    digest, _, rest = shown.partition(".")
    if not rest or len(rest) > LONGEST:
        return None
    try:
        found: dict[str, Any] = json.loads(base64.b64decode(rest, altchars=b"-_", validate=True))
        given = tuple((str(person), str(verdict)) for person, verdict in found["given"])
        return Seen(digest, str(found["state"]), str(found["part"]), found["last"] is True, given)
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


def require_same(opened: Opened, viewer: Viewer, shown: str, now: datetime) -> None:
    """Raises Conflict where this person's word does something else than when the page was shown: it has become the last one, or
    is not any more. And where nothing says what that page showed.

    Attack, or a program that is too simple: a form by hand that names the document alone, and so is never out of date."""
    was, found = read(shown), look(opened, viewer, now)
    if was is None:
        if found.part in ("confirm", "approve"):
            raise Conflict(UNSAID, detail=opened.action.id)
        return
    if found.part in COUNTED and (was.part, was.last) != (found.part, found.last):
        raise Conflict(OTHERS, detail=opened.action.id)


def changes(shown: str, opened: Opened, viewer: Viewer, now: datetime) -> tuple[Change, ...]:
    """Line by line, what is not as it was."""
    was, found = read(shown), look(opened, viewer, now)
    if was is None:
        return ()
    lines = [Change(said("Where it stands"), STATES.get(was.state, UNKNOWN), _stands(opened.action, found))]
    newer, before = _newer(was, opened, viewer), said("had not decided")
    lines += [Change(name, before, VERDICTS.get(verdict, verdict)) for name, verdict in newer]
    if found.state == "held":
        lines.append(Change(said("Your part"), PARTS.get(was.part, UNKNOWN), PARTS.get(found.part, UNKNOWN)))
        if found.part in ("confirm", "approve"):
            lines.append(Change(said("What your word does"), _does(was.last), _does(found.last)))
    return tuple(line for line in lines if line.changed)


def _stands(action: Action, found: Seen) -> str:
    words = CONFIRMED if found.state == "approved" and only_confirmed(action.requirement) else STATES.get(found.state, UNKNOWN)
    if not action.reason or found.state not in ("void", "rejected"):
        return words
    why = kept_words.refusal(action.reason, action.reason_code) if found.state == "rejected" else kept_words.reason(action.reason)
    return said("%(words)s: %(why)s", words=words, why=why)


def _does(last: bool) -> str:
    return said("It is the last word that is needed") if last else said("It is one of several; others follow")


def _newer(was: Seen, opened: Opened, viewer: Viewer) -> Sequence[tuple[str, str]]:
    return [
        (psaid("who decided", "You") if one.person == viewer.person else one.name, one.verdict) for one in opened.verified.given
        if (one.person, one.verdict) not in was.given
    ]
