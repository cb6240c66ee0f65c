"""Token clients: registered by an admin, with a key or a certificate, and with what they may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from vault.door import Certified
from webapp import audit
from webapp.clients import certificates, keys, permissions
from webapp.clients.lookup import get, token_client
from webapp.clients.permissions import Allow
from webapp.clients.rules import clean_name, read_redirect_uri
from webapp.clients.status import STATUS
from webapp.clients.tables import Client, TokenClient
from webapp.config import Settings
from webapp.db.once import insert_once
from webapp.errors import BadInput, Conflict, said

BY_CERTIFICATE = "tls_client_auth"
BY_KEY = "private_key_jwt"
METHODS = {BY_CERTIFICATE: said("a client certificate"), BY_KEY: said("its own key")}


@dataclass(frozen=True)
class Registration:
    """What an admin registers. `resource` is the URL of the client's own MCP endpoint, where it has one that agents call; `owner`
    the id of the person whose it is, where one is named."""

    name: str
    allowed: Sequence[Allow] = ()
    resource: str | None = None
    redirect_uris: list[str] = field(default_factory=list)
    owner: str = ""


def check(asked: Registration, settings: Settings) -> None:
    """Raises BadInput for what could not be registered: before a certificate is made for it."""
    if not asked.name.strip():
        raise BadInput("Give the client a name.")
    if len(asked.redirect_uris) > settings.oauth.redirect_uris or len(set(asked.redirect_uris)) != len(asked.redirect_uris):
        raise BadInput(said("At most %(most)s different redirect URIs.", most=settings.oauth.redirect_uris))
    for uri in asked.redirect_uris:
        read_redirect_uri(uri, settings.public_url)
    if asked.resource is not None:
        _endpoint(asked.resource, settings)


def _endpoint(url: str, settings: Settings) -> None:
    """Attack: a client registered with an address of ours as its own would be given tokens that are meant for us."""
    try:
        found = read_redirect_uri(url, settings.public_url)
    except BadInput as error:
        raise BadInput("A resource is the https URL of the client's own MCP endpoint (or http on this computer).") from error
    if found.private or "?" in found.tail:
        raise BadInput("A resource is an https URL without a query.")


def add(
    session: Session, client_id: str, asked: Registration, *, proof: str | Certified, settings: Settings, actor: str,
    now: datetime,
) -> Client:
    """Register it with its first key (a public JWK) or its first certificate, which was made for `client_id`.

    Raises BadInput, and Conflict where the key or the resource is another client's.
    """
    check(asked, settings)
    client = Client(
        id=client_id, kind="token", name=clean_name(asked.name), redirect_uris=asked.redirect_uris, verified=True,
        registered_by=actor, created_at=now,
    )
    session.add(client)
    session.flush()
    method = BY_CERTIFICATE if isinstance(proof, Certified) else BY_KEY
    made = insert_once(
        session, TokenClient, client=client_id, auth_method=method, spiffe=spiffe(client_id, settings), resource=asked.resource,
        owner=asked.owner,
    )
    if not made:
        raise Conflict("Another client is registered with this resource.")
    audit.append(session, kind="client.registered", actor=actor, subject=client_id, at=now, detail={
        "name": client.name, "redirect_uris": asked.redirect_uris, "method": method, "resource": asked.resource or "",
        "owner": asked.owner,
    })
    if isinstance(proof, Certified):
        certificates.record(session, client_id, proof, actor=actor, now=now)
    else:
        keys.add(session, client_id, proof, actor=actor, now=now)
    permissions.put(session, client_id, asked.allowed, actor=actor, now=now)
    return client


def own(session: Session, client_id: str, owner: str, *, actor: str, now: datetime) -> None:
    """Say whose the client is, from the next request on; what it asked before and waits is void. Raises BadInput."""
    row = token_client(session, client_id)
    if row is None:
        raise BadInput("There is no such token client.")
    before, row.owner = row.owner, owner
    audit.append(session, kind="client.owned", actor=actor, subject=client_id, at=now, detail={"owner": owner, "before": before})


def spiffe(client_id: str, settings: Settings) -> str:
    """The name in the client's certificates."""
    return f"spiffe://{settings.host}/client/{client_id}"


def registered(session: Session, client_id: str, method: str) -> TokenClient:
    """A token client that may get another key or certificate; also one that an incident suspends, whose own have ended, so that
    it has one when it comes back. Raises Missing, BadInput, Conflict."""
    client, row = get(session, client_id), token_client(session, client_id)
    if row is None:
        raise BadInput("This is an agent, not a token client: it has neither a key nor a certificate.")
    if row.auth_method != method:
        raise BadInput(said(
            "This client is registered with %(method)s, and proves itself by nothing else.", method=METHODS[row.auth_method]
        ))
    if client.status != "active" and not (client.suspended and client.status == "paused"):
        raise Conflict(said("This client is %(status)s.", status=STATUS[client.status]))
    return row
