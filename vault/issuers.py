"""The authorities for client certificates: issuers of one PKI mount, of which one signs and several may be believed
(https://openbao.org/api-docs/secret/pki/#managing-keys-and-issuers).

A new one is believed from the moment it is made and signs when `ca_lead_hours` have passed: by then every process and proxy that
verifies has it. The one before is believed until all that it signed has ended. Their keys never leave the vault. Which of them
signs follows from their own times: nothing is switched, so that nothing can be left half switched.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from vault.client import Refused, Vault
from vault.declared import AUTHORITY, CA_LIFETIME
from vault.errors import KeeperError, NoAuthority, TooMany
from vault.said import said
from vault.table import Keeper

log = logging.getLogger("counterseal.keeper")

CA = "ca"
LONGEST = 24 * 3600
"""Seconds that a certificate lives at most."""
SLACK = timedelta(minutes=5)
SELDOM = timedelta(days=1)
"""Between two rotations: each leaves an issuer in the vault for good."""
NAMED = re.compile(r"client-authority-([0-9]{1,6})")
AFTER = re.compile(r" after ([0-9]{1,4}) h$")
ID = re.compile(r"[A-Za-z0-9-]{1,64}")
MISSING = (403, 404)
OPERATORS = (
    "The authority for client certificates is not the keeper's own but an operator's, who replaces it: by another issuer in the "
    "mount that is set as its default one."
)


@dataclass(frozen=True)
class Issuer:
    """`chain` is PEM, its own certificate first, then those above it."""

    id: str
    name: str
    default: bool
    chain: tuple[str, ...]
    certificate: x509.Certificate

    @property
    def made(self) -> datetime:
        """Vault dates it back by seconds (`not_before_duration`)."""
        return self.certificate.not_valid_before_utc

    @property
    def number(self) -> int:
        """Of those that `rotate` made; their times are whole seconds, in which there may be two."""
        match = NAMED.fullmatch(self.name)
        return int(match[1]) if match else 1

    @property
    def common_name(self) -> str:
        names = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(names[0].value) if len(names) == 1 else ""

    @property
    def lead(self) -> timedelta:
        """What `ca_lead_hours` was when `rotate` made it."""
        match = AFTER.search(self.common_name)
        return timedelta(hours=int(match[1])) if match else timedelta(0)

    @property
    def own(self) -> bool:
        """Made as `vault.declared` and `rotate` make one: its own root, under our name for it."""
        ours = self.common_name.startswith(AUTHORITY)
        return ours and self.certificate.subject == self.certificate.issuer


def all_of(vault: Vault, prefix: str, known: dict[str, Any] | None = None) -> tuple[Issuer, ...]:
    """Those that count, the oldest first: the keeper's own; or the default one alone, where that is an operator's. `known` keeps
    what does not change. Raises NoAuthority where there is none, VaultAway, VaultSealed."""
    mount = f"{prefix}pki"
    try:
        data = ((vault.read(f"{mount}/issuers?list=true") or {}).get("data")) or {}
        info = data.get("key_info") or {}
        found = [_read(vault, mount, str(one), info.get(one) or {}, known) for one in data.get("keys") or ()]
    except Refused as error:
        raise not_set_up(error) from error
    default = next((one for one in found if one.default), None)
    if default is None:
        raise NoAuthority("no default issuer in the mount")
    if not default.own:
        return (default,)
    return tuple(sorted((one for one in found if one.own), key=lambda one: (one.made, one.number, one.id)))


def of(keeper: Keeper) -> tuple[Issuer, ...]:
    return all_of(keeper.vault, keeper.settings.prefix, keeper.memory.setdefault("issuers", {}))


def _read(vault: Vault, mount: str, name: str, info: Mapping[str, Any], known: dict[str, Any] | None) -> Issuer:
    kept = known.get(name) if known is not None else None
    if kept is None:
        if not ID.fullmatch(name):
            raise NoAuthority("an issuer's id is none")
        data = ((vault.read(f"{mount}/issuer/{name}/json") or {}).get("data")) or {}
        own = str(data.get("certificate") or "").strip()
        try:
            certificate = x509.load_pem_x509_certificate(own.encode())
        except ValueError as error:
            raise NoAuthority(f"issuer {name} has no certificate") from error
        above = [str(one).strip() for one in data.get("ca_chain") or ()]
        kept = ((own, *(one for one in above if one != own)), certificate)
        if known is not None:
            known[name] = kept
    return Issuer(name, str(info.get("issuer_name") or ""), bool(info.get("is_default")), *kept)


def lead(keeper: Keeper) -> timedelta:
    return timedelta(hours=keeper.settings.ca_lead_hours)


def signs_from(found: Sequence[Issuer], at: int, lead: timedelta) -> datetime:
    """The first one at once: there is no other."""
    return found[at].made + (lead if at else timedelta(0))


def signing(found: Sequence[Issuer], now: datetime, lead: timedelta) -> Issuer:
    return next((found[at] for at in reversed(range(len(found))) if signs_from(found, at, lead) <= now), found[0])


def believed(found: Sequence[Issuer], now: datetime, lead: timedelta) -> list[Issuer]:
    """Those whose certificates are good, the oldest first. What an issuer signed at the last moment ends a day after the next one
    began to; where `ca_lead_hours` was lowered since, after it would have begun to by what it was then."""
    latest, signs = timedelta(seconds=LONGEST) + SLACK, signing(found, now, lead)
    after = [signs_from(found, at, max(lead, found[at].lead)) + latest for at in range(1, len(found))]
    return [one for one, end in zip(found, [*after, None], strict=True) if end is None or end > now or one == signs]


def rotate(keeper: Keeper) -> Mapping[str, Any]:
    """Make the next one. Raises KeeperError where the authority is an operator's, TooMany within a day of the last or while that
    does not sign yet, Refused."""
    found = of(keeper)
    if not found[0].own:
        raise KeeperError("the default issuer is not ours", hint=OPERATORS)
    wait = max(SELDOM, lead(keeper))
    if len(found) > 1 and found[-1].made + wait > keeper.clock():
        again = f"{found[-1].made + wait:%Y-%m-%d %H:%M} UTC"
        hint = said("ca was rotated not long ago, and can be again from %(when)s.", when=again)
        raise TooMany("the newest issuer is too new", hint=hint)
    number = max(len(found), *(one.number for one in found)) + 1
    wanted = {
        "common_name": f"{AUTHORITY} {number} after {keeper.settings.ca_lead_hours} h", "ttl": CA_LIFETIME, "key_type": "ec",
        "issuer_name": f"client-authority-{number}", "key_bits": "256", "max_path_length": "0",
    }
    try:
        keeper.vault.write(f"{keeper.settings.prefix}pki/root/rotate/internal", wanted)
    except Refused as error:
        if error.status == 400 and "already" in error.detail:  # the name is the lock: another keeper is making the same one
            raise TooMany(error.detail, hint="ca is being rotated at this moment.") from error
        raise
    log.info("rotated key=ca version=%d", number)
    return version(keeper)


def version(keeper: Keeper) -> Mapping[str, Any]:
    """`KeyVersion`, by their places in the order of their making. Raises KeeperError where it is an operator's."""
    found, ahead = of(keeper), lead(keeper)
    if not found[0].own:
        raise KeeperError("the default issuer is not ours", hint=OPERATORS)
    last = len(found) - 1
    oldest = found.index(believed(found, keeper.clock(), ahead)[0])
    return {
        "version": last + 1, "since": found[last].made.isoformat(), "used_from": signs_from(found, last, ahead).isoformat(),
        "oldest": oldest + 1,
    }


def not_set_up(error: Refused) -> KeeperError:
    """No mount, issuer, role or right to it: an operator's to mend. Vault says 403 or 404, and 400 for no role or no issuer."""
    if error.status in MISSING or "unknown role" in error.detail or "no default issuer" in error.detail:
        return NoAuthority(error.detail)
    return error
