"""Rows of the queue as they stand in the table, for lists alone: there is no document behind them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import insert

from webapp.approvals.tables import Action, ActionGroup
from webapp.db import Database
from webapp.ids import new_id
from webapp.web.viewer import Viewer


def looker(person: str, groups: Sequence[str] = (), *, admin: bool = False, zone: str = "UTC") -> Viewer:
    return Viewer(
        person=person, name=person, email="", groups=tuple(groups), admin=admin, auditor=False, session="ses_1",
        proof=cast(Any, None), factor_at=datetime.now().astimezone(), zone=zone,
    )


def row(now: datetime, number: int = 0, **otherwise: Any) -> dict[str, Any]:
    return {
        "id": new_id("act"), "state": "held", "digest": f"{number:064x}", "arguments": f"{new_id('arg')}", "person": "per_ada",
        "owner": "per_ada", "agent_owner": "per_ada", "server_owner": "", "client": "cli_1", "client_name": "Ledger Desk",
        "grant_id": "grt_1", "server": "bank", "server_title": "Harbour Bank", "tool": "send_payment",
        "tool_title": "Send a payment", "cls": "money", "connection": None, "amount_minor": 480_00, "currency": "EUR",
        "recipient": "DE89 3704 0044 0532 0130 00", "named": "Nordlicht Energie GmbH", "flags": [], "rank": 3,
        "asks_owner": False, "requirement": [], "policy": "p" * 64, "runs": "return", "previous": None, "created_at": now,
        "changed_at": now, "expires_at": now + timedelta(hours=4), "ended_at": None, "reason": "", **otherwise,
    }


def put(database: Database, rows: Sequence[dict[str, Any]], group: str = "finance") -> list[str]:
    """Store them, for `group` to decide; their ids in order."""
    groups = [{"action": one["id"], "name": group} for one in rows]
    database.write(lambda s: s.execute(insert(Action), list(rows)))
    database.write(lambda s: s.execute(insert(ActionGroup), groups))
    return [one["id"] for one in rows]
