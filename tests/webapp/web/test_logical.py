"""Pages stand right also where they are read from right to left: no style sheet says left or right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[3] / "static"
SHEETS = sorted(path for path in STATIC.glob("*.css") if path.name != "harbour.css")
"""Harbour Bank is another firm, whose pages are English."""
RULE = re.compile(r"([a-z-]+)\s*:\s*([^;{}]+)")
PHYSICAL = re.compile(
    r"(margin|padding|border|scroll-(margin|padding))-(left|right)(-\w+)?|border-(top|bottom)-(left|right)-radius|left|right"
)
SIDE = re.compile(r"\b(left|right)\b")
BOTH_WAYS = {"background": "the shades at both ends of what scrolls: one of each"}


def physical(sheet: str) -> list[str]:
    found = []
    for name, value in RULE.findall(re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL)):
        parts = _parts(value)
        lopsided = (
            (name in ("margin", "padding", "inset") and len(parts) == 4 and parts[1] != parts[3])
            or (name == "border-radius" and len(parts) == 4 and (parts[0] != parts[1] or parts[2] != parts[3]))
            or (name == "border-radius" and len(parts) in (2, 3))
        )
        one_side = SIDE.search(value) and not (name in BOTH_WAYS and value.count("left") == value.count("right"))
        if PHYSICAL.fullmatch(name) or lopsided or one_side or "translateX" in value:
            found.append(f"{name}: {value}")
    return found


def _parts(value: str) -> list[str]:
    """The values of a shorthand; what is in parentheses is one."""
    while "(" in (shorter := re.sub(r"\([^()]*\)", "", value)) or shorter != value:
        value = shorter
    return value.split()


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.stem)
def test_nothing_is_placed_by_left_and_right(sheet: Path) -> None:
    assert physical(sheet.read_text("utf-8")) == []


@pytest.mark.parametrize("rule", [
    "a { margin-left: 1px; }", "a{left:0}", "a { padding: 1px 2px 3px 4px; }", "a { text-align: right; }", "a { float: left }",
    "a { border-radius: 0 8px 8px 0; }", "a { border-top-left-radius: 3px; }", "a { transform: translateX(3px); }",
    "a { background: linear-gradient(to right, red, blue); }",
])
def test_what_says_left_or_right_is_found(rule: str) -> None:
    assert physical(rule)


@pytest.mark.parametrize("rule", [
    "a { margin-inline-start: 1px; }", "a { padding: 1px 2px; }", "a { border-radius: 8px 8px 0 0; }", "a { text-align: start; }",
    "a { padding: clamp(1rem, 2vw, 3rem) 1rem; }",
])
def test_what_follows_the_reader_is_left_alone(rule: str) -> None:
    assert physical(rule) == []
