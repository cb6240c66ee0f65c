"""The accounts pages."""

from __future__ import annotations

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from vault.errors import KeeperAway, VaultAway, VaultSealed
from webapp.connections import connecting, consent_views, export, forms, key_views, keys, lookup, pages, providers, rules, states
from webapp.connections.connecting import Finished, Refused, Returned
from webapp.connections.health import EVENTS
from webapp.connections.tables import Connection
from webapp.connections.uses import reader
from webapp.errors import said
from webapp.web.guards import person
from webapp.web.headers import allow_form_action
from webapp.web.house import house
from webapp.web.htmx import load_again
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("connections", __name__)
blueprint.register_blueprint(consent_views.blueprint)
blueprint.register_blueprint(key_views.blueprint)

LONGEST = 4096
"""Characters of one value that a provider's redirect brings."""
SCOPES = 50


@blueprint.get("/connections")
@person
def page() -> ResponseReturnValue:
    return render_template("connections/page.html", accounts=pages.accounts(house(), viewer()), tiles=pages.TILES)


@blueprint.get("/connections/now")
@person
def now() -> ResponseReturnValue:
    """The part of the page that changes by itself."""
    return render_template("connections/_accounts.html", accounts=pages.accounts(house(), viewer()), tiles=pages.TILES)


@blueprint.get("/connections/new")
@person
def new() -> ResponseReturnValue:
    asked = _asked()
    if not asked.provider and not asked.connection:
        return render_template("connections/list.html", offers=pages.offers(house(), viewer(), request.args.get("q", "")[:80]))
    if elsewhere := keys.address(house(), viewer(), asked.provider, asked.connection):
        return redirect(elsewhere, 303)
    form = forms.form(house(), viewer(), asked)
    allow_form_action(form.origin)
    return render_template("connections/new.html", form=form)


def _asked() -> forms.Asked:
    found = request.args
    return forms.Asked(
        found.get("provider", ""), found.get("connection", ""), tuple(found.getlist("add")[:SCOPES]),
        tuple(found.getlist("scope")[:SCOPES]),
    )


@blueprint.post("/connections/new")
@person
def begin() -> ResponseReturnValue:
    form = request.form
    provider, connection, scopes = form.get("provider", ""), form.get("connection", ""), form.getlist("scope")
    try:
        url = connecting.begin(
            house(), viewer(), provider=provider, scopes=scopes, connection=connection, add=form.getlist("add")
        )
    except (KeeperAway, VaultAway, VaultSealed) as error:
        again = url_for(
            "connections.new", provider=provider or None, connection=connection or None, add=form.getlist("add"), scope=scopes
        )
        return render_template("connections/refused.html", title="", hint=error.hint, again=again), 503
    return redirect(url, 303)


@blueprint.get("/connections/callback")
@blueprint.get("/connections/callback/<provider>")
@person
def callback(provider: str = "") -> ResponseReturnValue:
    try:
        finished = connecting.finish(house(), viewer(), _returned(), request.path)
    except Refused as refused:
        page = render_template(
            "connections/refused.html", title=refused.provider, hint=refused.hint, again=refused.again,
            waiting_count=lambda: 0,  # a page that says that the database is away must not ask it for the badge
        )
        return page, refused.status
    _tell(finished)
    seen = finished.again or bool(finished.less)
    one_ = url_for("connections.one", connection=finished.connection.id)
    return redirect(one_ if seen else url_for("connections.page"), 303)


def _tell(finished: Finished) -> None:
    facts = providers.find(house().settings, finished.connection.provider)
    if finished.again:
        flash(said("%(title)s is connected again. If an agent waits for it, it goes on by itself.", title=facts.title), "good")
    else:
        flash(said("%(title)s is connected.", title=facts.title), "good")
    if finished.less:
        words, unknown = rules.apart(facts, finished.less)
        flash(said(
            "%(title)s did not grant all that was asked for. Not granted: %(less)s. Calls that need it are refused.",
            title=facts.title, less=rules.sentence([*words, *rules.undescribed(len(unknown))]),
        ), "warn")


