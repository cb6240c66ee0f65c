"""From an agent's token to the token of its person's account: at once for reading, after a person's word for money."""

from __future__ import annotations

from tests.app_parts import People
from tests.webapp.approvals.parts import action, decide, with_passkey
from tests.webapp.exchange.conftest import Scene
from webapp.oauth import rfc8693


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
