"""A page is in the language that its reader chose, else the one their browser asks for, else English; so are its times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, g, make_response

from tests.pseudo import mirrored
from webapp.web import catalogue, languages, show, words
from webapp.web.catalogue import ENGLISH, Tongue
from webapp.web.languages import COOKIE, Language, Languages, spoken

NOON = datetime(2026, 11, 3, 11, 0, tzinfo=UTC)
GERMAN = Language("de", Tongue({
    ("pattern of a time (CLDR)", "d MMM yyyy, HH:mm"): ("d. MMM yyyy, HH:mm",),
    ("a time", "at %(time)s"): ("um %(time)s",),
    ("", "never"): ("nie",),
    ("", "%(hours)s h %(minutes)s min left"): ("noch %(hours)s Std. %(minutes)s Min.",),
}))


@pytest.fixture
def app() -> Iterator[Flask]:
    made = Flask("test")
    languages.register(made, [])
    words.register(made)
    made.extensions["languages"] = Languages([Language("en", ENGLISH), GERMAN, Language("fr", Tongue({})), mirrored()])
    made.extensions["counterseal"] = SimpleNamespace(settings=SimpleNamespace(secure=False), clock=lambda: NOON)
    return made


def viewer(**given: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"zone": "Europe/Berlin", "locale": "en", "language": "", **given})


@pytest.mark.parametrize(("chosen", "cookie", "header", "tag", "locale"), [
    ("", "", "", "en", ""),
    ("", "", "de-DE,de;q=0.9,en;q=0.5", "de", "de_DE"),
    ("", "", "fi,de-AT;q=0.9", "de", "de_AT"),
    ("", "", "fi", "en", ""),
    ("", "", "de;q=0,fr-CH;q=0.3", "fr", "fr_CH"),
    ("", "", "en-GB,de;q=0.9", "en", "en_GB"),
    ("", "fr", "de", "fr", "fr"),
    ("de", "fr", "fr-CA", "de", "de"),
    ("de", "", "en-US,de-CH;q=0.5", "de", "de_CH"),
    ("xx", "", "fr", "fr", "fr"),
    ("", "../../etc/passwd", "de", "de", "de"),
    ("", "", "frp-IT,den,en;q=0.9", "en", "en"),
    ("", "", "DE-at,en;q=0.5", "de", "de_AT"),
    ("", "", "*", "en", ""),
    ("", "", "x" * 5000, "en", ""),
])
def test_whose_word_counts(app: Flask, chosen: str, cookie: str, header: str, tag: str, locale: str) -> None:
    headers = {"Accept-Language": header, **({"Cookie": f"{COOKIE}={cookie}"} if cookie else {})}
    with app.test_request_context(headers=headers):
        g.viewer = viewer(language=chosen)
        assert (spoken().language.tag, spoken().locale) == (tag, locale)


def test_a_page_says_in_which_language_it_is(app: Flask) -> None:
    app.add_url_rule("/page", view_func=lambda: f"<p>{spoken().language.tag}")
    app.add_url_rule("/program", endpoint="program", view_func=lambda: make_response({"a": spoken().language.tag}))
    page = app.test_client().get("/page", headers={"Accept-Language": "de"})
    assert (page.headers["Content-Language"], page.text) == ("de", "<p>de")
    assert "Accept-Language" in page.headers["Vary"]
    assert "Content-Language" not in app.test_client().get("/program", headers={"Accept-Language": "de"}).headers


def test_times_are_written_in_the_language_and_the_zone_of_who_looks(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "de-DE"}):
        g.viewer = viewer()
        assert ">3. Nov. 2026, 12:00<" in str(show.moment(NOON))
        assert "3. November 2026, 12:00:00 MEZ" in str(show.moment(NOON))
        assert ">um 12:00<" in show.at(NOON)
        assert ">vor 3 Stunden<" in str(show.ago(NOON - timedelta(hours=3)))
        assert ">noch 3 Std. 05 Min.<" in show.until(NOON + timedelta(hours=3, minutes=5))
        assert show.ago(None) == "nie"
        assert show.hours("0-4 08:00-18:00 Europe/Berlin") == "Mo-Fr 08:00-18:00, Europe/Berlin"
        assert show.listed(["Ada", "Grace", "Alan"]) == "Ada, Grace und Alan"


def test_english_is_written_in_one_way_everywhere(app: Flask) -> None:
    with app.test_request_context(headers={"Accept-Language": "en-AU"}):
        g.viewer = viewer(locale="en_AU")
        assert ">3 Nov 2026, 12:00<" in str(show.moment(NOON))
        assert show.hours("0-4 08:00-18:00 Europe/Berlin") == "Mon-Fri 08:00-18:00, Europe/Berlin"
        assert [show.listed(names) for names in ([], ["Ada"], ["Ada", "Grace"], ["Ada", "Grace", "Alan"])] == [
            "", "Ada", "Ada and Grace", "Ada, Grace and Alan",
        ]


@pytest.mark.parametrize(("chosen", "header", "browser", "amount"), [
    ("de", "en-US", "en_US", "4.800,00 €"), ("", "de-CH", "de_CH", "EUR 4’800.00"), ("", "en-US", "en_US", "€4,800.00"),
    ("", "fi", "fi", "4 800,00 €"), ("de", "de-AT", "de_AT", "€ 4.800,00"), ("en", "de-DE", "de_DE", "€4,800.00"),
])
def test_amounts_are_in_the_pages_language_and_the_browsers_region(
    app: Flask, chosen: str, header: str, browser: str, amount: str
) -> None:
    """Where nobody asked for the page's language, in the browser's: who reads English for want of Finnish still reads numbers."""
    with app.test_request_context(headers={"Accept-Language": header}):
        g.viewer = viewer(language=chosen, locale=browser)
        assert show.money(480000, "EUR").replace("\xa0", " ").replace("\u202f", " ") == amount


def test_a_language_that_is_read_from_right_to_left_says_so() -> None:
    assert [(one.direction, one.name) for one in (Language("en"), Language("de"), Language("fr"), mirrored())] == [
        ("ltr", "English"), ("ltr", "Deutsch"), ("ltr", "Français"), ("rtl", "עברית"),
    ]


def _catalogue(folder: Path, tag: str, *, whole: bool) -> None:
    place = folder / tag / "LC_MESSAGES"
    place.mkdir(parents=True)
    (place / "web.po").write_text(f'msgid ""\nmsgstr ""\n"Language: {tag}\\n"\n\nmsgid "a"\nmsgstr "{"b" if whole else ""}"\n')


def test_a_language_is_offered_when_it_is_whole_and_no_sooner(tmp_path: Path) -> None:
    _catalogue(tmp_path, "de", whole=True)
    _catalogue(tmp_path, "fr", whole=False)
    assert set(languages.found([], tmp_path).offered) == {"de", "en"}
    assert languages.found([], tmp_path).offered["de"].tongue.form("", "a") == "b"


@pytest.mark.parametrize(("narrowed", "offered", "otherwise"), [
    (["en"], {"en"}, "en"), (["de"], {"de"}, "de"), (["fr"], {"en"}, "en"), (["xx"], {"en"}, "en"), ([], {"de", "en"}, "en"),
])
def test_an_operator_may_narrow_them(
    tmp_path: Path, narrowed: list[str], offered: set[str], otherwise: str
) -> None:
    """And never to nothing, nor to one that is not whole."""
    _catalogue(tmp_path, "de", whole=True)
    _catalogue(tmp_path, "fr", whole=False)
    found = languages.found(narrowed, tmp_path)
    assert (set(found.offered), found.otherwise.tag) == (offered, otherwise)


def test_outside_of_a_request_it_is_english(app: Flask) -> None:
    assert spoken().language.tag == "en"
    with app.app_context():
        assert spoken().language.tag == "en"
    assert catalogue.FOLDER.is_dir()
