"""How one text or number became another, in words. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup

from webapp.approvals.lookalike import skeleton
from webapp.errors import psaid, said

NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,6})?", re.ASCII)
SCRIPTS = {str(one): one for one in (
    psaid("script", "Arabic"), psaid("script", "Armenian"), psaid("script", "Cherokee"), psaid("script", "Coptic"),
    psaid("script", "Cyrillic"), psaid("script", "Georgian"), psaid("script", "Greek"), psaid("script", "Han"),
    psaid("script", "Cjk"), psaid("script", "Hangul"), psaid("script", "Hebrew"), psaid("script", "Hiragana"),
    psaid("script", "Katakana"), psaid("script", "Latin"), psaid("script", "Thai"), psaid("script", "Devanagari"),
)}
"""As Unicode names them, where people may meet two in one word."""
LEAST = Decimal("0.1")
"""Percent, below which nobody is told a figure: 0.0 % more would read as no change."""


def how(before: str | None, now: str | None) -> str:
    """Of two that differ; None where that side has none."""
    if before is None or now is None:
        return said("was not there before") if before is None else said("left out")
    return _ratio(before, now) or _spelling(before, now) or said("changed")


def summary(names: Sequence[str], every: bool) -> str:
    """What changed, in a sentence; `every`: nothing stayed."""
    if not names:
        return said("Nothing changed: all of it is the same as then.")
    listed = names[0] if len(names) == 1 else said("%(first)s and %(last)s", first=Markup(", ").join(names[:-1]), last=names[-1])
    return said("All of it changed: %(names)s.", names=listed) if every else said("Changed: %(names)s.", names=listed)


def _ratio(before: str, now: str) -> str:
    """Of two plain amounts."""
    if not (NUMBER.fullmatch(before) and NUMBER.fullmatch(now)) or not Decimal(before) > 0 or not Decimal(now) > 0:
        return ""
    was, is_ = Decimal(before), Decimal(now)
    if was == is_:
        return said("the same number, written differently")
    if is_ >= 2 * was:
        return said("%(times)s times as much", times=(is_ / was).quantize(Decimal("0.1")))
    percent = (abs(is_ / was - 1) * 100).quantize(LEAST)
    if not percent:
        return (
            said("less than %(percent)s %% more", percent=LEAST) if is_ > was
            else said("less than %(percent)s %% less", percent=LEAST))
    return said("%(percent)s %% more", percent=percent) if is_ > was else said("%(percent)s %% less", percent=percent)


def _spelling(before: str, now: str) -> str:
    if "".join(before.split()).casefold() == "".join(now.split()).casefold():
        return said("only spaces or capitals changed")
    return said("looks the same, and is not") if skeleton(before) == skeleton(now) else ""
