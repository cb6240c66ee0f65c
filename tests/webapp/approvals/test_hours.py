"""Business hours: outside of them no word counts, the page says until when, and saying no is always possible."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import action, decide, draft, held, need
from vault.evidence import Need
from webapp.web.house import House
from webapp.web.show import hours


def within(days_from_now: int) -> Need:
    """Of the group, in the hours of one whole day of the week."""
    day = (datetime.now(UTC) + timedelta(days=days_from_now)).weekday()
    return {**need(), "hours": f"{day} 00:00-24:00 UTC"}


def test_out_of_hours_nobody_decides_and_the_page_says_when_they_can(house: House, someone: Enrol) -> None:
    ada, bob = someone("ada")[0], someone("bob", groups=["finance"])
    held_id = held(house, draft(house, ada.person), [within(3)], within=6 * 86400)
    page = bob[0].get(f"/actions/{held_id}")
    assert "This can be decided in business hours only, again from" in page.text
    assert "00:00-24:00, UTC" in page.text
    assert "data-options" not in page.text
    assert 'name="code"' not in page.text, "a code does not count either"
    assert f'action="/actions/{held_id}/reject"' in page.text
    assert "Business hours" in bob[0].get("/actions").text
    shown = dict(re.findall(r'name="(shown)" value="([^"]+)"', page.text))
    late = bob[0].send(f"/actions/{held_id}/decide", **shown, code="123456")
    assert late.status_code == 400
    assert "again from" in late.text
    assert bob[0].send(f"/actions/{held_id}/reject", **shown, reason="No.").status_code == 303
    assert action(house, held_id).state == "rejected"


def test_within_them_it_is_decided_as_ever(house: House, someone: Enrol) -> None:
    ada, bob = someone("ada")[0], someone("bob", groups=["finance"])
    days = [within(one)["hours"][0] for one in (-1, 0, 1)]
    span: Need = {**need(), "hours": f"{','.join(sorted(days))} 00:00-24:00 UTC"}
    span["hours"] = {"0,1,2": "0-2", "1,2,3": "1-3", "2,3,4": "2-4", "3,4,5": "3-5", "4,5,6": "4-6", "0,5,6": "0,5-6",
                     "0,1,6": "0-1,6"}[",".join(sorted(days))] + " 00:00-24:00 UTC"
    held_id = held(house, draft(house, ada.person), [span])
    assert decide(*bob, held_id).status_code == 303
    assert action(house, held_id).state == "approved"


def test_days_are_named() -> None:
    assert hours("0-4,6 08:00-18:00 Europe/Berlin") == "Mon-Fri,Sun 08:00-18:00, Europe/Berlin"
