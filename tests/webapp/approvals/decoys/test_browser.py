"""The page of a decoy that was told, and the figures: in both themes, on a phone, without a fault that axe knows."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser_parts import look_through
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.decoys.test_attacks import house, put
from tests.webapp.approvals.parts import Server
from tests.webapp.approvals.test_browser_absence import chrome, looked_at, signed
from webapp.config_approvals import Decoys
from webapp.web.house import House

__all__ = ["chrome", "house"]
pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


def test_it_tells_at_once_whom_it_was_put_before(
    chrome: Browser, house: House, server: Server, someone: Enrol
) -> None:
    house.settings.evaluation, house.settings.approvals.quick_row = True, 0
    house.settings.approvals.decoys = Decoys(per_week=7, groups=["finance"])
    bob, root, one = someone("bob", groups=["finance"])[0], someone("root", groups=["admin"])[0], put(house)
    page = signed(chrome, house, bob)
    page.goto(f"/actions/{one}")
    look_through(page)
    page.get_by_role("button", name="Approve").first.click()
    expect(page.get_by_role("heading", name="A decoy: no agent asked for this")).to_be_visible()
    expect(page.locator("#now")).to_contain_text("it was missed.")
    looked_at(page, "decoy")
    figures = signed(chrome, house, root)
    figures.goto("/approvals/quality")
    expect(figures.get_by_role("region", name="Decoys by person")).to_contain_text("Bob")
    looked_at(figures, "decoys")
    assert server.calls == []
