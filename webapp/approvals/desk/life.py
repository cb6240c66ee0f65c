"""Everything that happened to one action, in order: what the log recorded, and who saw and opened it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.approvals import seen
from webapp.audit.tables import Entry
from webapp.people import lookup

MOST = 200
NOISE = ("action.claimed", "action.released", "action.snoozed", "action.unsnoozed")
NOISES = 100
"""What people can do again and again is read apart from the rest, these many of it: it pushes nothing else out."""
WORDS = {
    "held": "Held, and put before those who may decide", "told": "Those who may decide were told",
    "approved": "Everything that it needs was given", "executing": "Under way: sent once", "done": "Done", "failed": "Failed",
    "uncertain": "Uncertain: no answer came", "rejected": "Rejected", "expired": "Lapsed", "withdrawn": "Withdrawn",
    "void": "Void: what it depended on changed", "delivered": "The outcome was delivered", "listed": "Listed",
    "opened": "Opened", "snoozed": "Put off", "unsnoozed": "Brought back",
    "claimed": "Taken on: they look at it", "released": "Given back", "extended": "Given more time",
    "escalated": "Put before another group too", "edited": "Made from another call, with other arguments",
    "decoy": "It was a decoy: no agent asked for it", "number_missed": "A wrong number was typed",
    "glass_broken": "The glass was broken: one person alone passed it",
    "regretted": "Somebody said that it should not have run",
    "result_shredded": "The stored answer was deleted, its time being over",
}
VERDICTS = {"approve": "Approved", "confirm": "Confirmed", "reject": "Rejected", "break_glass": "Passed alone"}
FACTORS = {"passkey": "by passkey", "totp": "by authenticator code", "idp": "by signing in again"}


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
    names = lookup.names(session, people | {mark.person for mark in marks}) | {viewer: "you"}
    found = [_logged(entry, names) for entry in entries]
    for mark in marks:
        name = names[mark.person]
        found += [Event(at, WORDS[what], name, logged=False)
                  for what, at in (("listed", mark.listed_at), ("opened", mark.opened_at)) if at is not None]
    return sorted(found, key=lambda event: event.at)


def _logged(entry: Entry, names: Mapping[str, str]) -> Event:
    detail = json.loads(entry.body)["detail"]
    kind, _, actor = entry.actor.partition(":")
    who = names.get(actor, actor) if kind == "person" else "the agent" if kind == "client" else ""
    what = entry.kind.removeprefix("action.")
    until = detail.get("until") if what == "snoozed" else None
    return Event(entry.at, _words(what, detail), who, str(detail.get("reason") or ""),
                 until=datetime.fromisoformat(until) if until else None)


def _words(what: str, detail: Mapping[str, Any]) -> str:
    """What another room records is said in the words of its own kind."""
    if what == "decided":
        factor = FACTORS.get(str(detail.get("factor")), "") if detail.get("verdict") != "reject" else ""
        return " ".join(part for part in (VERDICTS.get(str(detail.get("verdict")), "Decided"), factor) if part)
    return WORDS.get(what) or what.replace("_", " ").capitalize()
