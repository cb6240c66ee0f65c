"""What token clients may ask for: what an admin said at their registration, and nothing beyond it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients.status import SHUT_OUT
from webapp.clients.tables import Permission
from webapp.db.direct import Made, Where, copied, direct
from webapp.db.due import enqueue
from webapp.errors import BadInput

PROVIDER = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")  # RFC 6749 section 3.3
MOST = 200
BOUND = "clients.bound"
"""The due row, by client and provider, that ends what a client holds there since it may name fewer tools or resources: nobody
here sees for which of them it uses a token."""


@dataclass
class Allow:
    """At one provider. An empty list names nothing."""

    provider: str
    scopes: list[str] = field(default_factory=list)
    tools: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)


COLUMNS = tuple(Permission.__table__.columns.keys())
OF_CLIENT = Made(select(*Permission.__table__.columns).where(Permission.client == bindparam("client")))


def of(session: Where, client_id: str) -> dict[str, Permission]:
    """By provider; copies. A provider that is not in it may not be asked for; an empty list in it names nothing."""
    rows = direct(session).rows(OF_CLIENT, {"client": client_id})
    found = (copied(Permission, dict(zip(COLUMNS, row, strict=True))) for row in rows)
    return {row.provider: row for row in found}


def read(allow: Iterable[str], tools: Iterable[str] = (), resources: Iterable[str] = ()) -> list[Allow]:
    """`PROVIDER:SCOPE[,SCOPE…]`, `PROVIDER:TOOL` and `PROVIDER:ID`, as an operator types them. Raises BadInput."""
    found: dict[str, Allow] = {}
    for text in allow:
        provider, rest = _apart(text, "--allow PROVIDER:SCOPE,SCOPE")
        scopes = [one.strip() for one in rest.split(",")]
        if not all(SCOPE.fullmatch(one) for one in scopes):
            raise BadInput(f"{text!r}: a scope is missing, or has characters that no scope has.")
        _extend(found.setdefault(provider, Allow(provider)).scopes, scopes)
    for texts, what, option in ((tools, "tools", "--tool PROVIDER:TOOL"), (resources, "resources", "--resource-id PROVIDER:ID")):
        for text in texts:
            provider, value = _apart(text, option)
            if provider not in found:
                raise BadInput(f"{text!r}: --allow names no scope at {provider}, so this could never be used.")
            _extend(getattr(found[provider], what), [value])
    return list(found.values())


def _apart(text: str, shape: str) -> tuple[str, str]:
    provider, _, rest = text.partition(":")
    if not PROVIDER.fullmatch(provider) or not rest.strip() or len(rest) > 4000:
        raise BadInput(f"{text!r} is not of the form {shape}.")
    return provider, rest.strip()


def _extend(there: list[str], more: Sequence[str]) -> None:
    there.extend(one for one in dict.fromkeys(more) if one not in there)
    if len(there) > MOST:
        raise BadInput(f"More than {MOST} of one kind at one provider.")


def _bounds(before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether the names allow less than before. Where none was named, a token was for anything: naming some is less."""
    return set(before) != set(after) and not (before and set(before) < set(after))


def put(session: Session, client: str, allowed: Sequence[Allow], *, actor: str, now: datetime) -> None:
    """What the client may ask for from now on, all of it: what is not in `allowed` is taken back, and tokens for it are ended."""
    after = {one.provider: one for one in allowed}
    for provider, before in of(session, client).items():
        one = after.get(provider, Allow(provider))
        if set(before.scopes) - set(one.scopes):
            enqueue(session, SHUT_OUT, client, now)
        if _bounds(before.tools, one.tools) or _bounds(before.resources, one.resources):
            enqueue(session, BOUND, f"{client} {provider}", now, {"client": client, "provider": provider})
    session.execute(delete(Permission).where(Permission.client == client))
    for one in allowed:
        session.add(Permission(client=client, provider=one.provider, scopes=one.scopes, tools=one.tools, resources=one.resources))
    session.flush()
    audit.append(session, kind="client.allowed", actor=actor, subject=client, at=now, detail={
        one.provider: {"scopes": one.scopes, "tools": one.tools, "resources": one.resources} for one in allowed
    })
