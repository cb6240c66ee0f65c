"""Refreshing one connection's tokens, so that no rotated refresh token is lost and nobody refreshes beside another.

The vault's check-and-set is the lock: claim -> ask the provider -> spool the answer -> write it -> remove the spool. A process
may die between any two of these:

- after the claim: it runs out, and the next one asks (a process that lives and knows that nobody was asked goes on at once);
- after the provider heard: the next one asks once more with the old refresh token; a provider with a grace period answers,
  any other ends the grant, and the person is told;
- after the spool: whoever shares the volume writes the answer, before anybody asks again; whoever does not waits for that
  (`waits_for_volume`, `vault.volumes`);
- after the write: the spooled answer no longer fits the record and is dropped.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import replace
from datetime import datetime, timedelta

from vault.answers import Tokens
from vault.errors import Disconnected, KeeperError, NeedsConsent, NotKnown, Paused, ProviderAway, ProviderRefused
from vault.kept import applied, fits, given_up
from vault.kv import CasConflict
from vault.providers.catalogue import ProviderFacts
from vault.record import Answered, Live, Record, Want, busy_until, claimed, lies_elsewhere, noted, reusable
from vault.said import said
from vault.table import Keeper
from vault.transport import AnswerLost
from vault.upstream import Endpoints, refresh
from vault.upstreams import Upstreams, endpoints, upstreams

log = logging.getLogger("counterseal.keeper.renewal")

REFUSED = said("The provider refused the last renewal. Nothing can use this account until you reconnect it.")
LOST = said("The provider's answer to a renewal was lost twice. Nothing can use this account until you reconnect it.")
GONE = said(
    "The machine that renewed this account last did not come back with the provider's answer. Nothing can use this account until "
    "you reconnect it."
)
WAITED_FOR = said(
    "The machine that renewed this account last is away, and may hold the provider's answer. Try again later; reconnecting the "
    "account works at once."
)
VOLUME_LIVES = timedelta(seconds=15)
"""A volume that lives has said by then what it holds (`vault.volumes`)."""
KEY_ENDED = said("The key has passed the last day that you gave for it. Replace it to go on.")
ENDED = "The provider's access token has ended, and it gave no way to renew it. Reconnect the account."


def load(keeper: Keeper, connection: str) -> tuple[Record, int]:
    """Raises NotKnown."""
    found = keeper.kv.read(f"connections/{connection}")
    if found is None:
        raise NotKnown(f"connection {connection}")
    return Record.from_json(found.data), found.version


def save(keeper: Keeper, connection: str, record: Record, version: int) -> int:
    """Raises CasConflict."""
    return keeper.kv.write(f"connections/{connection}", record.to_json(), version)


def require_active(record: Record, want: Want | None = None) -> None:
    """Raises Disconnected, NeedsConsent or Paused."""
    if record.status == "disconnected":
        raise Disconnected
    if record.status == "needs_consent":
        raise NeedsConsent(record.reason, hint=record.reason or None)
    if record.paused and not (want is not None and want.for_nobody):
        raise Paused


def active(keeper: Keeper, connection: str) -> Record:
    """The record, if it may be used. One that was given up for want of an answer comes back if that answer lies spooled here.
    Raises NotKnown, Disconnected, NeedsConsent."""
    record, _version = load(keeper, connection)
    if record.status == "needs_consent" and rescue(keeper, connection):
        record, _version = load(keeper, connection)
    require_active(record)
    return record


def renew(keeper: Keeper, connection: str, want: Want) -> Live:
    """A token fit for `want`: by a refresh of ours, or of somebody who was faster. Raises Disconnected, NeedsConsent,
    ProviderAway, ProviderRefused, TooMany and the vault's errors."""
    ours = upstreams(keeper)
    end = time.monotonic() + ours.timing.wait
    at: Endpoints | None = None
    while True:
        record, version = load(keeper, connection)
        require_active(record, want)
        now = keeper.clock()
        if (found := reusable(record, want, now)) is not None:
            return found
        if record.claim is not None and rescue(keeper, connection):
            continue
        if not record.renewable:
            raise _over(keeper, connection, record, version, KEY_ENDED if record.entry == "key" else ENDED, "ended")
        at = at or endpoints(keeper, record.provider)
        unasked = ours.unasked.has(record.claim)
        seen = replace(record, claim=None) if unasked else record
        if _must_wait(keeper, seen, at, now, end):
            time.sleep(ours.timing.poll)
            continue
        mine = claimed(record, ours.holder(), ours.spool.volume, now + ours.timing.claim, unasked=unasked)
        if mine is None or _apart(keeper, seen, at.facts):
            raise _over(keeper, connection, record, version, LOST if mine is None else GONE, "lost")
        ours.bounds.count("refresh", connection, now, ours.bounds.refreshes)
        try:
            version = _claim(keeper, ours, connection, mine, version)
        except CasConflict:
            continue
        return _ask(keeper, ours, at, connection, mine, version, want)


def waits_for_volume(keeper: Keeper, record: Record, facts: ProviderFacts, now: datetime) -> bool:
    """Whether what the provider answered last may lie on another volume, which has not been away for too long yet."""
    longest = timedelta(minutes=keeper.settings.lost_volume_minutes)
    return record.claim is not None and now < record.claim.until + longest and _apart(keeper, record, facts)


def _apart(keeper: Keeper, record: Record, facts: ProviderFacts) -> bool:
    return lies_elsewhere(record, upstreams(keeper).spool.volume, rotates=facts.rotates)


