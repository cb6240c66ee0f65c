"""What rules count: only that is asked of the database, and limits that are plainly written can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.webapp.policy.parts import PERMIT, SETTINGS, call, counted, rules, shipped
from webapp.policy import counters
from webapp.policy.calls import Allow, Deny, Usage
from webapp.policy.engine import load


def limited(folder: Path, when: str, resource: str = "resource") -> Path:
    return rules(folder, own=f'{PERMIT}@id("l") @reason("Too much") forbid (principal, action, {resource}) when {{ {when} }};')


def test_only_what_the_rules_of_a_class_read_is_counted(tmp_path: Path) -> None:
    money = {"base_minor_last_day", "account_base_minor_last_day", "recipient_base_minor_last_day"}
    assert shipped().counted("read") == shipped().counted("money") == shipped().counted("destroy") == money
    assert shipped().counted("write") == shipped().counted("send") == money | {"calls_last_hour"}
    own = load([limited(tmp_path, "context.usage.agent_calls_last_week > 5", 'resource in ToolGroup::"send"')], SETTINGS)
    assert (own.counted("send"), own.counted("money")) == ({"agent_calls_last_week"}, frozenset())
    assert money | {"calls_last_hour"} == counters.SHIPPED


def test_where_it_is_not_clear_what_a_rule_reads_all_is_counted(tmp_path: Path) -> None:
    own = load([limited(tmp_path, "context.usage == context.usage")], SETTINGS)
    assert own.counted("read") == counters.ALL


@pytest.mark.parametrize("name", sorted(counters.ALL))
def test_every_counter_can_be_named_by_a_rule_and_speaks_at_its_figure(name: str, tmp_path: Path) -> None:
    own = load([limited(tmp_path, f"context.usage.{name} >= 5")], SETTINGS)
    assert own.decide(call(cls="read", usage=counted(**{name: 4}))) == Allow(own.digest)
    assert isinstance(own.decide(call(cls="read", usage=counted(**{name: 5}))), Deny)


def test_a_counter_that_was_not_asked_for_denies(tmp_path: Path) -> None:
    own = load([limited(tmp_path, "context.usage.calls_last_day >= 5")], SETTINGS)
    assert isinstance(own.decide(call(cls="read", usage=Usage(counts={"calls_last_hour": 0}))), Deny)


def test_the_shipped_limits_are_plain_enough_to_be_shown() -> None:
    found = {one.rule: (one.counter.name, one.most, one.holds) for one in shipped().limits("money")}
    assert found == {
        "person-daily-limit": ("base_minor_last_day", 5_000_000, False),
        "account-daily-limit": ("account_base_minor_last_day", 5_000_000, False),
        "recipient-daily-limit": ("recipient_base_minor_last_day", 2_000_000, False),
    }
    assert ("write-many", 119, True) in [(one.rule, one.most, one.holds) for one in shipped().limits("write")]


@pytest.mark.parametrize("when", [
    "context.usage.calls_last_hour == 3", "!(context.usage.calls_last_hour > 3)", "context.usage.calls_last_hour > 3 || true",
    "context.usage.calls_last_hour + context.usage.calls_last_day > 3",
])
def test_what_is_not_plain_is_not_shown_as_a_limit(when: str, tmp_path: Path) -> None:
    assert load([limited(tmp_path, when)], SETTINGS).limits("read") == ()
