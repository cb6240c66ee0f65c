"""How fast is too fast, what is asked for then, and whether what was typed is that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from babel.numbers import format_currency, format_decimal
from hypothesis import given
from hypothesis import strategies as st

from webapp.approvals.pace.rules import Decided, Detail, band, bare, check, figures, in_a_row, is_quick
from webapp.config_approvals import Approvals
from webapp.errors import BadInput

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
SETTINGS = Approvals()
LOCALES = ("en", "de", "de_CH", "fr", "en_IN", "sv", "pt_BR", "it")


def row(*ages: int, verdict: str = "approve", quick: bool = True) -> list[Decided]:
    return [Decided(NOW - timedelta(seconds=age), verdict, quick) for age in ages]


def test_three_quick_approvals_within_a_minute_are_a_row_and_less_is_none() -> None:
    assert in_a_row(row(1, 20, 60), NOW, SETTINGS)
    assert not in_a_row(row(1, 20), NOW, SETTINGS)
    assert not in_a_row(row(1, 20, 61), NOW, SETTINGS)
    assert not in_a_row([*row(1), *row(2, quick=False), *row(3)], NOW, SETTINGS)
    assert not in_a_row([*row(1), *row(2, verdict="reject"), *row(3)], NOW, SETTINGS)
    assert in_a_row(row(1, 2, 3, 4, quick=True) + row(5, quick=False), NOW, SETTINGS)
    assert not in_a_row(row(1, 2, 3), NOW, Approvals(quick_row=0))


def test_what_the_server_never_showed_was_decided_quickly() -> None:
    assert is_quick(None, NOW, SETTINGS)
    assert is_quick(NOW - timedelta(seconds=9.9), NOW, SETTINGS)
    assert not is_quick(NOW - timedelta(seconds=10), NOW, SETTINGS)


@given(st.integers(0, 10**11), st.sampled_from(LOCALES), st.sampled_from([("EUR", 2), ("JPY", 0), ("KWD", 3)]))
def test_an_amount_as_any_locale_writes_it_is_taken(minor: int, locale: str, currency: tuple[str, int]) -> None:
    code, exponent = currency
    value = Decimal(minor).scaleb(-exponent)
    plain = format_decimal(value, format="#,##0." + "0" * exponent if exponent else "#,##0", locale=locale)
    for text in (plain, f"{code} {plain}", str(value), f" {plain} "):
        assert minor in figures(text, exponent), (text, exponent)
    assert minor in figures(format_currency(value, code, locale=locale, currency_digits=False,
                                            format="¤#,##0." + "0" * exponent if exponent else "¤#,##0"), exponent)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_another_amount_is_never_taken_for_it(one: int, other: int) -> None:
    """With two decimals nothing that is written out whole has two meanings."""
    assert (one in figures(f"{other // 100}.{other % 100:02}", 2)) is (one == other)


@pytest.mark.parametrize(("text", "minor"), [
    ("٤٬٨٠٠٫٠٠", 480_000), ("４８００", 480_000), ("4 800,00 €", 480_000), ("4'800.5", 480_050), ("48,00,000", 480_000_000),
    ("−5", -500), ("4.800", 480_000),
])
def test_digits_and_marks_of_other_scripts(text: str, minor: int) -> None:
    assert minor in figures(text, 2)


@pytest.mark.parametrize("text", ["", "abc", "4,8,0", "1.2.3,4", "4e3", "4 800 x 2", "..", "--5"])
def test_what_is_no_amount_is_none(text: str) -> None:
    assert figures(text, 2) == set()


@pytest.mark.parametrize(("detail", "right", "wrong"), [
    (Detail("amount", 480_000, 2), ("4800", "4,800.00", "EUR 4.800,00"), ("480", "48000", "four", "", "4800.01")),
    (Detail("recipient", text=bare("DE89 3704 0044 0532 0130 00")), ("3000", "30 00", "DE89370400440532013000"),
     ("0130", "000", "")),
    (Detail("recipient", text=bare("Ada@Bank.example")), ("MPLE", "ada@bank.example"), ("mpl", "bank")),
    (Detail("tool", text=bare("delete_all")), ("delete_all", "Delete all"), ("delete", "")),
])
def test_the_detail_is_compared_as_people_write_and_a_wrong_one_gives_nothing_away(
    detail: Detail, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    for text in right:
        check(detail, text)
    for text in wrong:
        with pytest.raises(BadInput) as refused:
            check(detail, text)
        said = bare(refused.value.hint)
        assert detail.text == "" or detail.text[-4:] not in said
        assert str(detail.minor) not in said or detail.minor == 0


def test_bands_of_size() -> None:
    assert [band(value) for value in (None, 0, 9_999, 10_000, 99_999, 100_000, 1_000_000)] == [0, 1, 1, 2, 2, 3, 4]
