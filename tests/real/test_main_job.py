"""The main job in a browser, as a newcomer does it: connect the bank, let an agent try to pay, confirm, approve, reject, end it.

Everything is real: OpenBao, the keeper, the web server, the bank, and Ledger Desk on the official SDK in a process of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser_parts import AUTHENTICATOR, go, look_through
from tests.up_parts import COMMAND, PATIENCE, ROOT, Up, start

pytestmark = pytest.mark.real
SLOW = 60_000
"""Milliseconds: far beyond what a step takes."""
REASON = "RE-2026-1142 is paid already."


@dataclass
class Company:
    """One instance, one browser program, and a profile for each person."""

    up: Up
    chromium: Browser
    complaints: list[str] = field(default_factory=list)

    def enter(self, name: str) -> Page:
        """Open a fresh sign-in link in a fresh profile, choose the person, and enrol a passkey."""
        page = self.chromium.new_context().new_page()
        page.set_default_timeout(SLOW)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        devices = page.context.new_cdp_session(page)
        devices.send("WebAuthn.enable")
        devices.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        go(page, self.up.link())
        page.get_by_role("button", name=name).click()
        page.get_by_text("Set up a passkey").click()
        page.wait_for_url(re.compile("/you/factors/passkey"))  # with its script: without it the form would go as it is
        page.get_by_role("button", name="Create the passkey").click()
        page.wait_for_url(f"{self.up.url}/")
        return page

    def start_page(self, page: Page) -> None:
        go(page, self.up.url + "/")

    def ask(self, page: Page, scenario: str) -> None:
        """Have the agent try something, on the card."""
        self.start_page(page)
        page.get_by_role("button", name=scenario, exact=True).click()

    def held(self, page: Page, scenario: str) -> str:
        """The address of the action that the agent's call became."""
        self.ask(page, scenario)
        page.get_by_role("link", name="See what it wants to do").click()
        page.wait_for_url(re.compile("/actions/act_"))
        return page.url


@pytest.fixture
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    up = start(tmp_path_factory.mktemp("job") / "i")
    up.wait()
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield Company(up, chromium)
        chromium.close()
    up.stop()


def test_the_ten_steps(company: Company) -> None:
    ada = company.enter("Ada Lindqvist")
    _connect(company, ada)
    _answered_at_once(company, ada)
    _confirmed_by_its_owner(company, ada)
    jonas = company.enter("Jonas Weber")
    _approved_by_finance(company, ada, jonas)
    _rejected_with_a_reason(company, ada, jonas)
    _disconnected(company, ada)
    _seen_and_verified(company, ada)
    assert _paid(company) == [48_000, 480_000], "each payment that a person allowed was made once, and nothing else"
    assert company.complaints == []


def _steps(page: Page, text: str) -> None:
    expect(page.locator("#agent")).to_contain_text(text, timeout=SLOW)


def _connect(company: Company, ada: Page) -> None:
    ada.get_by_role("link", name="Connect Harbour Bank first").click()
    ada.get_by_role("button", name="Continue to Harbour Bank").click()
    ada.get_by_role("button", name="Allow", exact=True).click()
    expect(ada.get_by_text("Harbour Bank is connected.")).to_be_visible(timeout=SLOW)


def _answered_at_once(company: Company, ada: Page) -> None:
    """The agent finds the authorization server, registers, and asks; then `get_balance` is allowed."""
    company.ask(ada, "Check the balance")
    ada.get_by_role("link", name="Continue: let the agent connect").click()
    ada.get_by_role("button", name="Allow", exact=True).click()
    ada.wait_for_url(f"{company.up.url}/")
    _steps(ada, "Business current account: 42,163.80 EUR")


