"""Arguments are checked against the pinned schema, in bounded time, whatever schema and arguments say."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.canonical import parse
from webapp.errors import BadInput
from webapp.policy import patterns, schema_check
from webapp.policy.schema_check import SchemaUnusable, check, usable

PAYMENT = {
    "type": "object", "additionalProperties": False, "required": ["amount", "payee"],
    "properties": {
        "amount": {"type": "string", "pattern": r"^\d+\.\d\d$", "maxLength": 16},
        "payee": {"type": "object", "properties": {"a/b~": {"type": "string"}}},
        "fee": {"type": "number", "multipleOf": 0.01},
    },
}


def test_what_fits_passes() -> None:
    check(PAYMENT, parse(b'{"amount": "480.00", "payee": {"a/b~": "x"}, "fee": 4.35}'))


@pytest.mark.parametrize(("raw", "said"), [
    (b'{"payee": {}}', "(all) lacks `amount`"),
    (b'{"amount": 480, "payee": {}}', "/amount is not of type string"),
    ('{"amount": "４.00", "payee": {}}'.encode(), "/amount does not satisfy `pattern`"),
    (b'{"amount": "4.00\\n", "payee": {}}', "/amount does not satisfy `pattern`"),
    (b'{"amount": "4.00", "payee": {"a/b~": 1}}', "/payee/a~1b~0 is not of type string"),
    (b'{"amount": "4.00", "payee": {}, "x": 1}', "has a field that the tool does not know"),
    (b'{"amount": "4.00", "payee": {}, "fee": 4.351}', "/fee does not satisfy `multipleOf`"),
    (b'[]', "(all) is not of type object"),
])
def test_what_does_not_is_named_by_pointer_and_its_value_is_not_told(raw: bytes, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        check(PAYMENT, parse(raw))
    assert said in refused.value.hint
    assert "４" not in refused.value.hint + refused.value.detail


def test_a_hostile_value_is_in_no_message() -> None:
    with pytest.raises(BadInput) as refused:
        check(PAYMENT, {"amount": "hunter2", "payee": {}})
    assert "hunter2" not in repr(refused.value) + refused.value.hint + refused.value.detail


ENDLESS: dict[str, Any] = {
    "$defs": {**{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}, "d40": {}}, "$ref": "#/$defs/d0",
}
UNUSABLE = {
    "references that multiply": ENDLESS,
    "a schema that is itself": {"$ref": "#"},
    "a reference to elsewhere": {"$ref": "http://127.0.0.1:9/schema.json"},
    "a reference to a file": {"$ref": "file:///etc/passwd"},
    "look-ahead": {"properties": {"a": {"pattern": "^(?=x)"}}},
    "a back-reference": {"properties": {"a": {"pattern": r"(a)\1"}}},
    "a pattern without end": {"properties": {"a": {"pattern": "a" * 3000}}},
    "an old dialect": {"$schema": "http://json-schema.org/draft-04/schema#"},
    "a dialect from elsewhere": {"$schema": "http://127.0.0.1:9/dialect"},
    "no schema": {"type": "objekt"},
    "both kinds of the unknown": {"patternProperties": {"^a": {}}, "unevaluatedProperties": False},
}


@pytest.mark.parametrize("schema", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_schema_that_cannot_be_checked_against_lets_nothing_pass_and_the_admin_is_told(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaUnusable):
        check(schema, {})
    assert usable(schema)


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(.*)*b$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_backtracks(pattern: str) -> None:
    """Each of these runs for longer than the universe in a backtracking engine."""
    with pytest.raises(BadInput):
        check({"properties": {"a": {"pattern": pattern}}}, {"a": "a" * 50_000 + "!"})
    with pytest.raises(BadInput):
        check({"patternProperties": {pattern: {}}, "additionalProperties": False}, {"a" * 50_000 + "!": 1})


def test_unique_items_are_not_compared_without_end() -> None:
    with pytest.raises(SchemaUnusable):
        check({"properties": {"a": {"uniqueItems": True}}}, {"a": [{"x": n} for n in range(5000)]})


def test_many_alternatives_over_many_values_stop() -> None:
    schema = {"properties": {"a": {"items": {"anyOf": [{"const": n} for n in range(1000)]}}}}
    with pytest.raises(SchemaUnusable):
        check(schema, {"a": [999] * 5000})


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2019-09/schema"])
def test_the_dialects_that_servers_use_are_known(dialect: str) -> None:
    with pytest.raises(BadInput, match="not of type"):
        check({"$schema": dialect, "properties": {"a": {"type": "string"}}}, {"a": 1})


def test_one_pins_checker_is_not_used_for_another() -> None:
    check({"required": ["a"]}, {"a": 1}, pin="p1")
    check({"required": ["b"]}, {"b": 1}, pin="p2")
    with pytest.raises(BadInput, match="lacks `a`"):
        check({"required": ["a"]}, {"b": 1}, pin="p1")


def test_the_budget_is_each_calls_own() -> None:
    schema = {"properties": {"a": {"items": {"type": "integer"}}}}
    for _ in range(3):
        check(schema, {"a": list(range(schema_check.STEPS // 2))})


@pytest.mark.parametrize(("pattern", "text", "found"), [
    (r"\d", "４", False), (r"\w", "ä", False), (r"\D", "４", True), (r"[\d]", "４", False), (r"[^\w]", "ä", True),
    ("[[]", "[", True), ("[a&&b]", "&", True), (r"\/", "/", True), (r"[\]]", "]", True), ("a$", "a\n", False), ("b", "abc", True),
    (r"\\d", r"\d", True), ("[~~]", "~", True), (r"^[\w.+-]+@[\w-]+\.[\w.]+$", "a.b@c.de", True),
])
def test_patterns_mean_what_they_mean_in_ecmascript(pattern: str, text: str, found: bool) -> None:
    assert patterns.matches(pattern, text) is found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=10,
)
words = st.sampled_from(
    ["type", "properties", "items", "required", "pattern", "$ref", "allOf", "not", "enum", "minimum", "$schema", "if"]
)


@given(st.dictionaries(words, json_values, max_size=4), json_values)
def test_no_schema_and_no_argument_raises_anything_else(schema: dict[str, Any], value: Any) -> None:
    with contextlib.suppress(BadInput):
        check(schema, value)
