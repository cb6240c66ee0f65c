"""How much of each limit was used, and what this call would bring it to: for the owner and for admins, while it waits."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.approvals import usage
from webapp.approvals.rules import WAITING
from webapp.approvals.seeing import Opened
from webapp.errors import said
from webapp.policy import active
from webapp.policy.counters import Limit
from webapp.policy.errors import PolicyDiffers
from webapp.web.house import House
from webapp.web.viewer import Viewer

WHOSE = {
    "": said("through any agent"), "agent_": said("through this agent"), "account_": said("from this account"),
    "recipient_": said("to this recipient"), "tool_": said("with this tool"),
}
WINDOWS = {
    "hour": said("in the last hour"), "day": said("in the last 24 hours"), "week": said("in the last 7 days"),
    "month": said("in the last 30 days"),
}


@dataclass(frozen=True)
class Line:
    """One limit. Figures are calls, or minor units of the base currency where `money`."""

    words: str
    used: int
    most: int
    with_this: int
    money: bool
    holds: bool
    """What is above is held for more decisions; else it is refused."""

    @property
    def passes(self) -> bool:
        return self.with_this > self.most


def shown(house: House, opened: Opened, viewer: Viewer) -> tuple[Line, ...]:
    """None for others: what a person spends is theirs to know. None where this process holds another set than the active one."""
    if opened.action.state not in WAITING or not (viewer.admin or opened.document.parties.includes(viewer.person)):
        return ()
    call, now = call_of(opened), house.clock()
    try:
        with house.database.read() as session:
            limits = active.current(house, session).limits(opened.document.envelope["tool"]["cls"])
            wanted = {one.counter.name for one in limits}
            used = usage.facts(session, call, now, excluding=opened.action.id, wanted=wanted).counts
    except PolicyDiffers:
        return ()
    return tuple(_line(one, used[one.counter.name], call) for one in limits if _applies(one, call))


def call_of(opened: Opened) -> usage.Call:
    """What the action counts as: from its document, not from the columns beside it."""
    envelope, account = opened.document.envelope, opened.document.envelope["connection"]
    return usage.Call(
        person=envelope["principal"]["person"], connection=account["id"] if account else None, client=envelope["client"]["id"],
        server=envelope["server"]["name"], tool=envelope["tool"]["name"], recipient=opened.document.recipient,
        recipient_shown=opened.document.recipient_shown, base_minor=opened.document.base_minor,
    )


def _applies(limit: Limit, call: usage.Call) -> bool:
    subject = limit.counter.subject
    there = {"account_": call.connection, "recipient_": call.recipient}.get(subject, "always")
    return bool(there) and (limit.counter.kind == "calls" or call.base_minor is not None)


def _line(limit: Limit, used: int, call: usage.Call) -> Line:
    counter, money = limit.counter, limit.counter.kind == "base_minor"
    this = (call.base_minor or 0) if money else 1
    words = said("%(whose)s %(window)s", whose=WHOSE[counter.subject], window=WINDOWS[counter.window])
    most = limit.most if money else limit.most + 1
    return Line(words, used, most, used + this, money, limit.holds)
