"""One connection's record in the vault, and the pure rules on it: what may be reused, what an answer changes.

No clock, no vault, no network here. Tokens are in clear only inside `Secret`; `to_json` is for `vault.kv` and the encrypted
spool alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from vault.secret import Secret

Status = Literal["active", "needs_consent", "disconnected"]

MARGIN = timedelta(seconds=20)
"""A token that ends sooner is not handed out again: the call it is for would outlive it."""
EVENTS_KEPT = 12


def _time(value: Any) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) and value else None


def _text(value: datetime | None) -> str | None:
    return value.isoformat() if value is not None else None


def _secret(value: Any) -> Secret[str] | None:
    return Secret(value) if isinstance(value, str) and value else None


def fingerprint(token: Secret[str] | None) -> str:
    """Tells whether a refresh token is still the one that was traded in, after the token itself is gone."""
    return hashlib.sha256(b"counterseal/refresh-token\0" + token.reveal().encode()).hexdigest() if token is not None else ""


@dataclass(frozen=True)
class Live:
    """An access token that was handed out. `asked` is what it was asked for, `scopes` what it can do; `until` is the end of
    an exclusive lease. `ref` names it without being it."""

    ref: str
    token: Secret[str]
    receiver: str
    asked: tuple[str, ...]
    scopes: tuple[str, ...]
    expires_at: datetime | None
    exclusive: bool = False
    until: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "ref": self.ref, "token": self.token.reveal(), "receiver": self.receiver, "asked": list(self.asked),
            "scopes": list(self.scopes),
            "expires_at": _text(self.expires_at), "exclusive": self.exclusive, "until": _text(self.until),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Live:
        return cls(
            ref=found["ref"], token=Secret(found["token"]), receiver=found["receiver"], asked=tuple(found["asked"]),
            scopes=tuple(found["scopes"]), expires_at=_time(found["expires_at"]), exclusive=bool(found["exclusive"]),
            until=_time(found["until"]),
        )

    def alive(self, now: datetime, margin: timedelta = MARGIN) -> bool:
        return self.expires_at is None or self.expires_at > now + margin


@dataclass(frozen=True)
class Claim:
    """Somebody is asking the provider, or died while asking. After `until` another may take over; `tries` counts how often.
    `volume`: on which spool volume the answer may lie; empty where it is known to lie on none."""

    holder: str
    fence: int
    until: datetime
    tries: int
    volume: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "holder": self.holder, "fence": self.fence, "until": _text(self.until), "tries": self.tries, "volume": self.volume,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Claim:
        until = datetime.fromisoformat(found["until"])
        return cls(found["holder"], int(found["fence"]), until, int(found["tries"]), found.get("volume", ""))


@dataclass(frozen=True)
class Ending:
    """A token that nobody uses any more and the provider has yet to end alone. `ref` names it without being it; `hint` is RFC
    7009's `token_type_hint`, `expires_at` when it ends by itself, where that is known. Where too many waited, `token` is
    empty."""

    ref: str
    token: Secret[str]
    hint: str
    expires_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {"ref": self.ref, "token": self.token.reveal(), "hint": self.hint, "expires_at": _text(self.expires_at)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Ending:
        return cls(found["ref"], Secret(found["token"]), found["hint"], _time(found.get("expires_at")))


EVENTS = ("connected", "key", "renewed", "refused", "lost", "ended", "away")
"""What can be said of one exchange with the provider: it went well (the first three), it was refused for good, its answer was
lost, there was nothing to renew with, or the provider could not or would not answer then."""


def event(what: str, at: datetime) -> str:
    """As a record keeps it: short, for the record is read at every mint."""
    return f"{what} {at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def noted(record: Record, what: str, at: datetime) -> tuple[str, ...]:
    return (*record.events, event(what, at))[-EVENTS_KEPT:]


@dataclass(frozen=True)
class Record:
    """`connections/<id>`. `entry` is the catalogue entry the provider goes by; `print` is the refresh token's fingerprint."""

    person: str
    provider: str
    entry: str
    account: str
    label: str
    scopes: tuple[str, ...]
    status: Status
    refresh: Secret[str] | None
    print: str
    live: tuple[Live, ...] = ()
    claim: Claim | None = None
    fence: int = 0
    renewals: int = 0
    renewed_at: datetime | None = None
    retry_at: datetime | None = None
    reason: str = ""
    revocation: str = ""
    paused: bool = False
    ending: tuple[Ending, ...] = ()
    ended: tuple[str, ...] = ()
    events: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "v": 1, "person": self.person, "provider": self.provider, "entry": self.entry, "account": self.account,
            "label": self.label,
            "scopes": list(self.scopes), "status": self.status, "refresh": self.refresh.reveal() if self.refresh else None,
            "print": self.print, "live": [live.to_json() for live in self.live],
            "claim": self.claim.to_json() if self.claim else None,
            "fence": self.fence, "renewals": self.renewals, "renewed_at": _text(self.renewed_at),
            "retry_at": _text(self.retry_at),
            "reason": self.reason, "revocation": self.revocation, "paused": self.paused,
            "ending": [one.to_json() for one in self.ending], "ended": list(self.ended), "events": list(self.events),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Record:
        return cls(
            person=found["person"], provider=found["provider"], entry=found["entry"], account=found["account"],
            label=found["label"],
            scopes=tuple(found["scopes"]), status=found["status"], refresh=_secret(found["refresh"]), print=found["print"],
            live=tuple(Live.from_json(live) for live in found["live"]),
            claim=Claim.from_json(found["claim"]) if found["claim"] else None,
            paused=bool(found["paused"]), ending=tuple(Ending.from_json(one) for one in found["ending"]),
            ended=tuple(found.get("ended", ())), events=tuple(found["events"]), fence=int(found["fence"]),
            renewals=int(found["renewals"]), renewed_at=_time(found["renewed_at"]),
            retry_at=_time(found["retry_at"]), reason=found["reason"], revocation=found["revocation"],
        )

    @property
    def renewable(self) -> bool:
        return self.refresh is not None


