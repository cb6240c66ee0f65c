"""Whose security log an entry belongs to: one person's, or nobody's. For finding entries; the log itself is what `body` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

PERSON = "person:"

Detail = Mapping[str, Any]
Whose = Callable[[str, str, Detail], str | None]


def _actor(actor: str, _subject: str, _detail: Detail) -> str | None:
    return actor.removeprefix(PERSON) if actor.startswith(PERSON) else None


def _subject(_actor: str, subject: str, _detail: Detail) -> str | None:
    return subject if subject.startswith("per_") else None


def _named(actor: str, subject: str, detail: Detail) -> str | None:
    """Ended by another's word, or by their own."""
    return detail.get("person") or _actor(actor, subject, detail)


def _lender(_a: str, _s: str, detail: Detail) -> str | None:
    return detail.get("by") or None


def _about(_a: str, _s: str, detail: Detail) -> str | None:
    return detail.get("about") if detail.get("kind") == "person" else None


WHOSE: Mapping[str, Whose] = {
    **dict.fromkeys((
        "session.opened", "second_step.done", "second_step.failed", "factor.added", "factor.removed", "recovery.made",
        "recovery.used", "delegation.made", "oauth.consented", "consent.given", "connection.connected",
        "connection.disconnected", "person.not_me",
    ), _actor),
    **dict.fromkeys((
        "readmission.started", "readmission.agreed", "readmission.by_operator", "readmission.used", "readmission.ended",
        "readmission.found",
        "sign_in.logged_out", "person.linked", "person.unlinked",
    ), _subject),
    **dict.fromkeys(("session.ended", "oauth.revoked", "consent.withdrawn"), _named),
    "delegation.ended": _lender,
    **dict.fromkeys(("incident.opened", "incident.lifted"), _about),
}
"""By kind, how to tell whom it is about. What is not here concerns no person's way in."""


def whose(kind: str, actor: str, subject: str, detail: Detail) -> str | None:
    """A person's id, or None."""
    found = WHOSE.get(kind)
    return found(actor, subject, detail) if found is not None else None
