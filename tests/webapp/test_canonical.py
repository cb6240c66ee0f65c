"""JSON from strangers: what is read is what is signed is what is sent, or it is refused."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.canonical import Limits, canonical, number_text, parse
from webapp.errors import BadInput

HOSTILE = {
    "a second key": b'{"amount": 1, "amount": 9000}',
    "a second key, escaped": b'{"amount": 1, "\\u0061mount": 9000}',
    "not a number": b'{"amount": NaN}',
    "infinite": b'{"amount": Infinity}',
    "overflows to infinity": b'{"amount": 1e400}',
    "more digits than a double has": b'{"amount": 4800.00000000000000001}',
    "an integer beyond 2**53": b'{"amount": 9007199254740993}',
    "a fraction beyond 2**53": b'{"amount": 9007199254740992.0}',
    "a very long integer": b"9" * 5000,
    "a lone surrogate": b'{"payee": "\\ud800"}',
    "not UTF-8": b'{"payee": "\xff"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "two documents": b"{} {}",
    "nothing": b"",
    "deep arrays": b"[" * 40 + b"]" * 40,
    "deep objects": b'{"a":' * 40 + b"1" + b"}" * 40,
    "too many values": b"[" + b"1," * 30_000 + b"1]",
}


@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_refused_in_words(raw: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        parse(raw)
    assert caught.value.hint.endswith(".")


def test_brackets_inside_text_are_not_nesting() -> None:
    assert parse(json.dumps({"a": "[{" * 100 + '\\"'}).encode()) == {"a": "[{" * 100 + '\\"'}


def test_too_large_says_so_with_its_own_code() -> None:
    with pytest.raises(BadInput) as caught:
        parse(b'"' + b"a" * 50 + b'"', Limits(bytes=20))
    assert caught.value.code == "too_large"


def test_a_number_keeps_how_it_was_written() -> None:
    value = parse(b'{"a": 4800.10, "b": 48e2, "c": 7, "d": "4800.10", "e": true}')
    assert [number_text(value[key]) for key in "abcde"] == ["4800.10", "48e2", "7", None, None]
    assert canonical(value) == b'{"a":4800.1,"b":4800,"c":7,"d":"4800.10","e":true}'


texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2**52), 2**52)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_canonical_bytes_read_back_are_the_same_document(value: object) -> None:
    once = canonical(parse(json.dumps(value).encode()))
    assert canonical(parse(once)) == once


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_an_amount_that_is_accepted_has_the_value_that_was_written(amount: Decimal) -> None:
    value = parse(f'{{"amount": {amount}}}'.encode())["amount"]
    assert Decimal(json.loads(canonical(value))) == amount or Decimal(canonical(value).decode()) == Decimal(str(amount))
