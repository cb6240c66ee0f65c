"""Minting access tokens just in time, and ending them. One connection's tokens; the refresh itself is `vault.renewal`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from vault import spending
from vault.client import Refused
from vault.ending import by_itself, forget, settle, tell
from vault.errors import BadRequest, KeeperError, NotApproved, NotKnown, ScopeRefused
from vault.kept import ended, still
from vault.kv import CasConflict
from vault.record import Live, Record, Want, lease_end, reusable
from vault.renewal import active, load, renew, require_active, save
from vault.shapes import Evidence
from vault.spent import spend
from vault.table import Body, Keeper, flag, number, segment, strings, text
from vault.upstream import revoke
from vault.upstreams import endpoints, freely, upstreams

log = logging.getLogger("counterseal.keeper.mint")

LONGEST = 3600
SHORTEST = 1
TOGETHER = 64
TRIAL = "counterseal:trial"
"""The receiver of a renewal's token that nobody asked for. No server has such a name."""
ALONE: Mapping[str, Any] = {"alone": True}
"""Ask for this one by itself: a provider has to be asked, or it may be the only one of its kind."""


@dataclass(frozen=True)
class Mint:
    """A request for a token, as it came through the door."""

    asked: spending.Asked
    cap: int
    exclusive: bool
    evidence: Evidence | None


def _read(body: Body) -> Mint:
    scopes = tuple(sorted(set(strings(body, "scopes"))))
    if not scopes:
        raise ScopeRefused("no scopes")
    evidence = spending.read(body)
    return Mint(
        asked=spending.Asked(segment(body, "connection"), segment(body, "person"), scopes, text(body, "receiver", limit=200)),
        cap=max(SHORTEST, number(body, "cap", most=LONGEST)), exclusive=flag(body, "exclusive") or evidence is not None,
        evidence=evidence,
    )


