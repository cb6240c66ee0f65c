"""Factors of persons: enrol, list, remove, and check. All of a person's factors are one record, changed by check-and-set, so
that what is spent (a code, a challenge, an attempt) is spent in the same write that uses it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from vault import passkeys, totp, young
from vault.authority import Proven, issue, proven
from vault.authority import with_factor as ticket_with_factor
from vault.errors import BadRequest, FactorRefused, NotKnown, NotSignedIn, Stale, TooMany
from vault.kv import Data
from vault.mark import mark
from vault.said import said
from vault.secret import Secret
from vault.table import Body, Keeper, mapping, segment, text
from vault.tickets import READMITTED, RECOVERY, with_factor

FRESH = 600
"""Seconds after signing in within which a first factor can be enrolled."""
OFFER = 600
CHALLENGE = 300
ATTEMPTS = 5
WINDOW = 300
"""Seconds: ATTEMPTS wrong codes within them, and a person has to wait."""
MOST = 10
"""Factors of one person."""

OVER = {
    RECOVERY: said("This took longer than ten minutes, or was used already. Sign out, sign in, and use another recovery code."),
    READMITTED: said("This took longer than ten minutes, or was used already. Administrators can let you in again."),
}
One = dict[str, Any]


def path(person: str) -> str:
    return f"people/{person}/factors"


def load(keeper: Keeper, person: str) -> Data:
    found = keeper.kv.read(path(person))
    return found.data if found else empty(None)


def empty(data: Data | None) -> Data:
    return data or {"factors": [], "handle": secrets.token_hex(32), "spent": {}, "misses": []}


def public(one: One) -> Mapping[str, Any]:
    return {name: one[name] for name in ("id", "kind", "name", "created_at", "last_used_at")}


def factors(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    return {"factors": [public(one) for one in load(keeper, segment(body, "person"))["factors"]]}


# -- enrolling ----------------------------------------------------------------------------------------------------------


def totp_begin(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """The seed is made here, and shown once; until it is confirmed by a code it exists in the sealed offer alone."""
    who, now = proven(keeper, body), keeper.clock()
    _may_enrol(load(keeper, who.ticket.person), who, now)
    seed = totp.new_seed()
    uri = totp.uri(seed, text(body, "account", limit=200))
    offer = {"person": who.ticket.person, "session": bound(who), "seed": seed.reveal()}
    sealed = keeper.seal.seal("totp-offer", offer, now=now, lifetime=OFFER)
    return {"sealed": sealed, "uri": uri.reveal(), "svg": totp.drawn(uri).reveal()}


def totp_finish(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    who, now = proven(keeper, body), keeper.clock()
    offer = opened(keeper, "totp-offer", text(body, "sealed", limit=8192), who)
    code, name = text(body, "code", limit=16), text(body, "name", limit=80)
    one = {**_new("totp", name, now), "seed": offer["seed"], "counter": -1}

    def change(data: Data) -> One:
        counter = totp.matched(one, code, now)
        if counter is None:
            raise FactorRefused("the code does not fit the seed")
        one["counter"] = counter
        return _enrolled(keeper, data, one, who, now)

    return _with_ticket(keeper, who, spending(keeper, who.ticket.person, offer, change))


def passkey_begin(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    who, now = proven(keeper, body), keeper.clock()
    person = who.ticket.person

    def change(old: Data | None) -> tuple[Data, Data]:
        # Written now: the user handle must be the same when the answer comes, and for every passkey of the person.
        data = empty(old)
        _may_enrol(data, who, now)
        return data, data

    data = keeper.kv.update(path(person), change)
    challenge = secrets.token_bytes(32)
    options = passkeys.creation_options(keeper.settings, data, text(body, "account", limit=200), who.ticket.name, challenge)
    offer = {"person": person, "session": bound(who), "challenge": challenge.hex()}
    return {"options": options, "sealed": keeper.seal.seal("passkey-offer", offer, now=now, lifetime=OFFER)}


def passkey_finish(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    who, now = proven(keeper, body), keeper.clock()
    offer = opened(keeper, "passkey-offer", text(body, "sealed", limit=8192), who)
    answer, name = mapping(body, "attestation"), text(body, "name", limit=80)
    made = passkeys.created(keeper.settings, answer, bytes.fromhex(offer["challenge"]))
    one = {**_new("passkey", name, now), **made}

    def change(data: Data) -> One:
        if any(other.get("credential") == one["credential"] for other in data["factors"]):
            raise FactorRefused("this passkey is enrolled already", hint="This passkey is enrolled already.")
        return _enrolled(keeper, data, one, who, now)

    return _with_ticket(keeper, who, spending(keeper, who.ticket.person, offer, change))


def factor_remove(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    who = proven(keeper, body)
    person, gone = ticket_with_factor(who).person, text(body, "factor", limit=64)

    evaluation = mark(keeper).evaluation

    def change(old: Data | None) -> tuple[Data, None]:
        data = empty(old)
        left = [one for one in data["factors"] if one["id"] != gone]
        removed = next((one for one in data["factors"] if one["id"] == gone), None)
        if removed is None:
            raise NotKnown("no such factor")
        if not left:
            raise FactorRefused("the last factor stays", hint="The last factor stays. Add another one first.")
        young.refuse_by_code(keeper, data, who, evaluation, removed)
        since = {"by_code_gone": keeper.clock().timestamp()} if young.by_code(keeper, data, evaluation) else {}
        return {**data, "factors": left, **since}, None

    keeper.kv.update(path(person), change)
    return {}


def _new(kind: str, name: str, now: datetime) -> One:
    at = now.isoformat()
    return {"id": f"fac_{secrets.token_hex(12)}", "kind": kind, "name": name, "created_at": at, "last_used_at": None}


def _may_enrol(data: Data, who: Proven, now: datetime) -> None:
    """A first factor needs a sign-in of the last 10 minutes; any further one, a ticket that records a factor or a spent recovery
    code: otherwise a stolen session could add a factor of the thief's."""
    recovering = who.ticket.factor == RECOVERY
    if who.ticket.factor in OVER:
        _soon_and_once(data, who, now)
    if who.ticket.factor == READMITTED:
        return
    if data["factors"]:
        if not recovering:
            ticket_with_factor(who)
            young.settled(data, who)
        if len(data["factors"]) >= MOST + recovering:
            raise TooMany("factors", hint=said("A person has at most %(most)s factors. Remove one first.", most=MOST))
    elif not who.ticket.factor and (now - who.ticket.issued_at).total_seconds() > FRESH:
        raise NotSignedIn("a first factor needs a fresh sign-in")