def _claim(keeper: Keeper, ours: Upstreams, connection: str, mine: Record, version: int) -> int:
    """Raises CasConflict and the vault's errors; then the claim may stand all the same, and we shall not ask with it."""
    ours.spool.note(connection, mine.claim)
    try:
        return save(keeper, connection, mine, version)
    except BaseException:
        ours.unasked.add(mine.claim)
        raise


def _must_wait(keeper: Keeper, record: Record, at: Endpoints, now: datetime, end: float) -> bool:
    """Raises ProviderAway when waiting is over, or when the provider just said that it cannot."""
    if record.retry_at is not None and record.retry_at > now:
        raise ProviderAway("it answered an error a moment ago")
    away = waits_for_volume(keeper, record, at.facts, now)
    if busy_until(record, now, kills_previous=at.facts.refresh_kills_previous) is None and not away:
        return False
    if away and record.claim is not None and record.claim.until + VOLUME_LIVES < now:
        raise ProviderAway("the answer may lie on another volume", hint=WAITED_FOR)
    if time.monotonic() > end:
        raise ProviderAway("another refresh has not ended", hint="Another call is using this account. Try again in a moment.")
    return True


def _ask(keeper: Keeper, ours: Upstreams, at: Endpoints, connection: str, mine: Record, version: int, want: Want) -> Live:
    if mine.refresh is None or mine.claim is None:
        raise NeedsConsent(ENDED, hint=ENDED)
    now = keeper.clock()
    try:
        tokens = refresh(at, ours.transport, token=mine.refresh, scopes=want.asked, now=now)
    except AnswerLost as error:
        # The claim stays until it runs out: the provider may have traded in the refresh token, or may be about to.
        log.warning("the answer to refresh %d of %s was lost: %s", mine.fence, connection, error)
        raise ProviderAway(str(error)) from error
    except NeedsConsent as error:
        log.warning("refresh %d of %s was refused for good: %s", mine.fence, connection, error.detail)
        raise _over(keeper, connection, mine, version, REFUSED, "refused") from error
    except ProviderAway:
        _release(keeper, ours, connection, mine, version, now, retry_at=now + ours.timing.again)
        raise
    except ProviderRefused:
        _release(keeper, ours, connection, mine, version, now)
        raise
    answer = _answered(connection, mine, at, tokens, want, now)
    ours.spool.put(answer)
    record, _version = settle(keeper, answer, known=(mine, version))
    ours.spool.remove(answer)
    ours.spool.forget(mine.claim.holder)
    require_active(record, want)
    if all(live.ref != answer.live.ref for live in record.live):
        raise ProviderAway("a later refresh came between", hint="Another call is using this account. Try again in a moment.")
    return answer.live


def _answered(connection: str, mine: Record, at: Endpoints, tokens: Tokens, want: Want, now: datetime) -> Answered:
    scopes = tokens.scopes or (want.asked if at.facts.narrows else mine.scopes)
    live = Live(
        ref=f"tok_{secrets.token_hex(12)}", token=tokens.access, receiver=want.receiver, asked=want.asked, scopes=scopes,
        expires_at=tokens.expires_at, exclusive=want.exclusive, until=want.until if want.exclusive else None,
    )
    return Answered(connection, mine.fence, mine.print, tokens.refresh, live, at.facts.refresh_kills_previous, now)


def settle(keeper: Keeper, answer: Answered, known: tuple[Record, int] | None = None) -> tuple[Record, int]:
    """Write an answer into its record, if it still fits there. Safe to repeat. Raises NotKnown and the vault's errors."""
    while True:
        record, version = known or load(keeper, answer.connection)
        known = None
        if not fits(record, answer):
            return record, version
        changed = applied(record, answer, keeper.clock())
        try:
            return changed, save(keeper, answer.connection, changed, version)
        except CasConflict:
            continue


def rescue(keeper: Keeper, connection: str = "*") -> bool:
    """Take over spooled answers into the vault: at start for all connections, and before anybody asks for one. Whether there
    were any."""
    spool = upstreams(keeper).spool
    found = False
    for answer in spool.pending(connection):
        try:
            settle(keeper, answer)
        except NotKnown:
            log.warning("a spooled answer is for a connection that is gone: %s", answer.connection)
        spool.remove(answer)
        found = True
    return found


def drain(keeper: Keeper) -> None:
    """At start. If the vault is away, the answers stay where they are: whoever needs one looks again."""
    try:
        rescue(keeper)
    except KeeperError as error:
        log.warning("the spool could not be drained at start: %s", error.code)


def _over(
    keeper: Keeper, connection: str, record: Record, version: int, reason: str, what: str
) -> NeedsConsent | Disconnected:
    """Record that the person has to consent again, unless the record moved on: then whoever asks looks again."""
    try:
        save(keeper, connection, given_up(record, reason, what, keeper.clock()), version)
    except CasConflict:
        now = load(keeper, connection)[0]
        if now.status == "disconnected":
            return Disconnected()
    return NeedsConsent(reason, hint=reason)


def _release(
    keeper: Keeper, ours: Upstreams, connection: str, mine: Record, version: int, now: datetime, retry_at: datetime | None = None
) -> None:
    """The provider did nothing, so the claim guards nothing. An answer that was lost before it stays counted."""
    claim = mine.claim
    again = claim is not None and claim.tries > 1
    earlier = replace(claim, until=now, tries=claim.tries - 1, volume="") if claim is not None and again else None
    try:
        save(keeper, connection, replace(mine, claim=earlier, retry_at=retry_at, events=noted(mine, "away", now)), version)
    except CasConflict:
        log.info("the claim on %s had passed to another", connection)
    except KeeperError:
        ours.unasked.add(claim)
        raise
