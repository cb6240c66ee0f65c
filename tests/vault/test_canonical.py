"""Canonical JSON (RFC 8785) is the same document whichever way it is written, and what has no canonical form is refused."""

from __future__ import annotations

from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from vault.envelope import canonical
from webapp.canonical import parse

NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.text() | NUMBERS
DOCUMENTS = st.recursive(SCALARS, lambda below: st.lists(below) | st.dictionaries(st.text(), below), max_leaves=30)


@given(DOCUMENTS)
def test_it_is_what_the_reference_writes(document: Any) -> None:
    assert canonical(document) == rfc8785.dumps(document)


@pytest.mark.parametrize("text", [
    '{"b":"\\u0000\\u001f\\u007f\\u0080\\u2028\\"\\\\/","a":[1,-0,1e2,true,null],"\\ud83d\\ude00":1,"\\uffff":2}',
    '{"amount":4800.50,"n":9007199254740991,"t":"\\b\\t\\n\\f\\r"}',
])
def test_what_was_parsed_with_its_text_is_written_as_a_number(text: str) -> None:
    document = parse(text.encode())
    assert canonical(document) == rfc8785.dumps(document)


@pytest.mark.parametrize("document", [
    float("nan"), float("inf"), 2**53, -(2**53), {"a": [2**60]}, {1: "a"}, {None: 1}, {True: 1}, "\ud800", {"\ud800": 1},
    {"a": {1}}, b"bytes", {"a": Ellipsis},
], ids=repr)
def test_what_has_no_canonical_form_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical(document)


def test_keys_sort_by_utf_16() -> None:
    assert canonical({"\U0001f600": 1, "\uffff": 2, "a": 3}) == '{"a":3,"\U0001f600":1,"\uffff":2}'.encode()
