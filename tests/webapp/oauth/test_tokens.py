"""Codes and tokens: given once, to whom they belong, for one resource, until they are taken back. On both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from tests.webapp.oauth.conftest import PUBLIC_URL, RESOURCE, VERIFIER, Agent
from webapp.audit.tables import Entry
from webapp.clients import status
from webapp.db.direct import Direct, Made
from webapp.oauth import grants
from webapp.oauth.jobs import clean
from webapp.oauth.tables import AccessToken, AuthorizationCode, Grant, RefreshToken
from webapp.oauth.tokens import InvalidToken

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what has no more to do with the database than anything else."""
SHOP = f"{PUBLIC_URL}/mcp/shop"


def refused(agent: Agent, answer: Any, error: str, code: int = 400) -> None:
    assert (answer.status_code, answer.json["error"]) == (code, error), answer.text
    assert "access_token" not in answer.text


def dead(agent: Agent, given: dict[str, Any]) -> None:
    """Neither token of this answer is of any use."""
    with pytest.raises(InvalidToken) as caught:
        agent.call(given["access_token"])
    assert caught.value.code == "invalid_token"
    assert agent.refresh(given["refresh_token"]).json["error"] == "invalid_grant"


def test_a_code_gives_a_short_token_for_this_person_this_agent_and_this_resource(agent: Agent) -> None:
    given = agent.connected()
    assert given.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (given["token_type"], given["expires_in"], given["scope"]) == ("Bearer", 600, "mcp")
    assert given["access_token"].startswith("csa_")
    assert given["refresh_token"].startswith("csr_")
    caller = agent.call(given["access_token"])
    assert (caller.person, caller.person_name) == (agent.person, "Alice")
    assert (caller.client, caller.client_name) == (agent.id, "Ledger Desk")
    assert (caller.client_verified, caller.resource, caller.scopes) == (False, RESOURCE, ("mcp",))
    agent.house.clock.forward(seconds=601)  # type: ignore[attr-defined]
    with pytest.raises(InvalidToken, match="expired"):
        agent.call(given["access_token"])


