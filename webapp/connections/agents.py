"""Which agents may use a person's accounts: those that the person lets call a server whose tools need the provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.config import Settings
from webapp.oauth import grants
from webapp.oauth.metadata import server_of
from webapp.registry.tables import Server, Tool


@dataclass(frozen=True)
class Agent:
    """One grant: an agent at one server. `status` is an administrator's word on the agent, `scopes` what the server's tools may
    need of the account."""

    client: str
    name: str
    verified: bool
    status: str
    server: str
    scopes: frozenset[str]
    since: datetime


@dataclass(frozen=True)
class _Behind:
    title: str
    needs: dict[str, set[str]]


def may_use(session: Session, settings: Settings, person: str) -> dict[str, list[Agent]]:
    """By provider, the newest consent first."""
    given = grants.of_person(session, person)
    names = {grant.id: server_of(settings, grant.resource) or "" for grant in given}
    servers = _servers(session, set(names.values()))
    found: dict[str, list[Agent]] = {}
    for grant in given:
        behind = servers.get(names[grant.id])
        for provider, scopes in (behind.needs.items() if behind is not None else ()):
            found.setdefault(provider, []).append(Agent(
                grant.client, grant.client_name, grant.verified, grant.client_status, behind.title if behind else "",
                frozenset(scopes), grant.since,
            ))
    return found


def _servers(session: Session, names: set[str]) -> dict[str, _Behind]:
    rows = session.execute(
        select(Server.name, Server.title, Tool.credential).join(Tool, Tool.server_id == Server.id)
        .where(Server.name.in_(names), Server.status == "active", Tool.status == "approved", Tool.credential.is_not(None))
    )
    found: dict[str, _Behind] = {}
    for name, title, credential in rows:
        needs = found.setdefault(name, _Behind(title or name, {})).needs
        needs.setdefault(credential["provider"], set()).update(credential["scopes"])
    return found
