"""People of a production-like house in a real browser: SSO at npm's `oidc-provider`, passkeys of a virtual authenticator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Queue
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import select

from tests.browser_parts import chromium, go, look_through, open_page
from tests.keeper_parts import PUBLIC_URL
from tests.real.running import PATIENCE
from tests.real.standing import Standing
from tests.real.visitor import Agent, Visitor
from webapp.people.tables import Person


@dataclass
class Clicking(Visitor):
    """Whoever lets an agent in by clicking, in another thread than the agent's."""

    asked: Queue[str] = field(default_factory=Queue)
    answered: Queue[str] = field(default_factory=Queue)

    def allow(self, url: str) -> str:
        self.asked.put(url)
        return self.answered.get(timeout=PATIENCE)


@dataclass
class Browsing:
    stand: Standing
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    def enter(self, name: str) -> Page:
        """Sign in and enrol a passkey, in a profile of their own. The provider asks nobody who they are: the name is put into the
        request that our page sends there, as somebody would type it."""
        page = open_page(self.browser, ignore_https_errors=True)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self._named(page, self.stand.sso.issuer, name)
        self._named(page, self.stand.accounts.issuer, name)
        go(page, "/")
        page.get_by_role("button", name=re.compile("^Continue with")).click()
        page.wait_for_url("**/you/factors/first**")
        page.get_by_role("link", name="Set up a passkey").click()
        page.wait_for_url(re.compile("/you/factors/passkey"))
        page.get_by_role("button", name="Create the passkey").click()
        page.wait_for_url(f"{PUBLIC_URL}/")
        return page

    def _named(self, page: Page, issuer: str, name: str) -> None:
        def there(route: Route) -> None:
            route.continue_(url=f"{route.request.url}&{urlencode({'login_hint': name})}")

        page.route(f"{issuer}/auth?**", there)

    def connect(self, page: Page, title: str, *rights: str) -> None:
        go(page, "/connections/new")
        page.get_by_role("link", name=title).click()
        for right in rights:
            page.get_by_label(right).check()
        page.get_by_role("button", name=f"Continue to {title}").click()
        expect(page.get_by_text(f"{title} is connected.")).to_be_visible()

    def let_in(self, page: Page, agent: Agent) -> list[str]:
        """The agent connects, and this page's person allows it: the tools it may see."""
        owner = agent.owner
        assert isinstance(owner, Clicking)
        found: Future[list[str]] = agent.aside(agent.connect)
        page.route("http://localhost:3119/callback?**", lambda route: route.fulfill(body="The agent has its answer."))
        go(page, owner.asked.get(timeout=PATIENCE))
        page.get_by_role("button", name="Allow", exact=True).click()
        page.get_by_text("The agent has its answer.").wait_for()
        owner.answered.put(page.url)
        return found.result(PATIENCE)

    def decide(self, page: Page, action: str, button: str) -> None:
        go(page, f"/actions/{action}")
        look_through(page)
        with page.expect_navigation():
            page.get_by_role("button", name=button, exact=True).click()

    def a_day_later(self, name: str) -> None:
        """A factor of less than a day approves nothing."""
        with self.stand.engine.connect() as database:
            self.stand.age(database.execute(select(Person.id).where(Person.subject == name)).scalar_one())


@contextmanager
def browsing(stand: Standing, port: int) -> Iterator[Browsing]:
    with chromium(port) as browser:
        yield Browsing(stand, browser)
