"""Letting somebody in again who lost every device: two administrators say so, each signed for by their own passkey; then the
person, signed in afresh at the identity provider, sets up a new second step in place of all they had.

Who may say so is in the keeper's own configuration (`recovery_groups`). A row in the database readmits nobody.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from vault import factors, recovery, signed_out
from vault.authority import Proven, issue, keys, proven, sign, with_factor
from vault.envelope import canonical, digest
from vault.errors import BadRequest, FactorRefused, FactorTooYoung, MayNotDecide, NotKnown, NotSignedIn, Stale
from vault.kv import Data
from vault.mark import mark
from vault.people import Person, person
from vault.said import said
from vault.signatures import BadSignature, check
from vault.table import Body, Keeper, mapping, segment, text
from vault.tickets import READMITTED
from vault.tickets import with_factor as ticket_with
from vault.young import old_enough

log = logging.getLogger("counterseal.keeper.readmission")

DOMAIN = b"counterseal/readmission/v1\n"
KIND = "readmission"
TO_CONFIRM = timedelta(hours=24)
TO_COME = timedelta(hours=72)
"""From the second word on: by then they have signed in, or two have to say so anew."""
REASON = (10, 500)
NOT_NAMED = (
    "The keeper’s configuration (recovery_groups) does not name a group of yours. An operator can let somebody in again on the "
    "keeper’s machine."
)
ONE_ONLY = "You said the first word. Another administrator has to say the second."
OVER = "This is over: it was used, stopped, or took too long. Two administrators can start again."
OPEN = "Somebody has started this already. Confirm that, or stop it first."

One = dict[str, Any]


def path(who: str) -> str:
    return f"people/{who}/readmission"


def readmission(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.readmission`."""
    found = keeper.kv.read(path(segment(body, "person")))
    return {"readmission": _public(found.data) if found and _open(keeper, found.data) else None}


