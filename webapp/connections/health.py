"""How an account is, in words: pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault.door import ConnectionState
from webapp.connections.tables import Connection
from webapp.errors import nsaid, one_of_ours, said

SOON = timedelta(days=3)
FORESEEN = timedelta(days=7)


@dataclass(frozen=True)
class Health:
    """A chip (its colour class and its word) and a sentence."""

    tone: str
    word: str
    words: str


OVER: dict[str, Callable[[str, datetime], str]] = {
    "refused": lambda title, when: said(
        "%(title)s refused the last renewal %(when)s. Nothing can use this account until you reconnect it.",
        title=title, when=when,
    ),
    "lost": lambda title, when: said(
        "The answer of %(title)s to a renewal was lost twice, the last time %(when)s. "
        "Nothing can use this account until you reconnect it.", title=title, when=when,
    ),
    "ended": lambda title, when: said(
        "The access that %(title)s gave ended, as was noticed %(when)s, and it gave no way to renew it. "
        "Nothing can use this account until you reconnect it.", title=title, when=when,
    ),
}
EVENTS = {
    "connected": said("You gave your consent"), "key": said("You gave a key"), "renewed": said("Renewed"),
    "refused": said("Refused for good"), "lost": said("The answer was lost"),
    "ended": said("Ended, with no way to renew it"), "away": said("Not renewed: no answer, or an error there"),
}
WORDS = {
    "suspended": said("Suspended"), "disconnected": said("Disconnected"), "paused": said("Paused by you"),
    "connected": said("Connected"), "reconnect": said("Reconnect"), "soon": said("Ends soon"), "silent": said("Not answering"),
    "healthy": said("Healthy"),
}


def health(
    row: Connection, state: ConnectionState | None, title: str, now: datetime, *, away: bool = False, ends: datetime | None = None
) -> Health:
    """`state` is what the keeper knows, None where it knows nothing, or is `away`; `ends`: when the consent ends, however often
    it is used. A row that says less than the keeper is believed where that is the worse news."""
    if row.suspended and row.status != "disconnected":
        return Health("bad", WORDS["suspended"], said(
            "Something may be compromised: nothing uses it until an administrator lifts that."
        ))
    if row.status == "disconnected":
        return Health("", WORDS["disconnected"], said("Nothing here can use it any more."))
    if row.status == "needs_consent" or (state is not None and state.status == "needs_consent"):
        return _over(row, state, title)
    if row.status == "paused":
        return Health("", WORDS["paused"], said(
            "Nothing can use this account until you resume it. Paused %(when)s.", when=row.status_at
        ))
    if away:
        return Health("", WORDS["connected"], said("When its access was renewed cannot be told while the vault is away."))
    if state is None:
        return Health("warn", WORDS["reconnect"], said(
            "The vault holds no access for this account. Nothing can use this account until you reconnect it."
        ))
    if ends is not None and now < ends < now + FORESEEN and state.renewable:
        return Health("warn", WORDS["soon"], said(
            "%(title)s ends this access %(when)s, however often it is used. Reconnect it before.", title=title, when=ends
        ))
    return _active(state, title, now)


def _over(row: Connection, state: ConnectionState | None, title: str) -> Health:
    last = state.events[0] if state is not None and state.events else None
    at, what = (last.at, last.what) if last is not None and last.what in OVER else (row.status_at, "")
    if what == "" or at is None:
        return Health("warn", WORDS["reconnect"], one_of_ours(row.reason) if row.reason else said(
            "%(title)s no longer accepts this connection. Nothing can use this account until you reconnect it.", title=title
        ))
    return Health("warn", WORDS["reconnect"], OVER[what](title, at))


def _active(state: ConnectionState, title: str, now: datetime) -> Health:
    last = state.events[0] if state.events else None
    if last is not None and last.what == "away":
        return Health("warn", WORDS["silent"], said(
            "%(title)s did not renew the access %(when)s. Nothing was lost; it is asked again at the next use.",
            title=title, when=last.at,
        ))
    if not state.renewable:
        return _one_token(state, title, now)
    if state.renewals and state.renewed_at is not None:
        return Health("good", WORDS["healthy"], nsaid(
            "Access renewed once, last %(when)s.", "Access renewed %(num)s times, last %(when)s.",
            state.renewals, when=state.renewed_at,
        ))
    return Health("good", WORDS["healthy"], said("Access is fetched when something first uses it."))


def _one_token(state: ConnectionState, title: str, now: datetime) -> Health:
    """There is one access token for all uses, until it ends."""
    if state.expires_at is None:
        return Health("good", WORDS["healthy"], said(
            "%(title)s named no end of this access: it may go on until you take it back.", title=title
        ))
    if state.expires_at <= now:
        return Health("warn", WORDS["reconnect"], said(
            "The access that %(title)s gave ended %(when)s. Nothing can use this account until you reconnect it.",
            title=title, when=state.expires_at,
        ))
    soon = state.expires_at - now < SOON
    return Health("warn" if soon else "good", WORDS["soon"] if soon else WORDS["healthy"], said(
        "The access ends %(when)s; %(title)s gave no way to renew it. Reconnect it then.", title=title, when=state.expires_at
    ))
