"""New versions of the keys in transit, without a request that fails meanwhile.

What is signed names its version, and every version's public half stays: old signatures verify for ever. A new version signs only
when everybody who verifies has had the time to learn of it (`authority.LEAD`). What `payload` wrapped is rewrapped, and only then
are its older versions no longer opened.
"""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from vault import issuers
from vault.app_keys import APP
from vault.authority import LEAD, sign
from vault.checkpoints import origin, verifier_key
from vault.client import Refused
from vault.decided import authority_introduction
from vault.declared import KEYS
from vault.errors import BadRequest, KeeperError, TooMany, VaultAway
from vault.issuers import CA
from vault.roots import CHANNELS, MARKS, MATCH, PUSH, SEALS, Generation
from vault.said import said
from vault.settings import ROLE
from vault.signatures import split
from vault.table import Body, Keeper, strings, text
from vault.transit import Versions

log = logging.getLogger("counterseal.keeper")
T = TypeVar("T")

ROOTS = (APP, SEALS, MARKS, MATCH, CHANNELS, PUSH)
"""What the web process signs and seals with, and what the keeper itself does: no keys in transit (`vault.roots`)."""
SELDOM = timedelta(hours=1)
"""Between two rotations of one key: the app asks for them, and each version stays in the vault for good."""
RETIRED = timedelta(days=1)
"""A version is this old before those before it are retired: keepers and the app remember wrapped keys for an hour or so."""
MOST = 200
NEVER = (
    "This instance's own OpenBao was made before its keys could be rotated, and nobody holds a token that could change its "
    "policy. Everything else goes on; an instance that is made anew can rotate them."
)
NOT_ALLOWED = said(
    "The vault does not let the keeper rotate its keys: its policy is older than this version. An operator types "
    "`counterseal vault policy --hcl | bao policy write %(role)s -` (or `vault policy write`), and then this again.", role=ROLE,
)


def rotate(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    name = _name(body)
    for roots in ROOTS:
        if name == roots.name:
            return _generation(roots.rotate(keeper))
    if name == CA:
        return _allowed(keeper, lambda: issuers.rotate(keeper))
    before = _there(keeper, name)
    age = keeper.clock() - before.made[before.newest]
    if before.newest > 1 and age < SELDOM:
        hint = said("%(name)s was rotated within the last hour.", name=name)
        raise TooMany(f"{name}: version {before.newest} is {age} old", hint=hint)
    _allowed(keeper, lambda: keeper.transit.rotate(name))
    keeper.memory.pop(f"keys/{name}", None)
    made = _there(keeper, name)
    log.info("rotated key=%s version=%d", name, made.newest)
    return _said(name, made)


def key_version(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    name = _name(body)
    for roots in ROOTS:
        if name == roots.name:
            return _generation(roots.latest(keeper))
    if name == CA:
        return issuers.version(keeper)
    return _said(name, _there(keeper, name))


def audit_keys(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """The lines of a pin file: a verifier key (C2SP signed-note) and, from the second on, the Ed25519 signature of the key before
    it over both. Whoever trusts the first can so trust all, and nobody adds one that the vault did not make."""
    name, public = origin(keeper), _there(keeper, "audit").public
    known = {version: verifier_key(name, public[version]) for version in sorted(public)}
    lines = list(known.values())[:1]
    for before, after in itertools.pairwise(known):
        signature = keeper.transit.sign("audit", introduction(known[before], known[after]), before)
        lines.append(f"{known[after]} {base64.b64encode(split(signature)[1]).decode()}")
    return {"lines": lines}


def introduction(before: str, after: str) -> bytes:
    """What the older key signs. Not to be taken for a checkpoint: no log has this name (a mark is hexadecimal), and the second
    line of one is a number."""
    return f"counterseal/next-key/v1\n{before}\n{after}\n".encode()


def authority_keys(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Every version of the key that signs decisions, each with the word (Ed25519) of the log's key: who pinned that one can so
    verify a decision without asking anyone."""
    name, public = origin(keeper), _there(keeper, "authority").public
    return {"keys": [
        {"version": version, "key": base64.b64encode(key).decode(),
         "word": base64.b64encode(split(sign(keeper, "audit", authority_introduction(name, version, key)))[1]).decode()}
        for version, key in sorted(public.items())
    ]}


def rewrap(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Nothing leaves the vault in clear. One that does not open is left out: another's must not keep all from being moved."""
    rewrapped: dict[str, str] = {}
    for one in strings(body, "wrapped", most=MOST):
        try:
            rewrapped[one] = keeper.transit.rewrap("payload", one)
        except BadRequest:
            log.warning("a wrapped key does not open and is left as it is")
    return {"rewrapped": rewrapped}


def retire_payload(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """Attack: whoever holds the app would have keys retired that are in use. For a day after a rotation that is refused, and
    later an operator can take it back: `min_decryption_version` goes down again."""
    known = _there(keeper, "payload")
    if known.made[known.newest] + RETIRED > keeper.clock():
        raise BadRequest("the newest version is younger than a day", hint="Older versions are retired a day after a rotation.")
    if known.oldest < known.newest:
        _allowed(keeper, lambda: keeper.transit.retire("payload", known.newest))
        log.info("retired key=payload before=%d", known.newest)
    return {}


def _name(body: Body) -> str:
    name = text(body, "key", limit=20)
    names = (*KEYS, *(roots.name for roots in ROOTS), CA)
    if name not in names:
        raise BadRequest("no such key", hint=said("The keeper's keys are %(names)s.", names=", ".join(names)))
    return name


def _there(keeper: Keeper, name: str) -> Versions:
    """As the vault has it now. Raises VaultAway."""
    found = keeper.transit.versions(name)
    if not found.made:
        raise VaultAway(f"there is no key {name}")
    return found


def _said(name: str, known: Versions) -> Mapping[str, Any]:
    since = known.made[known.newest]
    used = since if name == "payload" or known.newest == 1 else since + LEAD
    return {"version": known.newest, "since": since.isoformat(), "used_from": used.isoformat(), "oldest": known.oldest}


def _generation(made: Generation) -> Mapping[str, Any]:
    return {"version": made.version, "since": made.made.isoformat(), "used_from": made.used_from.isoformat(), "oldest": 1}


def _allowed(keeper: Keeper, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except Refused as error:
        if error.status != 403:
            raise
        raise KeeperError(error.detail, hint=NOT_ALLOWED if keeper.settings.vault_address else NEVER) from error


HANDLERS = {
    "rotate": rotate, "key_version": key_version, "audit_keys": audit_keys, "authority_keys": authority_keys,
    "rewrap": rewrap, "retire_payload": retire_payload,
}