def _confirmed_by_its_owner(company: Company, ada: Page) -> None:
    """Never paid before, below 1,000.00: Ada's own second look."""
    company.held(ada, "Pay 480.00 EUR")
    main = ada.locator("main")
    for fact in ("€480.00", "DE89370400440532013000", "Nordlicht Energie GmbH", "RE-2026-1088", "Ledger Desk",
                 "Your agent wants to send a payment from your account", "your time",
                 "Why it is held", "This moves money", "Never approved before"):
        expect(main).to_contain_text(fact)
    _decide(ada, "Confirm €480.00")
    expect(main).to_contain_text("HB-000001", timeout=SLOW)
    company.start_page(ada)
    _steps(ada, "Receipt HB-000001: 480.00 EUR to Nordlicht Energie GmbH")


def _decide(page: Page, button: str) -> None:
    """Until the answer to the form is there: the live page may show the outcome before it."""
    page.wait_for_load_state()
    look_through(page)
    with page.expect_navigation(timeout=SLOW):
        page.get_by_role("button", name=button).click()


def _approved_by_finance(company: Company, ada: Page, jonas: Page) -> None:
    """1,000.00 or more: its owner sees it and cannot give it; finance can."""
    url = company.held(ada, "Pay 4,800.00 EUR")
    expect(ada.get_by_role("button", name="Approve")).to_have_count(0)
    expect(ada.get_by_role("button", name="Confirm")).to_have_count(0)
    go(jonas, f"{company.up.url}/actions")
    expect(jonas.locator("main")).to_contain_text("1 action waits for you")
    go(jonas, url)
    _decide(jonas, "Approve €4,800.00")
    expect(jonas.locator("main")).to_contain_text("HB-000002", timeout=SLOW)
    company.start_page(ada)
    _steps(ada, "Receipt HB-000002: 4,800.00 EUR")


def _rejected_with_a_reason(company: Company, ada: Page, jonas: Page) -> None:
    go(jonas, company.held(ada, "Pay 4,800.00 EUR"))
    jonas.get_by_text("Reject…").click()
    jonas.get_by_label("Why not?").fill(REASON)
    _decide(jonas, "Reject it")
    company.start_page(ada)
    _steps(ada, REASON)


def _disconnected(company: Company, ada: Page) -> None:
    go(ada, f"{company.up.url}/connections")
    ada.get_by_text("Disconnect…").click()
    ada.get_by_role("button", name="Disconnect Harbour Bank").click()
    expect(ada.locator("main")).to_contain_text("Nothing here can use it any more.")
    company.ask(ada, "Check the balance")
    _steps(ada, "No Harbour Bank account is connected.")
    connect = ada.get_by_role("link", name="Continue: give it the account")
    expect(connect).to_have_attribute("href", re.compile(r"/connections/new\?provider=harbour"))
    ada.get_by_role("button", name="Stop the agent").click()


def _seen_and_verified(company: Company, ada: Page) -> None:
    go(ada, f"{company.up.url}/log")
    expect(ada.get_by_role("heading", name="The log")).to_be_visible()
    assert {"server.added", "tool.approved", "evaluation.seeded"} <= _by_evaluation(company)
    export = str(company.up.instance / "export.jsonl")
    for words in (["verify"], ["export", export], ["verify", "--file", export]):
        done = subprocess.run(
            [*COMMAND, "audit", *words], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, "COUNTERSEAL_INSTANCE": str(company.up.instance)},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "The log holds" in done.stdout or words[0] == "export"


def _by_evaluation(company: Company) -> set[str]:
    """What the log says was done by nobody but this evaluation instance itself."""
    with closing(sqlite3.connect(company.up.instance / "counterseal.sqlite", timeout=PATIENCE)) as database:
        return {row[0] for row in database.execute("SELECT kind FROM audit_entries WHERE actor = 'evaluation'")}


def _paid(company: Company) -> list[int]:
    """The bank's own ledger: what it paid, in cents."""
    [ledger] = [file for file in company.up.instance.rglob("*.sqlite") if file.name != "counterseal.sqlite"]
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as bank:
        return [row[0] for row in bank.execute("SELECT amount_minor FROM payments ORDER BY number")]
