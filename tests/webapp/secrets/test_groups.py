"""Of each kind a bounded number is shown, and none is left out of the count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from vault.door import Age
from webapp.config import Rotation
from webapp.secrets import page, status
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


def test_a_client_secret_is_a_persons_to_replace_and_says_when_it_is_time() -> None:
    """The settings say how old one gets; what is replaced by itself is never late."""
    start, limits = datetime(2026, 1, 1, tzinfo=UTC), Rotation(client_secret_days=30)
    for kind in ("provider", "idp"):
        row = status._of_keeper(Age(kind, "harbour", start, None, "by hand"), limits, {})
        assert row.next == start + timedelta(days=30)
        assert not row.late(start + timedelta(days=29))
        assert row.late(start + timedelta(days=30))
        assert "DUE 2026-01-31 00:00 UTC, by hand" in status.table([row], start + timedelta(days=31))
    key = status._of_keeper(Age("key", "marks", start), limits, {})
    assert (key.next, key.late(start + timedelta(days=400)), key.turned) == (start + timedelta(days=90), False, "marks")
    push = status._of_keeper(Age("key", "push", start, None, "by hand alone"), limits, {})
    assert (push.next, push.turned) == (None, "push")
