"""What the keeper signs as the authority: session tickets and decisions; and the public keys that verify them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from vault import signed_out, tickets
from vault.errors import NotSignedIn
from vault.secret import Secret
from vault.table import Body, Keeper, mapping, secret, text
from vault.tickets import Ticket
from vault.transit import Versions

KEYS_KEPT = 60
"""Seconds for which public keys are believed without asking again."""
LEAD = timedelta(minutes=5)
"""How old a version is before anything is signed with it: by then every process that verifies has learned of it, also where two
clocks differ by minutes. Without it, what one keeper signs would fail at another that asked for the keys just before."""


def keys(keeper: Keeper, name: str = "authority") -> Mapping[int, bytes]:
    """Public keys by version."""
    return _versions(keeper, name).public


def _versions(keeper: Keeper, name: str) -> Versions:
    kept = keeper.memory.get(f"keys/{name}")
    now = keeper.clock()
    if kept is None or (now - kept[0]).total_seconds() > KEYS_KEPT:
        kept = (now, keeper.transit.versions(name))
        keeper.memory[f"keys/{name}"] = kept
    found: Versions = kept[1]
    return found


def sign(keeper: Keeper, name: str, message: bytes) -> str:
    """By the newest version that everybody knows; by the oldest where all are new."""
    known = _versions(keeper, name)
    able = sorted(version for version in known.made if version >= known.least)
    ready = [version for version in able if known.made[version] + LEAD <= keeper.clock()]
    return keeper.transit.sign(name, message, (ready[-1:] or able[:1] or [0])[0])


def issue(keeper: Keeper, ticket: Ticket, session: Secret[str]) -> str:
    """Sign a ticket for the raw cookie of one session."""
    signed = tickets.body(ticket, session)
    return tickets.join(signed, sign(keeper, "authority", signed))


@dataclass(frozen=True)
class Proven:
    """A verified ticket and the session it is bound to."""

    ticket: Ticket
    session: Secret[str]


def proven(keeper: Keeper, body: Body) -> Proven:
    """The request's `proof`, verified, of a session that nobody ended. Raises NotSignedIn.

    Attack: a ticket of before a restore opens what was sealed for its session, a passkey's challenge among them, and the vault of
    the backup does not know that this was spent since."""
    proof = mapping(body, "proof")
    session = secret(proof, "session", limit=512)
    found = tickets.verify(text(proof, "ticket", limit=16384), session, keys(keeper), keeper.clock())
    restored = keeper.settings.restored_at
    if restored is not None and found.issued_at <= restored:
        raise NotSignedIn("a ticket of before the restore", hint="A backup was restored since you signed in. Sign in again.")
    signed_out.refuse_ended(keeper, found, session)
    return Proven(found, session)


def with_factor(one: Proven) -> Ticket:
    """Raises NotSignedIn where no factor was checked in this session. A recovery code is none: it decides nothing, removes
    nothing and makes no codes; nor is being let in again."""
    if one.ticket.factor in tickets.NO_FACTOR or one.ticket.factor_at is None:
        raise NotSignedIn("no factor was checked in this session", hint="Confirm with your passkey or code first.")
    return one.ticket
