"""Pure: does one recipient look like another? Unicode skeletons (TR 39) and edit distance; of account numbers distance alone."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib import resources

from webapp.approvals.spelling import decoded

CONFUSABLE = str.maketrans({
    **dict(zip("авекмнорстухіјѕԁһӏɡ", "abekmhopctyxijsdhlg", strict=True)),
    **dict(zip("αβεικνορτυχ", "abeikvoptux", strict=True)),
    "0": "o", "1": "l", "|": "l", "i": "l", "!": "l", "5": "s", "$": "s", "8": "b", "@": "a",
})
"""Beyond TR 39, which says what looks the same in print: what people read as the same in a name."""
LETTERS = (("rn", "m"), ("vv", "w"), ("cl", "d"))
LONGEST = 200
ACCOUNT = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}", re.ASCII)
"""An IBAN (ISO 13616), whether or not its check digits are right."""
ACCOUNT_MOST = 2


def normal(text: str) -> str:
    """The form in which two recipients are the same one: NFKC, case folded, without spaces at the ends or doubled."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@cache
def prototypes() -> Mapping[int, str]:
    """One character for each class of those that TR 39 calls confusable, a plain one where there is one. The data are those of
    the Unicode Consortium's confusables.txt, as `confusable-homoglyphs` carries them."""
    pairs = json.loads(resources.files("confusable_homoglyphs").joinpath("confusables.json").read_text(encoding="utf-8"))
    above: dict[str, str] = {}

    def top(char: str) -> str:
        while above.get(char, char) != char:
            char = above[char]
        return char

    for one, others in pairs.items():
        for other in (found["c"] for found in others):
            if len(one) == len(other) == 1:
                first, second = sorted((top(one), top(other)), key=_plainness)
                above[second] = first
    return {ord(char): top(char) for char in above if top(char) != char}


def _plainness(char: str) -> tuple[bool, bool, int]:
    return not char.isascii(), not char.islower(), ord(char)


@lru_cache(maxsize=8192)
def skeleton(text: str) -> str:
    """The form in which two recipients look the same: accents, invisible characters, spaces and punctuation are gone, and what
    resembles another character is that one. Capitals are compared as they look, and then as what they are."""
    plain = unicodedata.normalize("NFKD", (decoded(text) or text)[:LONGEST]).translate(prototypes())
    again = unicodedata.normalize("NFKD", normal(plain)).translate(prototypes())
    kept = "".join(char for char in again.translate(CONFUSABLE) if char.isalnum())
    for seen, read in LETTERS:
        kept = kept.replace(seen, read)
    return kept


def distance(one: str, other: str, most: int) -> int:
    """Edits (insert, delete, replace, swap neighbours) from one to the other; `most + 1` when there are more."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, left in enumerate(one, 1):
        current = [row]
        for column, right in enumerate(other, 1):
            cost = min(last[column] + 1, current[-1] + 1, last[column - 1] + (left != right))
            if row > 1 and column > 1 and left == other[column - 2] and one[row - 2] == right:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        if min(current) > most:
            return most + 1
        before, last = last, current
    return last[-1]


def lookalike_of(recipient: str, known: Iterable[str]) -> str | None:
    """The known recipient that this one could be mistaken for; None when it is one of them, or like none."""
    known = [one[:LONGEST] for one in known]
    mine, bones = normal(recipient)[:LONGEST], skeleton(recipient)
    if any(_same(one) == _same(recipient[:LONGEST]) for one in known) or not bones:
        return None
    if (near := _account_like(account_number(recipient), known)) is not None:
        return near
    most = _most(mine)
    nearest = min(((distance(bones, skeleton(one), most), one) for one in known), default=None)
    return nearest[1] if nearest is not None and nearest[0] <= most else None


def account_number(text: str) -> str:
    """An IBAN in capitals and without gaps, whatever its check digits say; empty for what has not the form of one."""
    compact = "".join(text.split()).upper()
    return compact if ACCOUNT.fullmatch(compact) else ""


def _account_like(mine: str, known: Iterable[str]) -> str | None:
    """The known account that this one is a slip or a forger's choice away from. The check digits do not count: they follow from
    the rest, and would differ anyway. Accounts at one bank share more than half of their digits, so no part of it is a sign."""
    near = min(((_between(mine, other), one) for one in known if mine and (other := account_number(one))), default=None)
    return near[1] if near is not None and near[0] <= ACCOUNT_MOST else None


def _between(one: str, other: str) -> int:
    country = sum(left != right for left, right in zip(one[:2], other[:2], strict=True))
    return country + distance(one[4:], other[4:], ACCOUNT_MOST)


def _same(text: str) -> str:
    """Capitals and doubled gaps make no other recipient, nor does any gap in a number. Letters of another kind (bold, fullwidth)
    do, and so does a gap between words: policy tells them apart."""
    words = unicodedata.normalize("NFC", text).casefold().split()
    return ("" if _numeric("".join(words)) else " ").join(words)


def _numeric(text: str) -> bool:
    return sum(char.isdigit() for char in text) * 2 > len(text)


def _most(text: str) -> int:
    """Short names and numbers that differ by one character are different ones; long names hardly ever are."""
    if len(text) < 6 or _numeric(text):
        return 0
    return 1 if len(text) < 12 else 2
