"""The order of the queue: nothing that is milder comes before what is graver, whatever its amount."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from webapp.approvals.ranking import PLACES, RISK, rank


def amount(minor: int) -> dict[str, Any]:
    return {"status": "ok", "minor": minor, "currency": "EUR", "base_minor": minor}


UNREADABLE: dict[str, Any] = {"status": "unknown"}
flags = st.lists(st.sampled_from(["new", "again", "reported", "lookalike", "unreadable"]), unique=True)
amounts = st.none() | st.just(UNREADABLE) | st.integers(1, 10**15 - 1).map(amount)
usuals = st.none() | st.integers(1, 10**15)


def test_each_step_of_one_class() -> None:
    order = [
        rank("money", ["lookalike"], amount(1), 480), rank("money", [], amount(480_000), 480),
        rank("money", [], amount(1500), 480), rank("money", [], None, None),
        rank("money", [], amount(900_000), None), rank("money", [], amount(100), None),
        rank("money", [], amount(1400), 480), rank("money", [], amount(480), 480), rank("money", [], amount(1), 480),
        rank("send", ["unreadable"], UNREADABLE, None),
    ]
    assert all(one < other for one, other in pairwise(order)), order


def test_what_a_server_only_says_of_its_own_call_puts_it_no_later_than_what_nobody_knows() -> None:
    """Attack: a server that asks for tokens names a small, usual amount."""
    assert rank("money", ["reported"], amount(1), 480) == rank("money", [], None, None)


@given(flags, amounts, usuals, flags, amounts, usuals)
def test_no_amount_puts_a_class_before_a_graver_one_nor_the_rest_before_what_is_marked(
    signs: list[str], some: Any, usual: int | None, others: list[str], other: Any, else_usual: int | None
) -> None:
    classes = sorted(RISK, key=lambda cls: RISK[cls])
    ranks = [rank(cls, signs if at % 2 else others, some if at % 2 else other, usual if at % 2 else else_usual)
             for at, cls in enumerate(classes)]
    assert ranks == sorted(ranks)
    assert len({one // (2 * PLACES) for one in ranks}) == len(classes)
    assert rank("money", [*signs, "lookalike"], some, usual) < rank("money", ["new"], other, else_usual)


@given(st.integers(1, 10**15 - 1), st.integers(1, 10**15 - 1), usuals)
def test_more_is_never_later(one: int, other: int, usual: int | None) -> None:
    least, most = sorted((one, other))
    assert rank("money", [], amount(most), usual) <= rank("money", [], amount(least), usual)
