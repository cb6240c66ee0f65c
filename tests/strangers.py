"""Where templates show what strangers wrote (`visible`): it has to be set apart from our own words, in `<bdi>` or `dir="auto"`.

Attack: a name in a right-to-left script, or one that ends in digits, turns around the words of ours that stand beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from jinja2 import Environment, nodes

from tests.human import HOLE, OURS, VOID

STRANGE = "\ufff9"
APART = frozenset({"bdi", "textarea", "option", "title"})
"""Elements that are set apart by themselves: `option` and `title` hold plain text, which nothing stands beside."""
PLACE = re.compile(r"%\((\w+)\)[sd]")


def beside_ours(text: str, env: Environment) -> list[str]:
    """The elements in which a stranger's text stands among ours."""
    reader, tree = _Reader(), env.parse(text)
    kept = frozenset(
        one.target.name for one in tree.find_all(nodes.Assign) if isinstance(one.target, nodes.Name) and _strange(one.node)
    )
    reader.feed("".join(_laid_out(tree, kept)))
    reader.close()
    return reader.found


def _laid_out(node: nodes.Node, kept: frozenset[str]) -> Iterator[str]:
    title = isinstance(node, nodes.Block) and node.name == "title"
    yield "<title>" if title else ""
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, nodes.Output):
        for one in node.nodes:
            yield from _laid_out(one, kept) if isinstance(one, nodes.TemplateData) else _shown(one, kept)
    elif isinstance(node, nodes.Stmt | nodes.Template):
        for child in node.iter_child_nodes():
            yield from _laid_out(child, kept)
    yield "</title>" if title else ""


def _shown(node: nodes.Node, kept: frozenset[str]) -> Iterator[str]:
    """A sentence of ours with a mark for each value that is a stranger's; a mark for an expression that shows one."""
    match node:
        case nodes.MarkSafe() | nodes.MarkSafeIfAutoescape():
            yield from _shown(node.expr, kept)
        case nodes.CondExpr():
            yield from _shown(node.expr1, kept)
            yield from _shown(node.expr2, kept) if node.expr2 else ()
        case nodes.Or() | nodes.And():
            yield from _shown(node.left, kept)
            yield from _shown(node.right, kept)
        case nodes.Call(node=nodes.Name(name=name)) if name in OURS - {"url_for"}:
            values = {one.key: one.value for one in node.kwargs}
            for one in node.args:
                if isinstance(one, nodes.Const) and isinstance(one.value, str):
                    yield PLACE.sub(lambda at: STRANGE if _strange(values.get(at[1]), kept) else HOLE, one.value)
        case _:
            yield STRANGE if _strange(node, kept) else HOLE


def _strange(node: nodes.Node | None, kept: frozenset[str] = frozenset()) -> bool:
    """`kept`: names under which a template keeps what it made visible."""
    if node is None:
        return False
    if isinstance(node, nodes.Name) and node.name in kept:
        return True
    return any(one.name == "visible" for one in (node, *node.find_all(nodes.Filter)) if isinstance(one, nodes.Filter))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._open: list[tuple[str, bool, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            given = dict(attrs)
            apart = tag in APART or given.get("dir") in ("auto", "ltr")
            self._open.append((tag, apart, self.get_starttag_text() or tag))

    def handle_endtag(self, tag: str) -> None:
        for at in range(len(self._open) - 1, -1, -1):
            if self._open[at][0] == tag:
                del self._open[at:]
                return

    def handle_data(self, data: str) -> None:
        if STRANGE in data and not any(apart for _tag, apart, _text in self._open):
            self.found.append(f"{self._open[-1][2] if self._open else ''}{' '.join(data.split())[:80]}")
