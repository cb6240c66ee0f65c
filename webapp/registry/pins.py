"""What may be called, as approved: the gateway, policy and approvals read tools only through here. Default: refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, bindparam, select
from sqlalchemy.orm import Session

from webapp.db.direct import Made, Where, direct
from webapp.errors import CountersealError
from webapp.registry import digest
from webapp.registry.tables import Server, Tool


class ToolRefused(CountersealError):
    """`code`: unknown_server, unknown_tool, not_approved, drifted, paused. `hint` may be shown to the agent."""

    default = "not_approved"


HINTS = {
    "new": ("not_approved", "Nobody has approved this tool yet. An admin can, on the server's page."),
    "refused": ("not_approved", "An admin refused this tool."),
    "drifted": ("drifted", "The server changed this tool after it was approved. It stays closed until an admin approves it."),
    "gone": ("drifted", "The server no longer lists this tool."),
}


@dataclass(frozen=True)
class Credential:
    """Which account's token a tool gets, and where it goes: `authorization` (the Authorization header) or `header:<Name>`."""

    provider: str
    scopes: tuple[str, ...]
    placement: str = "authorization"


@dataclass(frozen=True)
class ServerPin:
    id: str
    name: str
    title: str
    url: str
    status: str
    provider: str
    manifest: str


@dataclass(frozen=True)
class PinnedTool:
    """One approved tool. `description` is the whole listing entry as approved; `pin` and `manifest` are hex SHA-256."""

    server_id: str
    server: str
    server_title: str
    url: str
    tool: str
    title: str
    description: Mapping[str, Any]
    input_schema: Mapping[str, Any]
    cls: str
    pointers: Mapping[str, Mapping[str, str]]
    changes_recipients: bool
    credential: Credential | None
    pin: str
    manifest: str
    outside: bool = False
    """It brings in what strangers can write."""

    @property
    def hints(self) -> Mapping[str, Any]:
        """The server's annotations: they may only tighten."""
        found = self.description.get("annotations")
        return found if isinstance(found, dict) else {}


    @property
    def document(self) -> str:
        """What `pin` is the digest of."""
        given = self.credential
        credential = None if given is None else {
            "provider": given.provider, "scopes": list(given.scopes), "placement": given.placement,
        }
        return digest.document(
            self.description, cls=self.cls, pointers=self.pointers, changes_recipients=self.changes_recipients,
            credential=credential, outside=self.outside,
        )


TOOL_COLUMNS = (
    Tool.name, Tool.status, Tool.approved, Tool.cls, Tool.pointers, Tool.changes_recipients, Tool.credential, Tool.pin,
    Tool.outside,
)
SERVER_COLUMNS = (Server.id, Server.name, Server.title, Server.url, Server.status, Server.provider, Server.manifest)
PINNED = Made(
    select(*SERVER_COLUMNS, *TOOL_COLUMNS)
    .join_from(Server, Tool, (Tool.server_id == Server.id) & (Tool.name == bindparam("tool")), isouter=True)
    .where(Server.name == bindparam("server"))
)
"""Made once: every call asks it."""


def server(session: Session, name: str) -> ServerPin:
    """Raises ToolRefused when it is unknown or paused."""
    row = session.execute(select(*SERVER_COLUMNS).where(Server.name == name)).one_or_none()
    if row is None:
        raise ToolRefused(f"There is no server `{name[:80]}` here.", code="unknown_server")
    found = ServerPin(*row)
    _active(found)
    return found


def pinned(session: Where, server_name: str, tool_name: str) -> PinnedTool:
    """The tool as approved, in one read. Raises ToolRefused unless it is approved and its server active."""
    row = direct(session).row(PINNED, {"server": server_name, "tool": tool_name})
    if row is None:
        raise ToolRefused(f"There is no server `{server_name[:80]}` here.", code="unknown_server")
    owner = ServerPin(*row[:7])
    _active(owner)
    status = row[8]
    if status is None:
        raise ToolRefused(f"The server has no tool `{tool_name[:128]}`.", code="unknown_tool")
    if status != "approved":
        code, hint = HINTS[status]
        raise ToolRefused(hint, code=code)
    return _tool(owner, row[7:])


def listed(session: Session, server_name: str, tool_name: str) -> str | None:
    """What a pin would be over now: the tool as last listed, with what an admin decided about it, whether it may be called or
    not. None where it is not listed, or not in a form that could be pinned. For saying what changed, and for nothing else."""
    row = session.scalars(
        select(Tool).join(Server, Tool.server_id == Server.id).where(Server.name == server_name, Tool.name == tool_name)
    ).one_or_none()
    if row is None or row.status == "gone" or digest.why_unreadable(row.listed):
        return None
    return digest.document(
        json.loads(row.listed), cls=row.cls, pointers=row.pointers, changes_recipients=row.changes_recipients,
        credential=row.credential, outside=row.outside,
    )


def approved(session: Session, server_name: str) -> list[PinnedTool]:
    """All callable tools of an active server, by name. Raises ToolRefused."""
    owner = server(session, server_name)
    rows = session.execute(
        select(*TOOL_COLUMNS).where(Tool.server_id == owner.id, Tool.status == "approved").order_by(Tool.name)
    )
    return [_tool(owner, row) for row in rows]


def _active(found: ServerPin) -> None:
    if found.status != "active":
        raise ToolRefused("An admin paused this server.", code="paused")


def _tool(owner: ServerPin, row: Row[Any] | Sequence[Any]) -> PinnedTool:
    name, _, text, cls, pointers, changes, credential, pin, outside = tuple(row)
    kept = json.dumps(pointers, sort_keys=True), changes, json.dumps(credential, sort_keys=True), outside
    listed = _parsed(pin, text, cls, *kept)
    return PinnedTool(
        server_id=owner.id, server=owner.name, server_title=owner.title, url=owner.url, manifest=owner.manifest,
        tool=name, title=title(listed), description=listed, input_schema=listed["inputSchema"],
        cls=cls, pointers=pointers, changes_recipients=changes, credential=credential_of(credential), pin=pin,
        outside=outside,
    )


@lru_cache(maxsize=1024)
def _parsed(
    pin: str, text: str, cls: str, pointers: str, changes_recipients: bool, credential: str, outside: bool
) -> dict[str, Any]:
    """The listing, shared between calls: nobody writes to it. Raises ToolRefused unless the pin is over all of this.

    Attack: a class, a pointer or the scopes of a token, changed in the database beside a pin that was left as it was."""
    made = digest.pin(
        text, cls=cls, pointers=json.loads(pointers), changes_recipients=changes_recipients, credential=json.loads(credential),
        outside=outside,
    )
    if made != pin:
        raise ToolRefused("This tool is not stored as it was approved. An admin has to approve it again.", code="drifted")
    found: dict[str, Any] = json.loads(text)
    return found


def title(listed: Mapping[str, Any]) -> str:
    """What the server calls its tool: its words, to be labelled so. `title`, else the older annotation, else the name."""
    notes = listed.get("annotations")
    for candidate in (listed.get("title"), notes.get("title") if isinstance(notes, dict) else None):
        if isinstance(candidate, str) and candidate.strip():
            return candidate.strip()[:120]
    return str(listed["name"])


def credential_of(stored: Mapping[str, Any] | None) -> Credential | None:
    if stored is None:
        return None
    return Credential(stored["provider"], tuple(stored["scopes"]), stored["placement"])
