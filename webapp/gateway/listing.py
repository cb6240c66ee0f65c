"""`tools/list`: what the registry approved and policy may permit for this person and agent, in the text that was approved.

The server is asked too, so that a tool that changed is noticed and closed before anyone calls it; what it says is compared, never
shown.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from typing import Final

from vault.errors import KeeperError
from vault.secret import Secret
from webapp import audit
from webapp.broker import leases
from webapp.connections.lookup import NoConnection
from webapp.gateway.eras import Ask, cacheable
from webapp.gateway.exchange import NotSent, Silent
from webapp.gateway.judging import account, groups
from webapp.gateway.negotiation import Refused, Target
from webapp.gateway.room import Room
from webapp.gateway.wire import INVALID_PARAMS, Json, Result, RpcError, Step
from webapp.ids import new_id
from webapp.policy import active
from webapp.policy.engine import Listing
from webapp.registry import drift
from webapp.registry.pins import PinnedTool, ToolRefused, approved

log = logging.getLogger("counterseal.gateway")

PAGE: Final = 100


def tools(room: Room, ask: Ask) -> Step:
    """One page. Raises RpcError -32602 for a cursor that is none of ours."""
    after = _after(ask.text("cursor"))
    with room.house.database.read() as session:
        known = _approved(room, ask, session)
    if after == "" and known:
        seen = _observe(room, ask, known)
        with room.house.database.read() as session:
            known = _approved(room, ask, session)
    else:
        seen = "not asked"
    shown = _permitted(room, ask, known)
    page = [tool for tool in shown if tool.tool > after][:PAGE]
    _written(room, ask, page, seen)
    result: Json = {"tools": [dict(tool.description) for tool in page]}
    if page and page[-1].tool != shown[-1].tool:
        result["nextCursor"] = base64.urlsafe_b64encode(page[-1].tool.encode()).decode("ascii")
    yield Result(cacheable(ask, result))


def _approved(room: Room, ask: Ask, session: object) -> list[PinnedTool]:
    try:
        return approved(session, ask.server)  # type: ignore[arg-type]
    except ToolRefused as error:
        raise RpcError(INVALID_PARAMS, error.hint, data={"code": error.code}) from error


def _after(cursor: str | None) -> str:
    """A cursor is the last name of the page before, so that a tool that comes or goes in between moves nothing."""
    if cursor is None:
        return ""
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise RpcError(INVALID_PARAMS, "This cursor is not one of ours.") from error


def _permitted(room: Room, ask: Ask, known: Sequence[PinnedTool]) -> list[PinnedTool]:
    caller = ask.caller
    with room.house.database.read() as session:
        rules = active.current(room.house, session)
        member_of = groups(session, caller.person)
    return [
        tool for tool in known
        if rules.may_permit(Listing(
            person=caller.person, groups=member_of, agent=caller.client, verified=caller.client_verified, mtls=caller.mtls,
            server=tool.server, tool=tool.tool, cls=tool.cls,
        ))
    ]


def _observe(room: Room, ask: Ask, known: Sequence[PinnedTool]) -> str:
    """Ask the server and compare. A server that is away changes nothing here: what was approved is still listed, and each
    call compares for itself."""
    try:
        token, placement = _credential(room, ask, known)
        target = Target(known[0].url, f"{ask.caller.person} {ask.caller.grant}", token, placement)
        listed = room.upstreams.list_tools(target)
    except (NotSent, Silent, Refused, KeeperError) as error:
        log.info("%s could not be asked for its tools: %s", ask.server, error)
        return "away"
    drifted = drift.observe(room.house, ask.server, listed)
    return f"{len(drifted)} drifted" if drifted else "as approved"


def _credential(room: Room, ask: Ask, known: Sequence[PinnedTool]) -> tuple[Secret[str] | None, str]:
    """A server that wants a token even to be asked gets that of a tool which only reads, if the person's account is there."""
    reading = next((tool for tool in known if tool.cls == "read" and tool.credential is not None), None)
    if reading is None or reading.credential is None:
        return None, "authorization"
    try:
        with room.house.database.read() as session:
            connection = account(session, ask.caller.person, reading)
    except NoConnection:
        return None, "authorization"
    assert connection is not None
    needed, caller, now = reading.credential, ask.caller, room.house.clock()
    lease = room.house.database.write(lambda s: leases.plan(
        s, connection=connection, scopes=needed.scopes, person=caller.person, client=caller.client, grant=caller.grant,
        server=ask.server, tool="tools/list", action=None, exclusive=False, cap=room.house.settings.broker.cap, now=now,
    ))
    try:
        minted = leases.mint(room.house, lease)
    except KeeperError:
        room.house.database.write(lambda s: leases.close(s, lease.id, "failed", room.house.clock()))
        raise
    room.house.database.write(lambda s: leases.close(s, lease.id, "done", room.house.clock()))
    return minted.token, needed.placement


def _written(room: Room, ask: Ask, page: Sequence[PinnedTool], seen: str) -> None:
    now, caller = room.house.clock(), ask.caller
    detail = {
        "server": ask.server, "person": caller.person, "grant": caller.grant, "upstream": seen,
        "tools": {tool.tool: tool.pin for tool in page},
    }
    room.house.database.write(lambda s: audit.append(
        s, kind="tools.listed", actor=f"client:{caller.client}", subject=new_id("list"), detail=detail, at=now,
    ))


