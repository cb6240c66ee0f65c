"""In which earlier result of the agent's a fact of the call was, in words; by the document. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from webapp.approvals.envelope import Document
from webapp.errors import Said, nsaid, said

HOUR, MINUTE = 3600, 60
MOMENTS = 10
"""Seconds."""


@dataclass(frozen=True)
class Origin:
    """`before`: how long before the call it asked for. `outside`: its result brings in what strangers can write. `nowhere` is
    empty where one had it."""

    server: str = ""
    tool: str = ""
    before: str = ""
    outside: bool = False
    nowhere: str = ""


def of(document: Document, fact: str) -> Origin | None:
    """None where nobody looked: what a server only reported, a value too short to say anything, one that an approver wrote."""
    origins = document.envelope["facts"].get("origins") or {}
    seen = origins.get(fact)
    if seen is None:
        return None
    if not seen["found"]:
        return Origin(nowhere=unknown(origins["within"]))
    seconds = int((document.asked_at - datetime.fromisoformat(seen["at"])).total_seconds())
    return Origin(seen["server"], seen["tool"], before(max(0, seconds)), seen["outside"])


def before(seconds: int) -> Said:
    if seconds >= HOUR:
        return nsaid("%(num)s hour before it asked", "%(num)s hours before it asked", seconds // HOUR)
    if seconds >= MINUTE:
        return nsaid("%(num)s minute before it asked", "%(num)s minutes before it asked", seconds // MINUTE)
    return said("moments before it asked") if seconds < MOMENTS else said("%(seconds)s seconds before it asked", seconds=seconds)


def unknown(within: int) -> Said:
    """`within`: how many seconds back was looked."""
    if within >= HOUR:
        return nsaid(
            "Unknown origin: in no result known here that this agent got in the hour before it asked",
            "Unknown origin: in no result known here that this agent got in the %(num)s hours before it asked",
            within // HOUR)
    if within >= MINUTE:
        return nsaid(
            "Unknown origin: in no result known here that this agent got in the minute before it asked",
            "Unknown origin: in no result known here that this agent got in the %(num)s minutes before it asked",
            within // MINUTE)
    return said(
        "Unknown origin: in no result known here that this agent got in the %(seconds)s seconds before it asked", seconds=within)
