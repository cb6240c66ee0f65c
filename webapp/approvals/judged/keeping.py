"""Writing down what policy was asked about a call, and asking the same again.

In the transaction that acts on the verdict: what is kept is what was judged. One insert, of some 300 bytes of facts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert

from webapp.approvals.judged.tables import Judged
from webapp.db.direct import Made, Where, direct
from webapp.policy.amounts import NONE, Amount
from webapp.policy.calls import Account, Agent, Call, Deny, Hold, Usage, Verdict
from webapp.policy.context import WORSE_HINTS
from webapp.policy.facts import Facts, Recipient

VERSION = 1
UNASKED = "unasked"
"""What the agent had read before was not looked up, since no rule asked for it."""
NOT_KEPT = "(not kept)"
"""In place of a recipient, and of the known one that it resembles."""
COLUMNS = tuple(name for name in Judged.__table__.columns.keys() if name != "number")  # noqa: SIM118 no mapping
INSERT = Made(insert(Judged.__table__), COLUMNS)  # type: ignore[arg-type]
_written = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode

Json = dict[str, Any]


class Unreadable(Exception):
    """A row in a form that this version does not know."""


def keep(session: Where, name: str, call: Call, verdict: Verdict, *, session_known: bool = True) -> None:
    """`name` is the call's own id. `session_known`: whether it was looked up what the agent had read before."""
    direct(session).run(INSERT, values(name, call, verdict, session_known=session_known))


def values(name: str, call: Call, verdict: Verdict, *, session_known: bool = True) -> Json:
    """The row's columns."""
    return {
        "id": name, "at": call.now, "person": call.person, "client": call.agent.id, "server": call.server, "tool": call.tool,
        "cls": call.cls, "connection": call.account.id if call.account else "", "verdict": word(verdict),
        "rules": " ".join(spoke(verdict)), "policy": verdict.digest, "asked": _written(_asked(call, session_known)),
    }


def word(verdict: Verdict) -> str:
    return "deny" if isinstance(verdict, Deny) else "hold" if isinstance(verdict, Hold) else "allow"


def spoke(verdict: Verdict) -> tuple[str, ...]:
    """The rules that held or denied it."""
    return tuple(one.rule for one in verdict.reasons) if isinstance(verdict, Hold) else verdict.rules


def _asked(call: Call, session_known: bool) -> Json:
    """What is at its usual value is left out."""
    facts, used, agent = call.facts, call.usage, call.agent
    asked: Json = {"v": VERSION, "groups": call.groups}
    if used.counts is not None:
        asked["counts"] = dict(used.counts)
    for name, amount in (("amount", facts.amount), ("inferred_amount", facts.inferred_amount)):
        if amount is not None and amount.status != "none":
            asked[name] = [amount.status, amount.minor, amount.currency, amount.base_minor]
    for name, recipient in (("recipient", facts.recipient), ("inferred_recipient", facts.inferred_recipient)):
        if recipient is not None:
            asked[name] = recipient.kind
    if call.account is not None:
        asked["account"] = [call.account.provider, call.account.owner == call.person]
    flags = {
        "verified": agent.verified, "mtls": agent.mtls, "tainted": call.tainted, UNASKED: not session_known,
        "reported": not call.enforced,
        "before": used.approved_before, "up_to": used.up_to_minor, "lookalike": bool(used.lookalike_of),
    }
    hints = [name for name, _word in WORSE_HINTS if call.hints.get(name) is True]
    return asked | {name: value for name, value in flags.items() if value} | ({"hints": hints} if hints else {})


def asked_again(row: Judged, counts: Mapping[str, int] | None = None, recipient: str = NOT_KEPT) -> Call:
    """The call, to be judged by another set. `counts` beside those that were kept; `recipient` in place of the one it had. Raises
    Unreadable."""
    try:
        asked: Json = json.loads(row.asked)
        if asked["v"] != VERSION:
            raise Unreadable(row.id)
        return _call(row, asked, counts or {}, recipient)
    except (ValueError, LookupError, TypeError) as error:
        raise Unreadable(row.id) from error


def session_known(row: Judged) -> bool:
    """Whether it is known of this call what its agent had read before."""
    return UNASKED not in json.loads(row.asked)


def _call(row: Judged, asked: Json, more: Mapping[str, int], to: str) -> Call:
    counts = asked.get("counts")
    account = asked.get("account")
    return Call(
        person=row.person, groups=tuple(asked["groups"]),
        agent=Agent(row.client, asked.get("verified", False), asked.get("mtls", False)),
        server=row.server, tool=row.tool, cls=row.cls, now=row.at,
        facts=Facts(
            amount=_amount(asked.get("amount")) or NONE, recipient=_recipient(asked.get("recipient"), to),
            inferred_amount=_amount(asked.get("inferred_amount")),
            inferred_recipient=_recipient(asked.get("inferred_recipient"), to),
        ),
        usage=Usage(
            counts=None if counts is None else {**counts, **more}, approved_before=asked.get("before", 0),
            up_to_minor=asked.get("up_to", 0), lookalike_of=NOT_KEPT if asked.get("lookalike") else "",
        ),
        account=Account(row.connection, account[0], row.person if account[1] else NOT_KEPT) if account else None,
        tainted=asked.get("tainted", False), enforced=not asked.get("reported", False),
        hints=dict.fromkeys(asked.get("hints", ()), True),
    )


def _amount(kept: Any) -> Amount | None:
    return None if kept is None else Amount(kept[0], kept[1], kept[2], kept[3])


def _recipient(kind: Any, value: str) -> Recipient | None:
    return None if kind is None else Recipient(value, kind, "")
