"""A set loads wholly or not at all; the floor stays; the digest moves with everything that could change a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.webapp.policy.parts import PERMIT, call, payment, rules
from webapp.config import Policy
from webapp.policy import reading
from webapp.policy.calls import Allow, Hold
from webapp.policy.engine import DEFAULTS, load
from webapp.policy.errors import PolicyRefused

FORBID = "forbid (principal, action, resource)"

REFUSED = {
    "not cedar": "permit everyone",
    "no id": '@reason("r") permit (principal, action, resource);',
    "an empty id": '@id @reason("r") permit (principal, action, resource);',
    "an id with a space": '@id("a b") @reason("r") permit (principal, action, resource);',
    "an id twice": PERMIT + PERMIT,
    "an id of the floor": f'@id("amount-unreadable") @reason("r") {FORBID} when {{ false }};',
    "an id of the defaults": f'@id("large-payment") @reason("r") {FORBID};',
    "a hold on a permit": '@id("a") @hold("confirm") @reason("r") permit (principal, action, resource);',
    "an unknown word": f'@id("a") @hold("ask") @reason("r") {FORBID};',
    "a quorum of none": f'@id("a") @hold("approvers=finance quorum=0") @reason("r") {FORBID};',
    "an empty hold": f'@id("a") @hold @reason("r") {FORBID};',
    "a misspelt annotation": f'@id("a") @hodl("confirm") @reason("r") {FORBID};',
    "no reason": f'@id("a") @hold("confirm") {FORBID};',
    "a reason that hides something": f'@id("a") @reason("r\u202e") {FORBID};',
    "a template": '@id("a") @reason("r") permit (principal == ?principal, action, resource);',
    "an unknown attribute": f'@id("a") @reason("r") {FORBID} when {{ context.amonut.minor > 1 }};',
    "an optional attribute without has": f'@id("a") @reason("r") {FORBID} when {{ context.amount.minor > 1 }};',
    "a comparison of two kinds": f'@id("a") @reason("r") {FORBID} when {{ context.tool.class == 5 }};',
    "an unknown entity": '@id("a") @reason("r") permit (principal == User::"x", action, resource);',
    "an unknown action": '@id("a") @reason("r") forbid (principal, action == Action::"cal", resource);',
    "a misspelt tool group": '@id("a") @reason("r") forbid (principal, action, resource in ToolGroup::"payment");',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_one_rule_that_does_not_fit_refuses_the_whole_set(tmp_path: Path, text: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        load([DEFAULTS, rules(tmp_path, own=text)])
    assert "own.cedar" in refused.value.hint


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyRefused):
        load([DEFAULTS, tmp_path])


def test_a_set_that_permits_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused):
        load([tmp_path])


def test_the_operators_file_takes_the_place_of_its_namesake_and_others_add(tmp_path: Path) -> None:
    own = load([DEFAULTS, rules(tmp_path, **{
        "30-money": '@id("mine") @hold("approvers=board") @reason("r") '
                    'forbid (principal, action, resource in ToolGroup::"money");',
        "90-more": f'@id("more") @reason("Never this tool") {FORBID} when {{ resource == Tool::"bank/other" }};',
    })])
    verdict = own.decide(payment("4800.00"))
    assert isinstance(verdict, Hold)
    assert [need["group"] for need in verdict.needs] == ["board"]
    assert not own.decide(call(cls="read", tool="other"))
    assert {"read", "payment"} <= {rule.id for rule in own.rules}


@pytest.mark.parametrize("name", ["floor", "10-classes", "20-confirm", "30-money"])
def test_no_file_of_any_name_takes_the_floor_away(tmp_path: Path, name: str) -> None:
    own = load([DEFAULTS, rules(tmp_path, **{"20-confirm": "", "30-money": "", name: PERMIT})])
    verdict = own.decide(payment("4,800.00"))
    assert isinstance(verdict, Hold)
    assert [need["factor"] for need in verdict.needs] == ["passkey"]
    assert isinstance(own.decide(payment("1.00")), Allow)


def test_what_lies_in_the_folder_and_is_not_read_is_named(tmp_path: Path) -> None:
    for name in ("a.cedar", "b.cedar.bak", "c.txt", "notes.md", ".d.cedar"):
        (tmp_path / name).write_text("")
    (tmp_path / "more").mkdir()
    assert {path.name for path in reading.ignored([tmp_path])} == {"b.cedar.bak", "c.txt", ".d.cedar", "more"}
    assert [path.name for path in reading.files([tmp_path])] == ["floor.cedar", "a.cedar"]


def test_the_digest_moves_with_rules_settings_and_time_and_with_nothing_else(tmp_path: Path) -> None:
    base = load([rules(tmp_path / "a", x=PERMIT)])
    same = load([rules(tmp_path / "b", y=f"// a comment\n{PERMIT.replace('(principal, ', '( principal,  ')}")])
    assert same.digest == base.digest
    others = {
        load([rules(tmp_path / "c", x=PERMIT + f'@id("f") @reason("r") {FORBID} when {{ false }};')]).digest,
        load([rules(tmp_path / "d", x=PERMIT.replace('@reason("all")', '@reason("everything")'))]).digest,
        load([tmp_path / "a"], Policy(rates={"USD": "0.9"})).digest,
        load([tmp_path / "a"], Policy(zone="Europe/Berlin")).digest,
        load([tmp_path / "a"], within=60).digest,
    }
    assert len(others | {base.digest}) == 6


@pytest.mark.parametrize("settings", [
    Policy(base_currency="XXX"), Policy(zone="Mars/Olympus"), Policy(rates={"USD": "-1"}),
    Policy(business_from=18, business_to=8), Policy(business_days=[7]),
])
def test_settings_that_no_fact_can_be_read_with_are_refused(settings: Policy) -> None:
    with pytest.raises(PolicyRefused):
        load([DEFAULTS], settings)


def test_business_hours_are_of_the_policys_zone(tmp_path: Path) -> None:
    rule = PERMIT + f'@id("night") @reason("r") {FORBID} unless {{ context.time.business_hours }};'
    folder = rules(tmp_path, a=rule)
    assert load([folder], Policy(zone="UTC")).decide(call(cls="read"))
    assert not load([folder], Policy(zone="America/Los_Angeles")).decide(call(cls="read"))
