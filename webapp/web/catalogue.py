"""The sentences of one language, read from gettext's own text files (`.po`) as Babel writes them.

There is one file for each room, and none is compiled: what is in git is what runs, in a checkout, in the tests and in the wheel.
Babel reads 2,500 sentences in a tenth of a second, once in a process and only when somebody first asks for their language.
"""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from webapp.errors import Said, Unavailable

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

FOLDER = Path(__file__).resolve().parents[1] / "translations"
OPEN = re.compile(r'^msgstr(?:\[\d\])? ""\n(?!")|^#,.*\bfuzzy\b', re.MULTILINE)
"""A sentence that nobody translated yet, or one that a program guessed."""

Key = tuple[str, str]
"""Context and English sentence."""


def complete(language: str, folder: Path = FOLDER) -> bool:
    """Whether every sentence is translated in it. Reads the files without taking them apart: 1 ms."""
    found = files(language, folder)
    return bool(found) and not any(OPEN.search(path.read_text("utf-8")) for path in found)


def files(language: str, folder: Path = FOLDER) -> list[Path]:
    return sorted((folder / language / "LC_MESSAGES").glob("*.po"))


def read(path: Path) -> dict[Key, tuple[str, ...]]:
    """The sentences of a file, with each one's forms: none that a program guessed. Raises PoFileError for a broken file."""
    return _sentences(_parsed(path))


def _parsed(path: Path) -> Catalog:
    from babel.messages.pofile import read_po  # not at a start: who reads English never needs it

    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def _sentences(parsed: Catalog) -> dict[Key, tuple[str, ...]]:
    return {
        (one.context or "", one.id if isinstance(one.id, str) else one.id[0]):
        (one.string,) if isinstance(one.string, str) else tuple(one.string or ()) for one in parsed if one.id and not one.fuzzy
    }


class Tongue:
    """Says each sentence in one language, and in English what it does not know.

    For pages: `gettext` and its like, whose sentences are HTML that we wrote; what is put into them is escaped. For plain text:
    `told`. All are cheap, for they are called hundreds of times for a page."""

    def __init__(self, found: Mapping[Key, tuple[str, ...]], plural: Callable[[int], int] | None = None) -> None:
        self._found = {key: forms for key, forms in found.items() if key[1] and all(forms)}
        self._plural = plural or (lambda num: int(num != 1))
        self._pages: dict[Key, Markup] = {}

    def form(self, context: str, msgid: str, many: str = "", num: int = 1) -> str:
        """The sentence as the translator wrote it, with its placeholders."""
        forms = self._found.get((context, msgid))
        if forms is None:
            return many if many and num != 1 else msgid
        return forms[min(self._plural(abs(num)), len(forms) - 1)] if many else forms[0]

    def pattern(self, said: Said) -> str:
        num = said.values.get("num", 1)
        return self.form(said.context, said.msgid, said.many, num if isinstance(num, int) else 1)

    def told(self, said: Said) -> str:
        """For plain text, unescaped."""
        pattern = self.pattern(said)
        if not said.values:
            return pattern
        return pattern % {name: self.told(one) if isinstance(one, Said) else one for name, one in said.values.items()}

    def gettext(self, msgid: str, /, **values: Any) -> Markup:
        return self._page("", msgid, values)

    def pgettext(self, context: str, msgid: str, /, **values: Any) -> Markup:
        return self._page(context, msgid, values)

    def ngettext(self, one: str, many: str, num: int, /, **values: Any) -> Markup:
        return _filled(self.form("", one, many, num), {"num": num, **values})

    def npgettext(self, context: str, one: str, many: str, num: int, /, **values: Any) -> Markup:
        return _filled(self.form(context, one, many, num), {"num": num, **values})

    def _page(self, context: str, msgid: str, values: Mapping[str, Any]) -> Markup:
        if values:
            return _filled(self.form(context, msgid), values)
        known = self._pages.get((context, msgid))
        if known is None:
            known = self._pages[context, msgid] = Markup(self.form(context, msgid).replace("%%", "%"))  # noqa: S704
        return known


def _filled(pattern: str, values: Mapping[str, Any]) -> Markup:
    """Attack: a name with `<b>` or `%(secret)s` in it. It is escaped, and only the sentence is a pattern."""
    return Markup(pattern % {name: escape(value) for name, value in values.items()})  # noqa: S704


ENGLISH = Tongue({})


def load(language: str, folder: Path = FOLDER) -> Tongue:
    """Raises Unavailable when there is no catalogue of it."""
    parsed = [_parsed(path) for path in files(language, folder)]
    if not parsed:
        raise Unavailable("There is no catalogue of this language.", detail=language)
    found = {key: forms for one in parsed for key, forms in _sentences(one).items()}
    return Tongue(found, gettext.c2py(parsed[0].plural_expr))
