"""In which language a page is: what its reader chose, else what their browser asks for, else English.

Offered is a language whose catalogue is whole: every sentence is translated, so that nobody meets a page
that is half in English.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from babel.core import Locale, UnknownLocaleError
from flask import Flask, Response, current_app, g, has_app_context, has_request_context, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

from webapp.errors import Said
from webapp.web import catalogue
from webapp.web.catalogue import ENGLISH, Tongue
from webapp.web.house import house
from webapp.web.locales import LONGEST, MOST

COOKIE = "counterseal_language"
KEPT_FOR = 400 * 86400
"""Seconds; browsers keep none longer (RFC 6265bis section 5.5)."""


class Language:
    """`tag` as HTML and HTTP write it (RFC 5646)."""

    def __init__(self, tag: str, tongue: Tongue | None = None, folder: Path = catalogue.FOLDER) -> None:
        self.tag, self._tongue, self._folder = tag, tongue, folder
        locale = Locale.parse(tag, sep="-")
        name = str(locale.get_display_name(locale))
        self.name = name[:1].upper() + name[1:]
        """What it calls itself."""
        self.direction: str = locale.text_direction

    @cached_property
    def tongue(self) -> Tongue:
        return self._tongue or catalogue.load(self.tag, self._folder)


class Languages:
    """Those that this process offers, by tag."""

    def __init__(self, offered: Iterable[Language]) -> None:
        self.offered = {one.tag: one for one in sorted(offered, key=lambda one: one.name)}
        self.otherwise = self.offered.get("en") or next(iter(self.offered.values()))

    def asked(self, header: str) -> Language | None:
        """Of an Accept-Language header (RFC 9110 section 12.5.4) the first that is offered, in whatever region."""
        return next((found for tag in tags(header) if (found := self._nearest(tag))), None)

    def _nearest(self, tag: str) -> Language | None:
        return self.offered.get(tag) or self.offered.get(tag.partition("-")[0].lower())


def found(narrowed: Collection[str], folder: Path = catalogue.FOLDER) -> Languages:
    """English, and what is whole in the folder; `narrowed` leaves only these. At least English."""
    listed = sorted(path.name for path in folder.iterdir() if path.is_dir())
    here = [Language("en", ENGLISH), *(Language(tag, folder=folder) for tag in listed if catalogue.complete(tag, folder))]
    return Languages([one for one in here if not narrowed or one.tag in narrowed] or here[:1])


@lru_cache(maxsize=512)
def tags(header: str) -> tuple[str, ...]:
    """The tags of an Accept-Language header, the most wanted first: those with `q=0` are refused, not wanted."""
    accepted = parse_accept_header(header[:LONGEST], LanguageAccept)
    return tuple(tag for tag, quality in list(accepted)[:MOST] if quality > 0)


@dataclass(frozen=True)
class Spoken:
    """The language of this request, and whether anybody asked for it."""

    language: Language
    locale: str
    """The locale of that language for numbers and times, with the region that the browser names; empty where nobody asked for
    the language."""


NOBODY = Spoken(Language("en", ENGLISH), "")


def spoken() -> Spoken:
    """Of this request; English outside of one."""
    if not has_app_context():
        return NOBODY
    known: Spoken | None = g.get("spoken")
    if known is None:
        known = g.spoken = _spoken(current_app.extensions.get("languages")) if has_request_context() else NOBODY
    return known


def _spoken(offered: Languages | None) -> Spoken:
    if offered is None:
        return NOBODY
    viewer, header = g.get("viewer"), request.headers.get("Accept-Language", "")
    chosen = getattr(viewer, "language", "") or request.cookies.get(cookie_name(house().settings.secure), "")
    language = offered.offered.get(chosen) or offered.asked(header)
    if language is None:
        return Spoken(offered.otherwise, "")
    return Spoken(language, _region(language.tag, header))


@lru_cache(maxsize=512)
def _region(tag: str, header: str) -> str:
    """`de_CH` where the browser says so, else `de`."""
    for one in tags(header):
        try:
            locale = Locale.parse(one, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
        if locale.language == tag.partition("-")[0]:
            return str(locale)
    return tag.replace("-", "_")


def cookie_name(secure: bool) -> str:
    """As `people.cookies` names them."""
    return f"__Host-{COOKIE}" if secure else COOKIE


def languages() -> Languages:
    """What this app offers."""
    known: Languages = current_app.extensions["languages"]
    return known


def speak(language: Language | None) -> None:
    """For the rest of this request; None: what the browser asks for. A page for somebody else is made in theirs."""
    header = request.headers.get("Accept-Language", "") if has_request_context() else ""
    found = language or languages().asked(header)
    g.spoken = Spoken(found or languages().otherwise, _region(found.tag, header) if found else "")


def told(text: str) -> str:
    """What we say, in the reader's language, as plain text; whatever else it is stays as it is."""
    return spoken().language.tongue.told(text) if isinstance(text, Said) else text


def register(app: Flask, narrowed: Collection[str]) -> None:
    app.extensions["languages"] = found(narrowed)

    @app.after_request
    def say_which(response: Response) -> Response:
        """Only of pages: what a program reads is English, and does not differ by what it asks for."""
        if response.mimetype == "text/html" and "spoken" in g:
            response.headers["Content-Language"] = spoken().language.tag
            response.vary.add("Accept-Language")
        return response
