"""The admin's page of clients: who registered, whom somebody vouches for, what token clients may ask for, how to shut one out."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from webapp.clients import certificates, keys, lookup, overview, status
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
        tokens = overview.of(session, found[:SIZE], house().settings, house().clock())
        names = current_app.extensions["names"](session, {one.owner for one in tokens.values()} - {""})
    return render_template(
        "clients/index.html", clients=found[:SIZE], more=len(found) > SIZE, tokens=tokens, names=names, goes_to=read_redirect_uri
    )


@blueprint.post("/clients/<client_id>")
@guards.admin
def change(client_id: str) -> ResponseReturnValue:
    what, actor, now = request.form.get("change", ""), f"person:{viewer().person}", house().clock()
    house().database.write(lambda s: status.change(s, client_id, what, actor=actor, now=now))
    return redirect(url_for("clients.index"), 303)


@blueprint.post("/clients/certificates/<serial>/revoke")
@guards.admin
def revoke_certificate(serial: str) -> ResponseReturnValue:
    actor, now = f"person:{viewer().person}", house().clock()
    house().database.write(lambda s: certificates.revoke(s, serial, actor=actor, now=now))
    return redirect(url_for("clients.index"), 303)


@blueprint.post("/clients/keys/<key>/end")
@guards.admin
def end_key(key: str) -> ResponseReturnValue:
    actor, now = f"person:{viewer().person}", house().clock()
    house().database.write(lambda s: keys.end(s, key, actor=actor, now=now))
    return redirect(url_for("clients.index"), 303)
