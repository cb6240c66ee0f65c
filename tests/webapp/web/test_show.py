"""An amount is shown with the decimals by which it was read."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from babel.numbers import parse_decimal
from flask import Flask, g

from webapp.currencies import EXPONENTS
from webapp.web.locales import preferred
from webapp.web.show import clock, money, place, visible


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


@pytest.mark.parametrize(("locale", "shown"), [
    ("de_DE", "4.800,00 €"), ("en_US", "€4,800.00"), ("fr_FR", "4 800,00 €"), ("ar_EG", "4,800.00 €"),
])
def test_amounts_are_written_as_the_viewer_reads_them(locale: str, shown: str) -> None:
    """In plain digits, and without the direction marks that would look like something hidden."""
    g.viewer = SimpleNamespace(locale=locale, zone="UTC")
    assert unicodedata.normalize("NFKC", money(480000, "EUR")) == shown


@pytest.mark.parametrize(("header", "locale"), [
    ("", "en"), ("de-DE,de;q=0.9,en;q=0.5", "de_DE"), ("xx-QQ, de;q=0.3", "de"), ("*", "en"), ("en;q=0.1, fr", "fr"),
    ("zh-Hant-TW", "zh_Hant_TW"), ("../../etc/passwd", "en"), ("a" * 5000, "en"), ("\u202ede", "en"),
])
def test_numbers_are_in_the_first_locale_of_the_browsers_that_is_known(header: str, locale: str) -> None:
    assert preferred(header) == locale


@pytest.mark.parametrize(("hidden", "name"), [
    ("\u202e", "U+202E right-to-left override"), ("\u200b", "U+200B zero width space"), ("\u3164", "U+3164 hangul filler"),
    ("\x07", "U+0007 a control character"), ("\u2800", "U+2800 braille pattern blank"), ("\ufe01", "variation selector-2"),
    ("\u00a0", "U+00A0 no-break space"),
])
def test_what_hides_is_shown_by_its_name(hidden: str, name: str) -> None:
    assert name in visible(f"Ada{hidden}<b>")
    assert "&lt;b&gt;" in visible(f"Ada{hidden}<b>")
    assert visible("Müller & 東京 ❤\ufe0f") == "Müller &amp; 東京 ❤\ufe0f"


def test_another_clock_is_shown_with_its_day_where_that_differs() -> None:
    g.viewer = SimpleNamespace(locale="en", zone="UTC")
    when = datetime(2026, 11, 3, 22, 38, tzinfo=UTC)
    assert "4 Nov, 00:38" in clock(when, "Europe/Helsinki")
    assert ">22:38<" in clock(when, "UTC")
    assert place("America/Argentina/Buenos_Aires") == "Buenos Aires"
