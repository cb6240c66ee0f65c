"""Giving tokens of connected accounts to token clients: at once where policy allows it, else a held action."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from vault.door import Minted
from vault.errors import Disconnected, KeeperError, NeedsConsent, NotKnown, ScopeRefused
from webapp import audit
from webapp.approvals import holding, reports, requests, usage
from webapp.approvals.handing_over import answer, given
from webapp.approvals.holding import CallKey, Held
from webapp.approvals.judged import keeping
from webapp.approvals.payloads import for_holding
from webapp.approvals.reasons import PAUSED
from webapp.approvals.reported import Case, draft, judge, open_case
from webapp.approvals.same_call import Existing, held_before, same
from webapp.approvals.usage import Used
from webapp.broker import handed_out, leases
from webapp.broker.exchange import WIDER, Subject, Wanted, wider
from webapp.broker.tables import Lease
from webapp.connections import consents
from webapp.db.direct import NeedsSession, Where, session_of
from webapp.errors import LimitReached, said
from webapp.oauth.client_auth import Authenticated
from webapp.oauth.handed import Asked, Given, NotGiven
from webapp.oauth.tokens import Caller
from webapp.policy import active
from webapp.policy.calls import Deny, Hold
from webapp.web.house import House


@dataclass(frozen=True)
class Tokens:
    """`oauth.handed.Broker`, for the token endpoint."""

    house: House

    def give(self, asked: Asked) -> Given:
        """1. what registration, consent and account allow; 2. an action that answers this request already; 3. policy; 4. the
        token, or a held action."""
        house, wanted = self.house, _wanted(asked)
        try:
            case, existing = _prepare(house, wanted)  # 1, 2
        except NotGiven as error:
            _write_refusal(house, wanted, error)
            raise
        if existing is not None:
            return answer(house, wanted.client.id, existing.action_id)
        admitted = house.database.commit(lambda s: _admit(s, house, case))  # 3
        if isinstance(admitted, Hold):
            admitted = _hold(house, case)
        if isinstance(admitted, Deny):
            raise NotGiven(said("Policy refuses this: %(reason)s", reason=admitted.reason))
        if isinstance(admitted, Lease):
            return given(house, admitted, _minted(house, case, admitted), wanted.call)  # 4
        assert isinstance(admitted, Held)
        raise requests.waits(house, admitted.action_id)

    def poll(self, client: Authenticated, request: str) -> Given:
        with self.house.database.read() as session:
            action_id = requests.find(session, request, client.client.id).action
        return answer(self.house, client.client.id, action_id, request)

    def end(self, client: str, lease: str) -> None:
        self.house.database.write(lambda s: handed_out.give_back(s, lease, client, self.house.clock()))

    def about(self, client: str, lease: str) -> Mapping[str, Any]:
        with self.house.database.read() as session:
            return handed_out.about(session, lease, client, self.house.clock())


def _wanted(asked: Asked) -> Wanted:
    return Wanted(
        client=asked.client.client, subject=_subject(asked.subject) if asked.subject else None, provider=asked.provider,
        connection=asked.connection, scopes=asked.scopes, call=asked.call,
    )


def _subject(caller: Caller) -> Subject:
    return Subject(caller.person, caller.person_name, caller.client, caller.client_name, caller.grant, caller.client_verified)


def _prepare(house: House, wanted: Wanted) -> tuple[Case, Existing | None]:
    """All reads as of one moment; with a Session only where an action may answer already, or a refusal has more to say."""
    try:
        with house.database.look() as direct:
            case = open_case(direct, house.settings, wanted)
            _require_unreported(direct, house, case)
            if not held_before(direct, _key(case)):
                return case, None
    except NeedsSession:
        pass
    with house.database.read() as session:
        case = open_case(session, house.settings, wanted)
        _require_unreported(session, house, case)
        return case, same(session, _key(case), house.clock(), house.settings.approvals)


def _require_unreported(session: Where, house: House, case: Case) -> None:
    """Raises NotGiven while a report stops the agent, or the server that asks. An admin registered the latter: nobody
    takes its name."""
    subject, client = case.found.subject, case.found.wanted.client.id
    asking = {subject.client: subject.verified or subject.client == client, client: True}
    found = reports.stopped(session, house.settings.public_url, subject.person, asking)
    if found is not None:
        raise NotGiven(found.words, url=found.address, reason=PAUSED)


def _key(case: Case) -> CallKey:
    return CallKey(case.found.subject.person, case.found.subject.grant, case.found.wanted.client.id, case.tool, case.digest)


def _write_refusal(house: House, wanted: Wanted, error: NotGiven) -> None:
    """What never came before policy is in the log too."""
    detail = {
        "code": error.code, "provider": wanted.provider, "connection": wanted.connection, "scopes": list(wanted.scopes),
        "person": wanted.subject.person if wanted.subject else "", "grant": wanted.subject.grant if wanted.subject else "",
    }
    house.database.write(lambda s: audit.append(
        s, kind="token.refused", actor=f"client:{wanted.client.id}", subject=wanted.client.id, detail=detail, at=house.clock()
    ))


Admitted = Lease | Deny | Hold | Held
Store = Callable[[Session, Hold, Used], Held]


def _admit(session: Where, house: House, case: Case, store: Store | None = None) -> Admitted:
    """The verdict and what follows from it, in one transaction: the lease and its entry say what is about to happen. Without
    `store`, a hold is only said."""
    now, found = house.clock(), case.found
    verdict, used = judge(session, active.current(house, session), case, now)
    if isinstance(verdict, Hold):
        return verdict if store is None else _stored(session, case, verdict, used, store, now)
    detail = {"policy": verdict.digest, "rules": list(verdict.rules), "arguments": case.digest, "enforced": False}
    actor = f"client:{found.wanted.client.id}"
    if isinstance(verdict, Deny):
        detail |= {"connection": found.connection.id, "scopes": list(found.wanted.scopes), "tool": case.tool}
        entry = audit.append(session, kind="token.denied", actor=actor, subject=found.wanted.client.id, detail=detail, at=now)
        keeping.keep(session, entry, case.call(used, now), verdict)
        return verdict
    consent = consents.live(session, found.wanted.client.id, found.connection.id)
    if consent is None or consent.id != found.consent.id:
        raise NotGiven("The person took back what this rests on.")
    lease = leases.plan(
        session, connection=found.connection, scopes=found.wanted.scopes, person=found.connection.person,
        client=found.wanted.client.id, grant=found.subject.grant, server=found.wanted.client.id, tool=case.tool, action=None,
        exclusive=False, cap=house.settings.broker.cap, now=now, consent=found.consent.id, actors=found.actors, more=detail,
    )
    usage.record(session, case.counted(), now, lease.id)
    keeping.keep(session, lease.id, case.call(used, now), verdict)
    consents.used(session, found.consent.id, now)
    return lease


def _stored(session: Where, case: Case, verdict: Hold, used: Used, store: Store, now: datetime) -> Held:
    held = store(session_of(session), verdict, used)
    if held.created:
        keeping.keep(session, held.action_id, case.call(used, now), verdict)
    return held


def _minted(house: House, case: Case, lease: Lease) -> Minted:
    """The token of an allowed request. One that can do graver things than policy was asked about is not handed out."""
    try:
        minted = leases.mint(house, lease)
    except KeeperError as error:
        _failed(house, lease, error.code)
        raise _keeper_refused(house, case, error) from error
    if wider(case.found.facts, minted.scopes, case.found.cls, case.found.reach):
        _failed(house, lease, "wider")
        raise NotGiven(WIDER, code="invalid_scope")
    leases.granted(house, lease, minted)
    return minted


def _failed(house: House, lease: Lease, code: str) -> None:
    def work(session: Session) -> None:
        now, detail = house.clock(), {"code": code}
        leases.close(session, lease.id, "failed", now)
        usage.give_back(session, lease.id)
        audit.append(session, kind="token.failed", actor=f"client:{lease.client}", subject=lease.id, at=now, detail=detail)

    house.database.write(work)


def _keeper_refused(house: House, case: Case, error: KeeperError) -> NotGiven | KeeperError:
    page = f"{house.settings.public_url}/connections/new?connection={case.found.connection.id}"
    if isinstance(error, NeedsConsent):
        return NotGiven(error.hint, code="interaction_required", url=page)
    if isinstance(error, ScopeRefused):
        return NotGiven(error.hint, code="invalid_scope")
    if isinstance(error, NotKnown | Disconnected):
        return NotGiven("There is no such account.", code="invalid_target")
    return error


def _hold(house: House, case: Case) -> Admitted:
    """Judge it once more in the transaction that stores it, with what the client polls it with: so it counts from the moment
    in which it was judged. The same request, held meanwhile, is found."""
    key, cap = for_holding(house), house.settings.broker.cap
    names = requests.naming(house.door).current(house.clock())

    def store(session: Session, verdict: Hold, used: Used) -> Held:
        planned, now = draft(case, used, cap), house.clock()
        held = holding.hold(session, draft=planned, verdict=verdict, sealer=key, settings=house.settings.approvals, now=now,
                            evaluation=house.settings.evaluation)
        requests.open_(session, held.action_id, planned.server["name"], names, now)
        return held

    def work(session: Session) -> Admitted:
        usage.one_at_a_time(session, case.found.subject.person)
        found = same(session, _key(case), house.clock(), house.settings.approvals)
        return _admit(session, house, case, store) if found is None else Held(found.action_id, False, found)

    try:
        return house.database.write(work)
    except LimitReached as error:
        raise NotGiven(error.hint, code="access_denied") from error