def mint(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.mint`.

    1. bounded per connection and minute; 2. the connection is the person's, and active; 3. the scopes are no wider than granted;
    4. what the token could do that moves money or destroys is covered by evidence, which is verified;
    5. a token is found or made; what the provider really answered passes 3 and 4 again; 6. the evidence is spent; 7. it is
    logged.
    """
    wanted, now = _read(body), keeper.clock()
    asked, ours = wanted.asked, upstreams(keeper)
    ours.bounds.count("mint", asked.connection, now, ours.bounds.mints)  # 1
    record = active(keeper, asked.connection)  # 2
    action = _require_allowed(keeper, wanted, record)
    want = Want(asked.receiver, asked.scopes, wanted.exclusive, now + timedelta(seconds=wanted.cap))
    live = reusable(record, want, now) or renew(keeper, asked.connection, want)  # 5
    return _hand_out(keeper, wanted, record, live, action)


def mint_ready(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.mint` for all who ask at the same moment, where no provider has to be asked and nothing was approved: the same steps
    for each, and each answered, refused or told to ask alone, by itself. A connection's record is read once for all of them:
    after they had asked, so that a disconnection or a pause holds for each as if it were alone."""
    asked = body.get("mints")
    if not isinstance(asked, list) or not 0 < len(asked) <= TOGETHER or not all(isinstance(one, dict) for one in asked):
        raise BadRequest("mints")
    records: dict[str, Record] = {}
    return {"answers": [_one_of_many(keeper, one, records) for one in asked]}


def _one_of_many(keeper: Keeper, body: Body, records: dict[str, Record]) -> Mapping[str, Any]:
    try:
        return _ready(keeper, _read(body), records)
    except Refused:
        raise
    except KeeperError as error:
        log.info("mint: %s: %s", error.code, error.detail)
        return error.answer()


def _ready(keeper: Keeper, wanted: Mint, records: dict[str, Record]) -> Mapping[str, Any]:
    asked, now, ours = wanted.asked, keeper.clock(), upstreams(keeper)
    if wanted.exclusive:
        return ALONE
    record = records.get(asked.connection) or active(keeper, asked.connection)  # 2
    records[asked.connection] = record
    _require_allowed(keeper, wanted, record)
    live = reusable(record, Want(asked.receiver, asked.scopes, exclusive=False, until=now), now)  # 5
    if live is None:
        return ALONE
    ours.bounds.count("mint", asked.connection, now, ours.bounds.mints)  # 1
    return _hand_out(keeper, wanted, record, live, None)


def _require_allowed(keeper: Keeper, wanted: Mint, record: Record) -> str | None:
    """Steps 2 to 4; the approved action, where there is evidence of one."""
    asked = wanted.asked
    _require_owner(record, asked.person)
    _require_granted(record, asked.scopes)  # 3
    action = spending.verify(keeper, wanted.evidence, asked=asked, record=record) if wanted.evidence else None  # 4
    _require_covered(keeper, record, _reach(keeper, record, asked.scopes), asked.scopes if action else ())
    return action


def _hand_out(keeper: Keeper, wanted: Mint, record: Record, live: Live, action: str | None) -> Mapping[str, Any]:
    asked = wanted.asked
    _require_covered(keeper, record, live.scopes, _reach(keeper, record, asked.scopes) if action else ())
    if action is not None:
        spend(keeper, action)  # 6: before the token leaves; a refresh that failed has not cost the approval
    log.info(  # 7
        "minted connection=%s receiver=%s scopes=%s exclusive=%s action=%s token=%s",
        asked.connection, asked.receiver, ",".join(asked.scopes), live.exclusive, action or "-", live.ref,
    )
    return _minted(live, wanted, keeper.clock())


def _minted(live: Live, wanted: Mint, now: datetime) -> dict[str, Any]:
    end = lease_end(live, now, wanted.cap)
    return {
        "token": live.token.reveal(), "expires_at": end.isoformat(), "scopes": list(live.scopes), "exclusive": live.exclusive,
        "token_ref": live.ref if live.exclusive else "",
    }


def _require_owner(record: Record, person: str) -> None:
    """Another person's connection looks like none."""
    if record.person != person:
        raise NotKnown("another person's connection")


def _require_granted(record: Record, scopes: tuple[str, ...]) -> None:
    missing = set(scopes) - set(record.scopes)
    if missing:
        hint = "The connected account does not allow this. Reconnect it and allow it there."
        raise ScopeRefused(f"not granted: {sorted(missing)}", hint=hint)


def _reach(keeper: Keeper, record: Record, scopes: tuple[str, ...]) -> tuple[str, ...]:
    """What a token for these scopes will be able to do: everything that was granted, where the provider cannot narrow it."""
    facts = upstreams(keeper).facts(record.provider, record.entry)
    return scopes if facts.narrows and record.renewable else record.scopes


def _require_covered(keeper: Keeper, record: Record, reach: tuple[str, ...], covered: tuple[str, ...]) -> None:
    """Without evidence, a token that could move money or destroy is not handed out, whatever it was asked for; with it, only
    where that is what was approved, or all that the provider can give."""
    facts = upstreams(keeper).facts(record.provider, record.entry)
    grave = facts.grave(reach) - freely(keeper, record.provider)
    if grave and not covered:
        raise ScopeRefused(f"needs evidence: {sorted(grave)}", hint="This needs an approved action.")
    if facts.narrows and record.renewable and covered and grave - set(covered):
        raise ScopeRefused(
            f"wider than approved: {sorted(grave)}", hint="The provider answered a token that can do more than was approved."
        )


def spend_approval(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.spend`: a held call that uses no account is verified here too, and runs once."""
    evidence, receiver = spending.read(body), text(body, "receiver", limit=200)
    if evidence is None:
        raise NotApproved("no evidence")
    action = spending.verify_without_account(keeper, evidence, receiver=receiver)
    spend(keeper, action)
    log.info("approved without a token: action=%s receiver=%s", action, receiver)
    return {}


def end_lease(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.end_lease`. The provider is asked only where it can end this token alone; safe to repeat."""
    connection, ref = segment(body, "connection"), text(body, "token_ref", limit=100)
    record, _version = load(keeper, connection)
    if record.status == "disconnected":
        return {"outcome": _with_account(record), "detail": "it ends with its account"}
    if any(one.ref == ref for one in record.ending):
        told = tell(keeper, replace(record, ending=tuple(one for one in record.ending if one.ref == ref)))
        settle(keeper, connection, told)
        return {"outcome": told[ref], "detail": ""}
    live = next((one for one in record.live if one.ref == ref), None)
    if live is None:
        known = ref in record.ended
        return {"outcome": "confirmed" if known else "unsupported", "detail": "" if known else "its token is not kept any more"}
    at = endpoints(keeper, record.provider)
    outcome = "unsupported"
    if at.facts.revoke_effect == "token" and live.exclusive:
        outcome = revoke(at, upstreams(keeper).transport, token=live.token, hint="access_token")
    _forget(keeper, connection, ref, outcome)
    return {"outcome": outcome, "detail": by_itself([live.expires_at], keeper.clock()) if outcome == "pending" else ""}


def _with_account(record: Record) -> str:
    """Of a disconnected one's single token: the account's own row of the ledger is asked for as long as it has to be."""
    return "confirmed" if record.revocation == "confirmed" else "unsupported"


def _forget(keeper: Keeper, connection: str, ref: str, outcome: str) -> None:
    """The lease is over either way, so a refresh may go on; the token is kept only while the provider has to be told again."""
    while True:
        record, version = load(keeper, connection)
        left = tuple(
            replace(one, until=None) if one.ref == ref else one for one in record.live if outcome == "pending" or one.ref != ref
        )
        left = still(left, keeper.clock())
        names = ended(record, [ref]) if outcome == "confirmed" else record.ended
        if (left, names) == (record.live, record.ended):
            return
        try:
            save(keeper, connection, replace(record, live=left, ended=names), version)
        except CasConflict:
            continue
        return


def try_renewal(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Renew, whatever token is at hand: does the provider still know the refresh token? The new token is for a receiver of its
    own, whom nobody mints for; `forget` has it ended."""
    connection = segment(body, "connection")
    record = active(keeper, connection)
    if record.renewable:
        renew(keeper, connection, Want(TRIAL, record.scopes, exclusive=False, until=keeper.clock()))
    return {"receiver": TRIAL}


def trade_in(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.trade_in`. The token that comes with it is for nobody: nobody mints for `TRIAL`, and it is to be ended at once."""
    connection = segment(body, "connection")
    record, _version = load(keeper, connection)
    want = Want(TRIAL, record.scopes, exclusive=False, until=keeper.clock(), for_nobody=True)
    require_active(record, want)
    if not record.paused or not record.renewable:
        return {"outcome": "kept" if record.paused else "in_use"}
    own = {"connection": connection, "person": record.person, "receiver": TRIAL}
    forget(keeper, own)  # else one of before, whose renewal died here, would do
    renew(keeper, connection, want)
    forget(keeper, own)
    return {"outcome": "kept" if load(keeper, connection)[0].print == record.print else "traded"}


HANDLERS = {
    "try_renewal": try_renewal, "trade_in": trade_in, "mint": mint, "mint_ready": mint_ready, "spend": spend_approval,
    "end_lease": end_lease,
}