@ON_SQLITE
def test_a_token_is_checked_in_one_read(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    given = agent.connected()
    seen: list[Made] = []
    run = Direct.rows
    monkeypatch.setattr(Direct, "rows", lambda on, made, asked: seen.append(made) or run(on, made, asked))
    agent.call(given["access_token"])
    assert len(seen) == 1


@ON_SQLITE
def test_a_token_for_one_server_is_refused_at_another(agent: Agent) -> None:
    given = agent.connected()
    with pytest.raises(InvalidToken, match="another server"):
        agent.call(given["access_token"], SHOP)
    refused(agent, agent.refresh(given["refresh_token"], resource=SHOP), "invalid_target")
    assert agent.call(given["access_token"]).resource == RESOURCE


@pytest.mark.parametrize("raw", [
    "", "csa_", "csa_" + "a" * 43, "Bearer csa_" + "a" * 43, "csa_" + "é" * 43, "x" * 5000, "csa_" + "a" * 43 + "\n",
])
def test_what_is_not_a_token_of_ours_is_refused(asker: Agent, raw: str) -> None:
    with pytest.raises(InvalidToken):
        asker.call(raw)


@ON_SQLITE
def test_a_refresh_token_and_a_code_are_not_access_tokens(agent: Agent) -> None:
    given = agent.connected()
    for raw in (given["refresh_token"], agent.code()):
        with pytest.raises(InvalidToken):
            agent.call(raw)


@ON_SQLITE
def test_only_hashes_are_stored(agent: Agent) -> None:
    given, code = agent.connected(), agent.code()
    with agent.house.database.read() as session:
        kept = " ".join(
            str([getattr(row, column.key) for column in row.__table__.columns])
            for table in (AuthorizationCode, AccessToken, RefreshToken, Grant, Entry) for row in session.scalars(select(table))
        )
    for raw in (given["access_token"], given["refresh_token"], code, VERIFIER):
        assert raw[4:] not in kept


def test_a_code_that_comes_twice_ends_what_it_gave(agent: Agent) -> None:
    agent.register()
    code = agent.code()
    given = agent.redeem(code).json
    refused(agent, agent.redeem(code), "invalid_grant")
    dead(agent, given)
    with agent.house.database.read() as session:
        kinds = list(session.scalars(select(Entry.kind).where(Entry.kind.startswith("oauth.")).order_by(Entry.id)))
    assert kinds == ["oauth.consented", "oauth.issued", "oauth.reused", "oauth.revoked"]


@ON_SQLITE
def test_a_spent_code_in_another_agents_hands_ends_what_it_gave_too(agent: Agent, stranger: Agent) -> None:
    agent.register()
    code = agent.code()
    given = agent.redeem(code).json
    refused(stranger, stranger.redeem(code), "invalid_grant")
    dead(agent, given)


@ON_SQLITE
def test_a_code_dies_after_a_minute(agent: Agent) -> None:
    agent.register()
    code = agent.code()
    agent.house.clock.forward(seconds=61)  # type: ignore[attr-defined]
    refused(agent, agent.redeem(code), "invalid_grant")


@pytest.mark.parametrize(("changed", "error"), [
    ({"code": "csc_" + "a" * 43}, "invalid_grant"),
    ({"code": None}, "invalid_request"),
    ({"redirect_uri": None}, "invalid_request"),
    ({"redirect_uri": "http://localhost:9999/callback"}, "invalid_grant"),
    ({"redirect_uri": "https://evil.example/"}, "invalid_grant"),
    ({"code_verifier": None}, "invalid_request"),
    ({"code_verifier": "b" * 60}, "invalid_grant"),
    ({"code_verifier": "short"}, "invalid_request"),
    ({"resource": None}, "invalid_target"),
    ({"resource": SHOP}, "invalid_target"),
    ({"resource": [RESOURCE, SHOP]}, "invalid_target"),
    ({"redirect_uri": ["http://localhost:3118/callback", "https://evil.example/"]}, "invalid_request"),
    ({"client_secret": "x"}, "invalid_client"),
    ({"client_id": None}, "invalid_client"),
    ({"client_id": "client_nobody"}, "invalid_client"),
])
def test_a_wrong_redemption_is_refused_and_leaves_the_code_unspent(asker: Agent, changed: dict[str, Any], error: str) -> None:
    code = asker.code()
    refused(asker, asker.redeem(**{"code": code, **changed}), error, 401 if error == "invalid_client" else 400)
    assert asker.redeem(code).status_code == 200


@ON_SQLITE
def test_a_code_is_of_no_use_to_another_agent(agent: Agent, stranger: Agent) -> None:
    agent.register()
    code = agent.code()
    refused(stranger, stranger.redeem(code), "invalid_grant")
    assert agent.redeem(code).status_code == 200


def test_a_refresh_token_is_good_once_and_its_second_use_ends_the_family(agent: Agent) -> None:
    first = agent.connected()
    second = agent.refresh(first["refresh_token"]).json
    assert agent.call(second["access_token"]).client == agent.id
    assert agent.call(first["access_token"]).client == agent.id
    refused(agent, agent.refresh(first["refresh_token"]), "invalid_grant")
    dead(agent, first)
    dead(agent, second)


@ON_SQLITE
def test_a_refresh_token_is_of_no_use_to_another_agent(agent: Agent, stranger: Agent) -> None:
    given = agent.connected()
    refused(stranger, stranger.refresh(given["refresh_token"]), "invalid_grant")
    assert agent.refresh(given["refresh_token"]).status_code == 200


@ON_SQLITE
def test_a_refresh_names_the_same_resource(agent: Agent) -> None:
    given = agent.connected()
    refused(agent, agent.refresh(given["refresh_token"], resource=None), "invalid_target")
    assert agent.refresh(given["refresh_token"]).status_code == 200


def at_once(agent: Agent, work: Callable[[Agent], Any]) -> list[int]:
    """Two threads do it at the same time, each with a client of its own; their status codes."""
    gate, codes = threading.Barrier(2), list[int]()

    def run() -> None:
        twin = Agent(agent.house, agent.http.application.test_client(), id=agent.id)
        gate.wait()
        codes.append(work(twin).status_code)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(codes)


def test_two_threads_with_one_refresh_token_get_at_most_one_answer_and_the_family_ends(agent: Agent) -> None:
    given = agent.connected()
    assert at_once(agent, lambda twin: twin.refresh(given["refresh_token"])) == [200, 400]
    dead(agent, given)
    with agent.house.database.read() as session:
        assert session.scalars(select(Grant.status)).all() == ["revoked"]


def test_two_threads_with_one_code_get_at_most_one_answer_and_the_family_ends(agent: Agent) -> None:
    agent.register()
    code = agent.code()
    assert at_once(agent, lambda twin: twin.redeem(code)) == [200, 400]
    with agent.house.database.read() as session:
        assert session.scalars(select(Grant.status)).all() == ["revoked"]


def test_a_person_takes_it_back_and_the_next_call_fails(agent: Agent, stranger: Agent) -> None:
    given = agent.connected()
    grant = agent.call(given["access_token"]).grant
    page = agent.http.get("/you/agents", base_url=PUBLIC_URL, headers={"X-Test-Person": agent.person})
    assert "Ledger Desk" in page.text
    assert "Ledger Desk" not in stranger.http.get(
        "/you/agents", base_url=PUBLIC_URL, headers={"X-Test-Person": stranger.person}).text
    assert press_take_back(stranger, grant) == 404
    assert agent.call(given["access_token"]).grant == grant
    assert press_take_back(agent, grant) == 303
    dead(agent, given)
    assert press_take_back(agent, grant) == 303
    with agent.house.database.read() as session:
        assert not grants.live(session, grant, agent.house.clock())


def press_take_back(agent: Agent, grant: str) -> int:
    agent.register()
    token = agent.page().text.split('name="csrf_token" value="')[1].split('"')[0]
    return agent.http.post(f"/you/agents/{grant}/revoke", data={"csrf_token": token}, base_url=PUBLIC_URL, headers={
        "X-Test-Person": agent.person, "Referer": f"{PUBLIC_URL}/you/agents"}).status_code


@ON_SQLITE
@pytest.mark.parametrize("what", ["pause", "revoke"])
def test_an_agent_that_is_shut_out_is_refused_from_the_next_request_on(agent: Agent, what: str) -> None:
    given = agent.connected()
    grant = agent.call(given["access_token"]).grant
    agent.house.database.write(lambda s: status.change(s, agent.id, what, actor="person:admin", now=agent.house.clock()))
    with pytest.raises(InvalidToken, match="administrator"):
        agent.call(given["access_token"])
    refused(agent, agent.refresh(given["refresh_token"]), "invalid_client", 401)
    with agent.house.database.read() as session:
        assert not grants.live(session, grant, agent.house.clock())


def test_a_new_consent_after_a_theft_is_a_new_grant(agent: Agent) -> None:
    first = agent.connected()
    grant = agent.call(first["access_token"]).grant
    agent.refresh(first["refresh_token"])
    agent.refresh(first["refresh_token"])
    again = agent.connected()
    assert agent.call(again["access_token"]).grant != grant
    dead(agent, first)


def test_cleaning_deletes_what_is_over_and_nothing_that_is_still_needed(agent: Agent, stranger: Agent) -> None:
    given = agent.connected()
    clock, database, limits = agent.house.clock, agent.house.database, agent.house.settings.oauth
    clock.forward(days=2)  # type: ignore[attr-defined]
    database.write(lambda s: clean(s, limits, clock()))
    with database.read() as session:
        assert session.scalars(select(AuthorizationCode)).all() == session.scalars(select(AccessToken)).all() == []
        assert len(session.scalars(select(RefreshToken)).all()) == 1
    assert agent.refresh(given["refresh_token"]).status_code == 200
    clock.forward(days=40)  # type: ignore[attr-defined]
    database.write(lambda s: clean(s, limits, clock()))
    assert agent.redeem("csc_" + "a" * 43).json["error"] == "invalid_grant", "an agent that somebody allowed stays known"
    assert stranger.redeem("csc_" + "a" * 43).json["error"] == "invalid_client", "one that nobody ever allowed is forgotten"
