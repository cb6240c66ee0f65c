"""From an agent's token to the token of its person's account: at once for reading, after a person's word for money."""

from __future__ import annotations

import threading

import pytest
from werkzeug.test import TestResponse

from tests.app_parts import People
from tests.keeper_parts import PUBLIC_URL
from tests.token_parts import account, agents_token, allow
from tests.webapp.approvals.parts import action, decide, with_passkey
from tests.webapp.exchange.conftest import SCOPES, Scene
from webapp.broker.tables import Lease
from webapp.oauth import rfc8693

pytestmark = pytest.mark.both


def test_an_agents_token_becomes_a_narrow_short_token_of_the_account(scene: Scene) -> None:
    answer = scene.desk.exchange(scene.subject)
    assert answer.status_code == 200, answer.text
    body = answer.json
    assert body["issued_token_type"] == rfc8693.ACCESS_TOKEN
    assert (body["token_type"], body["scope"]) == ("Bearer", "accounts:read")
    assert 0 < body["expires_in"] <= 300
    assert body["lease_id"].startswith("lea_")
    assert body["access_token"].startswith("access-secret-")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "refresh_token" not in body


def test_what_changes_something_waits_for_its_owner_and_then_gives_one_token(scene: Scene) -> None:
    request, action_id = scene.held()
    assert decide(scene.ada, scene.key, action_id).status_code == 303
    early = scene.desk.poll(request).json
    assert (early["error"], early["interval"], early["auth_req_id"]) == ("slow_down", 10, request)
    scene.house.clock.forward(seconds=10)
    given = scene.desk.poll(request)
    assert given.status_code == 200, given.text
    assert given.json["scope"] == "notes:write"
    assert action(scene.house, action_id).state == "done"
    scene.house.clock.forward(seconds=10)
    assert scene.desk.poll(request).json["error"] == "invalid_grant"


def test_money_needs_its_owner_and_finance_since_nobody_here_sees_the_amount(scene: Scene, signed_in: People) -> None:
    bob = signed_in("bob", groups=["finance"])
    bobs = with_passkey(bob)
    request, action_id = scene.held(scope="payments:send")
    decide(scene.ada, scene.key, action_id)
    assert action(scene.house, action_id).state == "held"
    decide(bob, bobs, action_id)
    scene.house.clock.forward(seconds=6)
    given = scene.desk.poll(request)
    assert given.status_code == 200, given.text
    assert given.json["scope"] == "payments:send"


def test_a_persons_own_session_with_the_server_is_a_subject_with_one_actor(scene: Scene) -> None:
    """The token client ran the code flow itself, for its own resource: nobody stands between it and the person."""
    session = agents_token(scene.house, scene.ada.person, scene.desk.resource, client=scene.desk.id)
    answer = scene.desk.exchange(session)
    assert answer.status_code == 200, answer.text
    assert scene.desk.introspect(answer.json["lease_id"])["act"] == {"sub": scene.desk.id}


def test_two_exchanges_at_once_both_get_the_shared_token_and_a_lease_of_their_own(scene: Scene) -> None:
    answers: list[TestResponse] = []
    start = threading.Barrier(2)

    def ask(proof: dict[str, str]) -> None:
        start.wait()
        answers.append(scene.desk.exchange(scene.subject, **proof))

    threads = [threading.Thread(target=ask, args=(proof,)) for proof in (scene.desk.proof(), scene.desk.proof())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
    assert len({answer.json["access_token"] for answer in answers}) == 1
    assert len({answer.json["lease_id"] for answer in answers}) == 2
    assert len(scene.provider.refreshes) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_default_account_is_used_where_it_was_allowed_and_is_never_stepped_around(scene: Scene) -> None:
    """The second account was allowed later, and allows more: the person's own default still counts."""
    house, desk, person = scene.house, scene.desk, scene.ada.person
    second = account(house, scene.provider, person, scopes=SCOPES)
    house.clock.forward(seconds=1)
    allow(house, desk, person, second, scopes=SCOPES)
    prefer(scene, scene.account)
    assert used(scene) == scene.account
    allow(house, desk, person, scene.account, scopes=("payees:read",))
    refused = desk.exchange(scene.subject)
    assert refused.json["error"] == "interaction_required", refused.text
    assert scene.account in refused.json["error_uri"]
    prefer(scene, second)
    assert used(scene) == second
    third = account(house, scene.provider, person, scopes=SCOPES)
    prefer(scene, third)
    house.clock.forward(seconds=1)
    allow(house, desk, person, scene.account, scopes=SCOPES)
    assert used(scene) == scene.account, "the default was not allowed: then it is the one that was allowed last"


def prefer(scene: Scene, connection: str) -> None:
    assert scene.ada.send(f"/connections/{connection}/default").status_code == 303


def used(scene: Scene, **asked: str) -> str:
    answer = scene.desk.exchange(scene.subject, **asked)
    assert answer.status_code == 200, answer.text
    with scene.house.database.read() as session:
        return session.get_one(Lease, answer.json["lease_id"]).connection


def test_the_account_that_was_allowed_last_is_used_where_only_the_provider_is_named(scene: Scene) -> None:
    second = account(scene.house, scene.provider, scene.ada.person, scopes=SCOPES)
    scene.house.clock.forward(seconds=1)
    allow(scene.house, scene.desk, scene.ada.person, second, scopes=SCOPES)
    for asked, expected in (
        ({}, second), ({"resource": f"{PUBLIC_URL}/connections/{scene.account}"}, scene.account),
        ({"audience": None, "resource": f"{PUBLIC_URL}/connections/{second}"}, second),
    ):
        lease = scene.desk.exchange(scene.subject, **asked).json["lease_id"]
        with scene.house.database.read() as session:
            assert session.get_one(Lease, lease).connection == expected
