"""The promises, for tokens that wait for people: decided before done, once, and by nobody who asked; each by an attack."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from tests import token_parts
from tests.app_parts import Browser, People
from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL
from tests.scripted_provider import error as fails
from tests.scripted_provider import hang_up
from tests.token_parts import permit
from tests.webapp.approvals.parts import action, decide, forge, reject, with_passkey
from tests.webapp.exchange.conftest import SCOPES, Scene
from vault.door import Answer, SessionProof
from vault.errors import MayNotDecide, NotApproved
from vault.evidence import Statement
from webapp.approvals import execution, handing_over, requests
from webapp.approvals.giving import Tokens
from webapp.approvals.jobs import expire, sweep
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action, TokenRequest
from webapp.broker.jobs import end_lease
from webapp.broker.leases import END
from webapp.broker.tables import Lease
from webapp.canonical import canonical
from webapp.clients import status, token_clients
from webapp.clients.tables import TokenClient
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.oauth import grants
from webapp.oauth.tables import Grant
from webapp.web.viewer import viewer

pytestmark = pytest.mark.both

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def note(text: str) -> str:
    return json.dumps([{"type": "tool_call", "tool": "create_note", "arguments": {"text": text}}])


def answered(scene: Scene, request: str, error: str) -> dict[str, Any]:
    scene.house.clock.forward(seconds=61)  # type: ignore[attr-defined]
    answer = scene.desk.poll(request)
    assert (answer.status_code, answer.json["error"]) == (400, error), answer.text
    return dict(answer.json)


def minted(scene: Scene) -> int:
    return len(scene.provider.refreshes)


@SQLITE
def test_a_writer_of_the_database_approves_nothing(scene: Scene) -> None:
    request, action_id = scene.held()
    forge(scene.house, action_id, state="approved", run_by=action(scene.house, action_id).expires_at)
    answered(scene, request, "access_denied")
    assert action(scene.house, action_id).state == "void"
    assert minted(scene) == 0


@SQLITE
@pytest.mark.parametrize("bound", ["request alone", "request and action"])
def test_an_approval_is_of_no_use_to_another_client(scene: Scene, app: Flask, bound: str) -> None:
    """Neither by replaying the auth_req_id, nor by a database that says it is theirs."""
    thief = token_parts.desk(scene.house, app, name="Thief", resource="https://thief.example/mcp", scopes=SCOPES)
    token_parts.allow(scene.house, thief, scene.ada.person, scene.account, scopes=SCOPES)
    request, action_id = scene.approved()
    assert thief.poll(request).json["error"] == "invalid_grant"
    scene.house.database.write(lambda s: s.execute(update(TokenRequest).values(client=thief.id)))
    if bound == "request and action":
        forge(scene.house, action_id, server=thief.id)
    scene.house.clock.forward(seconds=6)  # type: ignore[attr-defined]
    assert thief.poll(request).json["error"] == "invalid_grant"
    assert minted(scene) == 0


@SQLITE
@pytest.mark.parametrize("changed", [
    {"scope": "notes:write accounts:read"}, {"scope": "payees:read notes:write"}, {"authorization_details": note("Another")},
])
def test_what_was_approved_does_not_answer_what_was_changed(scene: Scene, changed: dict[str, str]) -> None:
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "harbour", SCOPES, ("create_note",)))
    asked = {"scope": "notes:write", "authorization_details": note("Hello")}
    _request, first = scene.approved(**asked)
    other = scene.desk.exchange(scene.subject, **{**asked, **changed})
    assert other.json["error"] == "authorization_pending"
    assert other.json["error_uri"].rpartition("/")[2] != first
    assert minted(scene) == 0


@SQLITE
def test_the_envelope_decides_and_not_the_row(scene: Scene) -> None:
    """Attack: scopes and tool of the waiting action are changed in the database after the approval."""
    request, action_id = scene.approved()
    forge(scene.house, action_id, tool="payments", cls="read", digest="00" * 32)
    answer = scene.desk.poll(request)
    assert "access_token" not in (answer.json or {})
    assert answer.status_code >= 400
    assert minted(scene) == 0


@SQLITE
def test_the_keeper_itself_refuses_another_receiver_or_other_scopes(scene: Scene, app: Flask) -> None:
    """As if the web process had been taken over: the envelope, its statements, and another use."""
    _request, action_id = scene.approved()
    opened = open_(scene.house, action_id)
    decided = handing_over.Evidence(opened.document.raw, opened.verified.statements)
    for receiver, scopes in (("cli_thief", ["notes:write"]), (scene.desk.id, ["payments:send"])):
        with pytest.raises(NotApproved):
            scene.house.door.mint(
                connection=scene.account, person=scene.ada.person, scopes=scopes, receiver=receiver, cap=60, exclusive=True,
                evidence=decided,
            )
    assert minted(scene) == 0


@SQLITE
def test_who_asked_does_not_approve(scene: Scene, signed_in: People) -> None:
    """Ada is of finance herself: her own agent asked, it is her account."""
    ada = signed_in("ada", groups=["finance"], browser=scene.ada)
    request, action_id = scene.held(scope="payments:send")
    decide(ada, scene.key, action_id)
    assert action(scene.house, action_id).state == "held"
    assert "cannot approve it" in ada.get(f"/actions/{action_id}").text
    assert ada.send(f"/actions/{action_id}/decide", shown=action(scene.house, action_id).digest, code="123456").status_code >= 400
    answered(scene, request, "authorization_pending")


def proof_of(browser: Browser) -> SessionProof:
    """What the web process could use in this person's name while they look at a page."""
    with browser:
        assert browser.get("/you").status_code == 200
        return viewer().proof


