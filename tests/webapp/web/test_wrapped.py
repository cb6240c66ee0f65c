"""Every sentence of a page is one that a translator sees."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.catalogues import NOT_ON_PAGES, ROOT, environment, error_names, keepers_errors, trees
from tests.human import outside

TEMPLATES = [path for path in sorted((ROOT / "templates").rglob("*.html")) if "evaluation/bank" not in str(path)]
"""Without Harbour Bank, which is another firm."""
MODULES = {
    path: tree for path, tree in trees().items()
    if not str(path.relative_to(ROOT)).startswith(NOT_ON_PAGES) and not path.name.endswith("commands.py")
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_a_page_says_nothing_that_no_translator_sees(path: Path) -> None:
    assert outside(path.read_text("utf-8"), environment()) == []


@pytest.mark.parametrize("source", [
    "<p>Approve</p>", "<p>{% if x %}Approve{% else %}{{ _('Reject') }}{% endif %}</p>", '<a title="Look at it">',
    "{{ 'Yes' if x else 'No' }}", '<button aria-label="{{ "Send it" if x else y }}">', "{% set words = 'Not known' %}",
    "{{ row('Approve it', x) }}", "{{ _('day') }}s",
    "{{ x or 'Nobody yet' }}", "{{ {'done': 'It ran'}[x] }}", "<input placeholder='Your name'>", "<i data-several='Reject'></i>",
])
def test_what_no_translator_sees_is_found(source: str) -> None:
    assert outside(source, environment())


@pytest.mark.parametrize("source", [
    "{{ _('Approve') }}", "{% trans name=x %}Approve <b>{{ name }}</b>{% endtrans %}", "{{ x }} · {{ y }}",
    "<code>make run</code>", "{% if x == 'Reconnect it' %}{{ y }}{% endif %}",
    '<form method="{{ "get" if x else "post" }}" class="a b">', "<title>{{ _('A') }} · Counterseal</title>",
    "{{ url_for('people.page') }}", "{% trans count=n %}{{ count }} day{% pluralize %}{{ count }} days{% endtrans %}",
])
def test_what_a_translator_sees_is_left_alone(source: str) -> None:
    assert outside(source, environment()) == []


def _glued(node: ast.expr) -> bool:
    """A sentence whose values are in it already, so that nobody can look it up."""
    match node:
        case ast.JoinedStr() | ast.BinOp(op=ast.Add() | ast.Mod()):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="format" | "join")):
            return True
        case ast.IfExp():
            return _glued(node.body) or _glued(node.orelse)
    return False


def _faults(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "flask" and any(alias.name == "flash" for alias in node.names):
            found.append(f"line {node.lineno}: flash of webapp.web.words")
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        said = [one.value for one in node.keywords if one.arg == "hint"]
        if name == "flash" or (name in error_names() and name not in keepers_errors()):
            said += node.args[:1]
        found += [f"line {one.lineno}: {ast.unparse(one)[:80]}" for one in said if _glued(one)]
        if name == "flash":
            found += [f"line {one.lineno}: said({ast.unparse(one)[:80]})" for one in said if isinstance(one, ast.Constant)]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_error_carries_its_sentence_and_its_values_apart(path: Path) -> None:
    assert _faults(MODULES[path]) == []


@pytest.mark.parametrize("source", [
    "raise BadInput(f'It has {n}.')", "raise Conflict('It has ' + n)", "raise Missing('It has %s' % n)", "flash(f'Hello {n}')",
    "flash('Hello')", "raise BadRequest('x', hint=f'It has {n}.')", "from flask import flash",
])
def test_a_sentence_with_its_values_in_it_is_found(source: str) -> None:
    assert _faults(ast.parse(source))


@pytest.mark.parametrize("source", [
    "raise BadInput('Say why.')", "raise BadInput(said('It has %(n)s.', n=n))", "flash(said('Hello'))", "flash(words, kind)",
    "raise BadRequest(f'detail {n}', hint='Say why.')",
])
def test_a_sentence_apart_from_its_values_is_left_alone(source: str) -> None:
    assert _faults(ast.parse(source)) == []
