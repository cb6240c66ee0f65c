"""A server with its tools, approved in one step: for a server that the installation itself brings along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp import audit
from webapp.errors import BadInput, said
from webapp.registry import addresses, deciding, digest, drift
from webapp.registry.rules import Approval
from webapp.registry.tables import Server, Tool

Listed = Sequence[Mapping[str, Any]]


def put(
    session: Session, *, name: str, url: str, title: str, listed: Listed, approvals: Mapping[str, Approval], now: datetime,
    provider: str = "", by: str = "evaluation",
) -> str:
    """Add the server, or bring its URL up to date, and approve the tools that `approvals` names as listed now. Returns its id.

    In the caller's transaction; each step leaves its entry, by `by`. Saying the same again changes and records nothing. Raises
    BadInput when a tool that is to be approved is not listed, or not in a form that can be pinned.
    """
    server = _server(session, name, url, title, provider, by, now)
    seen = drift.texts(listed)
    missing = approvals.keys() - seen.keys()
    if missing:
        raise BadInput(said("The server does not list %(tools)s.", tools=", ".join(sorted(missing))))
    drift.record(session, name, seen, whole=True, actor=by, now=now)
    for tool, approval in approvals.items():
        if not _stands(session, server.id, tool, seen[tool], approval):
            deciding.approve(
                session, server=name, tool=tool, approval=approval, seen=digest.of(seen[tool]), actor=by, now=now
            )
    return server.id


def _server(session: Session, name: str, url: str, title: str, provider: str, by: str, now: datetime) -> Server:
    found = session.scalar(select(Server).where(Server.name == name).with_for_update())
    if found is None:
        return deciding.add(session, name=name, url=url, title=title, provider=provider, actor=by, now=now)
    if (found.url, found.title, found.provider) != (url, title, provider):
        addresses.split(url)
        audit.append(
            session, kind="server.changed", actor=by, subject=found.id, at=now,
            detail={"name": name, "url": url, "provider": provider, "before": found.url},
        )
        found.url, found.title, found.provider = url, title, provider
        deciding.remanifest(session, found)
    return found


def _stands(session: Session, server_id: str, tool: str, text: str, approval: Approval) -> bool:
    pin = digest.pin(
        text, cls=approval.cls, pointers=approval.pointers, changes_recipients=approval.changes_recipients,
        credential=approval.credential, outside=approval.outside,
    )
    found = session.execute(select(Tool.status, Tool.pin).where(Tool.server_id == server_id, Tool.name == tool)).one()
    return tuple(found) == ("approved", pin)