def signs(scene: Scene, browser: Browser, key: Passkey, envelope: bytes) -> Statement:
    door, proof = scene.house.door, proof_of(browser)
    asked = door.decision_challenge(proof=proof, envelope=envelope, verdict="approve")
    assert asked.options is not None
    answer = Answer(sealed=asked.sealed, assertion=key.get(asked.options, origin=PUBLIC_URL))
    return door.decide(proof=proof, envelope=envelope, verdict="approve", answer=answer)


def owned_by(scene: Scene, person: str) -> None:
    house = scene.house
    house.database.write(lambda s: token_clients.own(s, scene.desk.id, person, actor="test", now=house.clock()))


@SQLITE
def test_whose_server_asks_does_not_approve(scene: Scene, signed_in: People) -> None:
    """Attack: an operator of finance registers a server, has it ask for a payment in Ada's name, and approves it. Neither the
    page nor the keeper takes their word, nor after they wrote to the database; another one's is enough."""
    bob, carl = signed_in("bob", groups=["finance"]), signed_in("carl", groups=["finance"])
    keys = {one.person: with_passkey(one) for one in (bob, carl)}
    owned_by(scene, bob.person)
    request, action_id = scene.held(scope="payments:send")
    decide(scene.ada, scene.key, action_id)
    assert f"/actions/{action_id}" not in bob.get("/actions").text
    assert f"/actions/{action_id}" in carl.get("/actions").text
    for _ in range(2):
        page = bob.get(f"/actions/{action_id}").text
        assert "the server that asks is yours" in page
        assert "You run it, and cannot approve this." in page
        assert "data-passkey" not in page
        refused = bob.send(f"/actions/{action_id}/decide", shown=action(scene.house, action_id).digest, code="123456")
        assert refused.status_code == 403, refused.text
        forge(scene.house, action_id, server_owner="")
    with pytest.raises(MayNotDecide):
        signs(scene, bob, keys[bob.person], open_(scene.house, action_id).document.raw)
    assert decide(carl, keys[carl.person], action_id).status_code == 303
    scene.house.clock.forward(seconds=6)
    given = scene.desk.poll(request)
    assert given.status_code == 200, given.text


@SQLITE
def test_the_word_of_whose_server_it_is_does_not_count_even_if_it_was_signed(scene: Scene, signed_in: People) -> None:
    """Attack: who took over the web process has the owner sign a copy of the document in which the owner is not named."""
    bob = signed_in("bob", groups=["finance"])
    key = with_passkey(bob)
    owned_by(scene, bob.person)
    request, action_id = scene.held(scope="payments:send")
    decide(scene.ada, scene.key, action_id)
    opened = open_(scene.house, action_id)
    copy = json.loads(opened.document.raw)
    assert copy["server"].pop("owner") == bob.person
    theirs = signs(scene, bob, key, canonical(copy))
    for raw in (opened.document.raw, canonical(copy)):
        with pytest.raises(NotApproved):
            scene.house.door.mint(
                connection=scene.account, person=scene.ada.person, scopes=["payments:send"], receiver=scene.desk.id, cap=60,
                exclusive=True, evidence=handing_over.Evidence(raw, (*opened.verified.statements, theirs)),
            )
    assert minted(scene) == 0
    answered(scene, request, "authorization_pending")


