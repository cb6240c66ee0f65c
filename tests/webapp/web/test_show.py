"""An amount is shown with the decimals by which it was read."""

from __future__ import annotations

import re
import unicodedata

import pytest
from babel.numbers import parse_decimal
from flask import Flask

from webapp.currencies import EXPONENTS
from webapp.web.show import money


@pytest.fixture(autouse=True)
def request_context() -> object:
    with Flask("test").app_context():
        yield


@pytest.mark.parametrize(("minor", "currency", "shown"), [
    (480000, "EUR", "€4,800.00"), (4800, "JPY", "¥4,800"), (1234, "KWD", "KWD 1.234"), (480000, "IQD", "IQD 480.000"),
    (480000, "AFN", "AFN 4,800.00"), (1, "EUR", "€0.01"), (480000, "XXX", "480000 XXX"),
])
def test_amounts_are_written_as_iso_4217_counts_them(minor: int, currency: str, shown: str) -> None:
    assert unicodedata.normalize("NFKC", money(minor, currency)) == shown


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
def test_what_is_shown_of_any_currency_is_what_was_read(currency: str) -> None:
    found = re.search(r"[0-9][0-9,.]*", money(123456789, currency))
    assert found
    assert int(parse_decimal(found.group(), locale="en").scaleb(EXPONENTS[currency])) == 123456789
