"""Values of results and of arguments are compared in one spelling each, and nobody's answer can be too strange to look at."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webapp.canonical import parse
from webapp.gateway.values import MOST, forms, heard, sent

IBAN = "DE89370400440532013000"


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


@pytest.mark.parametrize("result", [
    {"structuredContent": {"payees": [{"name": "Lumen", "iban": IBAN}]}},
    text(json.dumps({"iban": IBAN.lower()})),
    text(IBAN),
    text("Please pay to DE89 3704 0044 0532 0130 00, today."),
    text(f"Our account is “{IBAN}”."),
    {"content": [{"type": "resource", "resource": {"uri": "x:y", "text": f"account: {IBAN}"}}]},
], ids=["structured", "json-text", "text", "printed", "quoted", "resource"])
def test_an_account_is_found_however_a_server_writes_it(result: dict[str, Any]) -> None:
    assert set(forms(IBAN)) & heard(result)
    assert set(forms("DE89 3704 0044 0532 0130 00")) & heard(result)
    assert not set(forms("DE89370400440532013001")) & heard(result)


@pytest.mark.parametrize(("one", "other"), [("480.00", "480"), ("1180.50", "1180.5"), ("4800", "4.8e3")])
def test_a_number_is_the_same_however_it_is_written(one: str, other: str) -> None:
    as_sent: Any = parse(f'{{"amount": {other}}}'.encode())["amount"]
    assert set(forms(one)) & set(forms(as_sent))
    assert set(forms(one)) & heard({"structuredContent": {"due": json.loads(other)}})


@pytest.mark.parametrize("value", ["", "abc", "a b", True, None, 0, 7, 20, "20.00", "0.5", float("inf"), "x" * 1001])
def test_what_is_too_short_or_no_plain_value_says_nothing(value: Any) -> None:
    assert forms(value) == ()


@pytest.mark.parametrize("text", ["1e999999999999", "-1e-999999999999", "Infinity", "9" * 41])
def test_a_number_of_no_ordinary_size_is_a_text_like_any_other(text: str) -> None:
    assert [form[:2] for form in forms(text)] == ["t:"]


def test_what_a_call_said_itself_is_taken_out_whole() -> None:
    """Attack: a tool that repeats what it is given makes an account look like one that the server knows."""
    echoed = heard(text(f"Checked {IBAN}: fine. Also known: GB33BUKB20201555555555."))
    left = echoed - sent({"what": f"check {IBAN}"})
    assert set(forms(IBAN)) & echoed
    assert not set(forms(IBAN)) & left
    assert set(forms("GB33BUKB20201555555555")) & left


TEXT = st.text(st.sampled_from('aZ09 .,@-{}[]":€ё\ud800\n'), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["content", "text", "resource", "structuredContent", "x"]), inner
    ), max_leaves=20,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["content", "structuredContent", "isError"]), JSON))
def test_no_result_is_too_strange_to_look_at(result: dict[str, Any]) -> None:
    assert len(heard(result)) <= MOST


def test_a_result_is_looked_at_only_so_far() -> None:
    nested: Any = "deep value"
    for _ in range(100_000):
        nested = [nested]
    assert set(forms("deep value")) & heard({"structuredContent": nested})
    assert len(heard({"structuredContent": [f"value {number}" for number in range(10_000)]})) == MOST
