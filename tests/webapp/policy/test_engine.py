"""The two-step decision, and the set that ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.webapp.policy.parts import NOW, PERMIT, SETTINGS, call, counted, payment, rules, shipped
from webapp.policy import context, engine, reading
from webapp.policy.amounts import Amount
from webapp.policy.calls import Account, Agent, Allow, Call, Deny, Hold, Usage, Verdict
from webapp.policy.counters import COUNTERS
from webapp.policy.engine import CLASSES, Listing, PolicySet, load
from webapp.policy.facts import Facts, Recipient

SHIPPED, WHOLE = shipped(), shipped()
for each in CLASSES:
    WHOLE._rules[each] = engine._Part([rule for rule in WHOLE.rules if rule.requirements is None])
    WHOLE._holds[each] = engine._Part([rule for rule in WHOLE.rules if rule.requirements is not None], permit_all=True)
    WHOLE._rules[each]._read = WHOLE._holds[each]._read = None
KNOWN = Usage(approved_before=2, up_to_minor=100000)


def asked(verdict: Verdict) -> list[tuple[str, str, str]]:
    assert isinstance(verdict, Hold), verdict
    return [(need["kind"], need["group"], need["factor"]) for need in verdict.needs]


# The shipped set


def test_reading_is_allowed_and_says_by_which_set() -> None:
    assert SHIPPED.decide(call(cls="read")) == Allow(SHIPPED.digest)


def test_a_payment_below_the_limit_is_its_owners_to_confirm() -> None:
    assert asked(SHIPPED.decide(payment("999.99"))) == [("confirm", "", "")]


@pytest.mark.parametrize(("amount", "currency"), [("1000.00", "EUR"), ("4800.00", "EUR"), ("1086.96", "USD"), ("335.571", "KWD")])
def test_from_a_thousand_on_it_is_for_finance_with_a_passkey_and_not_for_the_owner(amount: str, currency: str) -> None:
    assert asked(SHIPPED.decide(payment(amount, currency))) == [("approvers", "finance", "passkey")]


@pytest.mark.parametrize("usage", [
    counted(base_minor_last_day=4999999), counted(account_base_minor_last_day=4999999),
    counted(recipient_base_minor_last_day=1999999),
])
def test_beyond_a_daily_limit_of_person_account_or_recipient_it_is_refused_and_says_why(usage: Usage) -> None:
    verdict = SHIPPED.decide(payment("0.02", usage=usage))
    assert isinstance(verdict, Deny)
    assert verdict.rules[0].endswith("-daily-limit")
    assert "24 hours" in verdict.reason
    assert isinstance(SHIPPED.decide(payment("0.01", usage=usage)), Hold)


def test_what_nobody_classified_needs_confirmation() -> None:
    assert asked(SHIPPED.decide(call(cls="destroy"))) == [("confirm", "", "")]


def test_a_change_is_allowed_until_the_session_is_tainted_or_there_are_many() -> None:
    assert SHIPPED.decide(call(cls="write"))
    assert asked(SHIPPED.decide(call(cls="write", tainted=True))) == [("confirm", "", "")]
    assert asked(SHIPPED.decide(call(cls="write", usage=counted(calls_last_hour=120)))) == [("confirm", "", "")]


def test_sending_is_allowed_to_whom_a_person_approved_before_and_to_nobody_else() -> None:
    def send(**usage: object) -> Verdict:
        made = call(cls="send", usage=Usage(**usage))  # type: ignore[arg-type]
        return SHIPPED.decide(replace(made, facts=Facts(recipient=Recipient("ops@example.com", "email", "ops@example.com"))))

    assert send(approved_before=1)
    assert asked(send()) == [("confirm", "", "")]
    assert asked(send(approved_before=1, lookalike_of="0ps@example.com")) == [("confirm", "", "")]
    assert asked(SHIPPED.decide(call(cls="send", usage=KNOWN))) == [("confirm", "", "")], "a recipient that cannot be read"


def test_approved_before_counts_up_to_the_amount_approved_then() -> None:
    known = Recipient("x", "text", "x")
    small, large = (
        replace(call(cls="send", usage=Usage(approved_before=2, up_to_minor=5000)), facts=Facts(amount=amount, recipient=known))
        for amount in (Amount("ok", 5000, "EUR", 5000), Amount("ok", 5001, "EUR", 5001))
    )
    assert SHIPPED.decide(small)
    assert asked(SHIPPED.decide(large)) == [("confirm", "", "")]


def test_a_large_amount_needs_finance_in_whatever_class_the_tool_is() -> None:
    for cls in ("read", "write", "send", "destroy"):
        made = replace(call(cls=cls, usage=KNOWN), facts=Facts(amount=Amount("ok", 480000, "EUR", 480000)))
        assert ("approvers", "finance", "passkey") in asked(SHIPPED.decide(made))


def test_a_class_that_nobody_knows_is_denied() -> None:
    assert isinstance(SHIPPED.decide(call(cls="pay")), Deny)


# Only tightening


def strength(verdict: Verdict) -> tuple[int, int]:
    if isinstance(verdict, Allow):
        return 0, 0
    return (2, 0) if isinstance(verdict, Deny) else (1, len(verdict.reasons))


readable = st.integers(1, 10**7).map(lambda minor: Amount("ok", minor, "EUR", minor))
amounts_ = st.one_of(st.just(Amount("none", 0, "", 0)), st.just(Amount("unknown")), readable)
recipients = st.sampled_from([None, Recipient("a", "text", "a"), Recipient("b\nc", "email", "b, c")])
calls = st.builds(
    Call, person=st.just("per_a"), groups=st.sampled_from([(), ("finance", "staff")]),
    agent=st.builds(Agent, id=st.just("cli_1"), verified=st.booleans()),
    server=st.just("bank"), tool=st.just("send_payment"), cls=st.sampled_from(CLASSES), now=st.just(NOW),
    facts=st.builds(Facts, amount=amounts_, recipient=recipients),
    usage=st.builds(
        Usage, approved_before=st.integers(0, 2), counts=st.builds(
            lambda calls, minor: dict.fromkeys(COUNTERS, 0) | {"calls_last_hour": calls, "base_minor_last_day": minor},
            st.integers(0, 200), st.integers(0, 10**7),
        ),
        up_to_minor=st.integers(0, 10**6), lookalike_of=st.sampled_from(["", "x"]),
    ),
    account=st.sampled_from([None, Account("con_1", "bank", "per_a"), Account("con_1", "bank", "per_b")]),
    tainted=st.booleans(),
)


@given(calls, st.sampled_from([None, 1, 99, 100000, 10**7]), recipients)
def test_what_is_inferred_adds_holds_and_removes_none(made: Call, amount: int | None, recipient: Recipient | None) -> None:
    inferred = Amount("ok", amount, "EUR", amount) if amount else None
    guessed = replace(made, facts=replace(made.facts, inferred_amount=inferred, inferred_recipient=recipient))
    assert strength(SHIPPED.decide(guessed)) >= strength(SHIPPED.decide(made))


@given(calls)
def test_what_a_server_only_reports_loosens_nothing(made: Call) -> None:
    assert strength(SHIPPED.decide(replace(made, enforced=False))) >= strength(SHIPPED.decide(made))


def test_a_small_amount_that_is_only_reported_needs_what_a_large_one_needs() -> None:
    assert ("approvers", "finance", "passkey") in asked(SHIPPED.decide(payment("1.00", enforced=False)))


@pytest.mark.parametrize("hints", [{"readOnlyHint": True}, {"destructiveHint": False, "idempotentHint": True}])
def test_a_hint_that_praises_its_tool_reaches_no_rule(hints: dict[str, bool]) -> None:
    assert SHIPPED.decide(payment(hints=hints)) == SHIPPED.decide(payment())
    assert all(view["tool"]["hints"] == [] for view in context.views(payment(hints=hints), SETTINGS))


def test_a_hint_that_warns_can_be_used_by_a_rule(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a=PERMIT + '@id("d") @hold("confirm") @reason("d") forbid (principal, action, resource) '
                                           'when { context.tool.hints.contains("destructive") };')])
    assert own.decide(call(cls="read"))
    assert asked(own.decide(call(cls="read", hints={"destructiveHint": True}))) == [("confirm", "", "")]


# Errors deny

ERRS = "context.usage.calls_last_hour * 9223372036854775807 * 2 > 1"


@pytest.mark.parametrize("rule", [
    f'@id("errs") @reason("r") permit (principal, action, resource) when {{ {ERRS} }};',
    f'@id("errs") @reason("r") forbid (principal, action, resource) when {{ {ERRS} }};',
    f'@id("errs") @hold("confirm") @reason("r") forbid (principal, action, resource) when {{ {ERRS} }};',
])
def test_a_rule_that_errs_denies_whatever_the_others_say(tmp_path: Path, rule: str) -> None:
    """Cedar skips a policy whose condition errs: a forbid that errs would let the call pass."""
    own = load([rules(tmp_path, a=PERMIT + rule)])
    verdict = own.decide(call(cls="read", usage=counted(calls_last_hour=9)))
    assert isinstance(verdict, Deny)
    assert verdict.rules == ("errs",)


def test_a_hold_that_errs_denies_although_another_holds(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a=PERMIT + f'''
        @id("errs") @hold("confirm") @reason("r") forbid (principal, action, resource) when {{ {ERRS} }};
        @id("holds") @hold("confirm") @reason("r") forbid (principal, action, resource);''')])
    assert isinstance(own.decide(call(cls="read", usage=counted(calls_last_hour=9))), Deny)


def test_nothing_permits_what_no_rule_names(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a='@id("r") @reason("r") permit (principal, action, resource in ToolGroup::"read");')])
    verdict = own.decide(call(cls="write"))
    assert verdict == Deny("No rule allows this.", (), own.digest)


def test_a_plain_forbid_beats_every_hold(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a=PERMIT + '''
        @id("h") @hold("confirm") @reason("r") forbid (principal, action, resource);
        @id("no") @reason("Not today") forbid (principal, action, resource);''')])
    assert own.decide(call(cls="read")) == Deny("Not today", ("no",), own.digest)


def test_holds_add_up_to_all_needs_under_the_shortest_time(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a=PERMIT + '''
        @id("one") @hold("confirm within=2h") @reason("first") forbid (principal, action, resource);
        @id("two") @hold("approvers=finance quorum=2 within=30m") @reason("second") forbid (principal, action, resource);''')])
    verdict = own.decide(call(cls="read"))
    assert isinstance(verdict, Hold)
    needs = [(need["kind"], need["quorum"], need["rule"]) for need in verdict.needs]
    assert needs == [("confirm", 1, "one"), ("approvers", 2, "two")]
    assert (verdict.within, [each.text for each in verdict.reasons]) == (1800, ["first", "second"])


def test_the_rule_of_the_handbook_works_as_written(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a=PERMIT + '''
        @id("large") @hold("approvers=finance quorum=2 factor=passkey within=4h") @reason("Two people from finance")
        forbid (principal, action == Action::"call", resource in ToolGroup::"payments")
        when { context has amount && context.amount.base_minor >= 100000 };''')])
    assert own.decide(payment("999.99"))
    assert asked(own.decide(payment("1000.00"))) == [("approvers", "finance", "passkey")]


def test_a_group_is_who_the_caller_says_it_is_and_a_tool_is_its_server_and_name(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a='''
        @id("f") @reason("r") permit (principal in Group::"finance", action, resource == Tool::"bank/send_payment");
        @id("s") @reason("r") permit (principal, action, resource in Server::"wiki");''')])
    assert own.decide(call(cls="read", groups=("finance",)))
    assert not own.decide(call(cls="read", groups=("Finance", 'x"', "finance ")))
    assert not own.decide(call(cls="read", groups=("finance",), tool="send_payments"))
    assert own.decide(call(cls="read", server="wiki", tool="x"))


@pytest.mark.parametrize("tool", ['a"), permit(principal,action,resource);//', "a\nb", "ü", "\u202e", ""])
def test_ids_are_data_and_never_cedar_text(tool: str) -> None:
    assert SHIPPED.decide(call(cls="read", tool=tool))
    assert not SHIPPED.may_permit(listing(tool=tool))


# What Cedar is given


@settings(max_examples=60)
@given(calls, st.booleans())
def test_every_context_fits_the_schema(made: Call, enforced: bool) -> None:
    for view in context.views(replace(made, enforced=enforced), SETTINGS):
        request = {
            "principal": {"type": "Person", "id": "a"}, "action": {"type": "Action", "id": "call"},
            "resource": {"type": "Tool", "id": "t"}, "context": view,
        }
        result = cedarpy.is_authorized(request, PERMIT, [], schema=reading.schema())
        assert result.diagnostics.errors == []
        assert result.allowed


@given(calls)
def test_leaving_out_other_classes_rules_and_what_no_rule_reads_changes_no_verdict(made: Call) -> None:
    assert WHOLE.decide(made) == SHIPPED.decide(made)


@pytest.mark.parametrize(("condition", "read"), [
    ("context.tool.class == \"read\"", {"tool": {"class"}}),
    ("context has amount", {"amount": set()}),
    ("context has amount && context.amount.minor > 1", {"amount": {"minor"}}),
    ("context has recipient && context.recipient has lookalike_of", {"recipient": {"lookalike_of"}}),
    ("context.time == context.time", {"time": None}),
    ("(if context.enforced then context else context).session.tainted", None),
])
def test_what_a_rule_reads_is_known_or_taken_for_everything(condition: str, read: dict[str, set[str] | None] | None) -> None:
    parsed = json.loads(cedarpy.policies_to_json_str(f"permit (principal, action, resource) when {{ {condition} }};"))
    found = reading.context_read(parsed["staticPolicies"])
    assert (None if found is None else dict(found)) == read


# What may be listed


def listing(**fields: object) -> Listing:
    given_: dict[str, object] = {
        "person": "per_a", "groups": (), "agent": "cli_1", "verified": False, "mtls": False, "server": "bank",
        "tool": "send_payment", "cls": "money",
    }
    return Listing(**{**given_, **fields})  # type: ignore[arg-type]


@given(calls)
def test_a_tool_that_a_call_may_reach_is_never_hidden(made: Call) -> None:
    if not isinstance(SHIPPED.decide(made), Deny):
        assert SHIPPED.may_permit(listing(groups=made.groups, verified=made.agent.verified, cls=made.cls))


def test_a_tool_that_no_call_of_this_person_and_agent_can_reach_is_hidden(tmp_path: Path) -> None:
    own = load([rules(tmp_path, a='''
        @id("v") @reason("r") permit (principal, action, resource in ToolGroup::"money") when { context.caller.verified };
        @id("g") @reason("r") permit (principal in Group::"staff", action, resource in ToolGroup::"send");
        @id("n") @reason("r") permit (principal, action, resource in ToolGroup::"read")
        when { context has amount && context.amount.minor < 5 };
        @id("never") @reason("r") forbid (principal, action, resource == Tool::"bank/secret");
        @id("once") @reason("r") forbid (principal, action, resource) when { context.caller.agent == "cli_bad" };''')])
    assert not own.may_permit(listing())
    assert own.may_permit(listing(verified=True))
    assert not own.may_permit(listing(verified=True, agent="cli_bad"))
    assert not own.may_permit(listing(verified=True, tool="secret"))
    assert not own.may_permit(listing(cls="send"))
    assert own.may_permit(listing(cls="send", groups=("staff",)))
    assert own.may_permit(listing(cls="read"))
    assert not own.may_permit(listing(cls="write"))


def test_a_loaded_set_tells_its_rules_for_the_operator() -> None:
    assert isinstance(SHIPPED, PolicySet)
    holds = {rule.id for rule in SHIPPED.rules if rule.requirements is not None}
    assert {"payment", "large-payment", "amount-unreadable"} <= holds
