"""Delegations: a person lends their membership in one group to another, for a time and a scope, signed for by their own factor.

They are records of the keeper's. A row in the database shows them on pages and names none that is not here.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from vault import factors
from vault.authority import proven, with_factor
from vault.envelope import Envelope, canonical, digest, excluded
from vault.errors import BadRequest, FactorRefused, FactorTooYoung, MayNotDecide, NotKnown, TooMany
from vault.kv import Data
from vault.mark import mark
from vault.people import Person, held_at, person
from vault.said import said
from vault.standing import carries, covers, moment
from vault.table import SEGMENT, Body, Keeper, mapping, segment, strings, text
from vault.young import old_enough

DOMAIN = b"counterseal/delegation/v1\n"
LONGEST = timedelta(days=30)
MOST = 20
"""Of one person, that have not ended."""
AMOUNT = 10**15

One = dict[str, Any]


def path(who: str) -> str:
    """What this person has lent, by the one who lends."""
    return f"people/{who}/delegations"


# -- lending ------------------------------------------------------------------------------------------------------------


def delegation_challenge(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """A challenge over exactly this delegation, as `delegate` will record it. Raises MayNotDecide, NotKnown, BadRequest."""
    who = proven(keeper, body)
    asked = _asked(keeper, body, with_factor(who).person)
    nonce = secrets.token_bytes(32)
    more = {"challenge_nonce": nonce.hex(), "digest": _digest(asked)}
    return factors.offered(keeper, who, "delegation", _value(nonce, asked), more)


def delegate(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """1. The ticket is this session's and records a factor. 2. They are in the group, and it is to somebody else, who is known.
    3. Their factor's answer is for this very delegation, and old enough to approve by. 4. It is recorded."""
    who = proven(keeper, body)
    asked = _asked(keeper, body, with_factor(who).person)  # 1, 2
    evaluation = mark(keeper).evaluation

    def expected(opened: Mapping[str, Any]) -> str:
        if opened["digest"] != _digest(asked):
            raise FactorRefused("the challenge was for another delegation")
        return _value(bytes.fromhex(opened["challenge_nonce"]), asked).hex()

    def acceptable(factor: One) -> None:
        if not old_enough(keeper, factor, evaluation):
            raise FactorTooYoung(str(factor["id"]))

    used = factors.answered(keeper, who, mapping(body, "answer"), "delegation", expected, acceptable)  # 3
    made = {"id": f"dlg_{secrets.token_hex(12)}", "factor": used["kind"], "made_at": keeper.clock().isoformat(), "ended_at": ""}
    one: One = {**asked, **made}
    keeper.kv.update(path(asked["by"]), lambda old: (_with(old, one, keeper.clock()), None))  # 4
    return {"delegation": one}