@SQLITE
def test_a_held_request_is_void_when_its_server_gets_another_owner(scene: Scene, signed_in: People) -> None:
    """Attack: it was asked while nobody was named; or somebody else is named, for the owner to approve after all."""
    bob = signed_in("bob", groups=["finance"])
    request, _ = scene.approved()
    owned_by(scene, bob.person)
    answered(scene, request, "access_denied")


@SQLITE
def test_a_rejection_reaches_the_server_with_its_reason_and_stands(scene: Scene) -> None:
    request, action_id = scene.held()
    reject(scene.ada, action_id, "Not “this” one, später.")
    told = answered(scene, request, "access_denied")
    assert "Not 'this' one, spater." in told["error_description"]
    again = scene.desk.exchange(scene.subject, scope="notes:write")
    assert again.json["error"] in ("slow_down", "access_denied")
    scene.house.clock.forward(seconds=61)  # type: ignore[attr-defined]
    assert scene.desk.exchange(scene.subject, scope="notes:write").json["error"] == "access_denied"


def test_two_polls_at_once_get_one_token(scene: Scene) -> None:
    request, action_id = scene.approved()
    answers: list[Any] = []
    start = threading.Barrier(2)
    proofs = [scene.desk.proof(), scene.desk.proof()]

    def poll(proof: dict[str, str]) -> None:
        start.wait()
        answers.append(scene.desk.poll(request, **proof))

    threads = [threading.Thread(target=poll, args=(proof,)) for proof in proofs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 400], [answer.text for answer in answers]
    assert minted(scene) == 1
    assert action(scene.house, action_id).state == "done"


def test_two_requests_at_once_are_one_action(scene: Scene) -> None:
    answers: list[Any] = []
    start = threading.Barrier(2)

    def ask(proof: dict[str, str]) -> None:
        start.wait()
        answers.append(scene.desk.exchange(scene.subject, scope="notes:write", **proof))

    threads = [threading.Thread(target=ask, args=(proof,)) for proof in (scene.desk.proof(), scene.desk.proof())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.json["error"] for answer in answers} <= {"authorization_pending", "slow_down"}
    assert len({answer.json["auth_req_id"] for answer in answers}) == 1
    with scene.house.database.read() as session:
        assert len(session.scalars(select(Action.id)).all()) == 1


