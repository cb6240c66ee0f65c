"""Deciding: the keeper checks who decides, on what, with which factor, and signs."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from vault import decided, delegating, factors, marks, matching, spent, step_up, witness
from vault.authority import Proven, proven, sign, with_factor
from vault.envelope import (
    STRONG_ENOUGH,
    BadEnvelope,
    Envelope,
    Need,
    asks_match,
    confirmer,
    digest,
    excluded,
    expiry,
    groups_asked,
    read_envelope,
    undo_over,
)
from vault.errors import BadRequest, FactorRefused, FactorTooYoung, MayNotDecide, Stale
from vault.evidence import GLASS_REASON
from vault.hours import read as read_hours
from vault.mark import mark
from vault.people import Person, held_at, person
from vault.said import said
from vault.standing import stepped_in
from vault.table import Body, Keeper, mapping, segment, text
from vault.young import old_enough

REASON = 500
ENVELOPE = 3_000_000
VERDICTS = ("approve", "confirm", "reject", "break_glass")


@dataclass(frozen=True)
class Asked:
    """One decision, as far as it can be judged without a factor."""

    raw: bytes
    envelope: Envelope
    who: Proven
    person: Person
    """With the groups for which they may speak on this envelope now."""
    verdict: str
    groups: tuple[str, ...]
    """Those they are in, and those lent to them: what is signed."""
    lent: Mapping[str, Mapping[str, Any]]

    @property
    def same_as(self) -> tuple[str, ...]:
        return self.person.same_for(held_at(self.envelope))


def decision_challenge(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    one = _asked(keeper, body)
    if one.verdict == "reject":
        raise BadRequest("a rejection needs no challenge")
    nonce = secrets.token_bytes(32)
    value = decided.challenge(one.verdict, nonce, one.raw)
    more = {"verdict": one.verdict, "challenge_nonce": nonce.hex(), "digest": digest(one.raw)}
    return {**factors.offered(keeper, one.who, "decision", value, more), "again": _again(keeper, one, body)}


def _again(keeper: Keeper, one: Asked, body: Body) -> bool:
    """Whether signing in again, at the identity provider that the caller names, could be enough for this decision."""
    name = text(body, "idp", limit=128, optional=True)
    counts = step_up.offers(keeper, segment(body, "idp"), one.person) if name else ""
    return bool(counts) and one.verdict != "break_glass" and not _numbered(one) and _useful(one, counts)


def _numbered(one: Asked) -> bool:
    """A number that is typed here, and stands by elsewhere until somebody comes back, would have to be kept."""
    return one.verdict == "confirm" and asks_match(one.envelope)


def step_up_begin(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.step_up_begin`."""
    one = _asked(keeper, body)
    if one.verdict not in ("approve", "confirm"):
        raise BadRequest("only for an approval or a confirmation")
    if _numbered(one):
        raise FactorRefused("a number is asked for", hint="This confirmation asks for a number. Use your passkey or code.")
    return step_up.begin(
        keeper, segment(body, "idp"), one.who, one.person, redirect_uri=text(body, "redirect_uri"), verdict=one.verdict,
        raw=one.raw,
    )


