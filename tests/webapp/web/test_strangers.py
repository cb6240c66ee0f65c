"""What strangers wrote stands apart from our own words on every page, whatever its script."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.catalogues import ROOT, environment
from tests.strangers import beside_ours

TEMPLATES = [path for path in sorted((ROOT / "templates").rglob("*.html")) if "bank" not in path.parts]
"""Without Harbour Bank, which is another firm."""


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_what_a_stranger_wrote_stands_apart(path: Path) -> None:
    assert beside_ours(path.read_text("utf-8"), environment()) == []


@pytest.mark.parametrize("source", [
    "<p>By {{ name|visible }}</p>", "<p>{% trans who=name|visible %}By {{ who }}{% endtrans %}</p>",
    "{% set name = row.name|visible %}<p>{% trans name=name %}By {{ name }}{% endtrans %}</p>",
    "<p>{{ (a or b)|visible }}</p>", '<p title="{{ name|visible }}">{{ name|visible }}</p>',
    "{% macro row(name) %}<li>{{ name|visible }}</li>{% endmacro %}", "<bdi>A</bdi> {{ name|visible }}",
    "<p>{{ name|visible or _('Nobody') }}</p>", "<p>{{ _('Nobody') if not name else name|visible }}</p>",
    "<p>{% trans count=n, name=name|visible %}{{ name }}: a day{% pluralize %}{{ name }}: {{ count }} days{% endtrans %}</p>",
])
def test_what_does_not_is_found(source: str) -> None:
    assert beside_ours(source, environment())


@pytest.mark.parametrize("source", [
    "<p>By <bdi>{{ name|visible }}</bdi></p>", "<p>{% trans who=name|visible %}By <bdi>{{ who }}</bdi>{% endtrans %}</p>",
    '<p dir="auto">{{ name|visible }}</p>', '<p dir="auto"><b>{{ name|visible }}</b></p>', '<p title="{{ name|visible }}">A</p>',
    "<textarea>{{ text|visible }}</textarea>", "{% block title %}{{ name|visible }}{% endblock %}", "<p>{{ when|ago }}</p>",
    '<pre dir="ltr">{{ text|visible }}</pre>', "<p>{% trans when=at|ago %}At {{ when }}{% endtrans %}</p>",
])
def test_what_does_is_left_alone(source: str) -> None:
    assert beside_ours(source, environment()) == []
