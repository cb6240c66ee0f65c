"""Whom to ask: those of a group who can decide an action; first those on call, then those who are not away and have decided
something like it. It gives nobody a right."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from vault.evidence import others_from
from webapp.approvals import queue, shortage
from webapp.approvals.decoys import telling
from webapp.approvals.rules import merged
from webapp.approvals.seeing import Opened
from webapp.approvals.tables import Action, Decision
from webapp.config import Policy
from webapp.errors import said
from webapp.people import rota

ENOUGH = 8
LATELY = 500
"""Of the last actions of the same tool: who decided them. A tool that is seldom used is looked for in `queue.WINDOW` actions."""


def names(session: Session, opened: Opened, now: datetime, policy: Policy, *, evaluation: bool) -> dict[str, list[str]]:
    """By group, at most ENOUGH names, without those who have decided; with those who may decide in its place by now."""
    document, given = opened.document, {one.person for one in opened.verified.given}
    found: dict[str, list[str]] = {}
    practised: dict[str, int] | None = None
    steps = others_from(document.envelope)
    for need in merged(document.requirement):
        if need["kind"] != "approvers":
            continue
        by_now = [other for other, since in steps.get(need["group"], ()) if now >= since]
        able = [
            one for one in shortage.candidates(session, need, document.parties, now, evaluation=evaluation, also=by_now)
            if not one.bar and not one.selves & given
        ]
        practised = _practised(session, opened.action) if practised is None else practised
        first = rota.on_call(session, need["group"], policy, now)
        able.sort(key=lambda one: (one.person not in first, one.away, -practised.get(one.person, 0), one.name))
        found[need["group"]] = [
            said("%(name)s (on call)", name=one.name) if one.person in first else one.name for one in able[:ENOUGH]
        ]
    return found


def _practised(session: Session, action: Action) -> dict[str, int]:
    """How often each person decided lately on the same tool of the same server."""
    of_tool = select(Action.id).where(Action.server == action.server, Action.tool == action.tool, Action.id < action.id)
    of_tool = of_tool.where(telling.alive_or_asked_for())
    least = queue.floor(session, action.id)
    of_tool = of_tool.where(Action.id >= least) if least else of_tool
    lately = of_tool.order_by(Action.id.desc()).limit(LATELY).subquery()
    counted = select(Decision.person, func.count()).join(lately, lately.c.id == Decision.action).group_by(Decision.person)
    return dict(session.execute(counted).all())