@dataclass(frozen=True)
class Want:
    """What a mint asks for: a token for one receiver. An exclusive one is for one action and ends at `until`. `for_nobody`: it is
    handed to nobody, so a paused account may be asked for it too."""

    receiver: str
    asked: tuple[str, ...]
    exclusive: bool
    until: datetime
    for_nobody: bool = False

    def to_json(self) -> dict[str, Any]:
        return {"receiver": self.receiver, "asked": list(self.asked), "exclusive": self.exclusive, "until": _text(self.until)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Want:
        until = datetime.fromisoformat(found["until"])
        return cls(found["receiver"], tuple(found["asked"]), bool(found["exclusive"]), until)


@dataclass(frozen=True)
class Answered:
    """What a provider answered to one refresh: made durable (`vault.spool`) before it is used. `used` is the fingerprint of the
    refresh token it was traded for."""

    connection: str
    fence: int
    used: str
    refresh: Secret[str] | None
    live: Live
    kills_previous: bool
    at: datetime

    def to_json(self) -> dict[str, Any]:
        return {
            "connection": self.connection, "fence": self.fence, "used": self.used,
            "refresh": self.refresh.reveal() if self.refresh else None,
            "live": self.live.to_json(), "kills_previous": self.kills_previous, "at": _text(self.at),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Answered:
        return cls(
            found["connection"], int(found["fence"]), found["used"], _secret(found["refresh"]), Live.from_json(found["live"]),
            bool(found["kills_previous"]), datetime.fromisoformat(found["at"]),
        )


def reusable(record: Record, want: Want, now: datetime) -> Live | None:
    """A live token for the same receiver and scopes. A connection without a refresh token has only its one token, for
    everything."""
    if not record.renewable:
        return next((live for live in record.live if live.alive(now, timedelta(0))), None)
    if want.exclusive:
        return None
    matches = (live for live in record.live if not live.exclusive and live.receiver == want.receiver and live.asked == want.asked)
    return next((live for live in matches if live.alive(now)), None)


def busy_until(record: Record, now: datetime, *, kills_previous: bool) -> datetime | None:
    """Until when no refresh may begin: somebody else's claim, or an exclusive token in use that a refresh would kill."""
    ends = [record.claim.until] if record.claim is not None else []
    if kills_previous:
        ends += [live.until for live in record.live if live.exclusive and live.until is not None]
    return max((end for end in ends if end > now), default=None)


def lies_elsewhere(record: Record, volume: str, *, rotates: bool) -> bool:
    """Whether the answer to the claim that stands may lie on another spool volume than this one. Where refresh tokens do not
    rotate, it matters to nobody: the old one is as good as the new."""
    return rotates and record.claim is not None and record.claim.volume not in ("", volume)


def claimed(record: Record, holder: str, volume: str, until: datetime, *, unasked: bool = False) -> Record | None:
    """The record with a claim of ours, or None if a claim ran out twice: then nobody knows which refresh token is the living
    one. `unasked`: the claim that stands is one with which nobody was asked, so it counts as no try."""
    tries = record.claim.tries + (not unasked) if record.claim is not None else 1
    if tries > 2:
        return None
    fence = record.fence + 1
    return replace(record, fence=fence, claim=Claim(holder, fence, until, tries, volume), retry_at=None)


def lease_end(live: Live, now: datetime, cap: int) -> datetime:
    """Never later than the token's own end."""
    end = now + timedelta(seconds=cap)
    return min(end, live.expires_at) if live.expires_at is not None else end
