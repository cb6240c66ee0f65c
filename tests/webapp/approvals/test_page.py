"""What the page of one action shows, as plain values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webapp.approvals.page import Piece, by_fours

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
