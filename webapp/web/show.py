"""How times and amounts are written for the person who looks: template filters, by Babel."""

from __future__ import annotations

import math
import re
import unicodedata
from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.core import Locale
from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal
from flask import Flask, g
from markupsafe import Markup, escape

from webapp.currencies import EXPONENTS
from webapp.web.house import house

KEPT = 8192
"""Times and amounts that are kept as written: a list shows the same ones at each of its updates."""


@lru_cache(maxsize=64)
def _parsed(locale: str) -> Locale:
    return Locale.parse(locale)


def _name() -> str:
    viewer = g.get("viewer")
    return viewer.locale if viewer else "en"


def _locale() -> Locale:
    """Of times, whose words stand among the page's own."""
    return _parsed("en")


def _zone() -> ZoneInfo:
    viewer = g.get("viewer")
    return ZoneInfo(viewer.zone if viewer else "UTC")


LETTER_THEN_DIGIT = re.compile(r"(?<=[A-Za-z])(?=[0-9])")
"""`KWD 1.234`, where a code stands for the sign (CLDR's alphaNextToNumber)."""
MARKS = dict.fromkeys((0x061C, 0x200E, 0x200F))
"""Direction marks that some locales put into amounts: here they would look like something hidden in what is paid."""
HIDDEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0e\U000e0100-\U000e01ef]")
"""What shows nothing though Python calls it printable: fillers, joiners, variation selectors but that of emoji."""
BOXED = Markup('<span class="boxed mono" title="an invisible character">U+{1:04X} {0}</span>')
TIME = Markup('<time datetime="{}" title="{}">{}</time>')
COUNTDOWN = Markup('<time datetime="{}" title="{}" data-until>{}</time>')
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
RUNS = Markup('<time datetime="{}" title="{}" data-runs>{}</time>')


@lru_cache(maxsize=KEPT)
def _exact(when: datetime, zone: ZoneInfo, locale: str) -> str:
    return str(format_datetime(when, "long", tzinfo=zone, locale=_parsed(locale)))


def _element(when: datetime, text: str, shape: Markup = TIME) -> Markup:
    exact = _exact(when.replace(microsecond=0), _zone(), "en")
    return shape.format(when.isoformat(timespec="seconds"), exact, text)


def ago(when: datetime | None) -> str | Markup:
    """`3 minutes ago`, with the exact time as its title."""
    if when is None:
        return "never"
    distance = when - house().clock()
    if abs(distance) < timedelta(seconds=45):
        return _element(when, "just now" if distance <= timedelta() else "in a moment")
    return _element(when, format_timedelta(distance, add_direction=True, locale=_locale(), threshold=1.2))


def moment(when: datetime | None) -> str | Markup:
    """`3 Nov 2026, 23:38`, in the viewer's zone."""
    if when is None:
        return "never"
    return _element(when, format_datetime(when, "d MMM yyyy, HH:mm", tzinfo=_zone(), locale=_locale()))


def at(when: datetime) -> Markup:
    """`at 10:02` today, `on 3 Nov 2026, 23:38` otherwise, in the viewer's zone."""
    zone = _zone()
    today = when.astimezone(zone).date() == house().clock().astimezone(zone).date()
    words = "at {}" if today else "on {}"
    text = format_datetime(when, "HH:mm" if today else "d MMM yyyy, HH:mm", tzinfo=zone, locale=_locale())
    return _element(when, words.format(text))


def until(when: datetime) -> Markup:
    """`3 h 58 min left`; counts down where JavaScript runs."""
    seconds = max(0, int((when - house().clock()).total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        text = f"{days} d {hours} h left"
    elif hours:
        text = f"{hours} h {minutes:02} min left"
    elif minutes:
        text = f"{minutes} min left"
    else:
        text = f"{seconds} s left" if seconds else "expired"
    return _element(when, text, COUNTDOWN)


def runs_in(when: datetime) -> Markup:
    """`in 23 s`, or `now`; counts down where JavaScript runs."""
    seconds = math.ceil((when - house().clock()).total_seconds())
    return _element(when, f"in {seconds} s" if seconds > 0 else "now", RUNS)


def second(when: datetime) -> Markup:
    """`14:03:23`, in the viewer's zone."""
    return _element(when, format_datetime(when, "HH:mm:ss", tzinfo=_zone(), locale=_locale()))


def hours(text: str) -> str:
    """Hours of a need (`0-4 08:00-18:00 Europe/Berlin`) with names of days."""
    days, times, zone = text.split(" ")
    return f"{re.sub('[0-6]', lambda day: DAYS[int(day[0])], days)} {times}, {zone}"


def money(minor: int, currency: str) -> str:
    """Minor units and an ISO 4217 code, in the viewer's locale: `€4,800.00`.

    With the decimals of ISO 4217, by which amounts are read; CLDR's are fewer for some currencies (Iraqi dinar, afghani), and
    the page would show a thousand times what is paid."""
    return _money(minor, currency, _name())


def number(value: Decimal) -> str:
    """A decimal in the viewer's locale, as it is: `2.4`, or `2,4`."""
    return str(format_decimal(value, locale=_parsed(_name()), decimal_quantization=False))


def clock(when: datetime, zone: str) -> Markup:
    """`00:38` as somebody else's clock stands, with the day where that is not the viewer's."""
    there, here = when.astimezone(ZoneInfo(zone)), when.astimezone(_zone())
    pattern = "HH:mm" if there.date() == here.date() else "d MMM, HH:mm"
    return _element(when, format_datetime(when, pattern, tzinfo=ZoneInfo(zone), locale=_locale()))


def place(zone: str) -> str:
    """`Europe/Helsinki` as people say it."""
    return zone.rpartition("/")[2].replace("_", " ")


@lru_cache(maxsize=KEPT)
def _money(minor: int, currency: str, locale: str) -> str:
    digits = EXPONENTS.get(currency)
    if digits is None:
        return f"{minor} {currency}"
    pattern = copy(_parsed(locale).currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    written = str(pattern.apply(Decimal(minor).scaleb(-digits), _parsed(locale), currency=currency, currency_digits=False))
    return LETTER_THEN_DIGIT.sub("\N{NO-BREAK SPACE}", written.translate(MARKS))


def visible(text: str) -> Markup:
    """Text from a stranger with what hides made visible: control, bidirectional and zero-width characters by code point and name.

    Attack: a payee name that reads differently from what is sent (Unicode TR 36, CVE-2021-42574)."""
    if text.isprintable() and not HIDDEN.search(text):
        return escape(str(text))
    out = Markup("")
    for char in text:
        hidden = (not char.isprintable() and char not in "\n\t") or HIDDEN.match(char) is not None
        out += BOXED.format(unicodedata.name(char, "a control character").lower(), ord(char)) if hidden else char
    return out


def register(app: Flask, *, evaluation: bool) -> None:
    for filter_ in (ago, at, clock, moment, number, place, until, runs_in, second, hours, money, visible):
        app.jinja_env.filters[filter_.__name__] = filter_
    app.jinja_env.globals["evaluation"] = evaluation
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
