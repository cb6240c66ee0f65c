"""Of each kind a bounded number is shown, and none is left out of the count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from webapp.secrets import page
from webapp.secrets.status import Row


def test_of_many_of_a_kind_the_oldest_are_shown_and_all_are_counted() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [Row(f"Account {n}", start + timedelta(days=n), "x", None, "account") for n in range(page.SHOWN + 5)]
    (group,) = page.groups(rows, {})
    assert group.count == page.SHOWN + 5
    assert [row.what for row in group.rows] == [f"Account {n}" for n in range(page.SHOWN)]
    assert page.groups([], {"accounts": 3}) == []


def test_whatever_is_replaced_on_the_page_is_on_it() -> None:
    """The 21st provider's secret could not be replaced where the oldest 20 alone were shown."""
    rows = [Row(f"Client secret at provider p{n}", datetime(2026, 1, 1, tzinfo=UTC), "x", None, "provider")
            for n in range(page.SHOWN + 5)]
    (group,) = page.groups(rows, {})
    assert len(group.rows) == group.count == page.SHOWN + 5
