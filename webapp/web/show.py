"""How times, numbers and amounts are written for the person who looks, in their language and zone: template filters, by Babel."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from copy import copy
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.core import Locale
from babel.dates import format_datetime, format_timedelta, get_day_names
from babel.lists import format_list
from babel.numbers import format_decimal
from flask import Flask, g
from markupsafe import Markup, escape

from webapp.currencies import EXPONENTS
from webapp.errors import Said, psaid, said
from webapp.web.house import house
from webapp.web.languages import spoken, told

KEPT = 8192
"""Times and amounts that are kept as written: a list shows the same ones at each of its updates."""


@lru_cache(maxsize=64)
def _parsed(locale: str) -> Locale:
    return Locale.parse(locale)


def _name() -> str:
    """Of numbers: the page's language as the browser's region writes it. Where nobody asked for the language that the page is in,
    numbers are the browser's all the same."""
    viewer, ours = g.get("viewer"), spoken()
    own = viewer.locale if viewer else ""
    if own and (not ours.locale or own.partition("_")[0] == ours.language.tag):
        return str(own)
    return ours.locale or ours.language.tag


def _words() -> str:
    """Of times, whose words stand among the page's own. English is written in one way everywhere."""
    ours = spoken()
    return "en" if ours.language.tag == "en" else ours.locale or ours.language.tag


def _locale() -> Locale:
    return _parsed(_words())


def _zone() -> ZoneInfo:
    viewer = g.get("viewer")
    return ZoneInfo(viewer.zone if viewer else "UTC")


LETTER_THEN_DIGIT = re.compile(r"(?<=[A-Za-z])(?=[0-9])")
"""`KWD 1.234`, where a code stands for the sign (CLDR's alphaNextToNumber)."""
MARKS = dict.fromkeys((0x061C, 0x200E, 0x200F))
"""Direction marks that some locales put into amounts: here they would look like something hidden in what is paid."""
HIDDEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0\ufe00-\ufe0e\U000e0100-\U000e01ef]")
"""What shows nothing though Python calls it printable: fillers, joiners, variation selectors but that of emoji."""
BOXED = Markup('<span class="boxed mono" title="{2}">U+{1:04X} {0}</span>')
INVISIBLE, CONTROL = said("an invisible character"), "a control character"
COUNTDOWN, RUNS = " data-until", " data-runs"
NEVER = said("never")
DAY_AND_TIME = psaid("pattern of a time (CLDR)", "d MMM yyyy, HH:mm")
SHORT_DAY_AND_TIME = psaid("pattern of a time (CLDR)", "d MMM, HH:mm")


@lru_cache(maxsize=KEPT)
def _exact(when: datetime, zone: ZoneInfo, locale: str) -> str:
    return str(format_datetime(when, "long", tzinfo=zone, locale=_parsed(locale)))


def _element(when: datetime, text: str, mark: str = "") -> Markup:
    exact = escape(_exact(when.replace(microsecond=0), _zone(), _words()))
    # Not by Markup.format, which takes four times as long and is called for each row of a list. All that is put in is escaped.
    return Markup(f'<time datetime="{when.isoformat(timespec="seconds")}" title="{exact}"{mark}>{escape(text)}</time>')  # noqa: S704


def ago(when: datetime | None) -> str | Markup:
    """`3 minutes ago`, with the exact time as its title."""
    if when is None:
        return told(NEVER)
    distance = when - house().clock()
    if abs(distance) < timedelta(seconds=45):
        return _element(when, told(said("just now") if distance <= timedelta() else said("in a moment")))
    return _element(when, format_timedelta(distance, add_direction=True, locale=_locale(), threshold=1.2))


def moment(when: datetime | None) -> str | Markup:
    """`3 Nov 2026, 23:38`, in the viewer's zone."""
    if when is None:
        return told(NEVER)
    return _element(when, format_datetime(when, told(DAY_AND_TIME), tzinfo=_zone(), locale=_locale()))


