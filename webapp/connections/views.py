"""The accounts pages."""

from __future__ import annotations

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from vault.errors import KeeperError
from webapp.connections import connecting, lookup, pages, providers, states
from webapp.connections.connecting import Refused, Returned
from webapp.connections.tables import Connection
from webapp.errors import HTTP, look_up
from webapp.web.guards import person
from webapp.web.headers import allow_form_action
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("connections", __name__)

LONGEST = 4096
"""Characters of one value that a provider's redirect brings."""


@blueprint.get("/connections")
@person
def page() -> ResponseReturnValue:
    return render_template("connections/page.html", accounts=pages.accounts(house(), viewer()))


@blueprint.get("/connections/new")
@person
def new() -> ResponseReturnValue:
    form = pages.form(
        house(), viewer(), provider=request.args.get("provider", ""), connection=request.args.get("connection", "")
    )
    allow_form_action(form.origin)
    return render_template("connections/new.html", form=form)


@blueprint.post("/connections/new")
@person
def begin() -> ResponseReturnValue:
    url = connecting.begin(
        house(), viewer(), provider=request.form.get("provider", ""), scopes=request.form.getlist("scope"),
        connection=request.form.get("connection", ""),
    )
    return redirect(url, 303)


@blueprint.get("/connections/callback")
@blueprint.get("/connections/callback/<provider>")
@person
def callback(provider: str = "") -> ResponseReturnValue:
    try:
        connection = connecting.finish(house(), viewer(), _returned(), request.path)
    except Refused as refused:
        return render_template("connections/refused.html", title=refused.provider, hint=refused.hint, again=refused.again), 400
    except KeeperError as error:
        again = url_for("connections.page")
        return render_template("connections/refused.html", title="", hint=error.hint, again=again), look_up(HTTP, error, 400)
    flash(f"{providers.find(house().settings, connection.provider).title} is connected.", "good")
    return redirect(url_for("connections.page"), 303)


def _returned() -> Returned:
    """A parameter given twice is refused (RFC 6749 section 3.1)."""
    found = request.args
    names = ("state", "code", "error", "iss")
    if any(len(found.getlist(name)) > 1 or len(found.get(name, "")) > LONGEST for name in names) or not found.get("state"):
        abort(400)
    return Returned(found["state"], found.get("code", ""), found.get("error", ""), found.get("iss"))


@blueprint.get("/connections/<connection>")
@person
def one(connection: str) -> ResponseReturnValue:
    return render_template("connections/one.html", detail=pages.detail(house(), viewer(), connection))


def _own(connection: str) -> Connection:
    with house().database.read() as session:
        return lookup.own(session, connection, viewer().person)


@blueprint.post("/connections/<connection>/pause")
@person
def pause(connection: str) -> ResponseReturnValue:
    row, who, now = _own(connection), viewer(), house().clock()
    house().database.write(lambda s: states.pause(s, row.id, who, now))
    return redirect(url_for("connections.page"), 303)


@blueprint.post("/connections/<connection>/resume")
@person
def resume(connection: str) -> ResponseReturnValue:
    row, who, now = _own(connection), viewer(), house().clock()
    house().database.write(lambda s: states.resume(s, row.id, who, now))
    return redirect(url_for("connections.page"), 303)


@blueprint.get("/connections/<connection>/disconnect")
@person
def ask(connection: str) -> ResponseReturnValue:
    detail = pages.detail(house(), viewer(), connection)
    if detail.card.row.status == "disconnected":
        return redirect(url_for("connections.one", connection=connection), 303)
    return render_template("connections/disconnect.html", detail=detail)


@blueprint.post("/connections/<connection>/disconnect")
@person
def disconnect(connection: str) -> ResponseReturnValue:
    states.disconnect(house(), _own(connection), viewer())
    return redirect(url_for("connections.one", connection=connection), 303)
