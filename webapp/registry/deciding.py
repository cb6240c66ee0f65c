"""Use cases of an admin: add a server, approve and refuse its tools, pause it. Each with its audit entry, in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.db.due import enqueue
from webapp.errors import BadInput, Conflict, Missing, said
from webapp.ids import new_id
from webapp.registry import addresses, digest, rules
from webapp.registry.rules import Approval
from webapp.registry.tables import Server, Tool

TITLE = 80
LOOK = "registry.look"
LOOK_EVERY = timedelta(minutes=10)
"""How often a server is asked what it lists, beside every listing that an agent asks for."""


def add(
    session: Session, *, name: str, url: str, title: str = "", provider: str = "", actor: str, now: datetime
) -> Server:
    """A new server, without tools: nothing of it can be called. Raises BadInput; Conflict when the name is taken."""
    rules.server_name(name)
    addresses.split(url)
    if session.scalar(select(Server.id).where(Server.name == name)):
        raise Conflict(said("There is a server `%(name)s` already.", name=name))
    server = Server(
        id=new_id("srv"), name=name, title=_title(title or name), url=url, status="active", provider=provider,
        manifest=digest.manifest(url, {}), created_at=now, created_by=actor,
    )
    session.add(server)
    session.flush()
    audit.append(
        session, kind="server.added", actor=actor, subject=server.id, at=now,
        detail={"name": name, "url": url, "provider": provider, "manifest": server.manifest},
    )
    enqueue(session, LOOK, name, now + LOOK_EVERY, {"server": name})
    return server


def approve(
    session: Session, *, server: str, tool: str, approval: Approval, seen: str, actor: str, now: datetime
) -> str:
    """Approve the tool as listed and return its pin. `seen` is the digest of the text that the admin looked at: raises Conflict
    when the server lists another by now, Missing when there is no such tool."""
    owner = locked(session, server)
    found = _tool(session, owner, tool)
    if digest.of(found.listed) != seen:
        raise Conflict("The server changed this tool while you looked at it. Look at what it says now.")
    if found.status == "gone":
        raise Conflict("The server no longer lists this tool.")
    if why := digest.why_unreadable(found.listed):
        raise BadInput(said("This tool cannot be pinned, so it cannot be approved. %(why)s", why=why))
    pin = digest.pin(
        found.listed, cls=approval.cls, pointers=approval.pointers, changes_recipients=approval.changes_recipients,
        credential=approval.credential, outside=approval.outside,
    )
    moved = session.execute(
        update(Tool).where(Tool.id == found.id, Tool.listed == found.listed, Tool.status == found.status).values(
            status="approved", approved=found.listed, cls=approval.cls, pointers=dict(approval.pointers), pin=pin,
            changes_recipients=approval.changes_recipients, outside=approval.outside, credential=approval.credential,
            decided_at=now, decided_by=actor,
        ), execution_options={"synchronize_session": False},
    )
    _moved_one(moved)
    audit.append(
        session, kind="tool.approved", actor=actor, subject=found.id, at=now,
        detail={
            "server": server, "tool": tool, "description": seen, "class": approval.cls, "pointers": dict(approval.pointers),
            "changes_recipients": approval.changes_recipients, "outside": approval.outside, "credential": approval.credential,
            "pin": pin, "before": found.pin,
        },
    )
    remanifest(session, owner)
    return pin


def refuse(session: Session, *, server: str, tool: str, seen: str, actor: str, now: datetime) -> None:
    """Keep the tool closed, whatever it says from now on, until an admin approves it. Raises Conflict, Missing."""
    owner = locked(session, server)
    found = _tool(session, owner, tool)
    if digest.of(found.listed) != seen:
        raise Conflict("The server changed this tool while you looked at it. Look at what it says now.")
    moved = session.execute(
        update(Tool).where(Tool.id == found.id, Tool.listed == found.listed, Tool.status == found.status)
        .values(status="refused", decided_at=now, decided_by=actor),
        execution_options={"synchronize_session": False},
    )
    _moved_one(moved)
    audit.append(
        session, kind="tool.refused", actor=actor, subject=found.id, at=now,
        detail={"server": server, "tool": tool, "description": seen, "before": found.status},
    )
    remanifest(session, owner)


def pause(session: Session, *, server: str, paused: bool, actor: str, now: datetime) -> None:
    """Close or open a server for all calls. Raises Conflict when it is so already."""
    owner = locked(session, server)
    if owner.suspended and not paused:
        raise Conflict(said(
            "This server may be compromised. It is opened on the incident's page, %(page)s.", page=f"/incidents/{owner.suspended}"
        ))
    before, after = ("active", "paused") if paused else ("paused", "active")
    moved = session.execute(
        update(Server).where(Server.id == owner.id, Server.status == before).values(status=after),
        execution_options={"synchronize_session": False},
    )
    _moved_one(moved)
    audit.append(
        session, kind=f"server.{'paused' if paused else 'resumed'}", actor=actor, subject=owner.id, at=now,
        detail={"name": server},
    )
    tell(session, server)


def suspend(session: Session, server: str, incident: str, *, actor: str, now: datetime) -> str:
    """Close a server for as long as an incident lasts; what it was before. Raises Missing, Conflict when that is so already."""
    owner = locked(session, server)
    session.refresh(owner)
    before = owner.status
    moved = session.execute(
        update(Server).where(Server.id == owner.id, Server.suspended == "").values(status="paused", suspended=incident)
    )
    _moved_one(moved)
    audit.append(session, kind="server.suspended", actor=actor, subject=owner.id, at=now, detail={"incident": incident})
    tell(session, server)
    return before


def lift(session: Session, server: str, incident: str, before: str) -> None:
    """The incident no longer holds it: it is as it was before."""
    mine = (Server.name == server, Server.suspended == incident)
    session.execute(update(Server).where(*mine).values(status=before, suspended=""))
    tell(session, server)


def locked(session: Session, name: str) -> Server:
    """The server's row, locked until the transaction ends, so that its manifest is computed over what is committed."""
    found = session.scalar(select(Server).where(Server.name == name).with_for_update())
    if found is None:
        raise Missing("There is no such server.")
    return found


def remanifest(session: Session, server: Server) -> None:
    """Bring the manifest up to date: URL, and the pins of all tools that are approved now."""
    session.flush()
    rows = session.execute(select(Tool.name, Tool.pin).where(Tool.server_id == server.id, Tool.status == "approved"))
    server.manifest = digest.manifest(server.url, {row.name: row.pin for row in rows})
    session.flush()
    tell(session, server.name)


def tell(session: Session, server: str) -> None:
    session.info.setdefault("topics", set()).update(("servers", f"server:{server}"))


def _tool(session: Session, owner: Server, name: str) -> Tool:
    found = session.scalar(
        select(Tool).where(Tool.server_id == owner.id, Tool.name == name).execution_options(populate_existing=True)
    )
    if found is None:
        raise Missing("The server has no such tool.")
    return found


def _moved_one(result: object) -> None:
    if cast("CursorResult[object]", result).rowcount != 1:
        raise Conflict("Someone else changed this first. Look again.")


def _title(text: str) -> str:
    text = " ".join(text.split())
    if not 0 < len(text) <= TITLE or not text.isprintable():
        raise BadInput(said("A server's title is a line of at most %(most)s characters.", most=TITLE))
    return text