def at(when: datetime) -> Markup:
    """`at 10:02` today, `on 3 Nov 2026, 23:38` otherwise, in the viewer's zone."""
    zone = _zone()
    today = when.astimezone(zone).date() == house().clock().astimezone(zone).date()
    text = format_datetime(when, "HH:mm" if today else told(DAY_AND_TIME), tzinfo=zone, locale=_locale())
    words = psaid("a time", "at %(time)s", time=text) if today else psaid("a time", "on %(day)s", day=text)
    return _element(when, told(words))


def until(when: datetime) -> Markup:
    """`3 h 58 min left`; counts down where JavaScript runs."""
    seconds = max(0, int((when - house().clock()).total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        text = said("%(days)s d %(hours)s h left", days=days, hours=hours)
    elif hours:
        text = said("%(hours)s h %(minutes)s min left", hours=hours, minutes=f"{minutes:02}")
    elif minutes:
        text = said("%(minutes)s min left", minutes=minutes)
    else:
        text = said("%(seconds)s s left", seconds=seconds) if seconds else said("expired")
    return _element(when, told(text), COUNTDOWN)


def runs_in(when: datetime) -> Markup:
    """`in 23 s`, or `now`; counts down where JavaScript runs."""
    seconds = math.ceil((when - house().clock()).total_seconds())
    return _element(when, told(said("in %(seconds)s s", seconds=seconds) if seconds > 0 else said("now")), RUNS)


def second(when: datetime) -> Markup:
    """`14:03:23`, in the viewer's zone."""
    return _element(when, format_datetime(when, "HH:mm:ss", tzinfo=_zone(), locale=_locale()))


def hours(text: str) -> str:
    """Hours of a need (`0-4 08:00-18:00 Europe/Berlin`) with names of days."""
    days, times, zone = text.split(" ")
    return f"{re.sub('[0-6]', lambda day: weekday(int(day[0])), days)} {times}, {zone}"


def weekday(day: int) -> str:
    """`Mon` for 0."""
    return str(get_day_names("abbreviated", "stand-alone", _locale())[day])


def listed(found: Iterable[str]) -> str:
    """`Ada, Grace and Alan`, as this language joins what it counts up: English without a comma before the last."""
    return str(format_list([told(one) for one in found], locale=_parsed("en_GB") if _words() == "en" else _locale()))


def money(minor: int, currency: str) -> str:
    """Minor units and an ISO 4217 code, in the viewer's locale: `€4,800.00`.

    With the decimals of ISO 4217, by which amounts are read; CLDR's are fewer for some currencies (Iraqi dinar, afghani), and
    the page would show a thousand times what is paid."""
    return _money(minor, currency, _name())


def number(value: Decimal | int) -> str:
    """A number in the viewer's locale, as it is: `2.4` and `1,000`, or `2,4` and `1.000`."""
    return str(format_decimal(value, locale=_parsed(_name()), decimal_quantization=False))


def clock(when: datetime, zone: str) -> Markup:
    """`00:38` as somebody else's clock stands, with the day where that is not the viewer's."""
    there, here = when.astimezone(ZoneInfo(zone)), when.astimezone(_zone())
    pattern = "HH:mm" if there.date() == here.date() else told(SHORT_DAY_AND_TIME)
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
        return escape(text if isinstance(text, Said) else str(text))
    out = Markup("")
    for char in text:
        hidden = (not char.isprintable() and char not in "\n\t") or HIDDEN.match(char) is not None
        out += BOXED.format(unicodedata.name(char, CONTROL).lower(), ord(char), INVISIBLE) if hidden else char
    return out


def register(app: Flask, *, evaluation: bool) -> None:
    for filter_ in (ago, at, clock, moment, number, place, until, runs_in, second, hours, money, visible, listed, weekday):
        app.jinja_env.filters[filter_.__name__] = filter_
    app.jinja_env.globals["evaluation"] = evaluation
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
