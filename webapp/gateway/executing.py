"""What the approvers' room is handed for running: sending an approved call, once."""

from __future__ import annotations

from vault.evidence import Envelope, canonical
from vault.secret import Secret
from webapp.approvals.deciding import void_to_recipients
from webapp.approvals.outcome import Executor
from webapp.approvals.outcome import Upstream as Answer
from webapp.gateway.drifting import same_pin
from webapp.gateway.negotiation import Target
from webapp.gateway.origins import LARGEST, Noted, Origins
from webapp.gateway.tables import Asker
from webapp.gateway.tainting import taint
from webapp.gateway.upstream import Outcome, ToolCall, Upstreams
from webapp.gateway.wire import Json, dump
from webapp.registry.pins import PinnedTool, ToolRefused, pinned
from webapp.web.house import House


def executor(house: House, upstreams: Upstreams, origins: Origins) -> Executor:
    """Sends the envelope's call: its arguments, byte for byte, to the server and tool that were approved, with the action id as
    idempotency key, over a connection of its own."""

    def execute(envelope: Envelope, token: Secret[str] | None, action_id: str) -> Answer:
        try:
            with house.database.read() as session:
                pin = pinned(session, envelope["server"]["name"], envelope["tool"]["name"])
        except ToolRefused as error:
            return Answer("refused", error=error.hint)
        if not same_pin(pin, envelope):
            return Answer("refused", error="the server or the tool changed after the approval.")
        account = envelope["connection"]
        if pin.changes_recipients and account is not None:
            house.database.write(lambda s: void_to_recipients(s, account["id"], house.clock()))
        if pin.outside:
            house.database.write(lambda s: taint(s, _asker(envelope), pin, house.clock(), house.settings.gateway.tainted))
        placement = pin.credential.placement if pin.credential else "authorization"
        target = Target(pin.url, action_id, token, placement)
        call = ToolCall(pin.tool, canonical(envelope["arguments"]), action_id, dict(pin.input_schema))
        outcome = upstreams.call(target, call, fresh=True)
        _note(house, origins, envelope, pin, outcome)
        return _answer(outcome)

    return execute


def _note(house: House, origins: Origins, envelope: Envelope, pin: PinnedTool, outcome: Outcome) -> None:
    if outcome.kind == "answered" and outcome.result and len(dump(outcome.result)) <= LARGEST:
        origins.note(Noted(
            _asker(envelope), pin.server, pin.tool, pin.outside, envelope["arguments"], outcome.result, house.clock()
        ))


def _asker(envelope: Envelope) -> Asker:
    return Asker(envelope["principal"]["person"], envelope["client"]["id"])


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
