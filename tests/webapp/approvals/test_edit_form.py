"""The form of an edit: simple fields where schema and value agree, strictly read JSON for the rest, nothing smuggled in."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.approvals import edit_form
from webapp.canonical import canonical, parse
from webapp.errors import BadInput

SCHEMA = {
    "type": "object", "required": ["amount", "to"],
    "properties": {
        "amount": {"type": "string"}, "to": {"type": "string"}, "count": {"type": "integer"}, "rate": {"type": "number"},
        "urgent": {"type": "boolean"}, "kind": {"type": "string", "enum": ["sepa", "swift"]}, "lines": {"type": "array"},
        "odd": {"type": ["string", "null"]},
    },
}
SENT: dict[str, Any] = parse(
    b'{"amount":"480.00","to":"A\\r\\nB","count":3,"rate":1.50,"urgent":true,"kind":"sepa","lines":[{"a":1}],"extra":"x"}'
)


def form(**changed: str) -> dict[str, str]:
    """What a browser sends of the form as it stands, with these fields otherwise."""
    known = edit_form.fields(SCHEMA, SENT)
    sent = {one.name: one.text.replace("\r\n", "\n").replace("\n", "\r\n") for one in known}
    sent |= {f"{one.name}-given": "1" for one in known if one.given}
    names = {one.argument: one.name for one in known}
    return sent | {names[name.removesuffix("_given")] + ("-given" if name.endswith("_given") else ""): value
                   for name, value in changed.items()}


def read(**changed: str) -> dict[str, Any]:
    return edit_form.read(edit_form.fields(SCHEMA, SENT), form(**changed))


def test_a_form_sent_back_as_it_stands_is_the_very_same_call() -> None:
    assert canonical(read()) == canonical(SENT)


def test_each_argument_has_the_field_that_its_schema_and_value_ask_for() -> None:
    kinds = {one.argument: (one.kind, one.required, one.given) for one in edit_form.fields(SCHEMA, SENT)}
    assert kinds == {
        "amount": ("text", True, True), "to": ("text", True, True), "count": ("number", False, True),
        "rate": ("number", False, True), "urgent": ("boolean", False, True), "kind": ("choice", False, True),
        "lines": ("json", False, True),
        "odd": ("json", False, False), "extra": ("json", False, True),
    }


def test_amounts_stay_as_they_were_typed() -> None:
    made = read(amount="0400.10", rate="2.50")
    assert (made["amount"], made["rate"].text) == ("0400.10", "2.50")


def test_an_argument_is_left_out_or_added_by_saying_so() -> None:
    assert "count" not in read(count_given="")
    assert read(odd="null", odd_given="1")["odd"] is None
    assert "amount" in read(amount_given=""), "a required one is always sent"


@pytest.mark.parametrize(("argument", "typed"), [
    ("count", "3, \"to\": \"thief\""), ("count", "0x10"), ("count", "03"), ("count", "NaN"), ("count", ""),
    ("count", "9007199254740993"),
    ("count", "٣"), ("urgent", "yes"), ("kind", "cash"), ("lines", "[1"), ("lines", '{"a":1,"a":2}'), ("lines", "[1],\"to\":1"),
    ("lines", "[" * 40 + "]" * 40), ("lines", ""), ("extra", "Infinity"),
])
def test_what_is_not_one_plain_value_is_refused_by_the_arguments_name(argument: str, typed: str) -> None:
    with pytest.raises(BadInput, match=argument):
        read(**{argument: typed})


def test_a_schema_that_says_nothing_leaves_json() -> None:
    assert [one.kind for one in edit_form.fields({}, {"a": "x"})] == ["json"]
    with pytest.raises(BadInput):
        edit_form.fields({"properties": {f"p{at}": {} for at in range(100)}}, {})