def _returned() -> Returned:
    """A parameter given twice is refused (RFC 6749 section 3.1)."""
    found = request.args
    names = ("state", "code", "error", "iss")
    if any(len(found.getlist(name)) > 1 or len(found.get(name, "")) > LONGEST for name in names) or not found.get("state"):
        abort(400)
    return Returned(found["state"], found.get("code", ""), found.get("error", ""), found.get("iss"))


@blueprint.get("/connections/uses.<kind>")
@blueprint.get("/connections/<connection>/uses.<kind>")
@person
def take_away(kind: str, connection: str = "") -> ResponseReturnValue:
    if kind not in export.TYPES:
        abort(404)
    rows = pages.own_rows(house(), viewer(), connection)
    body = export.written(kind, export.uses(house(), reader(), rows))
    name = f"counterseal-uses.{kind}"
    return Response(body, content_type=export.TYPES[kind], headers={"Content-Disposition": f'attachment; filename="{name}"'})


@blueprint.get("/connections/<connection>")
@person
def one(connection: str) -> ResponseReturnValue:
    detail = pages.detail(house(), viewer(), connection)
    return render_template("connections/one.html", detail=detail, card=detail.card, events=EVENTS)


@blueprint.get("/connections/<connection>/now")
@person
def one_now(connection: str) -> ResponseReturnValue:
    """How it stands. When it is connected no more, or again, all of its page changes."""
    detail = pages.detail(house(), viewer(), connection)
    response = make_response(render_template("connections/_state.html", detail=detail, card=detail.card, events=EVENTS))
    if request.args.get("status", detail.card.row.status) != detail.card.row.status:
        load_again(response, url_for("connections.one", connection=connection))
    return response


def _own(connection: str) -> Connection:
    with house().database.read() as session:
        return lookup.own(session, connection, viewer().person)


@blueprint.post("/connections/<connection>/name")
@person
def rename(connection: str) -> ResponseReturnValue:
    row, actor, name, at = _own(connection), f"person:{viewer().person}", request.form.get("name", ""), house().clock()
    house().database.write(lambda s: states.rename(s, row.id, name, actor, at))
    return redirect(url_for("connections.one", connection=connection), 303)


@blueprint.post("/connections/<connection>/default")
@person
def prefer(connection: str) -> ResponseReturnValue:
    row, actor, at = _own(connection), f"person:{viewer().person}", house().clock()
    house().database.write(lambda s: states.prefer(s, row, actor, at))
    return redirect(url_for("connections.one", connection=connection), 303)


@blueprint.post("/connections/<connection>/pause")
@person
def pause(connection: str) -> ResponseReturnValue:
    states.pause(house(), _own(connection), viewer())
    return redirect(_from_where(connection), 303)


@blueprint.post("/connections/<connection>/resume")
@person
def resume(connection: str) -> ResponseReturnValue:
    states.resume(house(), _own(connection), viewer())
    return redirect(_from_where(connection), 303)


def _from_where(connection: str) -> str:
    """Back to the page on which the button was."""
    on_its_page = request.form.get("on") == "one"
    return url_for("connections.one", connection=connection) if on_its_page else url_for("connections.page")


@blueprint.get("/connections/<connection>/disconnect")
@person
def ask(connection: str) -> ResponseReturnValue:
    detail = pages.detail(house(), viewer(), connection)
    if detail.card.row.status == "disconnected":
        return redirect(url_for("connections.one", connection=connection), 303)
    return render_template("connections/disconnect.html", detail=detail, card=detail.card)


@blueprint.post("/connections/<connection>/disconnect")
@person
def disconnect(connection: str) -> ResponseReturnValue:
    states.disconnect(house(), _own(connection), viewer())
    return redirect(url_for("connections.one", connection=connection), 303)
