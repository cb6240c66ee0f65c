"""The token of a held request, once people have decided: handed over once, and then no other for the same decision.

It ends with the token in the client's hands. If it cannot be known whether it got there, the action is uncertain: the keeper
spent the decision, and mints nothing for it again (promise 2).
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from vault.door import Evidence, Minted
from vault.errors import KeeperError
from webapp.approvals import requests
from webapp.approvals.execution import Started, begin, delivered
from webapp.approvals.heartbeat import Heartbeat
from webapp.approvals.outcome import Upstream
from webapp.approvals.reported import call_of, recheck
from webapp.approvals.seeing import open_
from webapp.approvals.settling import Ended, settle
from webapp.approvals.tables import Action
from webapp.broker import leases
from webapp.broker.exchange import WIDER, wider
from webapp.broker.tables import Lease
from webapp.connections import providers
from webapp.errors import Conflict
from webapp.oauth.handed import Given, NotGiven, ToolCall
from webapp.web.house import House

LOST = Ended("uncertain", Upstream("unknown", error="the program that gave the token out failed before it was handed over."))
GIVEN = Ended("done", Upstream("answered"))
NOT_KNOWN = "This auth_req_id is not known here."


def given(house: House, lease: Lease, minted: Minted, call: ToolCall | None) -> Given:
    """The keeper's clock says when it ends; ours may be a little behind, and nothing outlives its lease."""
    left = int((minted.expires_at - house.clock()).total_seconds())
    return Given(minted.token, lease.id, minted.scopes, max(1, min(left, lease.cap)), call)


def answer(house: House, client: str, action_id: str, polled: str = "") -> Given:
    """Where a held request stands; asked too often, it says only that. `polled` is the `auth_req_id` that it was asked by, if it
    was. Raises NotGiven for everything but the token."""
    if house.database.write(lambda s: requests.too_soon(s, action_id, house.clock())):
        raise requests.waits(house, action_id, polled, "slow_down")
    if _state(house, action_id) == "approved":
        return _hand_over(house, client, action_id, polled)
    raise _stands(house, action_id, polled)


def _state(house: House, action_id: str) -> str:
    with house.database.read() as session:
        return session.get_one(Action, action_id).state


def _stands(house: House, action_id: str, polled: str) -> NotGiven:
    waiting = _state(house, action_id) in ("held", "approved", "executing")
    return requests.waits(house, action_id, polled) if waiting else requests.ended(house, action_id)


def _hand_over(house: House, client: str, action_id: str, polled: str) -> Given:
    """The client is the one that the document names, whatever a row says. Attack: a writer of the database sends another's
    approval to a client of their own."""
    if open_(house, action_id).document.envelope["server"]["name"] != client:
        raise NotGiven(NOT_KNOWN, code="invalid_grant")
    try:
        started = begin(house, action_id, recheck(house), enforced=False)
    except Conflict:  # another poll of this client's was first
        raise _stands(house, action_id, polled) from None
    if started is None:
        raise _stands(house, action_id, polled)
    with Heartbeat(house, action_id, started.fence):
        return _mint_once(house, started)


def _mint_once(house: House, started: Started) -> Given:
    """Whatever is raised once the keeper was asked leaves the action failed on proof that no token left, else uncertain."""
    assert started.lease is not None
    ended, envelope = LOST, started.opened.document.envelope
    try:
        minted = leases.mint(house, started.lease, Evidence(started.opened.document.raw, started.opened.verified.statements))
        leases.granted(house, started.lease, minted)
        ended = _judged(house, started, minted)
    except KeeperError as error:
        ended = _none(error.hint)
    finally:
        house.database.write(lambda s: _settle(s, house, started, ended))
    if ended is not GIVEN:
        raise requests.ended(house, started.opened.action.id)
    return given(house, started.lease, minted, call_of(envelope))


def _judged(house: House, started: Started, minted: Minted) -> Ended:
    envelope = started.opened.document.envelope
    account = envelope["connection"]
    facts = providers.find(house.settings, account["provider"] if account else "")
    reach = [one["scope"] for one in envelope["facts"]["token"]["can"]]
    return _none(WIDER) if wider(facts, minted.scopes, envelope["tool"]["cls"], reach) else GIVEN


def _none(why: str) -> Ended:
    """Proof that nothing ran: no token left."""
    return Ended("failed", Upstream("refused", error=f"no access was given for it: {why}"))


def _settle(session: Session, house: House, started: Started, ended: Ended) -> None:
    """What was handed over lives on as a lease of the client's; any other end closes it, and has an exclusive token ended."""
    lease = None if ended is GIVEN else started.lease
    settle(session, house, started.opened, started.fence, lease, started.sealer, ended)
    if ended is GIVEN:
        delivered(session, started.opened.action.id, house.clock())
