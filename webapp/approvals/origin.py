"""In which earlier result of the agent's a fact of the call was, in words; by the document. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from webapp.approvals.envelope import Document


@dataclass(frozen=True)
class Origin:
    """`found`: one had it. `outside`: it brings in what strangers can write. `before` and `within` are spans in words."""

    found: bool
    within: str
    server: str = ""
    tool: str = ""
    before: str = ""
    outside: bool = False


def of(document: Document, fact: str) -> Origin | None:
    """None where nobody looked: what a server only reported, a value too short to say anything, one that an approver wrote."""
    origins = document.envelope["facts"].get("origins") or {}
    seen = origins.get(fact)
    if seen is None:
        return None
    within = span(origins["within"]).removeprefix("1 ")
    if not seen["found"]:
        return Origin(False, within)
    seconds = int((document.asked_at - datetime.fromisoformat(seen["at"])).total_seconds())
    return Origin(True, within, seen["server"], seen["tool"], f"{span(max(0, seconds))} before", seen["outside"])


def span(seconds: int) -> str:
    for name, size in (("hour", 3600), ("minute", 60)):
        if seconds >= size:
            number = seconds // size
            return f"{number} {name}{'' if number == 1 else 's'}"
    return "moments" if seconds < 10 else f"{seconds} seconds"
