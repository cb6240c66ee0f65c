"""Which rules always get approved, and which never speak."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from tests.app_parts import People
from tests.clock import Clock
from tests.webapp.approvals.parts import draft, held
from tests.webapp.insights.parts import action
from tests.webapp.policy.parts import PERMIT, SETTINGS, rules
from webapp import audit
from webapp.approvals.tables import Action
from webapp.audit import sequence
from webapp.insights import rules as speaking
from webapp.insights.gathering import gather
from webapp.insights.rules import counted
from webapp.policy.engine import DEFAULTS, load
from webapp.web.house import House

EVER = datetime(2020, 1, 1, tzinfo=UTC)
MINE = PERMIT + """
@id("held") @reason("Held") @hold("confirm") forbid (principal, action, resource);
@id("never") @reason("Never") forbid (principal, action, resource) when { context.tool.class == "none" };
"""


def test_a_candidate_has_cases_enough_and_not_one_refusal(tmp_path: Path) -> None:
    known = load([rules(tmp_path, mine=MINE)], SETTINGS).rules
    rows: list[Any] = [("held", "hold", "done", 19), ("held", "hold", "expired", 4), ("gone", "hold", "done", 99)]
    found = counted(rows, known, 20)
    assert found.always == [], "19 are too few, and a rule that is no longer there cannot be relaxed"
    [held_, gone] = [one for name in ("held", "gone") for one in found.spoken if one.rule == name]
    assert (held_.held, held_.approved, held_.lapsed, held_.waiting, held_.reason) == (23, 19, 4, 0, "Held")
    assert not gone.known
    assert [one.rule for one in counted([*rows, ("held", "hold", "failed", 1)], known, 20).always] == ["held"]
    assert counted([*rows, ("held", "hold", "done", 50), ("held", "hold", "rejected", 1)], known, 20).always == []


def test_silent_rules_are_holds_and_denials_and_the_floor_is_no_candidate(tmp_path: Path) -> None:
    shipped = load([DEFAULTS], SETTINGS).rules
    found = counted([("amount-unreadable", "hold", "done", 500), ("person-daily-limit", "deny", None, 3)], shipped, 20)
    assert found.always == []
    silent = {one.rule for one in found.never}
    assert {"payment", "large-payment"} <= silent
    assert not silent & {"read", "write", "person-daily-limit", "amount-unreadable"}, "permits are not counted"
    assert [(one.rule, one.held, one.denied) for one in found.spoken] == [
        ("amount-unreadable", 500, 0), ("person-daily-limit", 0, 3),
    ]


def test_what_spoke_is_read_from_the_log_once(house: House, clock: Clock) -> None:
    """A denial names its rules, or none; what became of a hold is what became of its action."""
    one = held(house, draft(house, "per_ada"))
    now = clock()

    def deny(session: Any) -> None:
        details: list[dict[str, Any]] = [{"rules": ["limit", "limit"]}, {"rules": []}, {"report": "rep_1"}]
        for detail in details:
            audit.append(session, kind="call.denied", actor="client:c", subject="call_1", detail=detail, at=now)

    house.database.write(deny)
    house.database.write(lambda s: s.execute(update(Action).where(Action.id == one).values(state="done", decided_at=now)))
    sequence(house)
    for _ in range(2):
        assert gather(house)
    with house.database.read() as session:
        found = speaking.of(session, (), EVER, 1)
    assert [(each.rule, each.held, each.approved, each.denied) for each in found.spoken] == [
        ("large-payment", 1, 1, 0), ("limit", 0, 0, 1),
    ]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_page_for_each_role(house: House, signed_in: People) -> None:
    """Admins and auditors see all, rules too; an approver what their groups were asked; others nothing."""
    bob, eve = signed_in("bob", groups=["finance"]), signed_in("eve", groups=["user"])
    root, olga = signed_in("root", groups=["admin"]), signed_in("olga", groups=["audit"])
    assert "Nothing that was held" in root.get("/insights").text
    for seconds in (1, 60, 3600, 7200, 100_000):
        action(house.database, house.clock(), look=seconds, decided=seconds + 5, tool_title="<b>Pay</b>")
    for browser in (root, olga):
        page = browser.get("/insights?days=7").text
        assert "1 h" in page
        assert "1 d 3 h" in page
        assert "Never spoke" in page
        assert "style=" not in page.partition("<main")[2]
    page = bob.get("/insights").text
    assert "1 h" in page
    assert "Never spoke" not in page
    assert "Nothing that was held" in eve.get("/insights").text
    assert bob.get("/insights/rules.csv").status_code == 403
    assert root.get("/insights/other.csv").status_code == 400
    assert "large-payment" in root.get("/insights/rules.csv").text
    lines = bob.get("/insights/times.csv?days=7").text.splitlines()
    assert lines[0].startswith("by,name,tool,looked_at")
    assert "tool,bank,send_payment,5,3600,100000,5,3605,100005" in lines
    assert "finance" not in eve.get("/insights/times.csv").text
    assert root.get("/insights?days=31").status_code == 200
    assert signed_in.stranger().get("/insights").status_code == 303
