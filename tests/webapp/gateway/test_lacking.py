"""A call for which no account serves: its person is led to the page that mends just that, and the call goes on when they did."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest

from tests.webapp.gateway.conftest import CLASSES, Agent, World
from tests.webapp.gateway.peers import Peer
from webapp.canonical import canonical
from webapp.connections import states
from webapp.connections.tables import Connection
from webapp.gateway.holding import INPUT as DECISION
from webapp.gateway.lacking import INPUT
from webapp.gateway.request_state import Bound
from webapp.registry.rules import Approval

pytestmark = [pytest.mark.real, pytest.mark.both]

LINKS = {"elicitation": {"url": {}}}
NEEDS = Approval("destroy", {"recipient": {"pointer": "/what", "kind": "text"}}, provider="harbour", scopes=("payments:send",))


@pytest.fixture
def needing(world: World, peer: Peer) -> World:
    """`destroy_all` needs an account that may send payments; policy holds it then."""
    world.put(peer.url, {**CLASSES, "destroy_all": NEEDS})
    return world


def account(world: World, person: str, *scopes: str, status: str = "active", connection: str = "con_ada") -> None:
    """As a finished connect leaves it, or a wider consent."""
    now = world.house.clock()

    def write(session: Any) -> None:
        row = session.get(Connection, connection)
        if row is None:
            row = Connection(
                id=connection, person=person, provider="harbour", account="acc-1", label="Current", created_at=now,
                preferred=True,
            )
            session.add(row)
        row.scopes, row.status, row.connected_at = list(scopes), status, now
        session.flush()
        states.told(session, connection)

    world.house.database.write(write)


def pay(agent: Agent, **params: Any) -> Any:
    return agent.call("destroy_all", {"what": "invoice 7"}, params=params)


def again(agent: Agent, asked: dict[str, Any], action: str = "accept") -> Any:
    answers = {INPUT: {"action": action}} if "inputRequests" in asked else {}
    return pay(agent, requestState=asked["requestState"], inputResponses=answers)


def _bound(world: World, agent: Agent) -> Bound:
    digest = hashlib.sha256(canonical({"name": "destroy_all", "arguments": {"what": "invoice 7"}})).hexdigest()
    return Bound(agent.person, agent.grant, "peer", "tools/call", digest)


def link(asked: dict[str, Any]) -> dict[str, Any]:
    assert asked["resultType"] == "input_required", asked
    params: dict[str, Any] = asked["inputRequests"][INPUT]["params"]
    assert params["mode"] == "url"
    return params


def test_a_client_that_can_show_a_link_is_asked_to_and_the_call_goes_on(needing: World) -> None:
    """Through the missing account, the missing scope, and on to the decision: one call, each time the very next step."""
    ada = needing.agent("ada", **LINKS)
    first = pay(ada).result
    url = needing.house.settings.public_url
    assert link(first)["url"] == f"{url}/connections/new?provider=harbour&add=payments%3Asend"
    assert "No Harbour Bank account is connected" in link(first)["message"]
    account(needing, ada.person, "accounts:read")
    waits = again(ada, first).result  # the link was opened; what was agreed to is not enough yet
    assert waits["resultType"] == "input_required"
    assert "inputRequests" not in waits
    account(needing, ada.person, "accounts:read", "payments:send")
    held = again(ada, waits).result
    assert held["resultType"] == "input_required"
    assert len(needing.entries("action.held")) == 1
    assert len(needing.entries("call.refused")) == 1
    assert DECISION in held["inputRequests"]
    assert needing.room.states.open(held["requestState"], _bound(needing, ada), needing.house.clock()).round == 3  # clients count


def test_the_scope_that_is_missing_is_all_that_is_asked_for(needing: World) -> None:
    ada = needing.agent("ada", **LINKS)
    account(needing, ada.person, "accounts:read")
    asked = link(pay(ada).result)
    assert asked["url"].endswith("/connections/new?connection=con_ada&add=payments%3Asend")
    assert "does not allow this yet" in asked["message"]


def test_a_waiting_leg_is_woken_by_the_account(needing: World) -> None:
    """It does not wait for its end: the person came back."""
    needing.house.settings.gateway.wait_leg = 60
    needing.house.settings.gateway.ping_every = 60
    ada = needing.agent("ada", **LINKS)
    asked, found = pay(ada).result, list[Any]()
    thread = threading.Thread(target=lambda: found.append(again(ada, asked)))
    thread.start()
    needing.until(lambda: needing.room.places._taken[ada.person] == 1)
    needing.house.settings.gateway.wait_leg = 0.3  # of the decision that it waits for next
    account(needing, ada.person, "payments:send")
    thread.join(45)
    assert found, "the leg was not woken"
    assert needing.entries("action.held")


def test_who_declines_is_not_kept_waiting(needing: World) -> None:
    ada = needing.agent("ada", **LINKS)
    done = again(ada, pay(ada).result, "decline")
    assert done.result["isError"]
    assert "/connections/new?provider=harbour" in done.text


def test_the_waiting_ends_at_the_ninth_round(needing: World) -> None:
    needing.house.settings.gateway.wait_leg = 0
    ada = needing.agent("ada", **LINKS)
    asked, rounds = pay(ada).result, 1
    while asked.get("resultType") == "input_required":
        asked, rounds = again(ada, asked).result, rounds + 1
    assert rounds == needing.house.settings.gateway.rounds
    assert asked["isError"]
    assert "Call again with identical arguments" in asked["content"][0]["text"]


def test_a_client_that_cannot_show_a_link_gets_it_in_words(needing: World) -> None:
    done = pay(needing.agent("ada"))
    assert done.result["isError"]
    assert f"{needing.house.settings.public_url}/connections/new?provider=harbour&add=payments%3Asend" in done.text
    ada = needing.agent("ada")
    ada.initialize()
    legacy = ada.legacy("tools/call", {"name": "destroy_all", "arguments": {"what": "invoice 7"}})
    assert "/connections/new?provider=harbour" in legacy.text


def test_a_named_legacy_client_gets_the_link_as_it_knows_it(needing: World) -> None:
    ada = needing.agent("ada")
    needing.house.settings.gateway.url_elicitation_required = (ada.client,)  # type: ignore[assignment]
    ada.initialize(capabilities={"elicitation": {"url": {}}})
    error = ada.legacy("tools/call", {"name": "destroy_all", "arguments": {"what": "invoice 7"}}).error
    assert error["code"] == -32042
    assert "/connections/new?provider=harbour" in error["data"]["elicitations"][0]["url"]


def test_a_paused_account_is_said_to_be_paused_and_its_resuming_lets_the_call_go_on(needing: World) -> None:
    ada = needing.agent("ada", **LINKS)
    account(needing, ada.person, "payments:send", status="paused")
    asked = pay(ada).result
    assert link(asked)["url"].endswith("/connections/con_ada")
    assert "Harbour Bank account is paused by its owner" in link(asked)["message"]
    account(needing, ada.person, "payments:send")
    assert again(ada, asked).result["resultType"] == "input_required"
    assert needing.entries("action.held")


def test_a_state_of_this_waiting_is_good_for_this_call_alone(needing: World) -> None:
    ada, bob = needing.agent("ada", **LINKS), needing.agent("bob", **LINKS)
    state = pay(ada).result["requestState"]
    assert pay(bob, requestState=state).error["code"] == -32602
    assert ada.call("destroy_all", {"what": "another"}, params={"requestState": state}).error["code"] == -32602


def test_a_waiting_call_takes_a_place_and_gives_it_back(needing: World) -> None:
    needing.house.settings.gateway.wait_leg = 0
    ada = needing.agent("ada", **LINKS)
    asked = pay(ada).result
    for _ in range(needing.house.settings.gateway.waiting_per_person + 2):
        assert again(ada, asked).result["resultType"] == "input_required"
    assert needing.room.places._taken[ada.person] == 0
