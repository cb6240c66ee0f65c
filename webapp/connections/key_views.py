"""Pasting an API key, and replacing one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from vault.errors import KeeperError
from vault.secret import Secret
from webapp.connections import keys, providers
from webapp.connections.keys import Pasted
from webapp.connections.tables import Connection
from webapp.errors import HTTP, BadInput, look_up, said
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("keys", __name__)


@blueprint.app_context_processor
def words() -> dict[str, Callable[..., Any]]:
    """`key_age(row)` and `late_keys()`, for the pages that speak of keys."""
    return {
        "key_age": lambda row: keys.age(row, providers.find(house().settings, row.provider), house().clock()),
        "late_keys": lambda: keys.late(house(), viewer()),
    }


@blueprint.get("/connections/keys/new")
@blueprint.get("/connections/keys/<connection>")
@person
def new(connection: str = "") -> ResponseReturnValue:
    form = keys.form(house(), viewer(), provider=request.args.get("provider", ""), connection=connection)
    return render_template("connections/key.html", form=form, label="", until="", error="")


@blueprint.post("/connections/keys/new")
@blueprint.post("/connections/keys/<connection>")
@person
def put(connection: str = "") -> ResponseReturnValue:
    pasted = _pasted(connection)
    try:
        row = keys.put(house(), viewer(), pasted)
    except (BadInput, KeeperError) as error:
        return _again(pasted, error)
    _tell(row, replaced=bool(connection))
    return redirect(url_for("connections.one", connection=row.id), 303)


def _pasted(connection: str) -> Pasted:
    found = request.form
    key = Secret(found.get("key", "").strip())
    return Pasted(found.get("provider", ""), connection, key, found.get("label", "")[:200], found.get("until", "")[:10])


def _again(pasted: Pasted, error: BadInput | KeeperError) -> ResponseReturnValue:
    """The page once more, with all that was typed but the key. What is no such page is refused as such."""
    form = keys.form(house(), viewer(), provider=pasted.provider, connection=pasted.connection)
    page = render_template("connections/key.html", form=form, label=pasted.label, until=pasted.until, error=error.hint)
    return page, look_up(HTTP, error, 400)


def _tell(row: Connection, *, replaced: bool) -> None:
    title = providers.find(house().settings, row.provider).title
    words = said("The key of %(title)s was replaced. End the old one there.", title=title)
    flash(words if replaced else said("%(title)s is connected.", title=title), "good")
