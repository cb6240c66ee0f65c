"""Actions held as the gateway holds them, people who decide with real passkeys, and an upstream that does as it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import unescape
from typing import Any, cast

from sqlalchemy import update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from tests.app_parts import Browser, hidden
from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL
from vault.evidence import Account, Envelope, Need
from vault.secret import Secret
from webapp.approvals import Draft, Handed, Upstream, facts_document, hold, sealer, since, usage
from webapp.approvals.drift import Drift
from webapp.approvals.holding import key_of
from webapp.approvals.same_call import Existing, same
from webapp.approvals.seeing import open_for
from webapp.approvals.tables import Action
from webapp.canonical import parse
from webapp.policy import facts
from webapp.policy.calls import Hold, Reason
from webapp.web.house import House
from webapp.web.viewer import Viewer

POINTERS = {
    "amount": {"pointer": "/amount", "unit": "major"}, "currency": {"pointer": "/currency"},
    "recipient": {"pointer": "/iban", "kind": "iban"},
}
ORDER = {
    "amount": "480.00", "currency": "EUR", "iban": "DE89 3704 0044 0532 0130 00", "payee": "Nordlicht Energie GmbH",
    "reference": "RE-2026-1088",
}
RECEIPT = {
    "content": [{"type": "text", "text": "Paid. Receipt HB-1."}], "structuredContent": {"receipt": "HB-1"}, "isError": False,
}


def need(kind: str = "approvers", group: str = "finance", quorum: int = 1, factor: str = "", rule: str = "large-payment") -> Need:
    return cast(Need, {
        "kind": kind, "group": "" if kind == "confirm" else group, "quorum": quorum, "factor": factor, "rule": rule,
    })


CONFIRM = (need("confirm", rule="payment"),)
APPROVE = (need(),)
TWO = (need(quorum=2),)


def verdict(needs: Sequence[Need] = APPROVE, within: int = 4 * 3600, latest: int = 0) -> Hold:
    reasons = tuple(Reason(one["rule"], f"Because of {one['rule']}") for one in needs)
    return Hold(tuple(needs), within, reasons, "9f12" * 16, latest)


def draft(
    house: House, person: str, *, order: Mapping[str, Any] = ORDER, name: str = "Ada", account: Account | None = None,
    runs: str = "return", scopes: Sequence[str] = (), grant: str = "grt_1",
) -> Draft:
    arguments = parse(json.dumps(order).encode())
    read = facts.read(POINTERS, arguments, house.settings.policy, cls="money")
    used = counted(house, person, read)
    return Draft(
        server={"name": "bank", "url": "http://127.0.0.1:1/mcp", "manifest": "ab" * 32},
        tool={"name": "send_payment", "pin": "cd" * 32, "title": "Send a payment", "cls": "money"}, arguments=arguments,
        principal={"person": person, "name": name}, connection=account, scopes=scopes,
        client={"id": "cli_1", "grant": grant, "name": "Ledger Desk", "owner": person}, facts=facts_document(read, used),
        server_title="Harbour Bank", runs=cast(Any, runs), pointers=POINTERS,
    )


def counted(house: House, person: str, read: facts.Facts) -> usage.Used:
    call = usage.Call(
        person=person, connection=None, client="cli_1", server="bank", tool="send_payment",
        recipient=read.recipient.value if read.recipient else None, recipient_shown=read.recipient.text if read.recipient else "",
    )
    with house.database.read() as session:
        return usage.facts(session, call, house.clock())


def held(house: House, made: Draft, needs: Sequence[Need] = APPROVE, within: int = 4 * 3600, latest: int = 0) -> str:
    key = sealer(house)
    return house.database.write(lambda s: hold(
        s, draft=made, verdict=verdict(needs, within, latest), sealer=key, settings=house.settings.approvals, now=house.clock(),
        evaluation=house.settings.evaluation,
    )).action_id


def again(house: House, made: Draft) -> Existing | None:
    with house.database.read() as session:
        return same(session, key_of(made), house.clock(), house.settings.approvals)


def action(house: House, action_id: str) -> Action:
    with house.database.read() as session:
        found = session.get(Action, action_id)
        assert found is not None
        return found


def on_page(house: House, action_id: str, who: Viewer) -> str:
    """What the forms of a page would send that they opened at this moment."""
    opened, now = open_for(house, action_id, who), house.clock()
    return since.look(opened, opened.speaker(who, now), now).written()


def forge(house: House, action_id: str, **values: Any) -> None:
    """What somebody who can write to the database would do."""
    house.database.write(lambda s: s.execute(update(Action).where(Action.id == action_id).values(**values)))


@dataclass
class Server:
    """An upstream that answers as told and remembers what it was sent."""

    answer: Upstream = field(default_factory=lambda: Upstream("answered", RECEIPT))
    calls: list[tuple[str, Envelope, str | None]] = field(default_factory=list)
    drift: str | None = None

    def __call__(self, envelope: Envelope, token: Secret[str] | None, action_id: str) -> Upstream:
        self.calls.append((action_id, envelope, token.reveal() if token else None))
        return self.answer

    def recheck(self, session: Session, envelope: Envelope, now: datetime) -> Drift | None:
        return Drift(self.drift) if self.drift is not None else None

    @property
    def handed(self) -> Handed:
        return Handed(self, self.recheck)


OPTIONS = re.compile(r'data-passkey="(?:get|create)"[^>]* data-options="([^"]+)"')


def options(page: TestResponse) -> Any:
    found = OPTIONS.search(page.text)
    assert found, f"no passkey form on the page: {page.status} {page.text[:3000]}"
    return json.loads(unescape(found.group(1)))


def with_passkey(browser: Browser) -> Passkey:
    """Enrol a passkey for whoever is signed in."""
    page, key = browser.get("/you/factors/passkey"), Passkey()
    attestation = key.create(options(page), origin=PUBLIC_URL)
    done = browser.send("/you/factors/passkey", sealed=hidden(page, "sealed"), attestation=json.dumps(attestation), name="Key")
    assert done.status_code == 303, done.text
    return key


def decide(browser: Browser, key: Passkey, action_id: str, **otherwise: Any) -> TestResponse:
    """Open the page and press its button."""
    page = browser.get(f"/actions/{action_id}")
    fields = {
        "shown": hidden(page, "shown"), "sealed": hidden(page, "sealed"),
        "assertion": json.dumps(key.get(options(page), origin=PUBLIC_URL)),
    }
    return browser.send(f"/actions/{action_id}/decide", **{**fields, **otherwise})


def reject(browser: Browser, action_id: str, reason: str = "Not this one.") -> TestResponse:
    page = browser.get(f"/actions/{action_id}")
    return browser.send(f"/actions/{action_id}/reject", shown=hidden(page, "shown"), reason=reason)
