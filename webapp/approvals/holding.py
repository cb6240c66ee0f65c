"""Holding a call: its envelope is built, sealed and stored, its caps are reserved, and those who may decide are told."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals import shortage, usage
from webapp.approvals.drift import stored
from webapp.approvals.envelope import Draft, build, digest_arguments, facts_document, named
from webapp.approvals.payloads import Sealer, for_holding, sealer
from webapp.approvals.ranking import earlier, middle, rank
from webapp.approvals.rules import WAITING, Parties
from webapp.approvals.same_call import CallKey, Existing, last, same
from webapp.approvals.tables import Action, ActionGroup, HeldTool
from webapp.approvals.transitions import tell, tick
from webapp.canonical import digest
from webapp.config_approvals import Approvals
from webapp.db.due import enqueue
from webapp.db.once import insert_once
from webapp.errors import BadInput, LimitReached, said
from webapp.ids import new_id
from webapp.policy.calls import Hold

__all__ = ["CallKey", "Draft", "Existing", "Held", "digest_arguments", "facts_document", "for_holding", "hold", "same", "sealer"]

SHORT = 120
LOOK_AGAIN = timedelta(minutes=1)
"""How long after it was held it is looked again whether somebody is there who can decide."""
COMPARE = "approvals.compare"
"""Due rows: look whether what the action depends on still is as it was."""


@dataclass(frozen=True)
class Held:
    """`created` is false when another call was first and this one finds its action; then `existing` says what to do."""

    action_id: str
    created: bool
    existing: Existing | None = None


def hold(
    session: Session, *, draft: Draft, verdict: Hold, sealer: Sealer, settings: Approvals, now: datetime,
    evaluation: bool = False, document: Draft | None = None,
) -> Held:
    """Store the action. In the caller's transaction; take `for_holding(house)` before it. `document`: what its document says,
    where the row is to be nobody's (a decoy's): it is in nobody's lists, limits and caps then.

    Two identical calls at once meet the unique index: the second finds the first one's action. Raises LimitReached when too
    many actions of this person wait, over all or at this one server, BadInput for a verdict that nobody could ever meet.
    """
    usage.one_at_a_time(session, draft.principal["person"])
    found = same(session, key_of(draft), now, settings)
    if found is not None:
        return Held(found.action_id, False, found)
    _within_limit(session, draft, settings)
    if not verdict.needs:
        raise BadInput("Policy holds this call but asks for nobody's decision.", code="bad_requirement")
    try:
        with session.begin_nested():
            action = _store(session, draft, document or draft, verdict, sealer, settings, now, evaluation)
    except IntegrityError:
        first = same(session, key_of(draft), now, settings)
        if first is None:
            raise
        return Held(first.action_id, False, first)
    return Held(action.id, True)


def key_of(draft: Draft) -> CallKey:
    return CallKey(
        draft.principal["person"], draft.client["grant"], draft.server["name"], draft.tool["name"], draft.arguments_digest
    )


def _within_limit(session: Session, draft: Draft, settings: Approvals) -> None:
    """Attack: one agent, or one server that asks for tokens, varies its arguments until the person's other agents have no place
    left and the approvers read nothing else."""
    person, server = draft.principal["person"], draft.server["name"]
    its = func.count().filter(Action.server == server)
    waiting, here = session.execute(
        select(func.count(), its).select_from(Action).where(Action.person == person, Action.state.in_(WAITING))
    ).one()
    if waiting >= settings.held_per_person:
        raise LimitReached(
            said("%(many)s actions of this person wait for a decision already. Decide or withdraw some of them first.",
                 many=waiting)
        )
    if here >= settings.held_per_server:
        raise LimitReached(
            said("%(many)s actions of this person at this server wait for a decision already. Decide or withdraw some of them "
                 "first.", many=here)
        )


def _store(
    session: Session, draft: Draft, document: Draft, verdict: Hold, sealer: Sealer, settings: Approvals, now: datetime,
    evaluation: bool,
) -> Action:
    action_id = sealer.action or new_id("act")
    before = last(session, key_of(draft))
    expires_at = (now + timedelta(seconds=verdict.within)).replace(microsecond=0)
    latest = max(expires_at, (now + timedelta(seconds=verdict.latest)).replace(microsecond=0))
    undo = verdict.undo or settings.undo.of(draft.tool["cls"])
    raw = build(
        document, verdict, action=action_id, now=now, expires_at=latest, before=_before(before), undo=undo, mark=sealer.mark
    )
    action = _row(draft, verdict, action_id, digest(raw), before, now, expires_at)
    action.rank = _rank(session, document, action.flags)
    action.changed_at, action.mark = tick(session, now), "sealed" if sealer.mark else ""
    action.short = _short(session, document, verdict, now, evaluation)
    session.add(action)
    session.flush()
    for group in sorted({need["group"] for need in verdict.needs if need["kind"] == "approvers"}):
        session.add(ActionGroup(action=action_id, name=group))
    session.add(sealer.seal(action=action_id, direction="request", digest=action.digest, plaintext=raw))
    usage.reserve(session, _call(draft), action_id, now)
    _keep_tool(session, draft)
    enqueue(session, "approvals.expire", action_id, min(expires_at, now + LOOK_AGAIN))
    enqueue(session, COMPARE, action_id, now + timedelta(seconds=settings.compared_every))
    audit.append(
        session, kind="action.held", actor=f"client:{draft.client['id']}", subject=action_id, at=now,
        detail={"digest": action.digest, "arguments": action.arguments, "person": action.person, "server": action.server,
                "tool": action.tool, "policy": action.policy, "rules": [reason.rule for reason in verdict.reasons]},
    )
    tell(session, action_id)
    return action


def _short(session: Session, draft: Draft, verdict: Hold, now: datetime, evaluation: bool) -> str:
    """Said at once where too few are there who could decide. It is held all the same."""
    edit = draft.facts.get("edit") or {}
    owners = draft.owner, draft.client["owner"], draft.server.get("owner", "")
    parties = Parties(draft.principal["person"], *owners, edit.get("by", ""))
    found = shortage.of(session, verdict.needs, parties, (), now, evaluation=evaluation)
    return found.why if found is not None else ""


def _row(
    draft: Draft, verdict: Hold, action_id: str, envelope_digest: str, before: Action | None, now: datetime,
    expires_at: datetime,
) -> Action:
    amount, recipient = draft.facts.get("amount") or {}, draft.facts.get("recipient") or {}
    readable = amount.get("status") == "ok" and amount.get("currency")
    flags = _flags(draft.facts, before)
    return Action(
        id=action_id, state="held", digest=envelope_digest, arguments=draft.arguments_digest,
        person=draft.principal["person"], person_name=draft.principal["name"][:SHORT],
        owner=draft.owner, agent_owner=draft.client["owner"],
        server_owner=draft.server.get("owner", ""), client=draft.client["id"],
        client_name=draft.client["name"][:SHORT], grant_id=draft.client["grant"], server=draft.server["name"],
        server_title=(draft.server_title or draft.server["name"])[:SHORT], tool=draft.tool["name"],
        tool_title=(draft.tool["title"] or draft.tool["name"])[:SHORT], cls=draft.tool["cls"],
        connection=draft.connection["id"] if draft.connection else None,
        amount_minor=amount.get("minor") if readable else None, currency=amount.get("currency") if readable else None,
        recipient=str(recipient.get("text") or "")[:SHORT], named=named(draft.facts, draft.arguments),
        flags=flags,
        asks_owner=any(need["kind"] == "confirm" for need in verdict.needs),
        requirement=[dict(need) for need in verdict.needs], policy=verdict.digest, runs=draft.runs,
        previous=before.id if before else None, created_at=now, expires_at=expires_at, reason="",
    )


def _keep_tool(session: Session, draft: Draft) -> None:
    if draft.pinned and hashlib.sha256(draft.pinned.encode()).hexdigest() == draft.tool["pin"]:
        insert_once(session, HeldTool, pin=draft.tool["pin"], document=draft.pinned)


def _before(action: Action | None) -> Mapping[str, Any] | None:
    """What became of the last identical call; where it was void, with what had changed: whoever decides now reads that too."""
    if action is None:
        return None
    when = action.ended_at or action.created_at
    found: dict[str, Any] = {"action": action.id, "state": action.state, "at": when.isoformat(timespec="seconds")}
    if action.state == "void":
        found |= {"why": action.reason, "drift": [asdict(one) for one in stored(action.drift)]}
    return found


def _flags(facts: Mapping[str, object], before: Action | None) -> list[str]:
    used = facts.get("usage")
    used = used if isinstance(used, Mapping) else {}
    amount = facts.get("amount")
    signs = {
        "lookalike": bool(used.get("lookalike_of")),
        "new": bool(facts.get("recipient")) and not used.get("approved_before"),
        "unreadable": isinstance(amount, Mapping) and amount.get("status") == "unknown",
        "again": before is not None and before.state == "done",
        "reported": facts.get("enforced") is False,
    }
    return [name for name, holds in signs.items() if holds]


def _rank(session: Session, document: Draft, flags: list[str]) -> int:
    amount = document.facts.get("amount") or {}
    known = earlier(
        session, document.principal["person"], document.server["name"], document.tool["name"],
        amount["currency"] if amount.get("status") == "ok" else None,
    )
    return rank(document.tool["cls"], flags, amount, middle(known))


def _call(draft: Draft) -> usage.Call:
    amount, recipient = draft.facts.get("amount") or {}, draft.facts.get("recipient") or {}
    readable = amount.get("status") == "ok"
    value = recipient.get("value")
    return usage.Call(
        person=draft.principal["person"], connection=draft.connection["id"] if draft.connection else None,
        client=draft.client["id"], server=draft.server["name"], tool=draft.tool["name"],
        recipient=str(value) if value is not None else None, recipient_shown=str(recipient.get("text") or ""),
        minor=amount.get("minor") if readable else None,
        currency=amount.get("currency") if readable else None, base_minor=amount.get("base_minor") if readable else None,
    )
