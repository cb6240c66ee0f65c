"""How an account is, in words: pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from vault.door import ConnectionState
from webapp.connections.tables import Connection

SOON = timedelta(days=3)
FORESEEN = timedelta(days=7)


@dataclass(frozen=True)
class Health:
    """A chip (its colour class and its word) and a sentence; `at` stands between `before` and `after`, where there is a time."""

    tone: str
    word: str
    before: str
    at: datetime | None = None
    after: str = ""


NOTHING = "Nothing can use this account until you reconnect it."
OVER = {
    "refused": ("{title} refused the last renewal ", f". {NOTHING}"),
    "lost": ("The answer of {title} to a renewal was lost twice, the last time ", f". {NOTHING}"),
    "ended": ("The access that {title} gave ended, as was noticed ", f", and it gave no way to renew it. {NOTHING}"),
}
EVENTS = {
    "connected": "You gave your consent", "key": "You gave a key", "renewed": "Renewed",
    "refused": "Refused for good", "lost": "The answer was lost",
    "ended": "Ended, with no way to renew it", "away": "Not renewed: no answer, or an error there",
}


def health(
    row: Connection, state: ConnectionState | None, title: str, now: datetime, *, away: bool = False, ends: datetime | None = None
) -> Health:
    """`state` is what the keeper knows, None where it knows nothing, or is `away`; `ends`: when the consent ends, however often
    it is used. A row that says less than the keeper is believed where that is the worse news."""
    if row.suspended and row.status != "disconnected":
        return Health("bad", "Suspended", "Something may be compromised: nothing uses it until an administrator lifts that.")
    if row.status == "disconnected":
        return Health("", "Disconnected", "Nothing here can use it any more.")
    if row.status == "needs_consent" or (state is not None and state.status == "needs_consent"):
        return _over(row, state, title)
    if row.status == "paused":
        return Health("", "Paused by you", "Nothing can use this account until you resume it. Paused ", row.status_at, ".")
    if away:
        return Health("", "Connected", "When its access was renewed cannot be told while the vault is away.")
    if state is None:
        return Health("warn", "Reconnect", f"The vault holds no access for this account. {NOTHING}")
    if ends is not None and now < ends < now + FORESEEN and state.renewable:
        return Health("warn", "Ends soon", f"{title} ends this access ", ends, ", however often it is used. Reconnect it before.")
    return _active(state, title, now)


def _over(row: Connection, state: ConnectionState | None, title: str) -> Health:
    last = state.events[0] if state is not None and state.events else None
    at, what = (last.at, last.what) if last is not None and last.what in OVER else (row.status_at, "")
    if what == "" or at is None:
        return Health("warn", "Reconnect", row.reason or f"{title} no longer accepts this connection. {NOTHING}")
    before, after = OVER[what]
    return Health("warn", "Reconnect", before.format(title=title), at, after)


def _active(state: ConnectionState, title: str, now: datetime) -> Health:
    last = state.events[0] if state.events else None
    if last is not None and last.what == "away":
        after = ". Nothing was lost; it is asked again at the next use."
        return Health("warn", "Not answering", f"{title} did not renew the access ", last.at, after)
    if not state.renewable:
        return _one_token(state, title, now)
    if state.renewals and state.renewed_at is not None:
        times = "once" if state.renewals == 1 else f"{state.renewals} times"
        return Health("good", "Healthy", f"Access renewed {times}, last ", state.renewed_at, ".")
    return Health("good", "Healthy", "Access is fetched when something first uses it.")


def _one_token(state: ConnectionState, title: str, now: datetime) -> Health:
    """There is one access token for all uses, until it ends."""
    if state.expires_at is None:
        return Health("good", "Healthy", f"{title} sets no end to this access: it goes on until you take it back.")
    if state.expires_at <= now:
        return Health("warn", "Reconnect", f"The access that {title} gave ended ", state.expires_at, f". {NOTHING}")
    after = f"; {title} gave no way to renew it. Reconnect it then."
    soon = state.expires_at - now < SOON
    return Health("warn" if soon else "good", "Ends soon" if soon else "Healthy", "The access ends ", state.expires_at, after)
