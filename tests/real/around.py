"""The stops of the walk around deciding: accounts that fail, an admin's pages, who may not, a vault that is away, an incident."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser_parts import go
from tests.real.steps import PATIENCE, Steps


class Around(Steps):
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
            ("/operate", "operate"), ("/insights", "insights"), ("/insights/replay", "replays"),
            ("/readmissions", "readmissions"), ("/you/notices", "notices"), ("/groups/finance/notices", "group-notices"),
            ("/you/recovery", "recovery"), ("/you/security", "security"),
            ("/secrets", "secrets"), ("/groups", "groups"), ("/groups/finance", "group"), ("/approvals/quality", "quality"),
            ("/approvals/reports", "reports"), ("/you/away", "away"), ("/connections/consents", "consents"),
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
                           ("/you/incident?kind=person", "incident-own"), ("/", "start-mira")):
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

    def drift(self, tool: str) -> None:
        """As if its server had changed the description and the name of an argument."""
        said = "replace(approved, 'cannot be taken back', 'is confirmed by mail to the address in the reference')"
        listed = f"replace({said}, '\"reference\"', '\"note\"')"
        self.sql(f"UPDATE tool SET status = 'drifted', listed = {listed} WHERE name = ?", tool)
