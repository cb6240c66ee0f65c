"""The page of secrets: an admin sees ages and no values, and replaces what can be, with a factor that was just checked."""

from __future__ import annotations

import pytest
from flask import Flask
from playwright.sync_api import Page
from sqlalchemy import select

from tests import token_parts
from tests.app_parts import Browser, People
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.scripted_provider import Scripted
from webapp.audit.tables import Entry
from webapp.connections import idle
from webapp.db.due import Due
from webapp.people import cookies
from webapp.secrets import turning
from webapp.secrets.views import FRESH, STALE
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FRESH_SECRET = "pasted-by-an-admin"


def entries(house: House) -> list[tuple[str, str, str]]:
    with house.database.read() as session:
        query = select(Entry.kind, Entry.subject, Entry.actor).where(Entry.kind.like("key.%") | Entry.kind.like("secret.%"))
        return sorted(tuple(row) for row in session.execute(query))  # type: ignore[misc]


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was asked for. The shared vault's keys are not rotated here: other tests count their versions."""
    asked: list[str] = []

    def note(_house: House, name: str, actor: str) -> str:
        asked.append(f"{name} {actor}")
        return "version 2."

    monkeypatch.setitem(turning.WAYS, "payload", note)
    return asked


def test_nobody_but_an_admin_comes_in(signed_in: People, house: House, provider: Scripted, turned: list[str]) -> None:
    for who in (signed_in("ada"), signed_in("bob", groups=["finance"]), signed_in.stranger()):
        assert who.get("/secrets").status_code in (303, 302, 401, 403)
        for path, fields in (
            ("/secrets/rotate", {"name": "payload"}), ("/secrets/client/end", {"kind": "provider", "name": "harbour"}),
            ("/secrets/client", {"kind": "provider", "name": "harbour", "secret": FRESH_SECRET, "hours": "24"}),
            ("/secrets/rotate", {"name": "accounts"}),
        ):
            assert who.send(path, **fields).status_code in (303, 302, 401, 403), path
    assert turned == []
    assert entries(house) == []


def test_an_admin_sees_ages_and_replaces_a_key_and_a_client_secret(
    signed_in: People, house: House, provider: Scripted, keeper: KeeperParts, turned: list[str]
) -> None:
    ruth = signed_in("ruth", groups=["admin"])
    account = token_parts.account(house, provider, ruth.person)
    shown = ruth.get("/secrets").text
    for words in ("Vault key payload", "Client secret at provider harbour", f"Account {account} at harbour", "Replace now"):
        assert words in shown
    assert "scripted-client-secret" not in shown
    assert ruth.send("/secrets/rotate", name="payload").status_code == 303
    assert turned == [f"payload person:{ruth.person}"]
    assert "Renew them all now" in shown
    assert ruth.send("/secrets/rotate", name="accounts").status_code == 303
    assert "the worker renews 1 account" in ruth.get("/secrets").text
    with house.database.read() as session:
        assert session.scalars(select(Due.key).where(Due.kind == idle.ASKED)).all() == [account]
    done = ruth.send("/secrets/client", kind="provider", name="harbour", secret=FRESH_SECRET, hours="24")
    assert done.status_code == 303
    record = keeper.inside().kv.read("providers/harbour")
    assert record is not None
    assert record.data["client_secret"] == FRESH_SECRET
    after = ruth.get("/secrets").text
    assert "the one before is tried too" in after
    assert "Last replaced" in after
    assert FRESH_SECRET not in after
    assert ruth.send("/secrets/client/end", kind="provider", name="harbour").status_code == 303
    said = [(kind, subject) for kind, subject, actor in entries(house) if actor == f"person:{ruth.person}"]
    assert said == [(f"secret.{what}", "provider harbour") for what in ("overlap_ending", "replaced", "replacing")]


def test_what_is_refused_is_said_on_the_page_without_what_was_pasted(
    signed_in: People, house: House, provider: Scripted
) -> None:
    ruth = signed_in("ruth", groups=["admin"])
    for path, fields, words in (
        ("/secrets/rotate", {"name": "nothing"}, "Nothing called nothing"),
        ("/secrets/rotate", {"name": "secret-id"}, "never"),
        ("/secrets/client", {"kind": "idp", "name": "nobody", "secret": FRESH_SECRET, "hours": "24"}, "Nothing of this name"),
        ("/secrets/client", {"kind": "provider", "name": "harbour", "secret": FRESH_SECRET, "hours": "0"}, "between 1 and 720"),
        ("/secrets/client", {"kind": "provider", "name": "harbour", "secret": FRESH_SECRET, "hours": "9" * 5000}, "between"),
        ("/secrets/client", {"kind": "provider", "name": "harbour", "secret": "", "hours": "24"}, "There is no secret"),
        ("/secrets/client", {"kind": "people", "name": "x", "secret": FRESH_SECRET, "hours": "24"}, "identity provider"),
    ):
        answer = ruth.send(path, **fields)
        assert answer.status_code == 400, (path, fields)
        assert words in answer.text, (words, answer.text)
        assert FRESH_SECRET not in answer.text


def test_a_factor_that_was_checked_long_ago_replaces_nothing(
    signed_in: People, house: House, provider: Scripted, clock: Clock, turned: list[str]
) -> None:
    ruth = signed_in("ruth", groups=["admin"])
    token_parts.account(house, provider, ruth.person)
    clock.forward(seconds=FRESH.total_seconds() + 60)
    shown = ruth.get("/secrets")
    assert shown.status_code == 200
    assert "Replace now" not in shown.text
    assert "Renew them all now" not in shown.text
    for path, fields in (
        ("/secrets/rotate", {"name": "payload"}), ("/secrets/client/end", {"kind": "provider", "name": "harbour"}),
        ("/secrets/client", {"kind": "provider", "name": "harbour", "secret": FRESH_SECRET, "hours": "24"}),
        ("/secrets/rotate", {"name": "accounts"}),
    ):
        answer = ruth.send(path, **fields)
        assert answer.status_code == 403
        assert STALE in answer.text
    assert turned == []
    assert entries(house) == []


def as_(browser_page: Page, house: House, who: Browser) -> None:
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = who.get_cookie(name)
    assert cookie is not None
    browser_page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])


@pytest.mark.real
def test_in_a_browser_nothing_is_wrong_with_it_and_the_keyboard_does_all(
    signed_in: People, app: Flask, house: House, provider: Scripted, turned: list[str]
) -> None:
    """Both themes, a wide screen and a small phone; the form is opened and sent by the keyboard alone."""
    ruth = signed_in("ruth", groups=["admin"])
    token_parts.account(house, provider, ruth.person)
    with served(app) as port, chromium(port) as browser:
        shown = open_page(browser)
        as_(shown, house, ruth)
        shown.goto("/secrets")
        looked_at(shown, "secrets")
        summary = shown.locator("section:has(#clients) summary").last
        summary.focus()
        shown.keyboard.press("Enter")
        looked_at(shown, "secrets-form")
        button = shown.get_by_role("button", name="Replace now: Vault key payload")
        button.focus()
        shown.keyboard.press("Enter")
        shown.wait_for_selector("text=payload: version 2.")
    assert turned == [f"payload person:{ruth.person}"]
