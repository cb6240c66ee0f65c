"""The admin's page of clients: who registered, whom somebody vouches for, and how to shut one out."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from webapp.clients import lookup, status
from webapp.clients.rules import read_redirect_uri
from webapp.web import guards
from webapp.web.house import house
from webapp.web.viewer import viewer

blueprint = Blueprint("clients", __name__)
SIZE = 50


@blueprint.get("/clients")
@guards.admin
def index() -> str:
    with house().database.read() as session:
        found = lookup.page(session, before=request.args.get("before"), size=SIZE + 1)
    return render_template("clients/index.html", clients=found[:SIZE], more=len(found) > SIZE, goes_to=read_redirect_uri)


@blueprint.post("/clients/<client_id>")
@guards.admin
def change(client_id: str) -> ResponseReturnValue:
    what, actor, now = request.form.get("change", ""), f"person:{viewer().person}", house().clock()
    house().database.write(lambda s: status.change(s, client_id, what, actor=actor, now=now))
    return redirect(url_for("clients.index"), 303)
