"""A decoy differs in what somebody who looks would see, and is otherwise a call like any other."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.approvals import edit_form
from webapp.approvals.decoys.varying import amount, recipient, typed

POINTERS = {"pointers": {"recipient": {"pointer": "/iban", "kind": "iban"}, "amount": {"pointer": "/amount"}}}
SCHEMA = {"properties": {name: {"type": "string"} for name in ("iban", "amount", "note")}, "required": ["iban"]}
CALL = {"iban": "DE89 3704 0044 0532 0130 00", "amount": "480.00", "note": "RE-1"}


def checked(iban: str) -> int:
    bare = "".join(iban.split())
    return int("".join(str(int(char, 36)) for char in bare[4:] + bare[:4])) % 97


@given(st.integers(0, 500))
def test_another_account_is_a_good_one_with_the_same_blanks(seed: int) -> None:
    made = recipient(CALL["iban"], Random(seed))
    assert made is not None
    assert made != CALL["iban"]
    assert checked(made) == checked(CALL["iban"]) == 1
    assert [at for at, char in enumerate(made) if char == " "] == [at for at, char in enumerate(CALL["iban"]) if char == " "]


@pytest.mark.parametrize("text", ["", "a", "aaaa", "11 11"])
def test_what_has_nothing_to_change_is_not_changed(text: str) -> None:
    assert recipient(text, Random(1)) is None


@pytest.mark.parametrize(("text", "places"), [("480.00", 2), ("48", 0), ("0.05", 2)])
def test_another_amount_is_many_times_as_large_with_as_many_decimals(text: str, places: int) -> None:
    made = amount(text, Random(1))
    assert made is not None
    assert float(made) >= 8 * float(text)
    assert len(made.partition(".")[2]) == places


@pytest.mark.parametrize("text", ["0", "-5", "1e9", "NaN", "Infinity", "x", "1" * 16])
def test_what_is_no_plain_amount_is_not_changed(text: str) -> None:
    assert amount(text, Random(1)) is None


@given(st.integers(0, 500))
def test_one_argument_differs_and_the_others_are_as_they_were(seed: int) -> None:
    fields = edit_form.fields(SCHEMA, CALL)
    form = typed(fields, POINTERS, Random(seed))
    assert form is not None
    made = edit_form.read(fields, form)
    assert [name for name in CALL if made[name] != CALL[name]] in (["iban"], ["amount"])
    assert made.keys() == CALL.keys()


@pytest.mark.parametrize("facts", [
    {}, {"pointers": {}}, {"pointers": {"recipient": {"pointer": "/to/iban"}}}, {"pointers": {"currency": {"is": "EUR"}}},
    {"pointers": {"recipient": {"pointer": "/missing"}}},
])
def test_nothing_is_made_after_a_call_without_a_fact_of_its_own(facts: dict[str, object]) -> None:
    assert typed(edit_form.fields(SCHEMA, CALL), facts, Random(1)) is None
