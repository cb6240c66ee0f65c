"""One walk through every page of an evaluation instance and every state of it, for the pictures and for the tests of the pages.

`look(page, name)` is called at each stop. An answer that never came, an account that is paused and a vault that hangs are brought
about; what only time or another company could do (an action lapses, a provider takes its word back, a server changes a tool) is
written into the database: the pages cannot tell, and nothing runs from them.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psutil
from playwright.sync_api import Browser, Page, expect

from tests.browser_parts import go, look_through, open_page
from tests.up_parts import Up, until

PATIENCE = 60_000
"""Milliseconds for what another process has to do first."""
SMALL, LARGE = "Pay 480.00 EUR", "Pay 4,800.00 EUR"
QUEUE = (
    # rank, flags, amount, what the agent calls the recipient, the recipient
    (0, ["unreadable", "new"], None, "Møller & Søn A/S", "DK5000400440116243"),
    (1, ["lookalike", "new"], 1_240_000, "Nordlicht Energle GmbH", "DE02120300000000202051"),
    (5, ["again"], 32_000, "Stadtwerke Kiel", "DE75512108001245126199"),
)


@dataclass
class Walk:
    up: Up
    browser: Browser
    look: Callable[[Page, str], None]
    watch: Callable[[Page], None] = lambda _page: None
    pages: dict[str, Page] = field(default_factory=dict)

    def all(self) -> None:
        self.entrance()
        self.first_steps()
        self.confirmation()
        self.approval()
        self.endings()
        self.uncertain()
        self.void()
        self.faults_of_accounts()
        self.admin()
        self.strangers()
        self.errors()
        self.incident()

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

    def entrance(self) -> None:
        stranger = self.opened()
        self.visit(stranger, "/evaluation/enter", "entrance-link")
        stranger.get_by_label("The sign-in link").fill("http://localhost/evaluation/enter#spent")
        stranger.get_by_role("button", name="Open").click()
        stranger.wait_for_load_state()
        self.look(stranger, "entrance-refused")
        self.visit(stranger, "/sign-in", "sign-in-closed")
        stranger.context.close()

    def first_steps(self) -> None:
        """Nothing connected yet, the connection, and the agent that asks to connect."""
        ada = self.enter("Ada", looks=True)
        self.look(ada, "start-new")
        for path, name in (("/actions", "queue-empty"), ("/history", "history-empty"), ("/connections", "accounts-empty")):
            self.visit(ada, path, name)
        self.visit(ada, "/you/agents", "agents-empty")
        self.visit(ada, "/connections/new?provider=harbour", "account-new")
        ada.get_by_role("button", name="Continue to Harbour Bank").click()
        ada.wait_for_url(re.compile("^http://127"))
        self.look(ada, "bank-consent")
        ada.get_by_role("button", name="Allow", exact=True).click()
        ada.wait_for_url(re.compile("/connections"))
        self.look(ada, "accounts-fresh")
        self.try_to(ada, "Check the balance")
        proceed = ada.get_by_role("link", name="Continue: let the agent connect")
        proceed.wait_for()
        self.look(ada, "agent-card-consent")
        proceed.click()
        ada.get_by_role("heading", level=1).filter(has_text="Ledger Desk").wait_for()
        self.look(ada, "consent")
        ada.get_by_role("button", name="Allow", exact=True).click()
        expect(ada.locator("#agent")).to_contain_text("42,163.80 EUR", timeout=PATIENCE)

    def confirmation(self) -> None:
        ada = self.pages["Ada"]
        self.hold(ada, SMALL, "agent-card-held")
        self.look(ada, "action-confirm")
        ada.get_by_text("Reject…").click()
        self.look(ada, "action-rejecting")
        ada.reload()
        self.press(ada, re.compile("^Confirm"))
        self.reach(ada, "done")
        self.look(ada, "action-done")
        self.visit(ada, "/", "start-done")

    def approval(self) -> None:
        """Another person's word: what its owner sees, what finance sees, and the end."""
        ada, jonas = self.pages["Ada"], self.enter("Jonas")
        self.hold(ada, LARGE)
        url = ada.url
        self.look(ada, "action-owner")
        with self.queue_of_many():
            self.visit(jonas, "/actions", "queue")
            self.visit(ada, "/actions?tab=others", "queue-others")
        self.visit(jonas, url, "action")
        self.press(jonas, re.compile("^Approve"))
        self.reach(jonas, "done")
        self.look(jonas, "action-approved")

    def endings(self) -> None:
        """Every other way an action ends."""
        ada, jonas = self.pages["Ada"], self.pages["Jonas"]
        self.hold(ada, LARGE)
        self.press(ada, "Withdraw it")
        self.reach(ada, "withdrawn")
        self.look(ada, "action-withdrawn")
        self.by_fault(ada, ada.url.rsplit("/", 1)[1])
        self.hold(ada, LARGE)
        self.visit(jonas, ada.url, "action-again")
        jonas.get_by_text("Reject…").click()
        jonas.get_by_label("Why not?").fill("The invoice was paid last week.")
        self.press(jonas, "Reject it")
        self.reach(jonas, "rejected")
        self.look(jonas, "action-rejected")
        self.visit(ada, "/", "agent-card-refused")
        self.visit(ada, "/actions?tab=mine", "queue-mine")
        self.visit(ada, "/history", "history")

    def by_fault(self, page: Page, action: str) -> None:
        """States of the last action that time, or the bank's word, brings about."""
        faults = {
            "expired": "started_at = NULL",
            "approved": "decided_at = created_at, ended_at = NULL, run_by = datetime(created_at, '+10 minutes')",
            "failed": "started_at = created_at, reason = 'the server closed the connection.'",
        }
        for state, more in faults.items():
            self.sql(f"UPDATE action SET state = '{state}', {more} WHERE id = ?", action)
            self.visit(page, f"/actions/{action}", f"action-{state}")
        self.sql("UPDATE action SET state = 'withdrawn', started_at = NULL, ended_at = created_at WHERE id = ?", action)

    def uncertain(self) -> None:
        """The bank's server hangs while it is asked to pay, and dies when it has heard: nobody knows, until a person looks."""
        ada = self.pages["Ada"]
        self.hold(ada, SMALL)
        url, server = ada.url, self.up.part("bank_mcp")
        server.suspend()
        self.press(ada, re.compile("^Confirm"))
        self.reach(ada, "executing")
        self.look(ada, "action-executing")
        self.visit(ada, "/", "start-executing")
        self.die_with_what_was_heard(server)
        go(ada, url)
        self.reach(ada, "uncertain")
        self.look(ada, "action-uncertain")
        self.visit(ada, "/", "start-uncertain")
        go(ada, url)
        ada.get_by_label("It ran").check()
        ada.get_by_label("How you know").fill("The statement has it.")
        self.press(ada, "Close it")
        self.reach(ada, "done")
        self.look(ada, "action-closed")

    def die_with_what_was_heard(self, server: psutil.Process) -> None:
        """The call waits at its door: let it in while the bank behind it hangs, and kill it. What only waits would be answered by
        the server's successor."""
        [port] = {one.laddr.port for one in server.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
        bank = self.up.part("evaluation.parts")
        until(lambda: any(one.raddr and one.raddr.port == port for child in self.up.children()
                          for one in child.net_connections("tcp")), "the call was sent")
        bank.suspend()
        server.resume()
        until(lambda: any(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED
                          for one in server.net_connections("tcp")), "the server has it")
        server.kill()
        bank.resume()

    def void(self) -> None:
        """The account is paused while its action waits. The same call before it only hears what the person found."""
        ada = self.pages["Ada"]
        self.try_to(ada, SMALL)
        self.hold(ada, SMALL)
        url = ada.url
        go(ada, "/connections")
        self.press(ada, re.compile("^Pause"))
        self.look(ada, "accounts-paused")
        ada.get_by_role("link", name=re.compile("^See every use")).click()
        ada.wait_for_url("**/connections/con_**")
        self.look(ada, "account-paused")
        self.visit(ada, url, "action-void")
        self.reach(ada, "void")
        go(ada, "/connections")
        self.press(ada, re.compile("^Resume"))

    def faults_of_accounts(self) -> None:
        ada = self.pages["Ada"]
        self.visit(ada, "/connections", "accounts")
        ada.get_by_role("link", name=re.compile("^See every use")).click()
        ada.wait_for_url("**/connections/con_**")
        self.look(ada, "account")
        one = ada.url
        self.sql("UPDATE connections SET status = 'needs_consent'")
        self.visit(ada, "/connections", "accounts-needs_consent")
        self.visit(ada, one, "account-needs_consent")
        self.sql("UPDATE connections SET status = 'active'")
        self.visit(ada, f"{one}/disconnect", "account-disconnect")
        ada.get_by_role("button", name="Disconnect Harbour Bank").click()
        ada.wait_for_url(re.compile("/connections"))
        self.look(ada, "accounts-ended")
        self.visit(ada, one, "account-ended")
        self.try_to(ada, "Check the balance")
        expect(ada.locator("#agent")).to_contain_text("Needs an account.", timeout=PATIENCE)
        self.look(ada, "agent-card-disconnected")
        self.press(ada, "Stop the agent")

    def admin(self) -> None:
        ada = self.pages["Ada"]
        for path, name in (
            ("/you/agents", "agents"), ("/clients", "clients"), ("/servers", "servers"), ("/servers/bank", "server"),
            ("/servers/bank/tools/send_payment", "tool"), ("/log", "log"), ("/log?kind=nothing.", "log-empty"),
        ):
            self.visit(ada, path, name)
        self.drift("send_payment")
        self.sql("UPDATE tool SET status = 'new', approved = '', decided_at = NULL WHERE name = 'get_balance'")
        for path, name in (("/servers", "servers-drift"), ("/servers/bank", "server-drift"),
                           ("/servers/bank/tools/send_payment", "tool-drift"), ("/servers/bank/tools/get_balance", "tool-new")):
            self.visit(ada, path, name)
        self.visit(ada, "/you", "you")
        self.visit(ada, "/you/factors/passkey", "factor-another")

    def strangers(self) -> None:
        """Who may not, and who is not there."""
        mira = self.enter("Mira")
        for path, name in (("/servers", "error-403"), ("/nowhere", "error-404"), ("/actions/act_none", "error-404-action"),
                           ("/", "start-mira")):
            self.visit(mira, path, name)
        go(mira, "/you")
        mira.get_by_role("button", name="Sign out", exact=True).click()
        mira.wait_for_url(re.compile("/sign-in"))
        self.look(mira, "signed-out")

    def errors(self) -> None:
        """The vault does not answer."""
        ada = self.pages["Ada"]
        with self.vault_away():
            self.visit(ada, "/you", "you-vault-away")
            self.visit(ada, "/you/factors/totp", "error-503")
            self.visit(ada, "/connections/new?provider=harbour", "account-new-vault-away")

    def incident(self) -> None:
        """The bank's server may be compromised; then it was not."""
        ada = self.pages["Ada"]
        for path, name in (
            ("/incidents", "incidents-empty"), ("/incidents/new", "incident-kinds"),
            ("/incidents/new?kind=server", "incident-which"), ("/incidents/new?kind=server&name=bank", "incident-reach"),
        ):
            self.visit(ada, path, name)
        ada.get_by_label("Why").fill("Its operator reports a break-in.")
        self.press(ada, "Suspend it now")
        self.look(ada, "incident")
        one = ada.url
        for path, name in (
            ("/incidents", "incidents"), ("/incidents/ledger", "incident-ledger"), ("/servers/bank", "server-suspended"),
            ("/", "start-incident"), ("/connections", "accounts-incident"),
        ):
            self.visit(ada, path, name)
        go(ada, one)
        self.press(ada, re.compile("^Resume"))
        ada.get_by_label("What it was, and what was done").fill("A false alarm: it was their test machine.")
        self.press(ada, re.compile("^Close"))
        self.look(ada, "incident-closed")

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
    def queue_of_many(self) -> Iterator[None]:
        """Beside the one that is really held, rows of other ranks: for the list alone."""
        file = self.up.instance / "counterseal.sqlite"
        with closing(sqlite3.connect(file, timeout=10)) as database, database:
            database.row_factory = sqlite3.Row
            held = dict(database.execute("SELECT * FROM action WHERE state = 'held'").fetchone())
            for number, (rank, flags, amount, named, recipient) in enumerate(QUEUE):
                row = held | {
                    "id": f"act_queue{number}", "rank": rank, "flags": json.dumps(flags), "amount_minor": amount,
                    "currency": "EUR" if amount else None, "named": named, "recipient": recipient, "arguments": f"{number:064}",
                }
                names = ", ".join(f'"{name}"' for name in row)
                database.execute(f"INSERT INTO action ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
                database.execute("INSERT INTO action_group (action, name) VALUES (?, 'finance')", (row["id"],))
        yield
        self.sql("DELETE FROM action_group WHERE action LIKE 'act_queue%'")
        self.sql("DELETE FROM action WHERE id LIKE 'act_queue%'")

    def drift(self, tool: str) -> None:
        """As if its server had changed the description and the name of an argument."""
        said = "replace(approved, 'cannot be taken back', 'is confirmed by mail to the address in the reference')"
        listed = f"replace({said}, '\"reference\"', '\"note\"')"
        self.sql(f"UPDATE tool SET status = 'drifted', listed = {listed} WHERE name = ?", tool)

    @contextmanager
    def vault_away(self) -> Iterator[None]:
        """OpenBao stopped in its tracks, as a machine that hangs would."""
        vault = self.up.part("bao server")
        vault.suspend()
        try:
            yield
        finally:
            vault.resume()
