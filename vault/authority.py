"""What the keeper signs as the authority: session tickets and decisions; and the public keys that verify them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vault import tickets
from vault.errors import NotSignedIn
from vault.secret import Secret
from vault.table import Body, Keeper, mapping, secret, text
from vault.tickets import Ticket

KEYS_KEPT = 60
"""Seconds for which public keys are believed without asking again."""


def keys(keeper: Keeper, name: str = "authority") -> Mapping[int, bytes]:
    """Public keys by version."""
    kept = keeper.memory.get(f"keys/{name}")
    now = keeper.clock()
    if kept is None or (now - kept[0]).total_seconds() > KEYS_KEPT:
        kept = (now, keeper.transit.public_keys(name))
        keeper.memory[f"keys/{name}"] = kept
    found: Mapping[int, bytes] = kept[1]
    return found


def issue(keeper: Keeper, ticket: Ticket, session: Secret[str]) -> str:
    """Sign a ticket for the raw cookie of one session."""
    signed = tickets.body(ticket, session)
    return tickets.join(signed, keeper.transit.sign("authority", signed))


@dataclass(frozen=True)
class Proven:
    """A verified ticket and the session it is bound to."""

    ticket: Ticket
    session: Secret[str]


def proven(keeper: Keeper, body: Body) -> Proven:
    """The request's `proof`, verified. Raises NotSignedIn.

    Attack: a ticket of before a restore opens what was sealed for its session, a passkey's challenge among them, and the vault of
    the backup does not know that this was spent since."""
    proof = mapping(body, "proof")
    session = secret(proof, "session", limit=512)
    found = tickets.verify(text(proof, "ticket", limit=16384), session, keys(keeper), keeper.clock())
    restored = keeper.settings.restored_at
    if restored is not None and found.issued_at <= restored:
        raise NotSignedIn("a ticket of before the restore", hint="A backup was restored since you signed in. Sign in again.")
    return Proven(found, session)


def with_factor(one: Proven) -> Ticket:
    """Raises NotSignedIn where no factor was checked in this session."""
    if not one.ticket.factor or one.ticket.factor_at is None:
        raise NotSignedIn("no factor was checked in this session", hint="Confirm with your passkey or code first.")
    return one.ticket
