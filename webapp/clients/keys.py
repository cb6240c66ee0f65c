"""Public keys that token clients sign assertions with: read, named by their thumbprint, added and ended."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients.tables import ClientKey
from webapp.db.count import changed
from webapp.db.once import insert_once
from webapp.errors import BadInput, Conflict, Missing, said
from webapp.ids import new_id

MOST = 5
"""Live keys of one client: the one in use, the next, and some more."""
KINDS = "a public JWK: EC on P-256, OKP with Ed25519, or RSA of 2048 to 4096 bits"


def algorithm(key: Key) -> str | None:
    """The one algorithm that a key signs with here (RFC 7518, RFC 9864); None for a key that we do not take."""
    if isinstance(key, ECKey) and key.curve_name == "P-256":
        return "ES256"
    if isinstance(key, OKPKey) and key.curve_name == "Ed25519":
        return "Ed25519"
    public = key.public_key if isinstance(key, RSAKey) else None
    if isinstance(public, rsa.RSAPublicKey) and 2048 <= public.key_size <= 4096:
        return "PS256"
    return None


def read(text: str) -> tuple[dict[str, Any], str]:
    """A public key and its RFC 7638 thumbprint. Raises BadInput, in words; for a private key above all."""
    try:
        document = json.loads(text)
        key = import_key(document)
    except (ValueError, TypeError, KeyError, AttributeError, JoseError) as error:
        raise BadInput(said("That is not %(kinds)s.", kinds=KINDS)) from error
    if algorithm(key) is None:
        raise BadInput(said("That is not %(kinds)s.", kinds=KINDS))
    if key.is_private:
        raise BadInput("That is a private key. Register its public half, and treat a private key that was shown around as lost.")
    public = key.as_dict(private=False)
    thumbprint = key.thumbprint()
    named = str(document.get("kid") or thumbprint)
    if len(named) > 200:
        raise BadInput("The key's kid is longer than 200 characters.")
    return {**{name: public[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in public}, "kid": named}, thumbprint


def live(session: Session, client: str) -> list[ClientKey]:
    found = select(ClientKey).where(ClientKey.client == client, ClientKey.ended_at.is_(None)).order_by(ClientKey.id)
    return list(session.scalars(found))


def add(session: Session, client: str, text: str, *, actor: str, now: datetime) -> str:
    """The new key's id. Raises BadInput, and Conflict for a key that somebody has registered, ended ones too: with one private
    key in two hands, neither proves who speaks."""
    jwk, thumbprint = read(text)
    if len(live(session, client)) >= MOST:
        raise Conflict(said("This client has %(most)s keys. End one first.", most=MOST))
    if any(key.jwk["kid"] == jwk["kid"] for key in live(session, client)):
        raise Conflict("This client has a key with this kid.")
    made = new_id("key")
    if not insert_once(session, ClientKey, id=made, client=client, jwk=jwk, thumbprint=thumbprint, added_at=now):
        raise Conflict("This key is registered already. Make a new one for each client.")
    audit.append(session, kind="client.key_added", actor=actor, subject=client, at=now,
                 detail={"key": made, "thumbprint": thumbprint})
    return made


def end_all(session: Session, client: str, *, actor: str, now: datetime) -> None:
    """All that are live. None of them comes back: a key that was registered once is not registered again."""
    ended = session.execute(
        update(ClientKey).where(ClientKey.client == client, ClientKey.ended_at.is_(None)).values(ended_at=now)
        .returning(ClientKey.id, ClientKey.thumbprint),
        execution_options={"synchronize_session": False},
    ).all()
    for key, thumbprint in sorted(ended):
        audit.append(session, kind="client.key_ended", actor=actor, subject=client, at=now,
                     detail={"key": key, "thumbprint": thumbprint})


def end(session: Session, key: str, *, actor: str, now: datetime) -> None:
    """From the next request on, nothing signed with it is believed. Raises Missing, Conflict."""
    row = session.get(ClientKey, key)
    if row is None:
        raise Missing("There is no such key.")
    ended = session.execute(update(ClientKey).where(ClientKey.id == key, ClientKey.ended_at.is_(None)).values(ended_at=now))
    if changed(ended) != 1:
        raise Conflict("This key was ended already.")
    audit.append(session, kind="client.key_ended", actor=actor, subject=row.client, at=now,
                 detail={"key": key, "thumbprint": row.thumbprint})
