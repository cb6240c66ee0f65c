"""The pages in the real app, behind its real guard: the person allowed, a teammate, and a stranger, on each route."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from tests.app_parts import Browser, People, hidden
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.oauth.conftest import CALLBACK, VERIFIER, challenge_of, put_server
from tests.webapp.oauth.conftest import sqlite_url as database_url  # noqa: F401
from webapp.oauth import tokens
from webapp.oauth.tokens import Caller, InvalidToken
from webapp.policy import active
from webapp.web.house import House

RESOURCE = f"{PUBLIC_URL}/mcp/bank"


@pytest.fixture
def asks(house: House, signed_in: People) -> str:
    """The address that an agent sends its person to."""
    house.database.write(lambda s: put_server(s, house.clock))  # type: ignore[arg-type]
    active.at_start(house)
    answer = signed_in.stranger().post("/oauth/register", json={"client_name": "Ledger Desk", "redirect_uris": [CALLBACK]})
    return "/oauth/authorize?" + urlencode({
        "response_type": "code", "client_id": answer.json["client_id"], "redirect_uri": CALLBACK, "state": "s" * 600,
        "resource": RESOURCE, "code_challenge": challenge_of(VERIFIER), "code_challenge_method": "S256",
    })


def carried(asks: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(asks).query).items()}


def allow(browser: Browser, asks: str) -> dict[str, Any]:
    """Press Allow on the page, and redeem the code as the agent does."""
    page = browser.get(asks)
    answer = browser.send("/oauth/authorize", **carried(asks), decision="allow")
    assert hidden(page, "client_id") == carried(asks)["client_id"]
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
    given = browser.application.test_client().post("/oauth/token", base_url=PUBLIC_URL, data={
        "grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER,
        "resource": RESOURCE, "client_id": carried(asks)["client_id"]})
    assert given.status_code == 200, given.text
    return dict(given.json)


def caller(house: House, raw: str) -> Caller:
    with house.database.read() as session:
        return tokens.authenticate(session, raw, RESOURCE, house.clock())


def test_a_stranger_signs_in_first_and_then_comes_back_to_the_agents_request(signed_in: People, asks: str) -> None:
    browser = signed_in.stranger()
    sent = browser.get(asks, headers={"Accept": "text/html"})
    assert sent.status_code == 303
    assert sent.headers["Location"].endswith(f"/sign-in?next={quote(asks, safe='/')}")
    assert hidden(browser.get(sent.headers["Location"]), "next") == asks
    assert browser.post("/oauth/authorize", data={**carried(asks), "decision": "allow"}).status_code in (400, 401, 403)


def test_a_person_allows_sees_and_takes_back_and_nobody_else_can(signed_in: People, house: House, asks: str) -> None:
    ada, bob = signed_in("ada"), signed_in("bob")
    given = allow(ada, asks)
    grant = caller(house, given["access_token"]).grant
    assert caller(house, given["access_token"]).person == ada.person
    assert "Harbour Bank" in ada.get("/you/agents").text
    assert grant not in bob.get("/you/agents").text
    assert bob.send(f"/you/agents/{grant}/revoke").status_code == 404
    assert signed_in.stranger().post(f"/you/agents/{grant}/revoke").status_code in (401, 403)
    assert ada.post(f"/you/agents/{grant}/revoke").status_code in (400, 403), "without the page's token"
    assert caller(house, given["access_token"]).grant == grant
    assert ada.send(f"/you/agents/{grant}/revoke").status_code == 303
    with pytest.raises(InvalidToken):
        caller(house, given["access_token"])


def test_a_consent_posted_from_another_site_does_nothing(signed_in: People, asks: str) -> None:
    ada = signed_in("ada")
    form = {**carried(asks), "decision": "allow", "csrf_token": ada.token()}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert ada.post("/oauth/authorize", data=form, headers=headers).status_code == 403
    assert ada.post("/oauth/authorize", data={**form, "csrf_token": ""}, headers={"Origin": PUBLIC_URL}).status_code == 400
    assert "You have not allowed any agent" in ada.get("/you/agents").text


def test_the_protocol_needs_no_cookie_and_another_host_gets_nothing(signed_in: People, asks: str) -> None:
    client = signed_in.app.test_client()
    assert client.get("/.well-known/oauth-authorization-server").json["issuer"] == PUBLIC_URL
    assert client.get("/.well-known/oauth-authorization-server", base_url="https://evil.example").status_code == 421
    assert client.post("/oauth/token", data={"grant_type": "x"}).json["error"] == "unsupported_grant_type"
