"""What anyone may ask for without having signed in is bounded."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from tests.app_parts import Browser
from tests.keeper_parts import PUBLIC_URL
from webapp.composition import create_app
from webapp.people.backchannel import LOGOUT
from webapp.web.house import House


@pytest.fixture
def narrow(house: House) -> Flask:
    settings = house.settings.model_copy(deep=True)
    settings.web.sign_ins_per_minute = 2
    settings.web.trusted_proxies = ["10.0.0.0/8"]
    settings.oauth.registrations_per_source = 1
    made = create_app(replace(house, settings=settings))
    made.test_client_class = Browser
    return made


def begin(browser: Browser, **headers: str) -> int:
    token = browser.token()
    return browser.post("/sign-in/start", data={"csrf_token": token}, headers={"Origin": PUBLIC_URL, **headers}).status_code


def test_sign_ins_from_one_address_are_bounded_and_a_header_makes_no_other_address(narrow: Flask) -> None:
    browser = narrow.test_client()
    assert isinstance(browser, Browser)
    statuses = [begin(browser, **{"X-Forwarded-For": f"203.0.113.{number}"}) for number in range(3)]
    assert statuses[2] == 429
    assert 429 not in statuses[:2]


def test_registrations_are_bounded_before_the_database_is_asked(narrow: Flask) -> None:
    browser = narrow.test_client()
    answers = [browser.post("/oauth/register", json={"redirect_uris": ["nonsense"]}) for _ in range(4)]
    assert [one.status_code for one in answers] == [400, 400, 400, 429]
    assert answers[3].is_json


def test_logout_tokens_from_one_address_are_bounded(house: House) -> None:
    """Anybody can send one, and each is a question to the keeper."""
    settings = house.settings.model_copy(deep=True)
    settings.web.logout_tokens_per_minute = 2
    browser = create_app(replace(house, settings=settings)).test_client()
    sent = [browser.post(LOGOUT, data={"logout_token": "x"}, base_url=PUBLIC_URL) for _ in range(3)]
    assert [one.status_code for one in sent] == [400, 400, 429]
    assert sent[2].headers["Cache-Control"] == "no-store"
