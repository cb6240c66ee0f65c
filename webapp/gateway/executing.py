"""What the approvers' room is handed: sending an approved call, once, and comparing all it depended on with how it is now."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.evidence import Envelope, canonical
from vault.secret import Secret
from webapp.approvals import reported, reports
from webapp.approvals.deciding import void_to_recipients
from webapp.approvals.outcome import Executor, Recheck
from webapp.approvals.outcome import Upstream as Answer
from webapp.canonical import parse
from webapp.clients.lookup import by_mtls
from webapp.clients.tables import Client
from webapp.connections import providers
from webapp.connections.lookup import NoConnection
from webapp.errors import BadInput, CountersealError, Unavailable
from webapp.gateway.judging import Who, groups, judge, open_case
from webapp.gateway.negotiation import Target
from webapp.gateway.upstream import Outcome, ToolCall, Upstreams
from webapp.gateway.wire import Json
from webapp.oauth import grants
from webapp.policy import active
from webapp.policy.calls import Deny, Hold
from webapp.registry.pins import PinnedTool, ToolRefused, pinned
from webapp.web.house import House


def executor(house: House, upstreams: Upstreams) -> Executor:
    """Sends the envelope's call: its arguments, byte for byte, to the server and tool that were approved, with the action id as
    idempotency key, over a connection of its own."""

    def execute(envelope: Envelope, token: Secret[str] | None, action_id: str) -> Answer:
        try:
            with house.database.read() as session:
                pin = pinned(session, envelope["server"]["name"], envelope["tool"]["name"])
        except ToolRefused as error:
            return Answer("refused", error=error.hint)
        if not _same_pin(pin, envelope):
            return Answer("refused", error="the server or the tool changed after the approval.")
        account = envelope["connection"]
        if pin.changes_recipients and account is not None:
            house.database.write(lambda s: void_to_recipients(s, account["id"], house.clock()))
        placement = pin.credential.placement if pin.credential else "authorization"
        target = Target(pin.url, action_id, token, placement)
        call = ToolCall(pin.tool, canonical(envelope["arguments"]), action_id, dict(pin.input_schema))
        return _answer(upstreams.call(target, call, fresh=True))

    return execute


def _same_pin(pin: PinnedTool, envelope: Envelope) -> bool:
    server, tool = envelope["server"], envelope["tool"]
    return (pin.pin, pin.manifest, pin.url) == (tool["pin"], server["manifest"], server["url"])


def _answer(outcome: Outcome) -> Answer:
    if outcome.kind == "answered":
        return Answer("answered", result=outcome.result)
    if outcome.kind == "silent":
        return Answer("unknown", error=f"it was sent, and no whole answer came ({outcome.detail}).")
    words = outcome.error.message if outcome.error else f"the server could not be reached ({outcome.detail})."
    if outcome.nothing_ran:
        return Answer("refused", error=words)
    if outcome.kind == "asks":
        words = "The server asks for more input, which an approved call cannot give. It may have begun."
    return Answer("answered", result=error_result(words))


def error_result(words: str) -> Json:
    """A tool result that reports an error: what a model gets to read."""
    return {"content": [{"type": "text", "text": words}], "isError": True}


def recheck(house: House) -> Recheck:
    """Why an action is void by now, in a sentence; None when all it depended on still holds. Raises Unavailable (503) where that
    cannot be told: this process holds another policy set than the active one."""
    of_reported = reported.recheck(house)

    def compare(session: Session, envelope: Envelope, now: datetime) -> str | None:
        if envelope["facts"].get("enforced") is False:
            return of_reported(session, envelope, now)
        try:
            return _changed(session, house, envelope, now)
        except Unavailable:  # nothing drifted: it cannot be told now, and the approval must not be lost for that
            raise
        except NoConnection as error:
            return error.named(providers.find(house.settings, error.provider).title)
        except BadInput as error:
            return f"the tool no longer takes these arguments: {error.hint}"
        except CountersealError as error:
            return error.hint

    return compare


def _changed(session: Session, house: House, envelope: Envelope, now: datetime) -> str | None:
    """The steps: 1. the grant; 2. the pin; 3. the account; 4. policy's verdict, asked again with the call's own reservation
    left out. A verdict that asks for a decision that was not asked for voids."""
    client, server, tool = envelope["client"], envelope["server"], envelope["tool"]
    if not grants.live(session, client["grant"], now):
        return "the agent's access was revoked."
    if reports.stopped(session, "", envelope["principal"]["person"], reports.vouched(session, [client["id"]])) is not None:
        return "the agent was reported, and its calls are paused."
    pin = pinned(session, server["name"], tool["name"])
    if not _same_pin(pin, envelope):
        return "the server or the tool changed since it was held."
    person = envelope["principal"]["person"]
    vouched = bool(session.scalar(select(Client.verified).where(Client.id == client["id"])))
    who = Who(person, groups(session, person), client["id"], vouched, client["grant"], by_mtls(session, client["id"]))
    arguments = parse(canonical(envelope["arguments"]))
    case = open_case(session, house.settings.policy, who, pin, arguments)
    before = envelope["connection"]["id"] if envelope["connection"] else None
    after = case.connection.id if case.connection else None
    if before != after or sorted(case.scopes) != list(envelope["scopes"]):
        return "the account it would use changed since it was held."
    verdict, _ = judge(session, active.current(house, session), case, now, excluding=envelope["action"])
    if isinstance(verdict, Deny):
        return f"policy refuses it now: {verdict.reason}"
    if isinstance(verdict, Hold) and not all(need in envelope["requirement"] for need in verdict.needs):
        return "policy asks for more decisions now."
    return None

