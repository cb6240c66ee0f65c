"""How pages and views say things in the reader's language: `_()` and `{% trans %}` in templates, `flash` in views."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import flask
from flask import Flask
from markupsafe import Markup, escape

from vault.said import told_by
from webapp.errors import Said, one_of_ours
from webapp.web.languages import languages, spoken, told
from webapp.web.show import at, number


def flash(message: str, category: str = "message") -> None:
    """Flask's, for what we say: told in the language of the request that flashes it, for a session keeps text alone."""
    flask.flash(told(message), category)


def gettext(msgid: str, /, **values: Any) -> Markup:
    return spoken().language.tongue.gettext(msgid, **values)


def pgettext(context: str, msgid: str, /, **values: Any) -> Markup:
    return spoken().language.tongue.pgettext(context, msgid, **values)


def ngettext(one: str, many: str, num: int, /, **values: Any) -> Markup:
    return spoken().language.tongue.ngettext(one, many, num, **values)


def npgettext(context: str, one: str, many: str, num: int, /, **values: Any) -> Markup:
    return spoken().language.tongue.npgettext(context, one, many, num, **values)


def _written(text: Said) -> str:
    """As HTML: the sentence and its values are escaped, and times and decimal numbers are written as elsewhere on pages."""
    pattern = escape(spoken().language.tongue.pattern(text))
    if not text.values:
        return str(pattern)
    return str(pattern % {name: _value(one) for name, one in text.values.items()})


def _value(one: Any) -> Markup:
    if isinstance(one, datetime):
        return at(one)
    return escape(number(one) if isinstance(one, Decimal) else one)


def _of_this_page() -> dict[str, Any]:
    """The language is asked for once for a page and not for each of its sentences. Macros that are imported without context do
    not see these: they use the functions above."""
    language = spoken().language
    tongue = language.tongue
    return {
        "language": language, "languages": languages(), "_": tongue.gettext, "gettext": tongue.gettext,
        "pgettext": tongue.pgettext, "ngettext": tongue.ngettext, "npgettext": tongue.npgettext,
    }


def register(app: Flask) -> None:
    env = app.jinja_env
    env.add_extension("jinja2.ext.i18n")
    env.newstyle_gettext = True  # type: ignore[attr-defined]
    env.policies["ext.i18n.trimmed"] = True
    env.globals |= {"_": gettext, "gettext": gettext, "pgettext": pgettext, "ngettext": ngettext, "npgettext": npgettext}
    env.filters["ours"] = one_of_ours
    app.context_processor(_of_this_page)
    told_by(_written)
