"""The real app on a real keeper, and people who are really signed in to it.

`signed_in("ada", groups=["finance"])` gives a browser (a Flask test client) in which that person went the whole way: the
sign-in form, an OpenID provider (small, but over HTTP and with signatures), the callback, and the enrolment of a passkey.
Nothing is forged and no ticket is issued past the keeper: a sign-in takes some 60 ms. Persons are fresh in each test, though
the keeper is not: `ada` has another subject each time, so other tests' factors and groups do not show.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.authenticator import Passkey
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.small_idp import SmallIdp, serve
from webapp.composition import create_app
from webapp.config import Settings
from webapp.db import Database
from webapp.people.sign_in import CALLBACK
from webapp.web.house import House

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
ONWARD = re.compile(r'http-equiv="refresh" content="0;url=([^"]+)"')


def hidden(page: TestResponse, name: str) -> str:
    """The value of a hidden field of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, f"{name} is not on the page: {page.status} {page.text[:2000]}"
    return unescape(found.group(1))


class PageKey:
    """A passkey that answers the options of a page (`data-options`) as `static/passkey.js` has the browser do."""

    def __init__(self) -> None:
        self.passkey = Passkey()

    def answer(self, page: TestResponse, **otherwise: Any) -> dict[str, str]:
        """The fields `sealed` and `assertion` for the page's form."""
        return {"sealed": hidden(page, "sealed"), "assertion": json.dumps(
            self.passkey.get(options(page), origin=PUBLIC_URL, **otherwise)
        )}

    def enrolment(self, page: TestResponse, **otherwise: Any) -> dict[str, str]:
        """The fields `sealed` and `attestation` for the page's form."""
        return {"sealed": hidden(page, "sealed"), "attestation": json.dumps(
            self.passkey.create(options(page), origin=PUBLIC_URL, **otherwise)
        )}


def options(page: TestResponse) -> dict[str, Any]:
    """The WebAuthn options that a page's form carries."""
    found = re.search(r'data-options="([^"]+)"', page.text)
    assert found, f"no options on the page: {page.status} {page.text[:2000]}"
    made: dict[str, Any] = json.loads(unescape(found.group(1)))
    return made


class Browser(FlaskClient):
    """A test client at `public_url` that posts as our own pages do: with their CSRF token and Origin."""

    person: str = ""
    """The id of who is signed in."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        kwargs.setdefault("base_url", PUBLIC_URL)
        kwargs["headers"] = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", **dict(kwargs.get("headers") or {})}
        return super().open(*args, **kwargs)

    def token(self) -> str:
        """A CSRF token of this browser's, from the page that everyone may see."""
        found = TOKEN.search(self.get("/sign-in").text)
        assert found
        return found.group(1)

    def send(self, path: str, **fields: Any) -> TestResponse:
        """POST a form as a page of ours would."""
        return self.post(path, data={"csrf_token": self.token(), **fields}, headers={"Origin": PUBLIC_URL})

    def at_idp(self, **fields: Any) -> str:
        """Press the sign-in button: the URL that the browser is sent to."""
        page = self.send("/sign-in/start", **fields)
        found = ONWARD.search(page.text)
        assert found, page.text
        return unescape(found.group(1))

    def back(self, answer: dict[str, str]) -> TestResponse:
        """Come back from the identity provider."""
        return self.get(f"{CALLBACK}?{urlencode(answer)}")


@dataclass
class People:
    """Signs people in to one app. `subject` is what the identity provider knows them by."""

    app: Flask
    idp: SmallIdp
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    met: bool = False
    passkeys: dict[str, PageKey] = field(default_factory=dict)

    def stranger(self) -> Browser:
        """A browser that nobody signed in with."""
        client = self.app.test_client()
        assert isinstance(client, Browser)
        return client

    def meet(self) -> None:
        """Make the identity provider known to the keeper."""
        if not self.met:
            self.app.extensions["counterseal"].door.idp_put("main", self.idp.record)
            self.met = True

    def subject(self, person: str) -> str:
        return f"{person}-{self.run}"

    def first_step(
        self, person: str = "ada", *, groups: Iterable[str] = ("user",), browser: Browser | None = None, **claims: Any
    ) -> Browser:
        """Signed in at the identity provider, which says these `claims` too; the second step is still missing."""
        browser = browser or self.stranger()
        self.meet()
        answer = self.idp.authorize(
            browser.at_idp(), subject=self.subject(person), name=person.title(), email=f"{person}@people.example",
            groups=list(groups), **claims,
        )
        came = browser.back(answer)
        assert came.status_code == 303, came.text
        with self.app.extensions["counterseal"].database.read() as db:
            from sqlalchemy import select

            from webapp.people.tables import Person

            browser.person = db.scalars(select(Person.id).where(Person.subject == self.subject(person))).one()
        return browser

    def __call__(self, person: str = "ada", *, groups: Iterable[str] = ("user",), browser: Browser | None = None) -> Browser:
        """A browser in which this person is signed in, second step and all."""
        browser = self.first_step(person, groups=groups, browser=browser)
        self.second_step(browser)
        return browser

    def second_step(self, browser: Browser) -> None:
        """Answer with the person's passkey, which is enrolled the first time they are asked."""
        page = browser.get("/sign-in/second")
        if page.status_code == 303 and page.headers["Location"].startswith("/you/factors/first"):
            self.add_passkey(browser)
            return
        done = browser.send("/sign-in/second", **self.passkeys[browser.person].answer(page))
        assert done.status_code == 303, done.text

    def add_passkey(self, browser: Browser, name: str = "Key") -> None:
        """Enrol a passkey in this browser; the person uses it from then on."""
        page, passkey = browser.get("/you/factors/passkey"), PageKey()
        done = browser.send("/you/factors/passkey", name=name, **passkey.enrolment(page))
        assert done.status_code == 303, done.text
        self.passkeys[browser.person] = passkey


@pytest.fixture(scope="session")
def small_idp() -> Iterator[SmallIdp]:
    with serve() as idp:
        yield idp


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock) -> House:
    """A house on each database in turn, the keeper's door, and a clock that the test moves."""
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url)
    settings.approvals.quick_row = 0  # the clock stands still here: every decision would be a quick one
    return House(settings, database, keeper.door, clock)


@pytest.fixture
def app(house: House) -> Flask:
    made = create_app(house)
    made.test_client_class = Browser
    return made


@pytest.fixture
def signed_in(app: Flask, small_idp: SmallIdp) -> People:
    return People(app, small_idp)
