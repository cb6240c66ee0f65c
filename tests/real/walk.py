"""One walk through every page of an evaluation instance and every state of it, for the pictures and for the tests of the pages.

`look(page, name)` is called at each stop. An answer that never came, an account that is paused and a vault that hangs are brought
about; what only time or another company could do (an action lapses, a provider takes its word back, a server changes a tool) is
written into the database: the pages cannot tell, and nothing runs from them.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psutil
from playwright.sync_api import Page, expect

from tests.browser_parts import go
from tests.processes import freeze
from tests.real.around import Around
from tests.real.steps import LARGE, PATIENCE, SMALL
from tests.up_parts import until

QUEUE = (
    # rank, flags, amount, what the agent calls the recipient, the recipient
    (0, ["unreadable", "new"], None, "Møller & Søn A/S", "DK5000400440116243"),
    (100, ["lookalike", "new"], 1_240_000, "Nordlicht Energle GmbH", "DE02120300000000202051"),
    (500, ["again"], 32_000, "Stadtwerke Kiel", "DE75512108001245126199"),
)



class Walk(Around):
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
        self.visit(jonas, f"{url}/edit", "action-edit")
        self.visit(jonas, f"{url}/life", "action-life")
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
        self.several(jonas)
        self.visit(jonas, ada.url, "action-again")
        jonas.get_by_text("Reject…").click()
        jonas.get_by_label("Why not?").fill("The invoice was paid last week.")
        self.press(jonas, "Reject it")
        self.reach(jonas, "rejected")
        self.look(jonas, "action-rejected")
        self.visit(ada, "/", "agent-card-refused")
        self.visit(ada, "/actions?tab=mine", "queue-mine")
        self.visit(ada, "/history", "history")

    def several(self, page: Page) -> None:
        """What can be done with the ticked; left before it is done."""
        go(page, "/actions")
        page.locator("input[name=pick]").first.check()
        self.look(page, "queue-ticked")
        page.get_by_role("button", name=re.compile("^Reject")).first.click()
        page.get_by_role("heading", level=1).filter(has_text="Reject").wait_for()
        self.look(page, "reject-several")

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
        freeze(server.pid)
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
        freeze(bank.pid)
        asked = {one.laddr.port for one in bank.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
        known = {one.laddr.port for one in server.net_connections("tcp") if one.raddr and one.raddr.port in asked}
        server.resume()
        # Not its own connections: one that was kept from an earlier call is there before this one was heard.
        until(lambda: any(one.raddr and one.raddr.port in asked and one.laddr.port not in known
                          for one in server.net_connections("tcp")), "the server has heard it, and asks the bank")
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