@SQLITE
def test_a_process_that_dies_with_the_token_leaves_it_uncertain_and_never_makes_another(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the keeper's answer and the end: nothing after the mint is written, as after a power cut."""
    request, action_id = scene.approved()

    class PowerCut(BaseException):
        pass

    def dies(*_args: Any, **_kwargs: Any) -> None:
        raise PowerCut

    with monkeypatch.context() as cut:
        cut.setattr(handing_over, "_settle", dies)
        with pytest.raises(PowerCut):
            scene.desk.poll(request)
    assert (action(scene.house, action_id).state, minted(scene)) == ("executing", 1)
    answered(scene, request, "authorization_pending")
    assert sweep(scene.house, Due(kind="approvals.sweep", key=action_id, payload={})) is None
    told = answered(scene, request, "access_denied")
    assert "may have been handed out" in told["error_description"]
    scene.house.clock.forward(seconds=61)  # type: ignore[attr-defined]
    assert scene.desk.exchange(scene.subject, scope="notes:write").json["error"] == "access_denied"
    assert minted(scene) == 1
    page = scene.ada.get(f"/actions/{action_id}").text
    assert "may have reached the server" in page
    forge(scene.house, action_id, state="approved", run=None)
    answered(scene, request, "access_denied")
    assert minted(scene) == 1


@SQLITE
def test_its_orphaned_token_is_ended_at_the_provider_when_its_time_is_over(
    scene: Scene
) -> None:
    request, _action_id = scene.approved()
    given = scene.desk.poll(request).json
    with scene.house.database.read() as session:
        due = session.scalars(select(Due).where(Due.kind == END, Due.key == given["lease_id"])).one()
    assert end_lease(scene.house, due) is None
    assert [one["token"] for one in scene.provider.revoked] == [given["access_token"]]
    with scene.house.database.read() as session:
        lease = session.get_one(Lease, given["lease_id"])
        assert (lease.state, lease.outcome, lease.exclusive) == ("ended", "expired", True)


@SQLITE
def test_a_token_given_back_is_ended_at_once_and_not_before(scene: Scene) -> None:
    """Settling an action ends an exclusive lease where the call ran here; here the call only begins with it."""
    request, _action_id = scene.approved()
    given = scene.desk.poll(request).json
    assert scene.provider.revoked == []
    assert scene.desk.introspect(given["lease_id"])["active"]
    assert scene.desk.revoke(given["lease_id"]).status_code == 200
    with scene.house.database.read() as session:
        due = session.scalars(select(Due).where(Due.kind == END, Due.key == given["lease_id"])).one()
    end_lease(scene.house, due)
    assert [one["token"] for one in scene.provider.revoked] == [given["access_token"]]


@SQLITE
@pytest.mark.parametrize("fault", [fails(503), hang_up])
def test_a_mint_that_failed_is_told_so_and_gives_nothing_later(scene: Scene, fault: Any) -> None:
    request, action_id = scene.approved()
    scene.provider.before += [fault] * 6
    answer = scene.desk.poll(request)
    assert answer.status_code == 400, answer.text
    assert answer.json["error"] == "access_denied"
    assert action(scene.house, action_id).state == "failed"
    scene.provider.before.clear()
    answered(scene, request, "access_denied")


@SQLITE
@pytest.mark.parametrize("drift", ["consent", "registration", "client", "agent", "account", "resource"])
def test_what_an_approval_rested_on_is_looked_at_again(scene: Scene, drift: str) -> None:
    request, action_id = scene.approved()
    house, now = scene.house, scene.house.clock()
    if drift == "consent":
        scene.ada.send(f"/connections/consents/{scene.consent}/withdraw")
    elif drift == "registration":
        house.database.write(lambda s: permit(s, scene.desk.id, "harbour", (*SCOPES, "admin")))
    elif drift == "client":
        house.database.write(lambda s: status.change(s, scene.desk.id, "unvouch", actor="cli", now=now))
        house.database.write(lambda s: s.execute(update(TokenClient).values(resource="https://moved.example/mcp")))
    elif drift == "agent":
        with house.database.read() as session:
            grant = session.scalars(select(Grant.id)).one()
        house.database.write(lambda s: grants.revoke(s, grant, "system", "test", now))
    elif drift == "account":
        scene.ada.send(f"/connections/{scene.account}/pause")
    else:
        house.database.write(lambda s: permit(s, scene.desk.id, "harbour", SCOPES, (), ("only-this",)))
    answered(scene, request, "access_denied")
    assert action(house, action_id).state == "void"
    assert minted(scene) == 0


@SQLITE
def test_what_nobody_decided_or_fetched_lapses(scene: Scene) -> None:
    request, action_id = scene.held()
    scene.house.clock.forward(hours=5)  # type: ignore[attr-defined]
    assert expire(scene.house, Due(kind="approvals.expire", key=action_id, payload={})) is None
    answered(scene, request, "expired_token")
    fresh = token_parts.agents_token(scene.house, scene.ada.person, scene.desk.resource)
    again = scene.desk.exchange(fresh, scope="notes:write")
    assert again.json["error"] == "authorization_pending"
    assert again.json["error_uri"].rpartition("/")[2] != action_id


@SQLITE
def test_an_approval_that_nobody_fetched_lapses(scene: Scene) -> None:
    request, action_id = scene.approved()
    scene.house.clock.forward(minutes=16)  # type: ignore[attr-defined]
    assert scene.desk.poll(request).json["error"] == "expired_token"
    assert action(scene.house, action_id).state == "expired"
    assert minted(scene) == 0


@SQLITE
def test_the_gateways_way_of_running_does_not_run_it(scene: Scene, app: Flask) -> None:
    """Attack: the row says that the worker runs it, so that the approval is spent and nobody gets the token."""
    _request, action_id = scene.approved()
    handed = app.extensions["approvals"]
    with pytest.raises(Conflict):
        execution.run(scene.house, action_id, handed.executor, handed.recheck)
    assert action(scene.house, action_id).state == "approved"


@SQLITE
def test_polling_too_fast_slows_down_in_every_process(scene: Scene) -> None:
    request, _action_id = scene.held()
    intervals = [scene.desk.poll(request).json["interval"] for _ in range(3)]
    assert intervals == [10, 15, 20]
    with scene.house.database.read() as session:
        assert session.scalars(select(TokenRequest.interval)).one() == 20
    assert isinstance(scene.desk.app.extensions["broker"], Tokens)


@SQLITE
def test_what_a_request_is_polled_by_is_not_in_the_database(scene: Scene) -> None:
    """Who reads the database cannot poll, not even with the client's key; who polls gets back what they polled with."""
    request, action_id = scene.held()
    with scene.house.database.read() as session:
        row = session.get_one(TokenRequest, action_id)
        assert row.hash == hashlib.sha256(request.encode()).digest()
        stored = [str(value) for value in session.execute(select(*TokenRequest.__table__.columns)).one()]
    assert not any(request in value or request.removeprefix("car_") in value for value in stored)
    for guess in (row.hash.hex(), action_id, f"car_{row.hash.hex()[:43]}"):
        assert scene.desk.poll(guess).json["error"] == "invalid_grant"
    scene.house.clock.forward(seconds=6)
    assert scene.desk.poll(request).json["auth_req_id"] == request
    assert re.fullmatch(r"car_[A-Za-z0-9_-]{43}", request)


@SQLITE
def test_the_same_request_again_finds_the_same_action_and_gets_the_token(scene: Scene) -> None:
    _request, action_id = scene.approved()
    given = scene.desk.exchange(scene.subject, scope="notes:write")
    assert given.status_code == 200, given.text
    assert action(scene.house, action_id).state == "done"
    after = scene.desk.exchange(scene.subject, scope="notes:write").json
    assert after["error"] == "authorization_pending"
    assert after["error_uri"].rpartition("/")[2] != action_id


@SQLITE
def test_own_use_is_held_in_its_owners_name(scene: Scene) -> None:
    token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=SCOPES, kind="service")
    asked = scene.desk.own(scope="notes:write").json
    assert asked["error"] == "authorization_pending"
    action_id = asked["error_uri"].rpartition("/")[2]
    assert "asking by itself" in scene.ada.get(f"/actions/{action_id}").text
    decide(scene.ada, scene.key, action_id)
    scene.house.clock.forward(seconds=6)  # type: ignore[attr-defined]
    given = scene.desk.poll(asked["auth_req_id"])
    assert given.status_code == 200, given.text
    with scene.house.database.read() as session:
        lease = session.get_one(Lease, given.json["lease_id"])
    assert (lease.client, lease.server, lease.actors, lease.action) == (scene.desk.id, scene.desk.id, [scene.desk.id], action_id)


