"""A diff shows every part that differs, and nothing that does not."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tests.webapp.registry.parts import PAY, changed
from webapp.registry.compare import Change, Piece, changes, parts
from webapp.registry.digest import description


def compared(was: dict[str, Any], now: dict[str, Any]) -> list[Change]:
    return changes(description(was), description(now))


def test_a_changed_word_is_marked_and_its_neighbours_are_not() -> None:
    assert compared(PAY, changed(PAY, description="Send money to a thief.")) == [Change(
        "/description", (Piece("Send money to a ", False), Piece("payee.", True)),
        (Piece("Send money to a ", False), Piece("thief.", True)),
    )]


def test_what_was_added_and_removed_has_an_empty_side() -> None:
    added = compared(PAY, changed(PAY, _meta={"a/b": [1]}))
    assert added == [Change("/_meta/a~1b", (), (Piece("[1]", True),))]
    removed = compared(changed(PAY, _meta={"a/b": [1]}), PAY)
    assert removed == [Change("/_meta/a~1b", (Piece("[1]", True),), ())]


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=8,
)


@given(values, values)
@example(True, "true")
@example(5, "5")
@example(None, "")
@example([1, 2], "[1, 2]")
@example({}, "{}")
def test_two_texts_that_differ_have_a_change_and_two_that_do_not_have_none(one: Any, other: Any) -> None:
    was, now = (description({"name": "t", "inputSchema": {}, "x": value}) for value in (one, other))
    assert bool(changes(was, now)) == (was != now)


@given(st.text(max_size=80), st.text(max_size=80))
def test_the_pieces_of_a_side_are_its_text(one: str, other: str) -> None:
    one, other = f"a {one}", f"a {other}"
    for change in changes(*(description({"name": "t", "inputSchema": {}, "d": text}) for text in (one, other))):
        assert "".join(piece.text for piece in change.was) == one
        assert "".join(piece.text for piece in change.now) == other


def test_all_of_a_description_is_readable_part_by_part() -> None:
    assert ("/inputSchema/properties/amount/type", "string") in parts(description(PAY))
