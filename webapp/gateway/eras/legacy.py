"""MCP 2025-03-26, 2025-06-18 and 2025-11-25: an `initialize` opens a session, kept in the database, that later requests name."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session
from werkzeug.datastructures import Headers

from webapp import audit
from webapp.db.due import enqueue
from webapp.gateway.eras import Ask, server_info
from webapp.gateway.eras.modern import INSTRUCTIONS
from webapp.gateway.negotiation import LEGACY
from webapp.gateway.tables import McpSession
from webapp.gateway.wire import INVALID_PARAMS, INVALID_REQUEST, Json, Message, RpcError
from webapp.ids import new_id
from webapp.oauth.tokens import Caller
from webapp.web.house import House

HEADER: Final = "Mcp-Session-Id"
SEEN_EVERY: Final = timedelta(minutes=5)
PER_GRANT: Final = 50
"""Sessions of one grant at most: a client that initializes without end pushes out its own oldest."""
CLEAN: Final = "gateway.sessions"


def initialize(house: House, caller: Caller, server: str, message: Message) -> tuple[Json, str]:
    """The result, and the new session's id. Our newest legacy version answers one that we do not speak: the client then
    decides (2025-11-25, Lifecycle, Version Negotiation)."""
    asked, capabilities = message.params.get("protocolVersion"), message.params.get("capabilities")
    if not isinstance(asked, str) or not isinstance(capabilities, dict):
        raise RpcError(INVALID_PARAMS, "initialize needs protocolVersion and capabilities.")
    elicitation = capabilities.get("elicitation")
    session_id = new_id("mcp")
    row = {
        "id": session_id, "grant_id": caller.grant, "server": server, "version": asked if asked in LEGACY else LEGACY[-1],
        "url_elicitation": isinstance(elicitation, dict) and "url" in elicitation,
        "client_info": _shortened(message.params.get("clientInfo")),
    }
    house.database.write(lambda s: _open(s, caller, row, house))
    result = {
        "protocolVersion": row["version"], "capabilities": {"tools": {}}, "serverInfo": server_info(server),
        "instructions": INSTRUCTIONS,
    }
    return result, session_id


def _open(session: Session, caller: Caller, row: Json, house: House) -> None:
    now = house.clock()
    session.execute(insert(McpSession).values(**row, created_at=now, seen_at=now))
    newest = select(McpSession.id).where(McpSession.grant_id == caller.grant).order_by(McpSession.created_at.desc())
    kept = session.scalars(newest.limit(PER_GRANT)).all()
    session.execute(delete(McpSession).where(McpSession.grant_id == caller.grant, McpSession.id.not_in(kept)))
    enqueue(session, CLEAN, "all", now + timedelta(seconds=house.settings.gateway.session_idle))
    detail = {"server": row["server"], "version": row["version"], "grant": caller.grant, "person": caller.person}
    audit.append(session, kind="session.opened", actor=f"client:{caller.client}", subject=row["id"], detail=detail, at=now)


def understand(house: House, caller: Caller, server: str, message: Message, headers: Headers) -> Ask:
    """A request within a session. Its version is what `initialize` settled, whichever legacy version a later header names.
    Raises RpcError: 400 without a session, 404 when there is no such session for this grant: a stranger's looks like none."""
    version, url = _session(house, caller, server, headers)
    return Ask(caller, server, message, "legacy", version, url=url, headers=headers)


def _session(house: House, caller: Caller, server: str, headers: Headers) -> tuple[str, bool]:
    session_id = headers.get(HEADER)
    if session_id is None:
        raise RpcError(INVALID_REQUEST, f"Send `initialize` first, then its {HEADER} with every request.")
    now = house.clock()
    with house.database.read() as session:
        found = session.connection().execute(
            select(McpSession.version, McpSession.url_elicitation, McpSession.seen_at).where(
                McpSession.id == session_id, McpSession.grant_id == caller.grant, McpSession.server == server,
                McpSession.seen_at > _oldest(house, now),
            )
        ).one_or_none()
    if found is None:
        raise RpcError(INVALID_REQUEST, "This session is not known here, or has ended. Send `initialize` again.", status=404)
    version, url, seen_at = found
    if now - seen_at > SEEN_EVERY:
        house.database.write(lambda s: _touch(s, session_id, now))
    return version, url


def _touch(session: Session, session_id: str, now: datetime) -> None:
    session.execute(update(McpSession).where(McpSession.id == session_id).values(seen_at=now))


def end(house: House, caller: Caller, server: str, headers: Headers) -> None:
    """DELETE: the client is done. Raises RpcError as `understand` does."""
    _session(house, caller, server, headers)
    house.database.write(lambda s: _end(s, caller, headers[HEADER], house.clock()))


def _end(session: Session, caller: Caller, session_id: str, now: datetime) -> None:
    session.execute(delete(McpSession).where(McpSession.id == session_id, McpSession.grant_id == caller.grant))
    audit.append(session, kind="session.ended", actor=f"client:{caller.client}", subject=session_id, detail={}, at=now)


def clean(session: Session, house: House, now: datetime) -> bool:
    """Forget sessions that nobody used for `session_idle`; whether any are left."""
    session.execute(delete(McpSession).where(McpSession.seen_at <= _oldest(house, now)))
    return session.scalar(select(McpSession.id).limit(1)) is not None


def _oldest(house: House, now: datetime) -> datetime:
    return now - timedelta(seconds=house.settings.gateway.session_idle)


def _shortened(info: object) -> dict[str, str]:
    known = info if isinstance(info, dict) else {}
    return {name: str(known[name])[:120] for name in ("name", "version") if isinstance(known.get(name), str)}