@SQLITE
def test_a_bank_that_cannot_narrow_is_held_for_all_that_its_token_can_do(scene: Scene) -> None:
    """A token asked for reading that could pay is judged as one that pays."""
    token_parts.account(scene.house, scene.provider, scene.ada.person, scopes=("accounts:read", "payments:send"), entry="wide")
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "wide", ("accounts:read",)))
    with scene.house.database.read() as session:
        wide = session.scalars(select(Connection.id).where(Connection.provider == "wide")).one()
    token_parts.allow(scene.house, scene.desk, scene.ada.person, wide, scopes=("accounts:read",))
    answer = scene.desk.exchange(scene.subject, audience="wide")
    assert answer.json["error"] == "authorization_pending"
    page = scene.ada.get("/actions/" + answer.json["error_uri"].rpartition("/")[2]).text
    assert "Moves money" in page
    assert "cannot make a token that does less" in page


@SQLITE
def test_what_is_over_is_cleaned_up_and_told_still(scene: Scene) -> None:
    request, action_id = scene.held()
    scene.house.clock.forward(hours=5)  # type: ignore[attr-defined]
    expire(scene.house, Due(kind="approvals.expire", key=action_id, payload={}))
    with scene.house.database.read() as session:
        due = session.scalars(select(Due).where(Due.kind == requests.CLEAN)).one()
    assert requests.clean(scene.house, due) is None
    assert scene.desk.poll(request).json["error"] == "invalid_grant"
    fresh = token_parts.agents_token(scene.house, scene.ada.person, scene.desk.resource)
    told = scene.desk.exchange(fresh, scope="notes:write").json["error"]
    assert told in ("expired_token", "authorization_pending")


@SQLITE
def test_a_lease_is_planned_before_the_token_and_names_everyone(scene: Scene) -> None:
    request, action_id = scene.approved()
    scene.desk.poll(request)
    with scene.house.database.read() as session:
        lease = session.scalars(select(Lease).where(Lease.action == action_id)).one()
        agent = session.scalars(select(Grant.client)).one()
    assert (lease.consent, lease.actors, lease.exclusive) == (scene.consent, [scene.desk.id, agent], True)
