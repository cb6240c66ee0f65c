"""Recovery codes: ten on paper, for whoever lost their devices. One signs in, once, to enrol a new factor, and nothing else.

They are made here, shown once, and kept as scrypt hashes under one salt, beside the person's factors; never in the database.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import gevent

from vault.authority import issue, proven, with_factor
from vault.errors import FactorRefused, TooMany
from vault.factors import ATTEMPTS, WINDOW, load
from vault.kv import Data
from vault.mark import mark
from vault.table import Body, Keeper, segment, text
from vault.tickets import RECOVERY
from vault.tickets import with_factor as ticket_with
from vault.young import refuse_by_code

MANY = 10
LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32: none is taken for another."""
LENGTH = 12
"""60 bits."""
COST = {"n": 2**14, "r": 8, "p": 1, "maxmem": 64 * 1024 * 1024}
"""RFC 7914: some 40 ms and 16 MiB a try."""
APART = 60
"""Seconds between one making of new codes and the next."""
NOT_A_LETTER = re.compile(r"[\s\u00a0-]")
LOOK_ALIKE = str.maketrans({"o": "0", "i": "1", "l": "1"})


def path(who: str) -> str:
    return f"people/{who}/recovery"


def recovery_make(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.recovery_make`. Those of before are void. That they were asked for is written before the hashing, which is work: of
    many who ask at once, one has it done, once in a minute."""
    who, now = proven(keeper, body), keeper.clock()
    person = with_factor(who).person
    refuse_by_code(keeper, load(keeper, person), who, mark(keeper).evaluation)

    def claim(old: Data | None) -> tuple[Data, None]:
        data = _counting(keeper, old)
        if data.get("asked_at", 0) > now.timestamp() - APART:
            raise TooMany("new recovery codes", hint="You made new codes just now. Wait a minute.")
        return {**data, "asked_at": now.timestamp()}, None

    keeper.kv.update(path(person), claim)
    codes = ["".join(secrets.choice(LETTERS) for _ in range(LENGTH)) for _ in range(MANY)]
    salt = os.urandom(16)
    made = {
        "salt": salt.hex(), "left": [_hash(one, salt) for one in codes], "made_at": now.isoformat(), "misses": [],
        "asked_at": now.timestamp(),
    }
    keeper.kv.update(path(person), lambda _old: (made, None))
    return {"codes": ["-".join(one[at:at + 4] for at in range(0, LENGTH, 4)) for one in codes]}


def recovery_left(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.recovery_left`."""
    found = keeper.kv.read(path(segment(body, "person")))
    data = _counting(keeper, found.data if found else None)
    return {"left": len(data["left"]), "made_at": data["made_at"]}


def recovery_use(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.recovery_use`. The attempt is counted in the write that tells whether it was right."""
    who, now = proven(keeper, body), keeper.clock()
    code = NOT_A_LETTER.sub("", text(body, "code", limit=64)).lower().translate(LOOK_ALIKE)

    def change(old: Data | None) -> tuple[Data, int | None]:
        data = _counting(keeper, old)
        recent = [at for at in data["misses"] if at > now.timestamp() - WINDOW]
        if len(recent) >= ATTEMPTS:
            raise TooMany("wrong recovery codes", hint="Too many wrong codes. Wait five minutes and try again.")
        hashed = _hash(code, bytes.fromhex(data["salt"]))
        left = [one for one in data["left"] if not hmac.compare_digest(one, hashed)]
        if len(left) == len(data["left"]):
            return {**data, "misses": [*recent, now.timestamp()]}, None
        return {**data, "left": left, "misses": []}, len(left)

    left = keeper.kv.update(path(who.ticket.person), change)
    if left is None:
        raise FactorRefused("no such recovery code", hint="That recovery code was not accepted. Each works once.")
    return {"ticket": issue(keeper, ticket_with(who.ticket, RECOVERY, now), who.session), "left": left}


def void(keeper: Keeper, who: str) -> None:
    """None of this person's counts any more."""
    if keeper.kv.read(path(who)) is not None:
        keeper.kv.update(path(who), lambda old: ({**_counting(keeper, old), "left": [], "made_at": None, "asked_at": 0}, None))


def _counting(keeper: Keeper, old: Data | None) -> Data:
    """The record, without codes of before a restore: which of them were spent since, the vault of the backup does not know."""
    data = old or {"salt": "00" * 16, "left": [], "made_at": None, "misses": []}
    restored = keeper.settings.restored_at
    if restored is not None and data["made_at"] is not None and datetime.fromisoformat(data["made_at"]) <= restored:
        return {**data, "left": [], "made_at": None}
    return data


def _hash(code: str, salt: bytes) -> str:
    """In a thread, for the keeper's other requests wait in this one."""
    made: bytes = gevent.get_hub().threadpool.apply(_scrypt, (code, salt))
    return made.hex()


def _scrypt(code: str, salt: bytes) -> bytes:
    return hashlib.scrypt(code.encode(), salt=salt, dklen=32, **COST)


HANDLERS = {"recovery_make": recovery_make, "recovery_left": recovery_left, "recovery_use": recovery_use}
