"""Find clients."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from webapp.clients.tables import Client, TokenClient
from webapp.db.direct import Made, Where, copied, direct
from webapp.errors import Missing

PROOF = Made(
    select(*Client.__table__.columns, TokenClient.auth_method, TokenClient.resource, TokenClient.owner)
    .join(TokenClient, TokenClient.client == Client.id).where(Client.id == bindparam("client"))
)
"""Made once: every token that a token client asks for looks at it."""
COLUMNS = tuple(Client.__table__.columns.keys())


def find(session: Session, client_id: str) -> Client | None:
    return session.get(Client, client_id)


def get(session: Session, client_id: str) -> Client:
    """The client; raises Missing."""
    found = find(session, client_id)
    if found is None:
        raise Missing("There is no such agent.")
    return found


def names(session: Session, ids: Iterable[str]) -> dict[str, str]:
    """What these clients call themselves."""
    wanted = set(ids)
    if not wanted:
        return {}
    return {row.id: row.name for row in session.execute(select(Client.id, Client.name).where(Client.id.in_(wanted)))}


def page(session: Session, *, before: str | None = None, size: int = 50) -> list[Client]:
    """The newest clients first; `before` is the id of the last one of the page before."""
    query = select(Client).order_by(Client.id.desc()).limit(size)
    return list(session.scalars(query.where(Client.id < before) if before else query))


def token_client(session: Session, client_id: str) -> TokenClient | None:
    return session.get(TokenClient, client_id)


def registered(session: Where, client_id: str) -> tuple[Client, str, str, str] | None:
    """A token client (a copy), the method it proves itself by, its own MCP endpoint and its owner, empty where it has none."""
    row = direct(session).row(PROOF, {"client": client_id})
    if row is None:
        return None
    *values, method, resource, owner = row
    return copied(Client, dict(zip(COLUMNS, values, strict=True))), method, resource or "", owner


def by_resource(session: Session, url: str) -> Client | None:
    """The token client whose own MCP endpoint this is, compared character by character; whatever its status."""
    return session.scalar(select(Client).join(TokenClient, TokenClient.client == Client.id).where(TokenClient.resource == url))


def resource_names(session: Session, urls: Iterable[str]) -> dict[str, str]:
    """The names of the token clients whose own endpoints these are."""
    found = select(TokenClient.resource, Client.name).join(Client, Client.id == TokenClient.client)
    return {str(row.resource): row.name for row in session.execute(found.where(TokenClient.resource.in_(list(urls))))}


def by_mtls(session: Session, client_id: str) -> bool:
    """Whether the client proves itself by a certificate: then every token of its is bound to one."""
    return session.scalar(select(TokenClient.auth_method).where(TokenClient.client == client_id)) == "tls_client_auth"
