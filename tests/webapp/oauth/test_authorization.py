"""Authorization requests: who is asked, what goes back, and where no answer ever goes."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.webapp.oauth.conftest import (
    CALLBACK,
    CHARLIE,
    PUBLIC_URL,
    RESOURCE,
    VERIFIER,
    Agent,
    answer_of,
    challenge_of,
)
from tests.webapp.oauth.conftest import sqlite_url as database_url  # noqa: F401
from webapp.audit.tables import Entry
from webapp.clients import status
from webapp.oauth.tables import AuthorizationCode, Grant
from webapp.web.house import House


def entries(house: House) -> list[str]:
    with house.database.read() as session:
        return list(session.scalars(select(Entry.kind).where(Entry.kind.startswith("oauth.")).order_by(Entry.id)))


def test_the_page_names_the_agent_where_its_answer_goes_and_what_it_could_do(agent: Agent) -> None:
    agent.register(client_name="Ledger <i>Desk</i>\u202e")
    text = agent.page().text
    assert "Ledger &lt;i&gt;Desk&lt;/i&gt;" in text
    assert "\u202e" not in text
    assert "Unverified: this is what it calls itself" in text
    assert "this computer (localhost)" in text
    assert "Harbour Bank" in text
    assert "Read the balance" in text
    assert "Close &lt;b&gt;everything&lt;/b&gt;" in text
    assert text.index("Runs at once") < text.index("Asks you first")
    assert 'value="allow"' in text
    assert 'value="cancel"' in text


def test_an_agent_is_shown_as_verified_only_on_an_admins_word(agent: Agent) -> None:
    agent.register(verified=True, kind="token", status="active")
    assert "Unverified" in agent.page().text
    agent.house.database.write(lambda s: status.change(s, agent.id, "vouch", actor="person:admin", now=agent.house.clock()))
    assert "Unverified" not in agent.page().text


def test_allowing_sends_a_code_with_state_and_issuer_and_makes_one_grant(agent: Agent) -> None:
    agent.register()
    response = agent.decide()
    assert response.headers["Location"].startswith(f"{CALLBACK}?")
    answer = answer_of(response)
    assert answer.keys() == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == ("st&te=1", PUBLIC_URL)
    agent.decide()
    with agent.house.database.read() as session:
        grant = session.scalars(select(Grant)).one()
        assert (grant.person, grant.client, grant.resource, grant.status) == (agent.person, agent.id, RESOURCE, "active")
        assert answer["code"].encode() not in {code.hash for code in session.scalars(select(AuthorizationCode))}
    assert entries(agent.house) == ["oauth.consented", "oauth.consented"]


def test_a_person_who_cancels_sends_access_denied_and_nothing_is_granted(agent: Agent) -> None:
    agent.register()
    answer = answer_of(agent.decide("cancel"))
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "st&te=1", PUBLIC_URL)
    assert "code" not in answer
    assert answer_of(agent.decide(""))["error"] == "access_denied"
    with agent.house.database.read() as session:
        assert session.scalars(select(Grant)).all() == []
    assert entries(agent.house) == ["oauth.denied", "oauth.denied"]


def test_an_agent_cannot_put_fields_of_its_own_into_our_form(agent: Agent) -> None:
    """`decision=allow` in its address would stand before the person's Cancel."""
    agent.register()
    page = agent.page(decision="allow", csrf_token="chosen", other="x")
    assert page.text.count('name="decision"') == 2
    assert page.text.count('name="csrf_token"') == 1
    assert 'name="other"' not in page.text
    assert answer_of(agent.decide("cancel", page=page))["error"] == "access_denied"
    assert answer_of(agent.decide(page=page, decision=["allow", "cancel"]))["error"] == "access_denied"


def test_an_agent_that_was_allowed_before_is_asked_about_again(agent: Agent) -> None:
    agent.connected()
    page = agent.page(prompt="none")
    assert page.status_code == 200
    assert 'value="allow"' in page.text


