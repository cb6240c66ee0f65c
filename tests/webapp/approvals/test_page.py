"""What the page of one action shows, as plain values."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from webapp.approvals.envelope import Document
from webapp.approvals.lookalike import lookalike_of, skeleton
from webapp.approvals.page import Change, Piece, by_fours, compared, marked, summary
from webapp.approvals.records import usual
from webapp.approvals.spelling import decoded, encoded, mixed

IBAN = "DE89 3704 0044 0532 0130 00"
pieces = st.lists(st.builds(Piece, st.text("DE0123456789", min_size=1, max_size=9), st.booleans()), max_size=6)


@given(pieces)
def test_an_account_number_in_groups_of_four_is_still_the_same(found: list[Piece]) -> None:
    """Nothing is added, left out or moved, and what differs from a known one stays marked."""
    groups = by_fours(found)
    assert [(char, piece.differs) for group in groups for piece in group for char in piece.text] == [
        (char, piece.differs) for piece in found for char in piece.text
    ]
    assert all(sum(len(piece.text) for piece in group) == 4 for group in groups[:-1])


def test_an_account_number_that_came_with_gaps_stays_as_it_came() -> None:
    assert by_fours((Piece("DE89 3704 0044"),)) == ((Piece("DE89 3704 0044"),),)


@pytest.mark.parametrize(("recipient", "shown"), [
    ("DE89370400440532013001", "DE8937040044053201300[1]"), ("DE16370400440532013100", "DE[16]370400440532013[1]00"),
    ("DE89 3704 0044 0532 0310 00", "DE89 3704 0044 0532 0[31]0 00"), ("DE8937040044032013000", "DE8937040044[03]2013000"),
    ("de89370400440532013001", "de8937040044053201300[1]"),
])
def test_of_two_account_numbers_what_differs_is_boxed_in_its_place(recipient: str, shown: str) -> None:
    """Also where one came with gaps and the other without, and where a digit is missing."""
    assert lookalike_of(recipient, [IBAN]) == IBAN
    found = marked(recipient, IBAN)
    assert "".join(f"[{one.text}]" if one.differs else one.text for one in found) == shown


@given(st.text("DE0123456789 ", max_size=30))
def test_whatever_is_marked_the_recipient_stays_as_it_came(recipient: str) -> None:
    assert "".join(one.text for one in marked(recipient, IBAN)) == recipient


def doc(arguments: dict[str, Any], minor: int = 48000) -> Document:
    pointers = {"amount": {"pointer": "/amount"}, "recipient": {"pointer": "/iban"}}
    facts = {"amount": {"status": "ok", "minor": minor, "currency": "EUR"}, "pointers": pointers, "usage": {}}
    return Document(b"", cast(Any, {"arguments": arguments, "facts": facts}))


def test_what_changed_comes_first_and_is_said_in_words() -> None:
    before = {"note": "a", "amount": "480.00", "payee": "Nordlicht GmbH", "old": "x", "iban": "DE1", "same": "s", "fee": "2.00"}
    now = {"note": "b", "amount": "1200.00", "payee": "Nоrdlicht GmbH", "new": "y", "iban": "DE2", "same": "s", "fee": "1.50"}
    rows = compared(doc(now), doc(before))
    assert [(row.name, row.words) for row in rows] == [
        ("Amount", "2.5 times as much"), ("IBAN", "changed"), ("Note", "changed"), ("Payee", "looks the same, and is not"),
        ("New", "was not there before"), ("Fee", "25.0 % less"), ("Old", "left out"), ("Same", ""),
    ]
    assert Markup(str(summary(rows))).striptags() == "Changed: Amount, IBAN, Note, Payee, New, Fee and Old."
    assert "<code>Old</code>" in summary(rows)
    assert summary(compared(doc(now), doc(now))).startswith("Nothing changed")


@pytest.mark.parametrize(("before", "now", "words"), [
    ("480", "480.00", "the same number, written differently"), ("100", "150", "50.0 % more"), ("0", "5", "changed"),
    ("480.00", "480.01", "less than 0.1 % more"), ("480.01", "480.00", "less than 0.1 % less"), ("100", "199.9", "99.9 % more"),
    ("Ada  B", "ada b", "only spaces or capitals changed"), ("1e9", "2e9", "changed"), ("9" * 40, "1", "changed"),
])
def test_two_values_are_compared_as_what_they_are(before: str, now: str, words: str) -> None:
    assert Change("x", before, now).words == words


@pytest.mark.parametrize(("earlier", "minor", "times"), [
    ([48000] * 3, 48000, "1.0"), ([20000, 20000, 60000], 48000, "2.4"), ([48000] * 2, 1, None), ([0, 0, 0], 5, None),
    ([100000] * 5, 1000, "0.0"),
])
def test_an_amount_is_a_multiple_of_the_usual_where_enough_is_known(earlier: list[int], minor: int, times: str | None) -> None:
    found = usual(doc({}, minor), earlier)
    assert (str(found.times) if found else None) == times


@pytest.mark.parametrize(("one", "other"), [
    ("Apple", "Аррle"), ("paypal.com", "xn--pypal-4ve.com"), ("Nordlicht", "N\u200bоrdlicht"), ("microsoft", "rnicrosoft"),
    ("Apple", "𝐀𝐩𝐩𝐥𝐞"), ("apple", "ꓮpple"), ("BANK", "BΑNK"), ("London", "Ⅼondon"), ("Apple", "Ꭺpple"), ("Ada", "Adа"),
])
def test_what_looks_the_same_has_one_skeleton(one: str, other: str) -> None:
    assert one != other
    assert skeleton(one) == skeleton(other)
    assert lookalike_of(other, [one]) == one


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_a_skeleton_is_its_own(text: str) -> None:
    """Else which of two is compared with the other would matter."""
    assert skeleton(skeleton(text)) == skeleton(text)
    assert lookalike_of(text, [text]) is None


@pytest.mark.parametrize(("text", "found"), [
    ("Nоrdlicht GmbH", ("CYRILLIC", "LATIN")), ("Nordlicht Энерго", ()), ("東京タワー", ()),
    ("x@xn--pple-43d.com", ("CYRILLIC", "LATIN")), ("Müller & Söhne", ()), ("Δx", ("GREEK", "LATIN")), ("", ()), ("DE89 3", ()),
])
def test_a_word_in_two_scripts_is_named(text: str, found: tuple[str, ...]) -> None:
    assert mixed(text) == found


@pytest.mark.parametrize(("text", "plain", "wire"), [
    ("a@xn--bcher-kva.example", "a@bücher.example", ""), ("a@bücher.example", "", "a@xn--bcher-kva.example"),
    ("Müller GmbH", "", ""), ("xn--!!!", "", ""), ("a@example.org", "", ""), ("xn--" + "9" * 59, "", ""),
])
def test_punycode_is_shown_both_ways(text: str, plain: str, wire: str) -> None:
    assert (decoded(text), encoded(text)) == (plain, wire)
