"""What a token client reports: judged by what the token can do, held like any call, and never better for what was said of it.

Such a client gets the token itself and does the call itself: `enforced` is false. Policy is asked with the class of the gravest
scope; what the client says of tool and arguments may add a hold and removes none (promise 10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from vault.evidence import Account, Envelope, Server
from vault.providers.catalogue import EFFECTS, ProviderFacts
from webapp.approvals import drift, reports, usage
from webapp.approvals.drift import Change, Drift
from webapp.approvals.envelope import Draft, digest_arguments, facts_document
from webapp.approvals.outcome import Recheck
from webapp.approvals.usage import Used
from webapp.broker.exchange import Entitled, Subject, Wanted, entitled
from webapp.canonical import canonical, digest, parse
from webapp.clients import lookup as clients
from webapp.clients.tables import Client
from webapp.config import Settings
from webapp.connections.rules import allowed, ends_alone, sentence
from webapp.db.direct import Made, Where, direct
from webapp.errors import CountersealError, Unavailable
from webapp.oauth import grants
from webapp.oauth.handed import ToolCall
from webapp.people.tables import Person
from webapp.policy import active, calls, facts
from webapp.policy.calls import Agent, Call, Verdict
from webapp.policy.engine import PolicySet
from webapp.policy.facts import Facts
from webapp.web.house import House

TITLE = 200
UNSAID = "(token)"
"""Stands for the tool where the client said nothing of a call. No reported tool can have this name."""


GROUPS = Made(select(Person.groups).where(Person.id == bindparam("person")))


@dataclass(frozen=True)
class Case:
    """One request as policy judges it. Usage and time change with every call and are not in it."""

    found: Entitled
    groups: tuple[str, ...]
    facts: Facts

    @property
    def tool(self) -> str:
        return self.found.wanted.call.tool if self.found.wanted.call else UNSAID

    @property
    def arguments(self) -> dict[str, Any]:
        return dict(self.found.wanted.call.arguments) if self.found.wanted.call else {}

    @property
    def beside(self) -> dict[str, Any]:
        """Of two requests that differ in one of these, neither answers for the other."""
        found = self.found
        return {"connection": found.connection.id, "scopes": list(found.wanted.scopes), "resources": list(found.resources)}

    @property
    def digest(self) -> str:
        return digest_arguments({"arguments": self.arguments, **self.beside})

    def counted(self) -> usage.Call:
        """What was only reported counts too: it may only tighten."""
        amount = self.facts.amount if self.facts.amount.status != "none" else self.facts.inferred_amount
        amount = amount if amount is not None and amount.status == "ok" else None
        recipient = self.facts.recipient or self.facts.inferred_recipient
        return usage.Call(
            person=self.found.subject.person, connection=self.found.connection.id, client=self.found.subject.client,
            server=self.found.wanted.client.id, tool=self.tool, recipient=recipient.value if recipient else None,
            recipient_shown=recipient.text if recipient else "", minor=amount.minor if amount else None,
            currency=amount.currency if amount else None, base_minor=amount.base_minor if amount else None,
        )

    def call(self, used: Used, now: datetime) -> Call:
        """`caller.verified` is true only where everyone on the way is vouched for. Attack: an agent that nobody knows reaches
        through a server that is known what it may not reach itself."""
        found, client = self.found, self.found.wanted.client
        agent = Agent(client.id, client.verified and found.subject.verified, found.mtls)
        return Call(
            person=found.subject.person, groups=self.groups, agent=agent,
            server=client.id, tool=self.tool, cls=found.cls, now=now, facts=self.facts, usage=used.for_policy(),
            account=calls.Account(found.connection.id, found.connection.provider, found.connection.person), enforced=False,
        )


def open_case(session: Where, settings: Settings, wanted: Wanted) -> Case:
    """Raises NotGiven for what registration, consent or account do not allow, NeedsSession as `entitled` does."""
    found = entitled(session, settings, wanted)
    row = direct(session).row(GROUPS, {"person": found.subject.person})
    groups = row[0] if row else []
    arguments = wanted.call.arguments if wanted.call else {}
    return Case(found, tuple(groups), facts.read({}, arguments, settings.policy, cls=found.cls))


def judge(session: Where, rules: PolicySet, case: Case, now: datetime, *, excluding: str | None = None) -> tuple[Verdict, Used]:
    """In the transaction that acts on it: two requests at once must not both pass under one cap."""
    usage.one_at_a_time(session, case.found.subject.person)
    used = usage.facts(session, case.counted(), now, excluding=excluding, wanted=rules.counted(case.found.cls))
    return rules.decide(case.call(used, now)), used


def draft(case: Case, used: Used, lifetime: int) -> Draft:
    """`lifetime` is the longest that the token lives, in seconds."""
    found, client, subject, row = case.found, case.found.wanted.client, case.found.subject, case.found.connection
    account: Account = {
        "id": row.id, "owner": row.person, "provider": row.provider, "account": row.account, "label": row.label,
    }
    shown = facts_document(case.facts, used, enforced=False) | {
        "actors": list(found.actors), "consent": found.consent.id, "resources": list(found.resources),
        "reported": found.wanted.call is not None,
        "token": token_facts(found.facts, found.reach, lifetime),
    }
    pin = digest(canonical([case.tool, list(found.resources)]))
    return Draft(
        server=_server(found),
        tool={"name": case.tool, "pin": pin, "title": _title(found), "cls": found.cls},
        arguments=case.arguments, principal={"person": subject.person, "name": subject.name},
        client={"id": subject.client, "grant": subject.grant, "name": subject.client_name, "owner": subject.person},
        connection=account, scopes=found.wanted.scopes, facts=shown, server_title=client.name, beside=case.beside,
    )


def _server(found: Entitled) -> Server:
    asks: Server = {"name": found.wanted.client.id, "url": found.resource, "manifest": found.registration}
    return {**asks, "owner": found.owner} if found.owner else asks


def _title(found: Entitled) -> str:
    """In our words: what the token can do, and not what the server calls its tool."""
    told = allowed(found.facts, found.reach)
    return f"Get a token: {sentence([one.sentence for one in told]) if told else 'only to know which account it is'}"[:TITLE]


def token_facts(provider: ProviderFacts, reach: tuple[str, ...], lifetime: int) -> dict[str, Any]:
    """What the page leads with, and what is signed: what the token can do in plain words (empty where nobody described it),
    gravest first, and for how long: also where the provider cannot end it when its lease is over."""
    told = sorted(set(reach) - set(provider.base_scopes), key=lambda scope: (EFFECTS.index(provider.effect(scope)), scope))
    can = [{"scope": scope, "effect": provider.effect(scope), "words": provider.words(scope)} for scope in told]
    return {
        "provider": provider.title, "can": can, "lifetime": lifetime, "narrowed": provider.narrows, "ends": ends_alone(provider),
        "own_lifetime": provider.access_lifetime,
    }


def recheck(house: House) -> Recheck:
    """Why a reported action is void by now; None while all it depended on still holds. Raises Unavailable where that cannot be
    told."""

    def compare(session: Session, envelope: Envelope, now: datetime) -> Drift | None:
        try:
            return _changed(session, house, envelope, now)
        except Unavailable:  # nothing drifted: it cannot be told now, and the approval must not be lost for that
            raise
        except CountersealError as error:
            return Drift(error.hint)

    return compare


def _changed(session: Session, house: House, envelope: Envelope, now: datetime) -> Drift | None:
    """The steps: 1. the client and the grant; 2. what it was registered for, the consent, the account; 3. what the token could
    do; 4. policy's verdict, asked again with the request's own reservation left out."""
    client, shown = clients.find(session, envelope["server"]["name"]), envelope["facts"]
    if client is None or client.status != "active":
        return Drift("the server that asked was paused or revoked.", (
            Change("The server that asks", "active", client.status if client else "gone"),
        ))
    if not _own_use(envelope) and not grants.live(session, envelope["client"]["grant"], now):
        return Drift("the agent's access was revoked.", (Change("What its person allowed it", "active", "revoked"),))
    asking = reports.vouched(session, [envelope["client"]["id"], client.id])
    if reports.stopped(session, "", envelope["principal"]["person"], asking) is not None:
        return Drift("what asks was reported, and its calls are paused.", (Change("What asks", "active", "reported"),))
    case = open_case(session, house.settings, _wanted(session, envelope, client))
    return _other(case, envelope, shown) or _policy(session, house, case, envelope, now)


def _other(case: Case, envelope: Envelope, shown: Mapping[str, Any]) -> Drift | None:
    found = case.found
    if found.registration != envelope["server"]["manifest"]:
        return Drift("what the server is registered for changed since it was held.", (
            Change("Registration", f"digest {envelope['server']['manifest'][:16]}", f"digest {found.registration[:16]}"),
        ))
    if found.consent.id != shown.get("consent"):
        return Drift("what the person allowed the server changed since it was held.", (
            Change("Consent", str(shown.get("consent")), found.consent.id),
        ))
    token = token_facts(found.facts, found.reach, shown["token"]["lifetime"])
    if token != shown["token"]:
        return Drift("what the token could do changed since it was held.", drift.of_listing(shown["token"], token))
    return None


def _policy(session: Session, house: House, case: Case, envelope: Envelope, now: datetime) -> Drift | None:
    rules = active.current(house, session)
    verdict, _ = judge(session, rules, case, now, excluding=envelope["action"])
    return drift.of_policy(envelope, verdict, rules.digest)


def _own_use(envelope: Envelope) -> bool:
    return envelope["client"]["grant"] == envelope["facts"].get("consent")


def _wanted(session: Session, envelope: Envelope, client: Client) -> Wanted:
    account, agent, principal = envelope["connection"], envelope["client"], envelope["principal"]
    caller = clients.find(session, agent["id"])
    vouched = caller is not None and caller.verified
    subject = Subject(principal["person"], principal["name"], agent["id"], agent["name"], agent["grant"], vouched)
    return Wanted(
        client=client, subject=None if _own_use(envelope) else subject, provider=account["provider"] if account else "",
        connection=account["id"] if account else "", scopes=tuple(sorted(envelope["scopes"])),
        call=call_of(envelope),
    )


def call_of(envelope: Envelope) -> ToolCall | None:
    """What the client said of the call; None where it said nothing."""
    tool, resources = envelope["tool"]["name"], tuple(envelope["facts"].get("resources") or ())
    return None if tool == UNSAID else ToolCall(tool, parse(canonical(envelope["arguments"])), resources)
