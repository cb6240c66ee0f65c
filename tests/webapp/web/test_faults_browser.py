"""Each page that says what went wrong, in Chromium: what axe-core finds in it, in both themes and on a phone (`looked_at`)."""

from __future__ import annotations

import pytest
from flask import Flask, abort
from playwright.sync_api import expect

from tests.app_parts import People
from tests.browser_parts import chromium, looked_at, open_page, served
from tests.keeper_parts import PUBLIC_URL
from vault.errors import KeeperError, NotSignedIn, ProviderAway
from webapp.errors import Conflict, CountersealError, LimitReached, Misdirected, Unavailable
from webapp.people import cookies
from webapp.web.faults import TITLES
from webapp.web.guards import public
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]
FAULTS: dict[int, CountersealError | KeeperError | RuntimeError | None] = {
    400: None, 401: NotSignedIn(), 405: None, 409: Conflict("Somebody else closed it a moment ago."), 413: None,
    421: Misdirected("Go to the address that you were given."), 429: LimitReached("Wait a minute, then try again."),
    500: RuntimeError("nobody reads this"), 502: ProviderAway(),
    503: Unavailable("The log is stalled. Nothing was done and nothing lost."),
}


@public
def fault(status: int) -> str:
    """As a view that meets it; those that are nobody's error in particular are the framework's."""
    if error := FAULTS[status]:
        raise error
    abort(status)


def test_every_page_about_a_fault_can_be_read_by_everybody(app: Flask, house: House, signed_in: People) -> None:
    app.add_url_rule("/fault/<int:status>", view_func=fault)
    assert {403, 404, *FAULTS} == set(TITLES), "the walk comes to those two"
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = signed_in("ada").get_cookie(name)
    assert cookie is not None
    with served(app) as port, chromium(port) as browser:
        page = open_page(browser)
        page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        for status in FAULTS:
            if status == 401:
                page.context.clear_cookies()
            answer = page.goto(f"/fault/{status}")
            assert answer
            assert answer.status == status
            expect(page.get_by_role("heading", level=1)).to_have_text(TITLES[status])
            assert "nobody reads this" not in page.content()
            looked_at(page, f"fault-{status}")
            if status == 401:
                page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
