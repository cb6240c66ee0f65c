"""In which locale a person reads numbers, where nothing says in which language they read: their browser's."""

from __future__ import annotations

from functools import lru_cache

from babel.core import Locale, UnknownLocaleError
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

FALLBACK = "en"
LONGEST, MOST = 200, 10


@lru_cache(maxsize=512)
def preferred(header: str) -> str:
    """Of an Accept-Language header (RFC 9110 section 12.5.4) the first locale that Babel knows, as Babel writes it."""
    for tag in list(parse_accept_header(header[:LONGEST], LanguageAccept).values())[:MOST]:
        try:
            return str(Locale.parse(tag, sep="-"))
        except (ValueError, UnknownLocaleError):
            continue
    return FALLBACK
