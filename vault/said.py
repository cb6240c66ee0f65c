"""What the system says to people, as text that remembers the sentence and the values it was made of.

It is plain English wherever text is wanted: in logs, in answers to programs, in the audit log. Where it is written into HTML it
says itself in the language of whoever reads the page, if the process knows how (`told_by`; the keeper does not and need not).

Only what was made here is ever looked up. Attack: an agent writes "Approve" as its reason, and the page would show it translated,
as it shows what the system says. Text by strangers is plain `str`, or one of the values, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})
"""As markupsafe escapes."""


class Said(str):
    """`msgid` and `values` as they were given. Whatever makes another text of it (`+`, `.lower()`) makes English of it."""

    msgid: str
    many: str = ""
    """The sentence for other numbers than one; `values["num"]` says how many."""
    context: str = ""
    values: Mapping[str, Any] = {}

    def __html__(self) -> str:
        """Called by whatever escapes text for a page."""
        return _teller(self)


def said(msgid: str, /, **values: Any) -> Said:
    """A whole sentence with `%(name)s` for each value: `said("It has %(has)s characters.", has=12)`.

    Without values nothing is replaced. A value that is itself `Said` is said in the same language; a time stands on a page as
    times do, `at 10:02`."""
    return _made(msgid, "", "", values)


def nsaid(msgid: str, many: str, num: int, /, **values: Any) -> Said:
    """One sentence for one, another for more; `%(num)s` is the number."""
    return _made(msgid, many, "", {"num": num, **values})


def psaid(context: str, msgid: str, /, **values: Any) -> Said:
    """A word that means several things, with the one that is meant: `psaid("of a call", "held")`."""
    return _made(msgid, "", context, values)


def _made(msgid: str, many: str, context: str, values: Mapping[str, Any]) -> Said:
    pattern = many if many and values["num"] != 1 else msgid
    made = Said(pattern % values if values else pattern)
    made.msgid, made.many, made.context, made.values = msgid, many, context, values
    return made


def one_of_ours(text: str, context: str = "") -> Said:
    """A sentence of ours that came as text: from a row, a signed document, the catalogue. Never a stranger's. What is no sentence
    of ours stays as it is."""
    return text if isinstance(text, Said) else _made(text, "", context, {})


def carried(text: str) -> dict[str, Any]:
    """What `heard` needs to make it again on the other side of the door, or of a row, if it has values."""
    if not isinstance(text, Said) or not text.values:
        return {}
    return {"said": _parts(text)}


def _parts(text: Said) -> list[Any]:
    return [text.msgid, text.many, text.context, {name: _plain(value) for name, value in text.values.items()}]


def _plain(value: Any) -> Any:
    if isinstance(value, Said):
        return _parts(value)
    return value if isinstance(value, int) else str(value)


def heard(text: str, parts: Any) -> Said:
    """What `carried` gave; the text alone where that does not fit it."""
    try:
        made = _remade(parts)
    except (KeyError, TypeError, ValueError, RecursionError):
        return one_of_ours(text)
    return made if made == text else one_of_ours(text)


def _remade(parts: Any) -> Said:
    match parts:
        case [str(msgid), str(many), str(context), dict(values)]:
            known = {name: _remade(value) if isinstance(value, list) else value for name, value in values.items()}
            return _made(msgid, many, context, known)
    raise ValueError("not what was carried")


def _english(text: Said) -> str:
    return text.translate(HTML)


_teller: Callable[[Said], str] = _english


def told_by(teller: Callable[[Said], str]) -> None:
    """From now on this says in which words, wherever this process writes HTML: it answers HTML."""
    global _teller
    _teller = teller
