"""Signing in with everything real: Chromium, npm `oidc-provider`, OpenBao and the keeper. PKCE is proven here, for the small
provider of the other tests is ours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from tests.app_parts import People
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.oidc_provider import Provider, serve
from webapp.people.sign_in import CALLBACK

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
GROUPS = {"alice": {"groups": ["user", "finance"], "name": "Alice Osei"}}


@pytest.fixture
def clock() -> Callable[[], datetime]:
    """The true one: who signs in half a minute after the test began would come from the future of one that stands still."""
    return lambda: datetime.now(UTC)


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with serve([PUBLIC_URL + CALLBACK], people=GROUPS) as started:
        yield started


@pytest.fixture
def known(provider: Provider, keeper: KeeperParts) -> Provider:
    """The provider, as the one that persons sign in at; nobody has a factor left from another test."""
    keeper.door.idp_put("main", provider.record(groups_claim="groups"))
    return provider


@pytest.fixture
def browser(app: Flask, known: Provider) -> Iterator[Browser]:
    with served(app) as port, chromium(port) as opened:
        yield opened


def sign_in(page: Page, wanted: str = "/you") -> None:
    page.goto(f"/sign-in?next={wanted}")
    page.get_by_role("button", name=re.compile("Continue with")).click()
    page.wait_for_url(re.compile(r"/sign-in/second|/you/factors/first"))


def test_a_person_enrols_a_passkey_and_an_app_and_comes_back_with_either(browser: Browser) -> None:
    page = open_page(browser, timezone_id="Europe/Helsinki")
    page.goto("/sign-in")
    looked_at(page, "sign-in")
    sign_in(page)
    expect(page.get_by_role("heading", name="Welcome, Alice Osei")).to_be_visible()
    looked_at(page, "first")

    page.get_by_role("link", name="Set up a passkey").click()
    page.wait_for_url(re.compile("/you/factors/passkey"))
    looked_at(page, "passkey")
    page.get_by_role("button", name="Create the passkey").click()
    page.wait_for_url("**/you")
    expect(page.get_by_text("finance", exact=True)).to_be_visible()

    page.get_by_role("link", name="Add an authenticator app").click()
    looked_at(page, "totp")
    key = (page.locator("#key").text_content() or "").replace(" ", "")
    code = pyotp.TOTP(key).now()
    page.get_by_label("six digits").fill(code)
    page.get_by_role("button", name="Add this app").click()
    page.wait_for_url("**/you")
    looked_at(page, "you-two")

    page.get_by_role("button", name="Use Europe/Helsinki").click()
    page.get_by_text("Times are now shown in Europe/Helsinki").wait_for()
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.wait_for_url("**/sign-in?out=1")

    sign_in(page)
    looked_at(page, "second-again")
    page.get_by_role("button", name="Use your passkey").click()
    page.wait_for_url("**/you")

    without_scripts(browser, key, code)


def without_scripts(browser: Browser, key: str, used: str) -> None:
    """The second step with a code needs no JavaScript; a code that was used is refused in words."""
    page = open_page(browser, java_script_enabled=False)
    sign_in(page)
    answer(page, used)
    page.get_by_text("Each works once").wait_for()
    answer(page, pyotp.TOTP(key).at(int(time.time()) + 30))
    page.wait_for_url("**/you")


def answer(page: Page, code: str) -> None:
    page.get_by_text("Use an authenticator code instead").click()
    page.get_by_label("six digits").fill(code)
    page.get_by_role("button", name="Continue", exact=True).click()


def test_a_passkey_that_is_not_there_is_said_in_words_and_nothing_is_sent(browser: Browser, signed_in: People) -> None:
    page = open_page(browser)
    sign_in(page)
    if "/first" in page.url:
        page.goto("/you/factors/passkey")
        page.evaluate("() => { navigator.credentials.create = () => Promise.reject(new DOMException('no', 'NotAllowedError')) }")
        page.get_by_role("button", name="Create the passkey").click()
    else:
        page.get_by_role("button", name="Use your passkey").click()
    page.get_by_text("Nothing was sent.").wait_for()
    button = page.get_by_role("button", name=re.compile("passkey")).first
    assert button.is_enabled()
    looked_at(page, "passkey-absent")


def test_the_browser_sends_nothing_inline_and_breaks_no_rule_of_ours(browser: Browser) -> None:
    page, said = open_page(browser), []
    page.on("console", lambda message: said.append(message.text))
    sign_in(page)
    page.goto("/sign-in/callback?state=x&code=y")
    expect(page.get_by_role("heading", name="That did not work")).to_be_visible()
    looked_at(page, "callback-refused")
    assert [text for text in said if "Content Security Policy" in text] == []


def test_the_provider_insists_on_pkce_and_the_code_is_bound_to_it(signed_in: People, known: Provider) -> None:
    browser = signed_in.stranger()
    url = browser.at_idp()
    asked = parse_qs(urlsplit(url).query)
    assert asked["code_challenge_method"] == ["S256"]
    other = browser.at_idp()
    stolen = known.consent(url)
    swapped = {**known.consent(other), "code": stolen["code"]}
    assert browser.back(swapped).status_code == 400, "the code of one request with the verifier of another"


def test_somebody_who_declines_at_the_provider_is_told_so(signed_in: People, known: Provider) -> None:
    browser = signed_in.stranger()
    answer = browser.back(known.consent(browser.at_idp(), login_hint="nobody"))
    assert answer.status_code == 400
    assert "you cancelled" in answer.text
