"""A reader with a language, and no more: for words, without a keeper or a database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask, g

from webapp.config_approvals import Approvals
from webapp.web import languages, show, words
from webapp.web.languages import spoken

Reads = Callable[[str], AbstractContextManager[None]]
NOON = datetime(2026, 11, 3, 11, 0, tzinfo=UTC)
TEMPLATES = Path(__file__).resolve().parents[3] / "templates"


@pytest.fixture(scope="module")
def reader() -> Flask:
    made = Flask("test", template_folder=str(TEMPLATES))
    show.register(made, evaluation=False)
    languages.register(made, [])
    words.register(made)
    settings = SimpleNamespace(secure=False, approvals=Approvals())
    made.extensions["counterseal"] = SimpleNamespace(settings=settings, clock=lambda: NOON)
    return made


@pytest.fixture
def reads(reader: Flask) -> Reads:
    """`with reads("de"):` all that is said there is said in German."""

    @contextmanager
    def within(tag: str) -> Iterator[None]:
        with reader.test_request_context(headers={"Accept-Language": tag}):
            g.viewer = SimpleNamespace(zone="UTC", locale=tag, language="")
            assert spoken().language.tag == tag
            yield

    return within


def in_catalogue(msgid: str, context: str = "", /, **values: str) -> str:
    """As the translator wrote it."""
    pattern = spoken().language.tongue.form(context, msgid)
    return pattern % values if values else pattern
