"""A language that nobody speaks: English in mirrored brackets, with accents, longer by two fifths, read from right to left.

On a page in it, what is not in brackets was never given to a translator, what is cut off has no room for German, and what stands
on the wrong side was placed by left and right.
"""

from __future__ import annotations

import re

from webapp.web.catalogue import Tongue
from webapp.web.languages import Language

PART = re.compile(r"<[^<>]*>|%\(\w+\)[sd]|%%|&\w+;")
ACCENTS = str.maketrans("aeiouAEIOUncy", "äëïöüÄËÏÖÜñçÿ")
LONGER = " ~"


def pseudo(english: str) -> str:
    """Tags and placeholders stay."""
    at, out, letters = 0, [], 0
    for part in PART.finditer(english):
        out += [english[at:part.start()].translate(ACCENTS), part[0]]
        letters += part.start() - at
        at = part.end()
    out.append(english[at:].translate(ACCENTS))
    letters += len(english) - at
    return "⟧" + "".join(out) + LONGER * round(letters * 0.2) + "⟦"


class Mirrored(Tongue):
    def __init__(self) -> None:
        super().__init__({})

    def form(self, context: str, msgid: str, many: str = "", num: int = 1) -> str:
        """Patterns of times are no words."""
        if context.startswith("pattern "):
            return msgid
        return pseudo(super().form(context, msgid, many, num))


def mirrored() -> Language:
    """Under the tag of a language that is written from right to left, so that browsers and Babel know what to do."""
    return Language("he", Mirrored())
