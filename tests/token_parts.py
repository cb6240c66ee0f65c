"""A token client with a key of its own, an agent that calls it in a person's name, and an account at the scripted provider."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from flask import Flask
from joserfc import jwt
from joserfc.jwk import OKPKey
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests import described
from tests.keeper_parts import PUBLIC_URL
from tests.scripted_provider import Scripted
from vault.secret import Secret
from webapp.clients import keys
from webapp.clients.tables import Client, ClientKey, Permission, TokenClient
from webapp.connections import consents
from webapp.connections.tables import Connection
from webapp.ids import new_id
from webapp.oauth import ciba, grants, rfc7523, rfc8693, tokens
from webapp.oauth.tables import AccessToken
from webapp.web.house import House

ALL = ("accounts:read", "payees:read", "payments:send")


@dataclass
class Desk:
    """A token client: an MCP server that asks for tokens. Each request can be told to do it wrong; None leaves a field out."""

    house: House
    app: Flask
    id: str
    resource: str
    key: OKPKey = field(repr=False)

    def proof(self, **changed: Any) -> dict[str, str]:
        now = int(self.house.clock().timestamp())
        claims = {"iss": self.id, "sub": self.id, "aud": PUBLIC_URL, "iat": now, "exp": now + 60, "jti": secrets.token_hex(8)}
        claims |= changed
        made = jwt.encode({"alg": "Ed25519"}, claims, self.key, algorithms=["Ed25519"])
        return {"client_assertion": made, "client_assertion_type": rfc7523.TYPE}

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Each answer is as `/openapi.json` describes it, and holds nothing besides."""
        form = {**self.proof(), **fields}
        answer = self.app.test_client().post(
            path, data={name: value for name, value in form.items() if value is not None}, base_url=PUBLIC_URL
        )
        described.check(path, answer)
        return answer

    def exchange(self, subject: str, **fields: Any) -> TestResponse:
        return self.post("/oauth/token", **{
            "grant_type": rfc8693.GRANT, "subject_token": subject, "subject_token_type": rfc8693.ACCESS_TOKEN,
            "audience": "harbour", "scope": "accounts:read", **fields,
        })

    def own(self, **fields: Any) -> TestResponse:
        return self.post("/oauth/token", **{
            "grant_type": "client_credentials", "audience": "harbour", "scope": "accounts:read", **fields,
        })

    def poll(self, request: str, **fields: Any) -> TestResponse:
        return self.post("/oauth/token", **{"grant_type": ciba.PollGrant.GRANT_TYPE, "auth_req_id": request, **fields})

    def revoke(self, token: str) -> TestResponse:
        return self.post("/oauth/revoke", token=token)

    def introspect(self, token: str) -> dict[str, Any]:
        answer = self.post("/oauth/introspect", token=token)
        assert answer.status_code == 200, answer.text
        return dict(answer.json or {})


def desk(
    house: House, app: Flask, *, name: str = "Issue Desk", resource: str = "https://desk.example/mcp", provider: str = "harbour",
    scopes: tuple[str, ...] = ALL, tools: tuple[str, ...] = (), resources: tuple[str, ...] = (),
) -> Desk:
    """Registered as an admin would, with a new key."""
    client_id, key, now = new_id("cli"), OKPKey.generate_key("Ed25519"), house.clock()
    public, thumbprint = keys.read(json.dumps(key.as_dict(private=False)))

    def work(session: Session) -> None:
        session.add(Client(id=client_id, kind="token", name=name, redirect_uris=[], registered_by="cli", created_at=now))
        session.flush()
        session.add(TokenClient(
            client=client_id, auth_method=rfc7523.METHOD, spiffe=f"spiffe://localhost/client/{client_id}",
            resource=resource or None,
        ))
        session.add(ClientKey(id=new_id("key"), client=client_id, jwk=public, thumbprint=thumbprint, added_at=now, ended_at=None))
        permit(session, client_id, provider, scopes, tools, resources)

    house.database.write(work)
    return Desk(house, app, client_id, resource, key)


def permit(
    session: Session, client: str, provider: str, scopes: tuple[str, ...], tools: tuple[str, ...] = (),
    resources: tuple[str, ...] = (),
) -> None:
    session.merge(Permission(
        client=client, provider=provider, scopes=list(scopes), tools=list(tools), resources=list(resources)
    ))


def agents_token(house: House, person: str, resource: str, *, client: str = "", name: str = "Ledger Agent") -> str:
    """An access token of ours that this person's agent holds for a resource."""
    raw, now, agent = tokens.new(tokens.ACCESS), house.clock(), client or new_id("cli")

    def work(session: Session) -> None:
        row = session.get(Client, agent)
        if row is None:
            row = Client(id=agent, kind="agent", name=name, redirect_uris=[], registered_by="itself", created_at=now)
            session.add(row)
            session.flush()
        grant = grants.consent(session, person=person, client=row, resource=resource, scopes=["mcp"], now=now)
        session.add(AccessToken(hash=tokens.digest(raw), grant=grant, created_at=now, expires_at=now + timedelta(minutes=10)))

    house.database.write(work)
    return raw


def account(house: House, provider: Scripted, person: str, *, scopes: tuple[str, ...] = ALL, entry: str = "harbour") -> str:
    """An account of this person's, connected through the door."""
    connection, now = new_id("con"), house.clock()
    provider.account = f"acc-{secrets.token_hex(4)}"
    provider.scopes = " ".join(scopes)
    house.door.provider_put(entry, provider.record())
    begun = house.door.connect_begin(
        provider=entry, person=person, redirect_uri=f"{PUBLIC_URL}/connections/callback", scopes=list(scopes)
    )
    made = house.door.connect_finish(
        connection=connection, person=person, sealed=begun.sealed, state=begun.state, code=Secret("a-code"), iss=provider.url
    )
    house.database.write(lambda s: s.add(_row(connection, person, entry, made.account, made.label, list(made.scopes), now)))
    return connection


def _row(connection: str, person: str, provider: str, account: str, label: str, scopes: list[str], now: datetime) -> Connection:
    return Connection(
        id=connection, person=person, provider=provider, account=account, label=label, scopes=scopes, status="active",
        created_at=now, connected_at=now, last_used_at=None, ended_at=None,
    )


def allow(house: House, desk: Desk, person: str, connection: str, *, scopes: tuple[str, ...] = ALL, kind: str = "person") -> str:
    return house.database.write(lambda s: consents.give(
        s, person=person, client=desk.id, connection=connection, scopes=scopes, kind=kind, now=house.clock()
    ))
