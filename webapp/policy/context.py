"""The context that rules see, built from a call's plain values. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from webapp import config
from webapp.currencies import EXPONENTS
from webapp.policy.amounts import Amount
from webapp.policy.calls import Call, Usage
from webapp.policy.counters import COUNTERS
from webapp.policy.facts import Recipient

if TYPE_CHECKING:
    from webapp.policy.engine import Listing

WORSE_HINTS = (("destructiveHint", "destructive"), ("openWorldHint", "open_world"))

Json = dict[str, Any]


def views(call: Call, settings: config.Policy) -> Iterator[Json]:
    """The call as the pin reads it; then, where there are inferred facts, with those in their place; then, for a call that is
    only reported, as if nothing had been said. A verdict must hold in all of them."""
    facts = call.facts
    yield _context(call, settings, facts.amount, facts.recipient)
    if facts.inferred_amount or facts.inferred_recipient:
        yield _context(call, settings, facts.inferred_amount or facts.amount, facts.inferred_recipient or facts.recipient)
    if not call.enforced:
        unsaid = Amount("none") if facts.amount.status == "none" and call.cls != "money" else Amount("unknown")
        yield _context(call, settings, unsaid, None)


def unknown(asked: Listing) -> Iterator[Json]:
    """Contexts for partial evaluation: who asks is known, what the call will be about is not. Once with and once without the
    optional parts, since `has` tells them apart."""
    known = {"caller": {"agent": asked.agent, "verified": asked.verified, "mtls": asked.mtls}}
    always = {name: _unknown(name) for name in ("time", "usage", "session", "enforced")}
    tool = {"class": asked.cls, "hints": _unknown("hints")}
    yield {**known, **always, "tool": tool}
    yield {**known, **always, "tool": tool, **{name: _unknown(name) for name in ("amount", "recipient", "account")}}


def check(settings: config.Policy) -> None:
    """Raises ValueError on settings that no fact can be read with."""
    _zone(settings.zone)
    if settings.base_currency not in EXPONENTS:
        raise ValueError(f"base_currency {settings.base_currency!r} is not one of ISO 4217")
    if not 0 <= settings.business_from < settings.business_to <= 24 or not set(settings.business_days) <= set(range(7)):
        raise ValueError("business hours are `business_from` < `business_to`, 0 to 24, on days 0 (Monday) to 6")


def _context(call: Call, settings: config.Policy, amount: Amount, recipient: Recipient | None) -> Json:
    usage = call.usage
    built: Json = {
        "time": _time(call.now, settings),
        "tool": {"class": call.cls, "hints": [name for hint, name in WORSE_HINTS if call.hints.get(hint) is True]},
        "caller": {"agent": call.agent.id, "verified": call.agent.verified, "mtls": call.agent.mtls},
        "usage": dict.fromkeys(COUNTERS, 0) if usage.counts is None else dict(usage.counts),
        "session": {"tainted": call.tainted},
        "enforced": call.enforced,
    }
    if amount.status != "none":
        built["amount"] = {
            "status": amount.status, "minor": amount.minor, "currency": amount.currency, "base_minor": amount.base_minor,
        }
    if recipient is not None:
        built["recipient"] = _recipient(recipient, usage, amount)
    if call.account is not None:
        built["account"] = {"provider": call.account.provider, "owner_is_requester": call.account.owner == call.person}
    return built


def _recipient(recipient: Recipient, usage: Usage, amount: Amount) -> Json:
    """Approved before counts up to the amount approved then: a small payment once approved must not wave a large one through."""
    within = amount.status == "none" or amount.base_minor <= usage.up_to_minor
    described: Json = {
        "value": recipient.value, "kind": recipient.kind,
        "approved_before": usage.approved_before > 0 and within, "up_to_minor": usage.up_to_minor,
    }
    return described | ({"lookalike_of": usage.lookalike_of} if usage.lookalike_of else {})


def _time(now: datetime, settings: config.Policy) -> Json:
    here = now.astimezone(_zone(settings.zone))
    open_ = here.weekday() in settings.business_days and settings.business_from <= here.hour < settings.business_to
    return {"hour": here.hour, "weekday": here.weekday(), "business_hours": open_}


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except ZoneInfoNotFoundError as error:
        raise ValueError(f"{name!r} is not a time zone") from error


def _unknown(name: str) -> Json:
    return {"__extn": {"fn": "unknown", "arg": name}}