def readmission_challenge(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """A passkey's challenge over exactly what `readmission_say` will record."""
    who = proven(keeper, body)
    asked, nonce = _asked(keeper, body, who), secrets.token_bytes(32)
    more = {"challenge_nonce": nonce.hex(), "digest": _digest(asked)}
    return {**factors.offered(keeper, who, KIND, _value(nonce, asked), more), "codes": False}


def readmission_say(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """The first word, or with `id` the second. 1. The ticket is this session's and records a factor. 2. They may say so, of
    somebody else, and the second is another human than the first. 3. Their passkey's answer is for this very word, and old enough
    to approve by: a code is bound to nothing, and whoever took over the web process sees those that people type. 4. It is signed
    and recorded. 5. With the second word, everything the person is signed in to ends."""
    who = proven(keeper, body)
    asked = _asked(keeper, body, who)  # 1, 2
    factor, now = _signed_for(keeper, who, body, asked), keeper.clock()  # 3
    signed = {
        **asked, "id": asked.get("id") or f"rdm_{secrets.token_hex(12)}", "name": person(keeper, asked["by"]).name,
        "factor": factor, "at": now.isoformat(timespec="seconds"),
    }
    say = _second if asked["step"] == "confirm" else _first
    found = say(keeper, signed, _statement(keeper, signed), now)  # 4
    if found["state"] == "agreed":
        signed_out.end_everything(keeper, asked["person"])  # 5
        by = (found["started_by"], found["confirmed_by"])
        log.warning("readmission agreed id=%s person=%s by=%s and %s", found["id"], found["person"], *by)
    return {"readmission": _public(found)}


def _first(keeper: Keeper, signed: One, statement: One, now: datetime) -> Data:
    new = _new(signed, "started", signed["by"], now, statement)

    def change(old: Data | None) -> tuple[Data, Data]:
        if old is not None and _open(keeper, old):
            raise BadRequest("one is open", hint=OPEN)
        return new, new

    return keeper.kv.update(path(signed["person"]), change)


def _second(keeper: Keeper, signed: One, statement: One, now: datetime) -> Data:
    agreed = {
        "state": "agreed", "confirmed_by": signed["by"], "agreed_at": now.isoformat(), "until": (now + TO_COME).isoformat(),
    }

    def change(old: Data | None) -> tuple[Data, Data]:
        before = _expect(keeper, old, signed["id"], "started")
        new = {**before, **agreed, "statements": [*before["statements"], statement]}
        return new, new

    return keeper.kv.update(path(signed["person"]), change)


def _new(signed: One, state: str, by: str, now: datetime, statement: One) -> Data:
    agreed = state == "agreed"
    return {
        "id": signed["id"], "person": signed["person"], "reason": signed["reason"], "state": state, "started_by": by,
        "confirmed_by": by if agreed else "", "started_at": now.isoformat(), "agreed_at": now.isoformat() if agreed else "",
        "until": (now + (TO_COME if agreed else TO_CONFIRM)).isoformat(), "statements": [statement],
    }


def readmission_end(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Stop one. By whoever it is about, and by anybody else who has a factor: it only tightens, and the app says who is an admin.
    Raises NotKnown."""
    with_factor(proven(keeper, body))
    which = text(body, "id", limit=64)

    def change(old: Data | None) -> tuple[Data, None]:
        if old is None or old["id"] != which or old["state"] not in ("started", "agreed"):
            raise NotKnown("no such readmission", hint=OVER)
        return {**old, "state": "ended"}, None

    keeper.kv.update(path(segment(body, "person")), change)
    return {}


def readmission_use(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.readmission_use`.

    1. They have just signed in, and no factor was checked. 2. It was agreed on, before that, and is not over. 3. Both words are
    the authority's, on this and this person, by two humans who may say so now (`_verified`). 4. It is spent. 5. Their recovery
    codes are void, and everything else they are signed in to is over. The ticket enrols one factor within ten minutes, which then
    is the only one (`vault.factors`)."""
    who, now = proven(keeper, body), keeper.clock()
    if who.ticket.factor:
        raise BadRequest("a factor was checked, or a code was spent, in this session")
    if (now - who.ticket.issued_at).total_seconds() > factors.FRESH:  # 1
        raise NotSignedIn("readmission needs a fresh sign-in", hint="You signed in too long ago for this. Sign in again.")
    place, which = path(who.ticket.person), text(body, "id", limit=64)

    def spend(old: Data | None) -> tuple[Data, None]:
        found = _expect(keeper, old, which, "agreed")  # 2
        if who.ticket.issued_at < datetime.fromisoformat(found["agreed_at"]).replace(microsecond=0):
            raise NotSignedIn("signed in before it was agreed on", hint="Sign in again: this was agreed on after you did.")
        _verified(keeper, found, who.ticket.person)  # 3
        return {**found, "state": "used", "used_at": now.isoformat()}, None

    keeper.kv.update(place, spend)  # 4
    recovery.void(keeper, who.ticket.person)  # 5
    generation = signed_out.end_everything(keeper, who.ticket.person)
    ticket = replace(ticket_with(who.ticket, READMITTED, now), generation=generation)
    log.warning("readmission used id=%s person=%s", which, who.ticket.person)
    return {"ticket": issue(keeper, ticket, who.session)}


def person_readmit(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.person_readmit`: an operator's word alone, in place of two administrators'. For operators (`vault.app`)."""
    target, reason, now = person(keeper, segment(body, "person")), _reason(body), keeper.clock()
    signed = {
        "v": 1, "kind": KIND, "step": "operator", "person": target.id, "reason": reason, "by": "operator",
        "id": f"rdm_{secrets.token_hex(12)}", "at": now.isoformat(timespec="seconds"),
    }
    new = _new(signed, "agreed", "operator", now, _statement(keeper, signed))
    keeper.kv.update(path(target.id), lambda _old: (new, None))
    signed_out.end_everything(keeper, target.id)
    log.warning("readmission by an operator alone id=%s person=%s", new["id"], target.id)
    return {"readmission": _public(new)}


# -- what is asked, and by whom ------------------------------------------------------------------------------------------


def _asked(keeper: Keeper, body: Body, who: Proven) -> One:
    """Raises MayNotDecide, NotKnown, BadRequest."""
    by, target = person(keeper, with_factor(who).person), person(keeper, segment(body, "person"))
    _may(keeper, by, target)
    which = text(body, "id", limit=64, optional=True)
    asked = {"v": 1, "kind": KIND, "person": target.id, "by": by.id}
    if not which:
        return {**asked, "step": "start", "reason": _reason(body)}
    record = keeper.kv.read(path(target.id))
    found = _expect(keeper, record.data if record else None, which, "started")
    if _same(by, person(keeper, found["started_by"])):
        raise MayNotDecide(f"{by.id} said the first word", hint=ONE_ONLY)
    return {**asked, "step": "confirm", "id": which, "reason": found["reason"], "first": found["started_by"]}


def _may(keeper: Keeper, by: Person, target: Person) -> None:
    if not keeper.settings.recoverers & set(by.groups):
        raise MayNotDecide(f"{by.id} is in no group that readmits", hint=NOT_NAMED)
    if _same(by, target):
        raise MayNotDecide(f"{by.id} is {target.id}", hint="Nobody lets themself in. Two other administrators can.")


def _same(one: Person, other: Person) -> bool:
    """One human, under whichever sign-ins, now or once."""
    return bool({one.id, *one.same_for(None)} & {other.id, *other.same_for(None)})


def _reason(body: Body) -> str:
    least, most = REASON
    reason = text(body, "reason", limit=most).strip()
    if len(reason) < least:
        raise BadRequest("reason", hint=said("Write why, in at least %(least)s characters.", least=least))
    return reason


def _signed_for(keeper: Keeper, who: Proven, body: Body, asked: One) -> One:
    evaluation = mark(keeper).evaluation

    def expected(opened: Mapping[str, Any]) -> str:
        if opened["digest"] != _digest(asked):
            raise FactorRefused("the challenge was for something else")
        return _value(bytes.fromhex(opened["challenge_nonce"]), asked).hex()

    def acceptable(factor: One) -> None:
        if factor["kind"] != "passkey":
            raise FactorRefused("a passkey is asked for", hint="This asks for a passkey.")
        if not old_enough(keeper, factor, evaluation):
            raise FactorTooYoung(str(factor["id"]))

    used = factors.answered(keeper, who, mapping(body, "answer"), KIND, expected, acceptable)
    return {"id": used["id"], "kind": used["kind"], "created_at": used["created_at"]}


def _value(nonce: bytes, asked: One) -> bytes:
    return hashlib.sha256(DOMAIN + nonce + bytes.fromhex(_digest(asked))).digest()


def _digest(asked: One) -> str:
    return digest(canonical(asked))


def _statement(keeper: Keeper, said: One) -> One:
    body = canonical(said).decode()
    return {"body": body, "signature": sign(keeper, "authority", body.encode())}


# -- what is recorded ----------------------------------------------------------------------------------------------------


def _open(keeper: Keeper, record: Data) -> bool:
    """What was agreed on before a restore is over: whether it was used since, the vault of the backup does not know."""
    restored = keeper.settings.restored_at
    begun = datetime.fromisoformat(record["agreed_at"] or record["started_at"])
    late = keeper.clock() >= datetime.fromisoformat(record["until"]) or (restored is not None and begun <= restored)
    return record["state"] in ("started", "agreed") and not late


def _expect(keeper: Keeper, record: Data | None, which: str, state: str) -> Data:
    if record is None or record["id"] != which or record["state"] != state or not _open(keeper, record):
        raise Stale(f"no readmission {which} that is {state}", hint=OVER)
    return record


def _verified(keeper: Keeper, record: Data, who: str) -> None:
    """Raises MayNotDecide. Two words, first and second, or an operator's; each signed by the authority as that."""
    said = [_read(keeper, one, record["id"], who) for one in record["statements"]]
    steps = [one["step"] for one in said]
    if steps == ["operator"]:
        return
    if steps != ["start", "confirm"] or said[1]["first"] != said[0]["by"]:
        raise MayNotDecide(f"words {steps}", hint=OVER)
    first, second, target = (person(keeper, one) for one in (said[0]["by"], said[1]["by"], who))
    if _same(first, second):
        raise MayNotDecide("both words by one human", hint=OVER)
    _may(keeper, first, target)
    _may(keeper, second, target)


def _read(keeper: Keeper, statement: One, which: str, who: str) -> One:
    try:
        check(statement["body"].encode(), statement["signature"], keys(keeper))
        found: One = json.loads(statement["body"])
    except (BadSignature, ValueError, KeyError) as error:
        raise MayNotDecide("a word does not verify", hint=OVER) from error
    if (found.get("v"), found.get("kind"), found.get("id"), found.get("person")) != (1, KIND, which, who):
        raise MayNotDecide("signed, but not for this", hint=OVER)
    return found


def _public(record: Data) -> Mapping[str, Any]:
    return {name: record[name] for name in ("id", "person", "reason", "state", "started_by", "confirmed_by", "until")}


HANDLERS = {
    "readmission": readmission, "readmission_challenge": readmission_challenge, "readmission_say": readmission_say,
    "readmission_end": readmission_end, "readmission_use": readmission_use, "person_readmit": person_readmit,
}