def test_nobody_is_asked_without_being_signed_in(agent: Agent) -> None:
    agent.register()
    agent.person = ""
    assert agent.page().status_code == 401


def test_a_forged_consent_does_nothing(agent: Agent) -> None:
    """CSRF: the form's token is missing or made up."""
    agent.register()
    page = agent.page()
    for token in ("", "made-up"):
        assert agent.decide(page=page, csrf_token=token).status_code == 400
    with agent.house.database.read() as session:
        assert session.scalars(select(Grant)).all() == []


@pytest.mark.parametrize("changed", [
    {"client_id": None},
    {"client_id": "client_nobody"},
    {"redirect_uri": None},
    {"redirect_uri": "https://evil.example/"},
    {"redirect_uri": "http://localhost:3118/callback/../evil"},
    {"redirect_uri": "http://localhost:3118/callback?x=1"},
    {"redirect_uri": "http://localhost:3118/callback#x"},
    {"redirect_uri": "http://localhost@evil.example/callback"},
    {"redirect_uri": "http://LOCALHOST:3118/callback"},
    {"redirect_uri": "http://127.0.0.1:3118/callback"},
    {"redirect_uri": [CALLBACK, "https://evil.example/"]},
    {"redirect_uri": ["https://evil.example/", CALLBACK]},
    {"redirect_uri": 'https://evil.example/"\\'},
])
def test_before_the_redirect_uri_is_known_to_be_good_an_error_goes_nowhere(asker: Agent, changed: dict[str, Any]) -> None:
    """RFC 6749 section 4.1.2.1: an open redirector would be made of us otherwise."""
    response = asker.page(**changed)
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert "evil.example" not in response.text


def test_the_port_of_a_loopback_redirect_may_be_another_each_time(agent: Agent) -> None:
    agent.register()
    agent.redirect_uri = CALLBACK.replace("3118", "49152")
    response = agent.decide()
    assert response.headers["Location"].startswith("http://localhost:49152/callback?code=")
    assert agent.redeem(answer_of(response)["code"]).status_code == 200


