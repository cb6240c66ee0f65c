"""Token clients as an admin sees them: how each proves itself, until when, and what it may ask for, in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from vault.providers.catalogue import facts, load
from webapp.clients import certificates, keys, permissions
from webapp.clients.lookup import token_client
from webapp.clients.tables import Certificate, Client, ClientKey, Permission
from webapp.clients.token_clients import METHODS
from webapp.config import Settings


@dataclass(frozen=True)
class Scope:
    """`words` is empty for a scope that the catalogue does not know."""

    scope: str
    words: str


@dataclass(frozen=True)
class MayAsk:
    """At one provider."""

    title: str
    scopes: tuple[Scope, ...]
    tools: tuple[str, ...]
    resources: tuple[str, ...]


@dataclass(frozen=True)
class TokenClientView:
    method: str
    by: str
    resource: str
    owner: str
    """A person's id; empty where nobody was named."""
    certificates: tuple[Certificate, ...]
    keys: tuple[ClientKey, ...]
    asks: tuple[MayAsk, ...]


def of(session: Session, clients: Iterable[Client], settings: Settings, now: datetime) -> dict[str, TokenClientView]:
    """By client id; agents are not in it."""
    found = {}
    for client in clients:
        row = token_client(session, client.id) if client.kind == "token" else None
        if row is not None:
            found[client.id] = TokenClientView(
                row.auth_method, METHODS[row.auth_method], row.resource or "", row.owner,
                tuple(certificates.live(session, client.id, now)), tuple(keys.live(session, client.id)),
                asks(permissions.of(session, client.id).values(), settings),
            )
    return found


def asks(allowed: Iterable[Permission], settings: Settings) -> tuple[MayAsk, ...]:
    """What permissions let a client ask for, in the catalogue's words."""
    catalogue = load(settings.instance, local=settings.evaluation)
    made = []
    for one in sorted(allowed, key=lambda row: row.provider):
        provider = facts(catalogue, one.provider)
        scopes = tuple(Scope(name, known.words if (known := provider.scopes.get(name)) else "") for name in one.scopes)
        made.append(MayAsk(provider.title, scopes, tuple(one.tools), tuple(one.resources)))
    return tuple(made)


NOBODY = "nobody is named as its owner: whoever runs it may approve what it asks for"


def lines(client: TokenClientView, names: Mapping[str, str]) -> list[str]:
    """The same for a terminal. `names` are those of persons, by id."""
    told = [f"proves itself by {client.by} ({client.method})"]
    told.append(f"owned by {names.get(client.owner, client.owner)!r} ({client.owner})" if client.owner else NOBODY)
    told += [f"certificate {one.serial} until {one.not_after:%Y-%m-%d %H:%M} UTC" for one in client.certificates]
    told += [f"key {one.id} since {one.added_at:%Y-%m-%d}" for one in client.keys]
    return told + [f"may ask at {each.title} for {', '.join(scope.scope for scope in each.scopes)}" for each in client.asks]
