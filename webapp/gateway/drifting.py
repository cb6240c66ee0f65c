"""Comparing all that a held call depended on with how it is now: agent, tool, account, and policy's verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.evidence import Envelope, canonical
from webapp.approvals import reported, reports
from webapp.approvals.drift import Change, Drift, of_listing, of_policy
from webapp.approvals.outcome import Recheck
from webapp.approvals.tables import HeldTool
from webapp.canonical import parse
from webapp.clients.lookup import by_mtls
from webapp.clients.tables import Client
from webapp.connections import providers
from webapp.connections.lookup import NoConnection
from webapp.errors import BadInput, CountersealError, Unavailable
from webapp.gateway.judging import Case, Who, groups, judge, open_case
from webapp.oauth import grants
from webapp.policy import active
from webapp.registry import pins
from webapp.registry.pins import PinnedTool, ToolRefused, pinned
from webapp.web.house import House


def recheck(house: House) -> Recheck:
    """Why an action is void by now, and what changed; None when all it depended on still holds. Raises Unavailable (503) where
    that cannot be told: this process holds another policy set than the active one."""
    of_reported = reported.recheck(house)

    def compare(session: Session, envelope: Envelope, now: datetime) -> Drift | None:
        if envelope["facts"].get("enforced") is False:
            return of_reported(session, envelope, now)
        try:
            return _changed(session, house, envelope, now)
        except Unavailable:  # nothing drifted: it cannot be told now, and the approval must not be lost for that
            raise
        except NoConnection as error:
            return Drift(error.named(providers.find(house.settings, error.provider).title), (
                Change("Account", _account(envelope), "not connected, or not for this"),
            ))
        except BadInput as error:
            return Drift(f"the tool no longer takes these arguments: {error.hint}", (
                Change("Its arguments", "as the tool takes them", f"not taken: {error.hint}"),
            ))
        except CountersealError as error:
            return Drift(error.hint)

    return compare


def same_pin(pin: PinnedTool, envelope: Envelope) -> bool:
    server, tool = envelope["server"], envelope["tool"]
    return (pin.pin, pin.manifest, pin.url) == (tool["pin"], server["manifest"], server["url"])


def _changed(session: Session, house: House, envelope: Envelope, now: datetime) -> Drift | None:
    """The steps: 1. the agent and what its person allowed it; 2. the pin; 3. the account; 4. policy's verdict, asked again with
    the call's own reservation left out."""
    found = _agent(session, envelope, now)  # 1
    if found is not None:
        return found
    try:
        pin = pinned(session, envelope["server"]["name"], envelope["tool"]["name"])
    except ToolRefused as error:  # 2
        return Drift(error.hint, _refused(session, envelope, error))
    if not same_pin(pin, envelope):
        return Drift("the server or the tool changed since it was held.", _pin(session, envelope, pin))
    case = case_of(session, house, envelope, pin, envelope["arguments"])
    return _other_account(envelope, case) or _policy(session, house, envelope, case, now)  # 3, 4


def _agent(session: Session, envelope: Envelope, now: datetime) -> Drift | None:
    held = envelope["client"]
    row = session.execute(select(Client.name, Client.status).where(Client.id == held["id"])).one_or_none()
    if not grants.live(session, held["grant"], now):
        paused = row is not None and row.status != "active"
        return Drift("the agent's access was revoked.", (
            Change("Agent" if paused else "What its person allowed it", "active", row.status if row and paused else "revoked"),
        ))
    if reports.stopped(session, "", envelope["principal"]["person"], reports.vouched(session, [held["id"]])) is not None:
        return Drift("the agent was reported, and its calls are paused.", (Change("Agent", "active", "reported"),))
    if row is not None and row.name != held["name"]:
        renamed = Change("Agent’s name", held["name"], row.name, theirs=True)
        return Drift("the agent goes by another name than when it asked.", (renamed,))
    return None


def _refused(session: Session, envelope: Envelope, error: ToolRefused) -> tuple[Change, ...]:
    """Why it may not be called now, where the tool itself says nothing of it: its server was paused, an admin refused it."""
    changed = _tool(session, envelope)
    if error.code == "paused":
        return (Change("Server", "active", "paused"), *changed)
    return changed or (Change("Tool", "approved", "not approved"),)


def _pin(session: Session, envelope: Envelope, pin: PinnedTool) -> tuple[Change, ...]:
    server = envelope["server"]
    moved = () if pin.url == server["url"] else (Change("Address of the server", server["url"], pin.url),)
    changed = _tool(session, envelope) if pin.pin != envelope["tool"]["pin"] else ()
    other = (Change("What was approved of the server", f"digest {server['manifest'][:16]}", f"digest {pin.manifest[:16]}"),)
    return (*moved, *changed) or other


def _tool(session: Session, envelope: Envelope) -> tuple[Change, ...]:
    """The tool as it was pinned, if what was kept of it still has that digest, and as it is listed."""
    pin = envelope["tool"]["pin"]
    kept = session.scalar(select(HeldTool.document).where(HeldTool.pin == pin))
    now = pins.listed(session, envelope["server"]["name"], envelope["tool"]["name"])
    if now is None:
        return (Change("Tool", "listed", "no longer listed"),)
    if kept is None or hashlib.sha256(kept.encode()).hexdigest() != pin:
        return ()
    return of_listing(json.loads(kept), json.loads(now))


def case_of(session: Session, house: House, envelope: Envelope, pin: PinnedTool, arguments: Mapping[str, Any]) -> Case:
    """The call as policy judges it now, for the agent and person that the envelope names."""
    client, person = envelope["client"], envelope["principal"]["person"]
    vouched = bool(session.scalar(select(Client.verified).where(Client.id == client["id"])))
    who = Who(person, groups(session, person), client["id"], vouched, client["grant"], by_mtls(session, client["id"]))
    case = open_case(session, house.settings.policy, who, pin, parse(canonical(arguments)))
    return replace(case, tainted=was_tainted(envelope))


def was_tainted(envelope: Envelope) -> bool:
    """As it was when the call came: what the agent read later did not steer it."""
    return bool((envelope["facts"].get("session") or {}).get("tainted"))


def _account(envelope: Envelope) -> str:
    account = envelope["connection"]
    return account["label"] if account else "none"


def _other_account(envelope: Envelope, case: Case) -> Drift | None:
    shown, row = envelope["connection"], case.connection
    before = (shown["id"], shown["owner"], shown["provider"], shown["account"]) if shown else None
    after = (row.id, row.person, row.provider, row.account) if row else None
    if before != after:
        return Drift("the account it would use changed since it was held.", (
            Change("Account", _account(envelope), row.label if row else "none"),
        ))
    if sorted(case.scopes) != list(envelope["scopes"]):
        return Drift("the account it would use changed since it was held.", (
            Change("What it may do with the account", ", ".join(envelope["scopes"]), ", ".join(sorted(case.scopes))),
        ))
    return None


def _policy(session: Session, house: House, envelope: Envelope, case: Case, now: datetime) -> Drift | None:
    rules = active.current(house, session)
    verdict, _ = judge(session, rules, case, now, excluding=envelope["action"])
    return of_policy(envelope, verdict, rules.digest, caller(case.who))


def caller(who: Who) -> dict[str, Any]:
    """What rules know of the one who asks, for the envelope: kept so that it can be compared."""
    return {"groups": sorted(who.groups), "verified": who.verified, "mtls": who.mtls}
