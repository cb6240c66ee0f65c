"""More time to decide: as much as the signed document says, for those who decide, and never more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.clock import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import action, decide, draft, forge, held
from webapp.approvals import jobs, requests
from webapp.approvals.seeing import open_
from webapp.db.due import Due
from webapp.policy import requirement
from webapp.policy.errors import PolicyRefused
from webapp.web.house import House

HOUR = 3600
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_an_approver_has_it_wait_as_long_as_its_rule_allows(house: House, clock: Clock, someone: Enrol) -> None:
    ada, bob = someone("ada")[0], someone("bob", groups=["finance"])[0]
    house.settings.approvals.rejected_stays = 0
    held_id = held(house, draft(house, ada.person), within=HOUR, latest=3 * HOUR)
    raw, first = open_(house, held_id).document.raw, action(house, held_id).expires_at
    assert "Have it wait until" in bob.get(f"/actions/{held_id}").text
    assert "Have it wait until" not in ada.get(f"/actions/{held_id}").text
    assert ada.send(f"/actions/{held_id}/extend").status_code == 403
    assert bob.send(f"/actions/{held_id}/extend").status_code == 303
    assert action(house, held_id).expires_at == first + timedelta(hours=2)
    assert open_(house, held_id).document.raw == raw  # what is signed names the latest time from the start
    assert bob.send(f"/actions/{held_id}/extend").status_code == 409  # once is all there is
    clock.forward(hours=2)
    assert jobs.expire(house, Due(key=held_id)) is not None
    page = bob.get(f"/actions/{held_id}").text
    assert "Have it wait" not in page
    assert action(house, held_id).state == "held"


def test_what_was_given_more_time_is_still_found_by_the_client_that_polls_for_it(house: House, clock: Clock) -> None:
    """Its name was made to be forgotten a day after the earlier time; then no answer could be given to who asked anew."""
    held_id = held(house, draft(house, "per_ada"), within=HOUR, latest=72 * HOUR)
    key = requests.naming(house.door).current(clock())
    house.database.write(lambda s: requests.open_(s, held_id, "cli_tokens", key, clock()))
    forge(house, held_id, expires_at=clock() + timedelta(hours=72))
    clock.forward(hours=26)
    again = requests.clean(house, Due(key=held_id))
    assert again == clock() + timedelta(hours=46) + requests.KEPT
    assert requests.waits(house, held_id).code == "authorization_pending"
    clock.forward(hours=47)
    assert requests.clean(house, Due(key=held_id)) is None


def test_without_an_extension_it_lapses_at_its_earlier_time(house: House, clock: Clock, someone: Enrol) -> None:
    ada, bob = someone("ada")[0], someone("bob", groups=["finance"])[0]
    held_id = held(house, draft(house, ada.person), within=HOUR, latest=3 * HOUR)
    page = bob.get(f"/actions/{held_id}")
    assert page.status_code == 200
    clock.forward(hours=1, seconds=1)
    assert bob.send(f"/actions/{held_id}/extend").status_code == 409
    assert open_(house, held_id).resolution(clock()).state == "expired"
    jobs.expire(house, Due(key=held_id))
    assert action(house, held_id).state == "expired"


def test_an_approval_just_before_the_earlier_time_is_picked_up_after_it(house: House, clock: Clock, someone: Enrol) -> None:
    ada, (bob, key) = someone("ada")[0], someone("bob", groups=["finance"])
    house.settings.evaluation = True
    held_id = held(house, draft(house, ada.person), within=HOUR, latest=3 * HOUR)
    decide(bob, key, held_id)
    assert action(house, held_id).state == "approved"
    forge(house, held_id, expires_at=clock())  # as if it had been given in the last second
    clock.forward(seconds=5)
    assert open_(house, held_id).resolution(clock()).state == "approved"
    assert jobs.expire(house, Due(key=held_id)) is not None


def test_a_row_that_says_later_than_the_document_gives_no_time(house: House, clock: Clock, someone: Enrol) -> None:
    """A write to the database approves nothing: the envelope's own time is the last."""
    ada, bob = someone("ada")[0], someone("bob", groups=["finance"])[0]
    held_id = held(house, draft(house, ada.person), within=HOUR)
    forge(house, held_id, expires_at=clock() + timedelta(days=2))
    clock.forward(hours=1, seconds=1)
    assert open_(house, held_id).resolution(clock()).state == "expired"
    assert "Have it wait" not in bob.get(f"/actions/{held_id}").text


def test_of_several_holds_the_earliest_of_each_time_counts() -> None:
    asked = [("a", requirement.parse("approvers=x within=1h extend=5h")), ("b", requirement.parse("confirm within=2h"))]
    total = requirement.add_up(asked, 4 * HOUR, now=NOW)
    assert (total.within, total.latest) == (HOUR, 2 * HOUR)
    alone = requirement.add_up([("c", requirement.parse("confirm extend=30m"))], 4 * HOUR, now=NOW)
    assert alone.latest == 4 * HOUR + 1800
    assert str(requirement.parse("approvers=x quorum=2 within=1h extend=30m")[0]) == "approvers=x quorum=2 within=1h extend=30m"


@pytest.mark.parametrize("text", ["confirm extend=0m", "confirm extend=31d", "confirm extend=1h extend=2h", "confirm extend"])
def test_a_misspelt_extension_refuses_the_set(text: str) -> None:
    with pytest.raises(PolicyRefused):
        requirement.parse(text)