def delegation_end(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """End one, at once and for ever. By whoever lent it, by whoever it was lent to, and by anybody else who has a factor: it only
    tightens, and the app says who is an admin. Raises NotKnown."""
    with_factor(proven(keeper, body))
    by, which, now = segment(body, "by"), segment(body, "id"), keeper.clock().isoformat()

    def change(old: Data | None) -> tuple[Data, None]:
        given = [dict(one) for one in (old or {}).get("given", ())]
        if not any(one["id"] == which for one in given):
            raise NotKnown("no such delegation")
        return {"given": [{**one, "ended_at": one["ended_at"] or now} if one["id"] == which else one for one in given]}, None

    keeper.kv.update(path(by), change)
    return {}


def delegations(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Which of these (`by id`) stand now, for this person: what a page may show as theirs."""
    to = person(keeper, segment(body, "person"))
    found = [_found(keeper, by, which, to.id) for by, which in refs(body)]
    return {"delegations": [one for one in found if one is not None and _stands(keeper, one, keeper.clock())]}


def _asked(keeper: Keeper, body: Body, by: str) -> One:
    given, now = mapping(body, "delegation"), keeper.clock()
    to, group = segment(given, "to"), text(given, "group", limit=100)
    lender, other = person(keeper, by), person(keeper, to)
    if group not in lender.groups:
        raise MayNotDecide(f"{by} is not in {group}", hint="You can delegate only a group that you are in yourself.")
    if other.id in {lender.id, *lender.same_for(None)}:
        raise MayNotDecide(f"{by} to themself", hint="Delegate to somebody else.")
    since, until = _time(given, "since"), _time(given, "until")
    if not max(now, since) < until <= now + LONGEST:
        raise BadRequest("until", hint=said(
            "A delegation ends after it begins, and within %(days)s days.", days=LONGEST.days
        ))
    return {
        "v": 1, "by": by, "to": to, "group": group, "scope": _scope(mapping(given, "scope")),
        "since": since.isoformat(timespec="seconds"), "until": until.isoformat(timespec="seconds"),
    }


def _scope(given: Body) -> One:
    up_to = given.get("up_to")
    if up_to is not None and (type(up_to) is not int or not 0 <= up_to <= AMOUNT):
        raise BadRequest("up_to is not an amount")
    servers, classes = strings(given, "servers", most=50), strings(given, "classes", most=10)
    return {"servers": sorted(set(servers)), "classes": sorted(set(classes)), "up_to": up_to}


def _time(given: Body, name: str) -> datetime:
    try:
        return moment(text(given, name, limit=40)).replace(microsecond=0)
    except ValueError as error:
        raise BadRequest(name) from error


def _with(old: Data | None, one: One, now: datetime) -> Data:
    """Those that are over go; who lends too much is told."""
    live = [dict(each) for each in (old or {}).get("given", ()) if not each["ended_at"] and moment(each["until"]) > now]
    if len(live) >= MOST:
        raise TooMany("delegations", hint=said("You have %(most)s delegations. End one of them first.", most=MOST))
    return {"given": [*live, one]}


def _value(nonce: bytes, asked: One) -> bytes:
    return hashlib.sha256(DOMAIN + nonce + bytes.fromhex(_digest(asked))).digest()


def _digest(asked: One) -> str:
    return digest(canonical(asked))


# -- standing in --------------------------------------------------------------------------------------------------------


def refs(body: Body) -> list[tuple[str, str]]:
    """Which delegations the caller names: ids to look for, believed in nothing else."""
    found = [tuple(one.split(" ")) for one in strings(body, "delegations", most=MOST, optional=True)]
    if not all(len(one) == 2 and all(SEGMENT.fullmatch(part) for part in one) for one in found):
        raise BadRequest("delegations")
    return [(one[0], one[1]) for one in found]


def lent(keeper: Keeper, to: Person, envelope: Envelope, named: Iterable[tuple[str, str]]) -> dict[str, One]:
    """By group, what stands for this person on this envelope: none whose lender is kept out of it, or beside a membership of
    their own."""
    found: dict[str, One] = {}
    for by, which in named:
        one = _found(keeper, by, which, to.id)
        if one is None or one["group"] in to.groups or one["group"] in found or not _good(keeper, one, envelope):
            continue
        factor = one.get("factor", "")
        found[one["group"]] = {"by": by, "id": which, "until": one["until"], "scope": one["scope"], "factor": factor}
    return found


def still(keeper: Keeper, to: str, claimed: Any, envelope: Envelope) -> frozenset[str]:
    """Of the delegations that a signed statement names, the groups for which they were not ended since, and did not end."""
    found = set()
    for group, given in (claimed if isinstance(claimed, dict) else {}).items():
        by, which = str(given.get("by", "")), str(given.get("id", ""))
        one = _found(keeper, by, which, to) if SEGMENT.fullmatch(by) else None
        if one is not None and one["group"] == group and _good(keeper, one, envelope):
            found.add(group)
    return frozenset(found)


def _good(keeper: Keeper, one: One, envelope: Envelope) -> bool:
    """It stands now, is for this action, was lent strongly enough for it, and is of somebody whom this action does not keep out,
    whichever way they sign in."""
    lender = person(keeper, one["by"])
    kept_out = {lender.id, *lender.same_for(held_at(envelope))} & excluded(envelope)
    fits = covers(one["scope"], envelope) and carries(str(one.get("factor", "")), envelope)
    return not kept_out and fits and _stands(keeper, one, keeper.clock(), lender)


def _stands(keeper: Keeper, one: One, now: datetime, lender: Person | None = None) -> bool:
    """Its lender is in the group themself: what was lent to them they cannot lend on, and a group they left is theirs no more."""
    lender = lender or person(keeper, one["by"])
    return not one["ended_at"] and moment(one["since"]) <= now < moment(one["until"]) and one["group"] in lender.groups


def _found(keeper: Keeper, by: str, which: str, to: str) -> One | None:
    record = keeper.kv.read(path(by))
    given = record.data.get("given", ()) if record is not None else ()
    return next((dict(one) for one in given if one["id"] == which and one["to"] == to), None)


HANDLERS = {
    "delegation_challenge": delegation_challenge, "delegate": delegate, "delegation_end": delegation_end,
    "delegations": delegations,
}