def _enrolled(keeper: Keeper, data: Data, one: One, who: Proven, now: datetime) -> One:
    """By a ticket of whoever two administrators let in again, it takes the place of all that the person had, in one write: until
    it is there, those that they had stay."""
    _may_enrol(data, who, now)
    if who.ticket.factor in OVER:
        data[who.ticket.factor] = _since(who)
    if who.ticket.factor == RECOVERY or young.by_code(keeper, data, evaluation=False):
        one["by_code"] = who.ticket.factor != READMITTED
    data["factors"] = [*(data["factors"] if who.ticket.factor != READMITTED else ()), one]
    return one


def _soon_and_once(data: Data, who: Proven, now: datetime) -> None:
    """A recovery code, or two administrators, let somebody enrol one factor, soon."""
    at = who.ticket.factor_at
    if at is None or (now - at).total_seconds() > FRESH or data.get(who.ticket.factor) == _since(who):
        raise Stale(f"{who.ticket.factor}: too long ago, or once already", hint=OVER[who.ticket.factor])


def _since(who: Proven) -> str:
    return who.ticket.factor_at.isoformat() if who.ticket.factor_at else ""


# -- checking -----------------------------------------------------------------------------------------------------------


def challenge(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    who = proven(keeper, body)
    value = secrets.token_bytes(32)
    return offered(keeper, who, "factor-check", value, {"challenge": value.hex()})


def offered(keeper: Keeper, who: Proven, purpose: str, value: bytes, more: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options whose challenge is `value`, and the sealed nonce. No options where the person has no passkey."""
    data = load(keeper, who.ticket.person)
    options = passkeys.request_options(keeper.settings, data, value) if passkeys.of(data) else None
    content = {"person": who.ticket.person, "session": bound(who), **more}
    codes = any(one["kind"] == "totp" for one in data["factors"])
    sealed = keeper.seal.seal(purpose, content, now=keeper.clock(), lifetime=CHALLENGE)
    return {"options": options, "codes": codes, "sealed": sealed}


def check(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    who = proven(keeper, body)
    return _with_ticket(keeper, who, answered(keeper, who, mapping(body, "answer"), "factor-check", lambda one: one["challenge"]))


def answered(
    keeper: Keeper, who: Proven, answer: Body, purpose: str, expected: Callable[[Mapping[str, Any]], str],
    acceptable: Callable[[One], None] = lambda _one: None,
) -> One:
    """Check one answer, and spend it. `expected` gives the challenge (hex) for the sealed content; `acceptable` may refuse the
    factor before it is used. Returns the factor as it now is. Raises FactorRefused, Stale, TooMany."""
    if (answer.get("assertion") is None) == (answer.get("code") is None):
        raise BadRequest("exactly one of assertion and code")
    if answer.get("code") is not None:
        return _code(keeper, who, text(answer, "code", limit=16), acceptable)
    content = opened(keeper, purpose, text(answer, "sealed", limit=8192), who)
    assertion, wanted = mapping(answer, "assertion"), bytes.fromhex(expected(content))

    def change(data: Data) -> One:
        one = passkeys.asserted(keeper.settings, data, assertion, wanted)
        acceptable(one)
        one["last_used_at"] = keeper.clock().isoformat()
        return one

    return spending(keeper, who.ticket.person, content, change)


def _code(keeper: Keeper, who: Proven, code: str, acceptable: Callable[[One], None]) -> One:
    """The attempt is counted in the same write that tells whether it was right, so that parallel guesses are counted too."""
    now = keeper.clock()

    def change(old: Data | None) -> tuple[Data, One | None]:
        data = empty(old)
        recent = [at for at in data["misses"] if at > now.timestamp() - WINDOW]
        if len(recent) >= ATTEMPTS:
            raise TooMany("wrong codes", hint="Too many wrong codes. Wait five minutes and try again.")
        for one in data["factors"]:
            counter = totp.matched(one, code, now, keeper.settings.restored_at) if one["kind"] == "totp" else None
            if counter is not None:
                acceptable(one)
                one.update(counter=counter, last_used_at=now.isoformat())
                return {**data, "misses": []}, one
        return {**data, "misses": [*recent, now.timestamp()]}, None

    found = keeper.kv.update(path(who.ticket.person), change)
    if found is None:
        raise FactorRefused("no authenticator of this person shows that code, or it was used")
    return found


def spending(keeper: Keeper, person: str, content: Mapping[str, Any], change: Callable[[Data], One]) -> One:
    """Change the record and spend the opened blob's nonce, in one write. Raises Stale where it was spent before."""
    now = keeper.clock().timestamp()

    def spend(old: Data | None) -> tuple[Data, One]:
        data = empty(old)
        kept = {nonce: until for nonce, until in data["spent"].items() if until > now}
        if content["nonce"] in kept:
            raise Stale("this challenge was used already")
        one = change(data)
        return {**data, "spent": {**kept, content["nonce"]: content["expires"]}}, one

    return keeper.kv.update(path(person), spend)


def _with_ticket(keeper: Keeper, who: Proven, one: One) -> Mapping[str, Any]:
    ticket = with_factor(who.ticket, one["kind"], keeper.clock())
    return {"factor": public(one), "ticket": issue(keeper, ticket, who.session)}


def opened(keeper: Keeper, purpose: str, sealed: str, who: Proven) -> Mapping[str, Any]:
    """A sealed blob of this person and this session. Raises BadRequest, Stale."""
    found = keeper.seal.open(purpose, sealed, now=keeper.clock())
    if found["person"] != who.ticket.person or not hmac.compare_digest(found["session"], bound(who)):
        raise BadRequest("sealed for another session")
    return found


def bound(who: Proven) -> str:
    session: Secret[str] = who.session
    return hashlib.sha256(b"counterseal/sealed-for/v1\n" + session.reveal().encode()).hexdigest()


HANDLERS = {
    "factors": factors, "totp_begin": totp_begin, "totp_finish": totp_finish, "passkey_begin": passkey_begin,
    "passkey_finish": passkey_finish, "factor_remove": factor_remove, "challenge": challenge, "check": check,
}
