"""Human text that stands in a template outside of any translation, found in its syntax tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jinja2 import Environment, nodes

HOLE = "\ufffc"
LETTER = re.compile(r"[A-Za-z]")
WORDY = re.compile(r"[A-Za-z]{2,}[,.]? [A-Za-z]{2,}|^[A-Z][a-z]+[.!?]?$")
"""What looks like words and not like a name of ours: two words, or one that begins large."""
SPOKEN = frozenset({"aria-label", "title", "placeholder", "alt", "data-label", "aria-description", "aria-roledescription"})
CODE = frozenset({"code", "pre", "kbd", "script", "style"})
NAMES = frozenset({"Counterseal", "JSON", "CSV", "button seal", "button danger", "link no"})
"""What is written the same in every language, and classes of ours that look like words."""
ELSEWHERE = nodes.Compare | nodes.Test | nodes.TemplateData | nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends
OURS = frozenset({"_", "gettext", "ngettext", "pgettext", "npgettext", "url_for"})
VOID = frozenset({"input", "meta", "link", "br", "wbr", "img", "path", "hr"})


def outside(text: str, env: Environment) -> list[str]:
    """Each piece of text, attribute or literal that people would read and no translator sees."""
    tree = env.parse(text)
    reader = _Reader()
    reader.feed("".join(_laid_out(tree)))
    reader.close()
    return reader.found + [one for one in _literals(tree) if one not in reader.found]


def _laid_out(node: nodes.Node) -> Iterator[str]:
    """The template as one text in its own order, with a hole for each value and both sides of each condition."""
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, nodes.Output):
        for one in node.nodes:
            yield from _laid_out(one) if isinstance(one, nodes.TemplateData) else _shown(one)
    elif isinstance(node, nodes.Stmt | nodes.Template):
        for child in node.iter_child_nodes():
            yield from _laid_out(child)


def _shown(node: nodes.Node) -> Iterator[str]:
    match node:
        case nodes.Const(value=str(text)):
            yield text
        case nodes.CondExpr():
            yield from _shown(node.expr1)
            yield " "
            yield from _shown(node.expr2) if node.expr2 else ()
        case nodes.Or() | nodes.And():
            yield from _shown(node.left)
            yield from _shown(node.right)
        case nodes.Concat():
            for one in node.nodes:
                yield from _shown(one)
        case nodes.Filter(name="default" | "capitalize" | "lower" | "upper"):
            yield HOLE
            for one in (node.node, *node.args):
                yield from _shown(one) if one else ()
        case _:
            yield HOLE


def _literals(node: nodes.Node) -> Iterator[str]:
    """In what is handed to macros, kept under a name or looked up: what is compared, or is ours to translate, is left out."""
    if isinstance(node, nodes.Call) and getattr(node.node, "name", "") in OURS:
        return
    if isinstance(node, ELSEWHERE) or (isinstance(node, nodes.Filter) and node.name == "ours"):
        return
    if isinstance(node, nodes.Const) and isinstance(node.value, str) and WORDY.search(node.value) and node.value not in NAMES:
        yield node.value
    for child in node.iter_child_nodes():
        yield from _literals(child)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            own = name in SPOKEN or name.startswith("data-") or (name == "value" and given.get("type") in ("submit", "button"))
            if own and WORDY.search(value.replace(HOLE, " ").strip()) and value not in NAMES:
                self.found.append(f"{name}={value}")
        if tag not in VOID:
            self._open.append((tag, tag in CODE or "mono" in given.get("class", "").split()))

    def handle_endtag(self, tag: str) -> None:
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at][0] == tag:
                del self._open[at:]
                return

    def handle_data(self, data: str) -> None:
        for piece in data.split(HOLE):
            words = " ".join(piece.split())
            if LETTER.search(words) and words.strip(" ·,:") not in NAMES and not any(code for _tag, code in self._open):
                self.found.append(words)
