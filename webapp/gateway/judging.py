"""One call as policy judges it: the pin, its arguments, what they say, whose account, and what was used before.

Asked when the call comes, and again inside the transition to `executing`: both times of this code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from webapp.approvals import usage
from webapp.approvals.usage import Used
from webapp.canonical import canonical, digest
from webapp.config import Policy
from webapp.connections import lookup
from webapp.connections.tables import Connection
from webapp.db.direct import Made, Where, direct
from webapp.gateway import tainting
from webapp.gateway.tables import Asker
from webapp.people.tables import Person
from webapp.policy import facts, schema_check
from webapp.policy.calls import Account, Agent, Call, Verdict
from webapp.policy.engine import PolicySet
from webapp.policy.facts import Facts
from webapp.registry.pins import PinnedTool

GROUPS = Made(select(Person.groups).where(Person.id == bindparam("person")))


@dataclass(frozen=True)
class Who:
    """The principal and the agent. `groups` are those of the person's last sign-in: an agent's call brings no ticket. They
    choose among rules; a decision that a rule asks for is checked against tickets and statements."""

    person: str
    groups: tuple[str, ...]
    client: str
    verified: bool
    grant: str
    mtls: bool = False

    @property
    def asker(self) -> Asker:
        return Asker(self.person, self.client)


@dataclass(frozen=True)
class Case:
    """What a verdict rests on, but for what changes with every call: usage and time. `raw` are the canonical arguments: what is
    digested, shown and sent."""

    who: Who
    pin: PinnedTool
    arguments: Mapping[str, Any]
    raw: bytes
    facts: Facts
    connection: Connection | None
    tainted: bool | None = None
    """Whether the agent had read what strangers can write; None: what is known of it now."""

    @property
    def digest(self) -> str:
        return digest(self.raw)

    @property
    def scopes(self) -> tuple[str, ...]:
        return self.pin.credential.scopes if self.pin.credential else ()

    def counted(self) -> usage.Call:
        """What it counts as. What was only inferred counts too, where the pin says nothing: it may only tighten."""
        amount = self.facts.amount if self.facts.amount.status != "none" else self.facts.inferred_amount
        recipient = self.facts.recipient or self.facts.inferred_recipient
        readable = amount is not None and amount.status == "ok"
        return usage.Call(
            person=self.who.person, connection=self.connection.id if self.connection else None, client=self.who.client,
            server=self.pin.server, tool=self.pin.tool, recipient=recipient.value if recipient else None,
            recipient_shown=recipient.text if recipient else "",
            minor=amount.minor if readable and amount else None, currency=amount.currency if readable and amount else None,
            base_minor=amount.base_minor if readable and amount else None,
        )

    def call(self, used: Used, now: datetime, *, tainted: bool = False) -> Call:
        account = Account(self.connection.id, self.connection.provider, self.connection.person) if self.connection else None
        agent = Agent(self.who.client, verified=self.who.verified, mtls=self.who.mtls)
        return Call(
            person=self.who.person, groups=self.who.groups, agent=agent,
            server=self.pin.server, tool=self.pin.tool, cls=self.pin.cls, now=now, facts=self.facts,
            usage=used.for_policy(), account=account, hints=self.pin.hints, tainted=tainted,
        )


def groups(session: Where, person: str) -> tuple[str, ...]:
    found = direct(session).row(GROUPS, {"person": person})
    return tuple((found and found[0]) or ())


def open_case(session: Where, settings: Policy, who: Who, pin: PinnedTool, arguments: Mapping[str, Any]) -> Case:
    """The steps: 1. the arguments fit the pinned schema; 2. what they say, read where the pin says; 3. the account.

    Raises BadInput for arguments that do not fit, connections' NoConnection when there is no account to act for."""
    schema_check.check(pin.input_schema, arguments, pin=pin.pin)
    found = facts.read(pin.pointers, arguments, settings, cls=pin.cls)
    return Case(who, pin, arguments, canonical(arguments), found, account(session, who.person, pin))


def account(session: Where, person: str, pin: PinnedTool) -> Connection | None:
    if pin.credential is None:
        return None
    return lookup.usable(session, person, pin.credential.provider, pin.credential.scopes)


def judge(session: Where, rules: PolicySet, case: Case, now: datetime, *, excluding: str | None = None) -> tuple[Verdict, Used]:
    """What is to become of the call, given what was used before. In the transaction that acts on it: two calls at once must
    not both pass under one cap."""
    verdict, used, _asked = judged(session, rules, case, now, excluding=excluding)
    return verdict, used


def judged(
    session: Where, rules: PolicySet, case: Case, now: datetime, *, excluding: str | None = None
) -> tuple[Verdict, Used, Call]:
    """The same, with what policy was asked."""
    usage.one_at_a_time(session, case.who.person)
    used = usage.facts(session, case.counted(), now, excluding=excluding, wanted=rules.counted(case.pin.cls))
    tainted = case.tainted
    if tainted is None:
        tainted = rules.asks_session(case.pin.cls) and tainting.tainted(session, case.who.asker, now)
    asked = case.call(used, now, tainted=tainted)
    return rules.decide(asked), used, asked
