"""What an approver's edit is made of: the held call with other arguments, read by the pin and judged by policy anew."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from vault.evidence import Envelope
from webapp.approvals.envelope import Draft, facts_document
from webapp.approvals.outcome import Editor
from webapp.approvals.usage import Used
from webapp.errors import Conflict
from webapp.gateway.drifting import caller, case_of, same_pin
from webapp.gateway.judging import Case, judge
from webapp.gateway.origins import carried
from webapp.policy import active
from webapp.policy.calls import Verdict
from webapp.registry.pins import PinnedTool, pinned
from webapp.web.house import House


def editor(house: House) -> Editor:
    """Only for calls that are sent from here: what a token client reported, it does itself."""

    def schema(session: Session, envelope: Envelope) -> Mapping[str, Any]:
        return _pin(session, envelope).input_schema

    def judged(session: Session, envelope: Envelope, arguments: Mapping[str, Any], now: datetime) -> tuple[Verdict, Draft]:
        """Without what the held one counts as: it takes its place."""
        pin = _pin(session, envelope)
        case = case_of(session, house, envelope, pin, arguments)
        verdict, used = judge(session, active.current(house, session), case, now, excluding=envelope["action"])
        return verdict, Draft(
            server=envelope["server"], tool=envelope["tool"], arguments=case.arguments, principal=envelope["principal"],
            client=envelope["client"], connection=envelope["connection"], scopes=case.scopes,
            facts=_facts(envelope, case, used), pointers=dict(pin.pointers),
            pinned=pin.document,
        )

    return Editor(schema, judged)


def _facts(envelope: Envelope, case: Case, used: Used) -> dict[str, Any]:
    before, read = envelope["facts"], facts_document(case.facts, used)
    session = {"session": before["session"]} if "session" in before else {}
    return read | {"caller": caller(case.who)} | session | carried(before, read)


def _pin(session: Session, envelope: Envelope) -> PinnedTool:
    """Raises ToolRefused, Conflict: what is changed is the call that was held, to the tool as it was then."""
    pin = pinned(session, envelope["server"]["name"], envelope["tool"]["name"])
    if not same_pin(pin, envelope):
        raise Conflict("The server or the tool changed since this was held.")
    return pin