def decide(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """1. The ticket is this session's and records a factor. 2. The envelope is canonical, whole and not expired. 3. This person
    may give this verdict on it now, by identity and by the groups and links that the keeper recorded. 4. The factor's answer is
    for this very envelope and verdict, strong enough, old enough, and good for the first time. 5. The number is the action's,
    where one is asked for; the third wrong one is a rejection, and signed as that. 6. Sign, and say where nobody asked for the
    call (`vault.marks`)."""
    one = _asked(keeper, body)  # 1, 2, 3
    decoy = marks.is_decoy(keeper, one.envelope)
    number = matching.typed(body, one.envelope, one.verdict)
    reason = text(body, "reason", limit=REASON, optional=True)
    if one.verdict == "break_glass" and len(reason.strip()) < GLASS_REASON:
        raise BadRequest("reason", hint=said("Write why, in at least %(least)s characters.", least=GLASS_REASON))
    factor = _rejecting(keeper, one) if one.verdict == "reject" else _factor(keeper, one, mapping(body, "answer"))  # 4
    if number and not matching.matched(keeper, one.envelope, digest(one.raw), number):  # 5
        one, reason, factor = replace(one, verdict="reject"), matching.REASON, _rejecting(keeper, one)
    signed = decided.body(
        envelope=one.raw, action=one.envelope["action"], person=one.person.id, name=one.person.name,
        groups=one.groups, verdict=one.verdict, reason=reason, factor=factor, nonce=secrets.token_urlsafe(18),
        at=keeper.clock(), same_as=one.same_as, delegated=one.lent, matched=bool(number) and one.verdict == "confirm",
        decoy=decoy,
    )
    return {"body": signed, "signature": sign(keeper, "authority", signed.encode())}  # 6


def _asked(keeper: Keeper, body: Body) -> Asked:
    who = proven(keeper, body)
    with_factor(who)
    verdict = text(body, "verdict", limit=16)
    if verdict not in VERDICTS:
        raise BadRequest("verdict")
    raw = text(body, "envelope", limit=ENVELOPE).encode()
    try:
        envelope = read_envelope(raw)
    except BadEnvelope as error:
        raise BadRequest(f"envelope: {error}") from error
    if keeper.clock() >= expiry(envelope):
        raise Stale("the action has expired", hint="This action has expired.")
    one = _standing(keeper, raw, envelope, who, verdict, delegating.refs(body))
    _may_decide(one)
    if verdict == "break_glass" and not may_break(keeper, one.person):
        raise MayNotDecide(f"{one.person.id} is not among those who may break the glass")
    if verdict != "reject":
        _in_time(one, keeper.clock())
    return one


def _standing(
    keeper: Keeper, raw: bytes, envelope: Envelope, who: Proven, verdict: str, named: Sequence[tuple[str, str]]
) -> Asked:
    """Who they are on this envelope: by membership, by what others lent them, and by what a rule gives their groups by now."""
    found = person(keeper, who.ticket.person)
    lent = delegating.lent(keeper, found, envelope, named) if verdict != "confirm" else {}
    groups = tuple(sorted({*found.groups, *lent}))
    speaks_for = {*groups, *stepped_in(groups, envelope, keeper.clock())}
    return Asked(raw, envelope, who, replace(found, groups=tuple(sorted(speaks_for))), verdict, groups, lent)


def may_break(keeper: Keeper, one: Person) -> bool:
    """By the keeper's own configuration alone: by person id, or by issuer and subject with a blank between."""
    named = keeper.settings.break_glass
    return one.id in named or f"{one.issuer} {one.subject}" in named


def break_glass(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Whether whoever this session is may pass an action alone, so that a page need not offer it to others."""
    ticket = with_factor(proven(keeper, body))
    return {"may": may_break(keeper, person(keeper, ticket.person))}


def _in_time(one: Asked, now: datetime) -> None:
    """Raises Stale for a word that could not count: outside the hours of everything that it would help, or so late that the
    action would lapse while it can still be stopped."""
    undo = one.envelope.get("undo", 0)
    if undo and undo_over(undo, now) >= expiry(one.envelope):
        raise Stale("lapses within its undo window", hint="This action lapses before it could run. Nothing will run.")
    by_group: dict[str, str] = {}
    for need in _helps(one) if one.verdict != "break_glass" else ():
        by_group[need["group"]] = by_group.get(need["group"]) or need.get("hours", "")
    if by_group and all(by_group.values()):
        hours = read_hours(min(by_group.values()))
        if not hours.hold(now):
            raise Stale("out of hours", hint=said(
                "This can be decided in business hours only, again from %(when)s on. You can reject it at any time.",
                when=hours.opens(now),
            ))


def _helps(one: Asked) -> list[Need]:
    """The needs that this person's word is for."""
    kind = "confirm" if one.verdict == "confirm" else "approvers"
    return [need for need in one.envelope["requirement"]
            if need["kind"] == kind and (kind == "confirm" or need["group"] in one.person.groups)]


def _may_decide(one: Asked) -> None:
    """Raises MayNotDecide. Nobody approves what they asked for, whatever groups they are in and whichever way they sign in; a
    confirmation is the account owner's alone; a rejection can come from anyone who could have given either, and from the
    requester."""
    who, envelope = one.person.id, one.envelope
    confirms = any(need["kind"] == "confirm" for need in envelope["requirement"]) and who == confirmer(envelope)
    asked = bool(groups_asked(envelope) & set(one.person.groups))
    theirs = bool({who, *one.same_as} & excluded(envelope))
    if one.verdict == "break_glass" and (theirs or not groups_asked(envelope)):
        reason = "requester or owner" if theirs else "nobody but the owner was asked"
        raise MayNotDecide(f"{who}: {reason}")
    if one.verdict == "approve" and (theirs or not asked):
        reason = "requester or owner" if theirs else "not in a group that was asked"
        raise MayNotDecide(f"{who}: {reason}")
    if one.verdict == "confirm" and not confirms:
        raise MayNotDecide(f"{who} is not the owner, or no confirmation is asked for")
    if one.verdict == "reject" and not (asked or who == confirmer(envelope) or who in excluded(envelope)):
        raise MayNotDecide(f"{who} has no say in this")


def _factor(keeper: Keeper, one: Asked, answer: Body) -> Mapping[str, Any]:
    if answer.get("idp") is None:
        return _checked(keeper, one, answer)
    if one.verdict == "break_glass" or answer.get("assertion") is not None or answer.get("code") is not None:
        raise BadRequest("signing in again is for an approval or a confirmation, and alone")

    def acceptable(counts: str) -> None:
        if not _useful(one, counts):
            raise FactorRefused("a passkey is asked for", hint="This action asks for a passkey.")

    return step_up.answered(
        keeper, one.who, answer, verdict=one.verdict, envelope_digest=digest(one.raw), acceptable=acceptable
    )


def _checked(keeper: Keeper, one: Asked, answer: Body) -> Mapping[str, Any]:
    evaluation, nonces = mark(keeper).evaluation, list[str]()
    assertion = mapping(answer, "assertion") if answer.get("assertion") is not None else None
    if assertion is not None:
        witness.bounded(assertion)

    def expected(opened: Mapping[str, Any]) -> str:
        if opened["verdict"] != one.verdict or opened["digest"] != digest(one.raw):
            raise FactorRefused("the challenge was for another decision")
        nonces.append(opened["challenge_nonce"])
        return decided.challenge(one.verdict, bytes.fromhex(opened["challenge_nonce"]), one.raw).hex()

    def acceptable(factor: Mapping[str, Any]) -> None:
        """Before the code or challenge is spent: an answer that cannot count should not be lost."""
        if not _useful(one, str(factor["kind"])):
            raise FactorRefused("a passkey is asked for", hint="This action asks for a passkey.")
        if one.verdict in ("approve", "break_glass") and not old_enough(keeper, dict(factor), evaluation):
            raise FactorTooYoung(str(factor["id"]))

    used = factors.answered(keeper, one.who, answer, "decision", expected, acceptable)
    found = {"id": used["id"], "kind": used["kind"], "created_at": decided.stamp(datetime.fromisoformat(used["created_at"]))}
    if assertion is None:
        return found
    where = {"rp_id": keeper.settings.host, "origin": keeper.settings.origin}
    return {**found, "webauthn": witness.kept(assertion, public_key=used["public_key"], nonce=nonces[-1], **where)}


def _useful(one: Asked, kind: str) -> bool:
    """Whether this kind of factor is strong enough for a need that this person can help to meet."""
    if one.verdict == "break_glass":
        return kind == "passkey"
    mine = _helps(one)
    return any(
        all(kind in STRONG_ENOUGH[need["factor"]] for need in mine if need["group"] == group)
        for group in {need["group"] for need in mine}
    )


def _rejecting(keeper: Keeper, one: Asked) -> Mapping[str, Any]:
    """No factor is asked for. It is remembered before it is signed: from here on nothing is minted on this envelope."""
    spent.reject(keeper, digest(one.raw))
    return {"id": "", "kind": one.who.ticket.factor, "created_at": ""}


HANDLERS = {
    "decision_challenge": decision_challenge, "decide": decide, "break_glass": break_glass, "step_up_begin": step_up_begin,
}
