"""Letting token clients use accounts, and taking that back."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from webapp.connections import consenting, consents, providers
from webapp.connections.consenting import Asked, Form
from webapp.errors import said
from webapp.web.guards import person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("consents", __name__)


@blueprint.get("/connections/consents")
@person
def page() -> ResponseReturnValue:
    with house().database.read() as session:
        found = consents.of_person(session, viewer().person)
    facts = {one.provider: providers.find(house().settings, one.provider) for one in found}
    return render_template("connections/consents.html", consents=found, facts=facts)


@blueprint.get("/connections/consents/new")
@person
def new() -> ResponseReturnValue:
    found = request.args
    asked = Asked(found.get("client", ""), found.get("provider", ""), found.get("connection", ""), found.get("kind", "person"))
    shown = consenting.page(house(), viewer(), asked)
    if isinstance(shown, Form):
        return render_template("connections/consent.html", form=shown)
    return render_template("connections/which.html", which=shown)


@blueprint.post("/connections/consents/new")
@person
def give() -> ResponseReturnValue:
    form = request.form
    asked = Asked(form.get("client", ""), connection=form.get("connection", ""), kind=form.get("kind", ""))
    consenting.give(house(), viewer(), asked, form.getlist("scope"))
    flash(said("Allowed. Go back to what you were doing: the server asks again by itself."), "good")
    return redirect(url_for("connections.one", connection=asked.connection), 303)


@blueprint.post("/connections/consents/<consent>/withdraw")
@person
def withdraw(consent: str) -> ResponseReturnValue:
    who, now = viewer().person, house().clock()
    house().database.write(lambda s: consents.withdraw(s, consent, who, now))
    flash(said("Withdrawn. It gets nothing more, and what it had is being ended."), "good")
    return redirect(url_for("connections.consents.page"), 303)
