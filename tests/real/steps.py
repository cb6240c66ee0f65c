"""What a walk through an evaluation instance's pages is made of: people who enter, an agent that asks, buttons and states."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, expect

from tests.browser_parts import go, look_through, open_page
from tests.processes import freeze
from tests.up_parts import Up

PATIENCE = 60_000
"""Milliseconds for what another process has to do first."""
SMALL, LARGE = "Pay 480.00 EUR", "Pay 4,800.00 EUR"


@dataclass
class Steps:
    """`look(page, name)` is called at each stop."""

    up: Up
    browser: Browser
    look: Callable[[Page, str], None]
    watch: Callable[[Page], None] = lambda _page: None
    pages: dict[str, Page] = field(default_factory=dict)

    def opened(self) -> Page:
        page = open_page(self.browser, base_url=self.up.url)
        self.watch(page)
        return page

    def visit(self, page: Page, path: str, name: str) -> Page:
        go(page, path)
        self.look(page, name)
        return page

    def enter(self, name: str, *, looks: bool = False) -> Page:
        """By a link of their own in a profile of their own, as this person, with a passkey of a new authenticator."""
        see = self.look if looks else (lambda *_: None)
        page = self.pages[name] = self.opened()
        page.set_default_timeout(PATIENCE)
        go(page, self.up.link())
        page.wait_for_url("**/evaluation/people")
        see(page, "entrance-people")
        page.get_by_role("button", name=name).click()
        page.wait_for_url("**/you/factors/first")
        see(page, "factor-first")
        if looks:
            self.visit(page, "/you/factors/totp", "factor-totp")
            go(page, "/you/factors/first")
        page.get_by_role("link", name="Set up a passkey").click()
        page.wait_for_url(re.compile("/you/factors/passkey"))  # with its script: without it the form would go as it is
        see(page, "factor-passkey")
        page.get_by_role("button", name="Create the passkey").click()
        page.wait_for_url(self.up.url + "/")
        return page

    def try_to(self, page: Page, words: str) -> None:
        go(page, "/")
        stop = page.get_by_role("button", name="Stop the agent")
        if stop.count():
            expect(stop).to_have_count(0, timeout=PATIENCE)
        page.get_by_role("button", name=words).click()

    def hold(self, page: Page, words: str, look: str = "") -> None:
        self.try_to(page, words)
        link = page.get_by_role("link", name="See what it wants to do")
        link.wait_for()
        if look:
            self.look(page, look)
        link.click()
        page.wait_for_url("**/actions/act_**")

    def press(self, page: Page, button: str | re.Pattern[str]) -> None:
        """Until the answer to the form is there: the live page may show the outcome before it, and be left too early."""
        page.wait_for_load_state()
        look_through(page)
        with page.expect_navigation():
            page.get_by_role("button", name=button).first.click()

    def reach(self, page: Page, state: str) -> None:
        page.locator(f"[data-state={state}]").wait_for()

    def sql(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.up.instance / "counterseal.sqlite", timeout=10)) as database, database:
            database.execute(statement, values)

    @contextmanager
    def vault_away(self) -> Iterator[None]:
        """OpenBao stopped in its tracks, as a machine that hangs would."""
        vault = self.up.part("bao server")
        freeze(vault.pid)
        try:
            yield
        finally:
            vault.resume()
