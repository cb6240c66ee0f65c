"""Everything that happened to one action, in order: what the log recorded, and who saw and opened it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.approvals import kept_words, seen
from webapp.audit.tables import Entry
from webapp.errors import psaid, said
from webapp.people import lookup

MOST = 200
NOISE = ("action.claimed", "action.released", "action.snoozed", "action.unsnoozed")
NOISES = 100
"""What people can do again and again is read apart from the rest, these many of it: it pushes nothing else out."""
WORDS = {
    "held": said("Held, and put before those who may decide"),
    "told": said("Sent: the first message about it went out to those who may decide"),
    "approved": said("Everything that it needs was given"), "executing": said("Under way: sent once"), "done": said("Done"),
    "failed": said("Failed"), "uncertain": said("Uncertain: no answer came"), "rejected": said("Rejected"),
    "expired": said("Lapsed"), "withdrawn": said("Withdrawn"), "void": said("Void: what it depended on changed"),
    "delivered": said("The outcome was delivered"), "listed": said("Listed"), "opened": said("Opened"),
    "snoozed": said("Put off"), "unsnoozed": said("Brought back"), "claimed": said("Taken on: they look at it"),
    "released": said("Given back"), "extended": said("Given more time"), "escalated": said("Put before another group too"),
    "edited": said("Made from another call, with other arguments"), "decoy": said("It was a decoy: no agent asked for it"),
    "number_missed": said("A wrong number was typed"), "glass_broken": said("The glass was broken: one person alone passed it"),
    "regretted": said("Somebody said that it should not have run"),
    "result_shredded": said("The stored answer was deleted, its time being over"),
}
VERDICTS = {
    "approve": said("Approved"), "confirm": said("Confirmed"), "reject": said("Rejected"), "break_glass": said("Passed alone"),
}
FACTORED = {
    ("approve", "passkey"): said("Approved by passkey"), ("approve", "totp"): said("Approved by authenticator code"),
    ("approve", "idp"): said("Approved by signing in again"), ("confirm", "passkey"): said("Confirmed by passkey"),
    ("confirm", "totp"): said("Confirmed by authenticator code"), ("confirm", "idp"): said("Confirmed by signing in again"),
    ("break_glass", "passkey"): said("Passed alone by passkey"),
}
YOU, LISTED_YOU, AGENT = psaid("who did it", "you"), psaid("for whom it was listed", "you"), psaid("who did it", "the agent")


@dataclass(frozen=True)
class Event:
    at: datetime
    what: str
    who: str
    """A name, or empty where it happened by itself. An agent has none here: its name is its own word."""
    more: str = ""
    """In an approver's words, or in ours."""
    logged: bool = True
    """Whether the signed log has it; who saw and opened it is not in there."""
    until: datetime | None = None


def of(session: Session, action: str, viewer: str) -> list[Event]:
    """The first MOST, the oldest first. Who may see the action is the caller's to ask."""
    told = select(Entry).where(Entry.subject == action, Entry.kind.startswith("action.")).order_by(Entry.id)
    parts = (told.where(Entry.kind.not_in(NOISE)).limit(MOST), told.where(Entry.kind.in_(NOISE)).limit(NOISES))
    entries = sorted((entry for part in parts for entry in session.scalars(part)), key=lambda entry: entry.id)
    marks = seen.first(session, action)
    people = {entry.actor.removeprefix("person:") for entry in entries if entry.actor.startswith("person:")}
    names = lookup.names(session, people | {mark.person for mark in marks}) | {viewer: YOU}
    found = [_logged(entry, names) for entry in entries]
    for mark in marks:
        name, you = names[mark.person], mark.person == viewer
        found += [Event(at, WORDS[what], who, logged=False) for what, at, who in (
            ("listed", mark.listed_at, LISTED_YOU if you else name), ("opened", mark.opened_at, name)
        ) if at is not None]
    return sorted(found, key=lambda event: event.at)


def _logged(entry: Entry, names: Mapping[str, str]) -> Event:
    detail = json.loads(entry.body)["detail"]
    kind, _, actor = entry.actor.partition(":")
    who = names.get(actor, actor) if kind == "person" else AGENT if kind == "client" else ""
    what = entry.kind.removeprefix("action.")
    until = detail.get("until") if what == "snoozed" else None
    return Event(entry.at, _words(what, detail), who, _why(what, detail),
                 until=datetime.fromisoformat(until) if until else None)


def _words(what: str, detail: Mapping[str, Any]) -> str:
    """What another room records is said in the words of its own kind."""
    if what == "decided":
        verdict = str(detail.get("verdict"))
        return FACTORED.get((verdict, str(detail.get("factor")))) or VERDICTS.get(verdict) or said("Decided")
    return WORDS.get(what) or what.replace("_", " ").capitalize()


def _why(what: str, detail: Mapping[str, Any]) -> str:
    return kept_words.event(what, str(detail.get("reason") or ""))
