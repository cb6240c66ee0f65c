"""Amounts are read strictly, and one that cannot be read never passes."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp.policy.parts import PIN, RATES, SETTINGS, call, shipped
from webapp.canonical import parse
from webapp.currencies import EXPONENTS
from webapp.errors import BadInput, Said
from webapp.policy import amounts, facts
from webapp.policy.amounts import UNREADABLE
from webapp.policy.calls import Hold

VECTORS = json.loads((Path(__file__).parent / "vectors" / "amounts.json").read_text())["vectors"]


def pin(unit: str) -> dict[str, dict[str, str]]:
    return {**PIN, "amount": {"pointer": "/amount", "unit": unit}}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['unit']} {vector['arguments']}")
def test_every_vector_is_read_as_written_or_not_at_all(vector: dict[str, object]) -> None:
    raw = str(vector["arguments"]).encode()
    if vector["status"] == "refused":
        with pytest.raises(BadInput):
            parse(raw)
        return
    amount = facts.read(pin(str(vector["unit"])), parse(raw), SETTINGS, cls="money").amount
    assert (amount.status, amount.minor) == (vector["status"], vector.get("minor", UNREADABLE))
    assert amount.why if amount.status == "unknown" else not amount.why


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["status"] == "unknown"], ids=lambda v: v["arguments"])
@pytest.mark.parametrize("cls", ["read", "write", "send", "money", "destroy"])
def test_no_call_with_an_unreadable_amount_passes_in_any_class(vector: dict[str, str], cls: str) -> None:
    verdict = shipped().decide(call(vector["arguments"].encode(), cls=cls, pointers=pin(vector["unit"])))
    assert isinstance(verdict, Hold)
    assert "amount-unreadable" in {reason.rule for reason in verdict.reasons}


def test_a_money_tool_that_nobody_told_where_its_amount_is_is_held() -> None:
    verdict = shipped().decide(call(b'{"total": 5}', cls="money"))
    assert isinstance(verdict, Hold)
    assert "amount-unreadable" in {reason.rule for reason in verdict.reasons}


@pytest.mark.parametrize("unit", ["", "cents", "Major"])
def test_an_amount_whose_unit_nobody_gave_is_unknown(unit: str) -> None:
    read = facts.read(pin(unit), parse(b'{"amount": 5, "currency": "EUR"}'), SETTINGS, cls="money")
    assert read.amount.status == "unknown"


@given(st.integers(1, 10**11), st.sampled_from(["EUR", *RATES]))
def test_the_base_amount_is_never_less_than_the_exact_one_and_never_a_whole_unit_more(minor: int, code: str) -> None:
    read = amounts.read(str(minor), code, unit="minor", base="EUR", rates=RATES)
    exact = Fraction(minor, 10 ** EXPONENTS[code]) * Fraction(Decimal(RATES.get(code, "1"))) * 100
    assert read.status == "ok"
    assert exact <= read.base_minor < exact + 1


@given(st.text(max_size=30))
def test_no_text_is_read_as_another_number_than_it_spells(text: str) -> None:
    read = amounts.read(text, "EUR", unit="major", base="EUR", rates={})
    if read.status == "ok":
        assert text.isascii()
        assert Decimal(text) * 100 == read.minor > 0
    else:
        assert read.base_minor == read.minor == UNREADABLE


@pytest.mark.parametrize("rate", ["", "0", "-1", "NaN", "Infinity", "1e30", "one"])
def test_a_rate_that_is_no_positive_number_converts_nothing(rate: str) -> None:
    assert amounts.read("5", "USD", unit="major", base="EUR", rates={"USD": rate}).status == "unknown"


@pytest.mark.parametrize(("value", "currency"), [
    ("4.805", "EUR"), ("1", "GBP"), ("0", "EUR"), ("x", "EUR"), ("1", "???"), ("9" * 18, "EUR"),
])
def test_why_an_amount_is_unknown_is_the_same_sentence_once_a_document_was_signed(value: str, currency: str) -> None:
    """The document holds plain text, with a code in it: a page finds the sentence that it was, to say it in another language."""
    why = amounts.read(value, currency, unit="major", base="EUR", rates={}).why
    again = amounts.why_said(str(why))
    assert isinstance(why, Said)
    assert (again.msgid, dict(again.values)) == (why.msgid, dict(why.values))