@pytest.mark.parametrize(("changed", "error"), [
    ({"response_type": None}, "unsupported_response_type"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": 'co"de\\'}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain", "code_challenge": VERIFIER}, "invalid_request"),
    ({"code_challenge_method": ["plain", "S256"]}, "invalid_request"),
    ({"code_challenge": "too-short"}, "invalid_request"),
    ({"code_challenge": challenge_of(VERIFIER) + "\n"}, "invalid_request"),
    ({"scope": 'm"cp'}, "invalid_scope"),
    ({"resource": None}, "invalid_target"),
    ({"resource": ""}, "invalid_target"),
    ({"resource": [RESOURCE, f"{PUBLIC_URL}/mcp/shop"]}, "invalid_target"),
    ({"resource": [RESOURCE, RESOURCE]}, "invalid_target"),
    ({"resource": PUBLIC_URL}, "invalid_target"),
    ({"resource": f"{PUBLIC_URL}/mcp/nothing"}, "invalid_target"),
    ({"resource": f"{PUBLIC_URL}/mcp/bank/"}, "invalid_target"),
    ({"resource": f"{PUBLIC_URL}/mcp/BANK"}, "invalid_target"),
    ({"resource": f"{PUBLIC_URL}/mcp/shop/../bank"}, "invalid_target"),
    ({"resource": "https://evil.example/mcp/bank"}, "invalid_target"),
    ({"state": ["one", "two"]}, "invalid_request"),
    ({"code_challenge": ["a" * 43, "b" * 43]}, "invalid_request"),
    ({"state": "s" * 2049}, "invalid_request"),
])
def test_after_it_every_error_goes_back_with_state_and_issuer(asker: Agent, changed: dict[str, Any], error: str) -> None:
    answer = answer_of(asker.page(**changed))
    assert (answer["error"], answer["iss"]) == (error, PUBLIC_URL)
    assert "code" not in answer
    if "state" not in changed:
        assert answer["state"] == "st&te=1"
    with asker.house.database.read() as session:
        assert session.scalars(select(Grant)).all() == []


def test_an_error_of_an_unverified_agent_elsewhere_is_told_by_a_link_and_never_by_a_redirect(agent: Agent) -> None:
    """RFC 9700 section 4.11.2: anyone can register https://evil.example and then link to us to be sent there."""
    agent.redirect_uri = "https://evil.example/landing?a=b"
    agent.register()
    response = agent.page(resource="nothing")
    assert response.status_code == 400
    assert "Location" not in response.headers
    assert 'href="https://evil.example/landing?a=b&amp;error=invalid_target' in response.text
    agent.house.database.write(lambda s: status.change(s, agent.id, "vouch", actor="person:admin", now=agent.house.clock()))
    assert answer_of(agent.page(resource="nothing"))["error"] == "invalid_target"


def test_a_consent_cannot_be_moved_to_other_parameters_that_do_not_hold(agent: Agent) -> None:
    """The POST is checked from the start: the page only carries the request."""
    agent.register()
    page = agent.page()
    assert agent.decide(page=page, redirect_uri="https://evil.example/").status_code == 400
    assert answer_of(agent.decide(page=page, code_challenge_method="plain"))["error"] == "invalid_request"
    assert answer_of(agent.decide(page=page, resource=f"{PUBLIC_URL}/mcp/nothing"))["error"] == "invalid_target"


@pytest.mark.parametrize("what", ["pause", "revoke"])
def test_an_agent_that_an_admin_shut_out_is_refused_also_while_its_page_is_open(agent: Agent, what: str) -> None:
    agent.register()
    page = agent.page()
    agent.house.database.write(lambda s: status.change(s, agent.id, what, actor="person:admin", now=agent.house.clock()))
    assert agent.decide(page=page).status_code == 400
    response = agent.page()
    assert response.status_code == 400
    assert "by an administrator" in response.text


def test_the_page_lets_the_form_lead_to_the_redirects_origin_alone_and_is_never_framed(agent: Agent) -> None:
    agent.redirect_uri = "https://app.example:8443/cb"
    agent.register()
    policy = agent.page().headers["Content-Security-Policy"]
    assert "form-action 'self' https://app.example:8443;" in policy + ";"
    assert "frame-ancestors 'none'" in policy


def test_an_apps_own_scheme_gets_its_answer(agent: Agent) -> None:
    agent.redirect_uri = "com.example.ledger:/back"
    agent.register()
    page = agent.page()
    assert "an app on your device (com.example.ledger)" in page.text
    onward = agent.decide(page=page)
    assert onward.status_code == 200
    assert 'content="0;url=com.example.ledger:/back?code=csc_' in onward.text


def test_an_ipv6_loopback_gets_its_answer_though_no_policy_can_name_it(agent: Agent) -> None:
    """CSP has no IPv6 addresses: Chromium drops the source, and would stop the form's redirect."""
    agent.redirect_uri = "http://[::1]:51004/cb"
    agent.register()
    page = agent.page()
    assert "[::1]" not in page.headers["Content-Security-Policy"]
    assert 'content="0;url=http://[::1]:51004/cb?code=csc_' in agent.decide(page=page).text
    assert 'content="0;url=http://[::1]:51004/cb?error=access_denied' in agent.decide("cancel", page=page).text


def test_a_registered_query_is_kept_as_it_is(agent: Agent) -> None:
    agent.redirect_uri = "https://app.example/cb?tenant=a%20b&x"
    agent.register()
    assert agent.decide().headers["Location"].startswith("https://app.example/cb?tenant=a%20b&x&code=")


def test_grants_are_each_persons_own(agent: Agent) -> None:
    agent.connected()
    agent.person = CHARLIE.person
    agent.connected()
    with agent.house.database.read() as session:
        assert len(session.scalars(select(Grant)).all()) == 2
