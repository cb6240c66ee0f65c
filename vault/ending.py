"""Ending tokens while their connection goes on: at a pause, and those that a new consent replaced.

What may be ended alone is the catalogue's to say; a token whose end would end the grant is left to end by itself.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from vault.answers import Tokens
from vault.errors import Disconnected, NotKnown
from vault.kept import ended, to_end
from vault.kv import CasConflict
from vault.providers.catalogue import ProviderFacts
from vault.record import Ending, Record
from vault.renewal import load, save
from vault.secret import Secret
from vault.table import Body, Keeper, segment, text
from vault.transport import Transport
from vault.upstream import Endpoints, revoke
from vault.upstreams import endpoints, upstreams

EXPIRED = "expired"
"""A detail of `pending`."""
log = logging.getLogger("counterseal.keeper.ending")


def of_record(facts: ProviderFacts, record: Record) -> tuple[Ending, ...]:
    """All tokens of a record that can be ended without ending another grant. Pure."""
    return (*_access(facts, record), *_refresh(facts, record.refresh))


def _access(facts: ProviderFacts, record: Record) -> tuple[Ending, ...]:
    if facts.revoke_style == "none" or facts.revoke_effect != "token":
        return ()
    return tuple(Ending(live.ref, live.token, "access_token", live.expires_at) for live in record.live)


def _refresh(facts: ProviderFacts, token: Secret[str] | None) -> tuple[Ending, ...]:
    """Only where each consent is a grant of its own: else the end of the old refresh token could be that of the new one."""
    if token is None or facts.revoke_style != "rfc7009" or not facts.grants_apart:
        return ()
    return (Ending(f"old_{secrets.token_hex(8)}", token, "refresh_token"),)


def replaced(facts: ProviderFacts, before: Record, after: Record) -> tuple[Ending, ...]:
    """What a new consent leaves to be ended: never a token that is still in use. Pure."""
    kept = {one.token.reveal() for one in after.live} | ({after.refresh.reveal()} if after.refresh else set())
    left = [one for one in of_record(facts, before) if one.token.reveal() not in kept]
    return to_end(before, left)


def discard(at: Endpoints, transport: Transport, tokens: Tokens) -> None:
    """Tokens of a consent that came to nothing: the provider is told once, where that ends nothing else."""
    if at.facts.revoke_style != "none" and at.facts.revoke_effect == "token":
        revoke(at, transport, token=tokens.access, hint="access_token")
    for one in _refresh(at.facts, tokens.refresh):
        revoke(at, transport, token=one.token, hint=one.hint)


def _change(keeper: Keeper, name: str, person: str, change: Callable[[Record], Record]) -> None:
    """Raises NotKnown for another person's connection, Disconnected."""
    while True:
        record, version = load(keeper, name)
        if record.person != person:
            raise NotKnown("another person's connection")
        if record.status == "disconnected":
            raise Disconnected
        changed = change(record)
        if changed == record:
            return
        try:
            save(keeper, name, changed, version)
        except CasConflict:
            continue
        return


def pause(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.pause`. A connection that has only its one token keeps it: ending that would end the connection."""
    name = segment(body, "connection")

    def change(record: Record) -> Record:
        gone = _access(upstreams(keeper).facts(record.provider, record.entry), record) if record.renewable else ()
        refs = {one.ref for one in gone}
        left = tuple(live for live in record.live if live.ref not in refs)
        return replace(record, paused=True, live=left, ending=to_end(record, gone))

    _change(keeper, name, segment(body, "person"), change)
    log.info("paused connection=%s", name)
    return {}


def resume(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.resume`."""
    name = segment(body, "connection")
    _change(keeper, name, segment(body, "person"), lambda record: replace(record, paused=False))
    log.info("resumed connection=%s", name)
    return {}


def forget(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.forget`. An exclusive token has a lease of its own, by which it is ended; the one token of a connection that cannot
    renew it is everybody's."""
    name, receiver = segment(body, "connection"), text(body, "receiver", limit=200)

    def change(record: Record) -> Record:
        ends = {one.ref: one for one in _access(upstreams(keeper).facts(record.provider, record.entry), record)}
        gone = [live.ref for live in record.live if record.renewable and not live.exclusive and live.receiver == receiver]
        left = tuple(live for live in record.live if live.ref not in gone)
        return replace(record, live=left, ending=to_end(record, [ends[ref] for ref in gone if ref in ends]))

    _change(keeper, name, segment(body, "person"), change)
    log.info("forgot connection=%s receiver=%s", name, receiver)
    return {}


def end_tokens(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.end_tokens`. A disconnected connection's are ended by `Door.revoke`, with all others."""
    name = segment(body, "connection")
    record, _version = load(keeper, name)
    if not record.ending or record.status == "disconnected":
        return {"outcome": "confirmed", "detail": "nothing to end", "count": 0}
    told = tell(keeper, record)
    settle(keeper, name, told)
    left = [one.expires_at for one in record.ending if told[one.ref] == "pending"]
    return {"outcome": _outcome(told), "detail": by_itself(left, keeper.clock()), "count": len(told)}


def tell(keeper: Keeper, record: Record) -> dict[str, str]:
    """What the provider answers for each, by name. One that is not set up here any more cannot be told."""
    try:
        at = endpoints(keeper, record.provider)
    except NotKnown:
        return {one.ref: "unsupported" for one in record.ending}
    return {one.ref: _end(at, upstreams(keeper).transport, one) for one in record.ending}


def by_itself(pending: Sequence[datetime | None], now: datetime) -> str:
    """What is said with `pending`: whether all that the provider has not confirmed has ended by its own lifetime. Some answer an
    error to a token that is over, for ever (RFC 7009 section 2.2 says 200); the ledger still waits for a word. Pure."""
    return EXPIRED if pending and all(at is not None and at <= now for at in pending) else ""


def _end(at: Endpoints, transport: Transport, one: Ending) -> str:
    return revoke(at, transport, token=one.token, hint=one.hint) if one.token.reveal() else "unsupported"


def _outcome(told: Mapping[str, str]) -> str:
    """Confirmed is what was confirmed of each."""
    answers = set(told.values())
    return next((one for one in ("pending", "unsupported") if one in answers), "confirmed")


def settle(keeper: Keeper, name: str, told: Mapping[str, str]) -> None:
    """What the provider had its last word on is forgotten, but for the name of what it confirmed."""
    over = {ref for ref, outcome in told.items() if outcome != "pending"}
    while True:
        record, version = load(keeper, name)
        left = tuple(one for one in record.ending if one.ref not in over)
        if left == record.ending:
            return
        names = [one.ref for one in record.ending if told.get(one.ref) == "confirmed"]
        try:
            save(keeper, name, replace(record, ending=left, ended=ended(record, names)), version)
        except CasConflict:
            continue
        return


HANDLERS = {"pause": pause, "resume": resume, "forget": forget, "end_tokens": end_tokens}
