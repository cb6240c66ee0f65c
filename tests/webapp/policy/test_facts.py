"""Facts come from the pin; what is inferred stands apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp.policy.parts import PIN, SETTINGS
from webapp.canonical import parse
from webapp.policy import facts, pointer
from webapp.policy.facts import Facts, Kind


def read(raw: bytes, pointers: dict[str, dict[str, str]] = PIN, cls: str = "money") -> Facts:
    return facts.read(pointers, parse(raw), SETTINGS, cls=cls)


# RFC 6901 section 5
DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(("where", "value"), [
    ("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3),
    ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
])
def test_pointers_name_what_the_rfc_says(where: str, value: object) -> None:
    assert pointer.resolve(DOCUMENT, where) == value


@pytest.mark.parametrize("where", ["/foo/2", "/foo/-", "/foo/00", "/foo/-1", "/bar", "/foo/0/0", "/foo/٠"])
def test_what_is_not_there_is_absent(where: str) -> None:
    with pytest.raises(pointer.Absent):
        pointer.resolve(DOCUMENT, where)


@pytest.mark.parametrize("where", ["foo", "/~", "/~2", "#/foo"])
def test_a_malformed_pointer_is_refused(where: str) -> None:
    with pytest.raises(ValueError, match="not a JSON Pointer"):
        pointer.resolve(DOCUMENT, where)


@pytest.mark.parametrize(("kind", "one", "other"), [
    ("iban", "DE89 3704 0044 0532 0130 00", "de89370400440532013000"),
    ("email", "ops@Example.COM", " ops@example.com"),
    ("url", "HTTPS://Example.com/a", "https://example.com/a#x"),
    ("text", "Nordlicht  Energie", "Nordlicht Energie "),
    ("text", "Cafe\u0301", "Café"),
])
def test_two_spellings_of_one_recipient_are_one(kind: Kind, one: str, other: str) -> None:
    assert facts.normalise(one, kind) == facts.normalise(other, kind)


@pytest.mark.parametrize(("kind", "one", "other"), [
    ("iban", "DE89370400440532013000", "DE89370400440532013001"),
    ("iban", "DEı9370400440532013000", "DEI9370400440532013000"),
    ("email", "Ops@example.com", "ops@example.com"),
    ("email", "ops@example.com", "ops@exаmple.com"),
    ("url", "https://example.com/A", "https://example.com/a"),
    ("url", "https://A@example.com/", "https://a@example.com/"),
    ("text", "Nordlicht", "nordlicht"),
    ("text", "ﬁnance", "finance"),
])
def test_two_recipients_that_may_be_two_are_two(kind: Kind, one: str, other: str) -> None:
    assert facts.normalise(one, kind) != facts.normalise(other, kind)


@given(st.text(max_size=60), st.sampled_from(facts.KINDS))
def test_normalising_twice_changes_nothing(text: str, kind: Kind) -> None:
    once = facts.normalise(text, kind)
    assert facts.normalise(once, kind) == once


@pytest.mark.parametrize("raw", [
    b'{"iban": ""}', b'{"iban": 5}', b'{"iban": []}', b'{"iban": {"x": 1}}', b"{}", b'{"iban": ["a", 1]}',
])
def test_a_recipient_that_cannot_be_compared_is_none(raw: bytes) -> None:
    assert read(raw).recipient is None


def test_several_recipients_are_one_value_whatever_their_order() -> None:
    one, other = (facts.recipient(each, "email") for each in (["b@x.de", "a@x.de"], ["a@X.de", "b@x.de", "b@x.de"]))
    assert one is not None
    assert other is not None
    assert one.value == other.value
    single = facts.recipient("a@x.de b@x.de", "email")
    assert single is not None
    assert single.value != one.value


def test_what_the_pin_names_is_not_inferred() -> None:
    found = read(b'{"amount": "5.00", "currency": "EUR", "iban": "x", "to": "y"}')
    assert (found.inferred_amount, found.inferred_recipient) == (None, None)


def test_inference_reads_names_where_the_pin_is_silent_and_only_what_is_readable() -> None:
    found = read(b'{"amount": "5000", "currency": "EUR", "to": "somebody"}', {}, "send")
    assert found.inferred_amount is not None
    assert found.inferred_amount.base_minor == 500000
    assert found.inferred_recipient is not None
    assert found.amount.status == "none"
    assert found.recipient is None
    assert read(b'{"amount": "many", "currency": "EUR"}', {}, "send").inferred_amount is None


def test_a_fixed_currency_is_the_pins_and_not_the_arguments() -> None:
    fixed = {"amount": {"pointer": "/amount", "unit": "minor"}, "currency": {"is": "EUR"}}
    assert read(b'{"amount": 500, "currency": "IRR"}', fixed).amount.currency == "EUR"
