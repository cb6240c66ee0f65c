"""The room's pages: the entrance, the choice of a person, and the agent's card. Registered in evaluation instances alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import generate_csrf
from werkzeug.wrappers import Response as AnyResponse

from webapp.errors import CountersealError, Forbidden, said
from webapp.evaluation import card, entrance, steps
from webapp.evaluation.persons import PERSONS
from webapp.evaluation.run import Run
from webapp.people.answers import with_next
from webapp.people.rules import own_path
from webapp.people.streams import still_signed_in
from webapp.web import guards, live
from webapp.web.faults import answer
from webapp.web.headers import allow_form_action
from webapp.web.house import house
from webapp.web.languages import Spoken, spoken
from webapp.web.proxies import TRACES
from webapp.web.viewer import Viewer, viewer

blueprint = Blueprint("evaluation", __name__, url_prefix="/evaluation")


@dataclass
class Room:
    """`seeded` is set once everything that belongs to the instance is in place."""

    run: Run
    seeded: threading.Event = field(default_factory=threading.Event)


def room() -> Room:
    found: Room = current_app.extensions["evaluation"]
    return found


def register(app: Flask, run: Run) -> None:
    app.extensions["evaluation"] = Room(run)
    app.register_blueprint(blueprint)
    app.before_request(no_proxy)
    app.before_request(choose_first)
    app.context_processor(lambda: {"evaluation_card": lambda: card.look(house(), viewer().person, viewer().zone)})


def no_proxy() -> Response | None:
    """Whoever forwards requests here has put an evaluation instance where others can reach it."""
    if any(name in request.headers for name in TRACES):
        words = said("This is an evaluation instance: it answers on this machine alone, behind no proxy.")
        return answer(421, words, "not_local")
    return None


def choose_first() -> AnyResponse | None:
    """Signing in begins with choosing a person; the page that was asked for is kept."""
    if request.endpoint == "people.sign_in_page" and request.method == "GET" and "out" not in request.args:
        return redirect(with_next("/evaluation/people", own_path(request.args.get("next"))), 303)
    return None


@blueprint.get("/ready")
@guards.public
def ready() -> Response:
    return Response(status=204 if room().seeded.is_set() else 503)


@blueprint.get("/enter")
@guards.public
def enter_page() -> str:
    return render_template("evaluation/enter.html")


@blueprint.post("/enter")
@guards.public
def enter() -> ResponseReturnValue:
    try:
        cookie = entrance.spend(house(), room().run, request.form.get("link", ""))
    except CountersealError as refusal:
        return render_template("evaluation/enter.html", problem=refusal.hint), 403
    response = make_response(redirect("/evaluation/people", 303))
    response.set_cookie(
        entrance.COOKIE, cookie.reveal(), max_age=entrance.LIFETIME, httponly=True, samesite="Lax", path="/evaluation"
    )
    return response


@blueprint.get("/people")
@guards.public
def people() -> ResponseReturnValue:
    try:
        entrance.require(room().run, request.cookies.get(entrance.COOKIE, ""), house().clock())
    except Forbidden:
        return render_template("evaluation/closed.html"), 403
    allow_form_action(room().run.identity)
    return render_template("evaluation/people.html", persons=PERSONS, next_url=own_path(request.args.get("next")))


@blueprint.post("/people")
@guards.public
def choose() -> ResponseReturnValue:
    entrance.require(room().run, request.cookies.get(entrance.COOKIE, ""), house().clock())
    wanted = own_path(request.form.get("next"))
    return redirect(entrance.sign_in_as(house(), room().run, request.form.get("person", ""), wanted), 303)


@blueprint.post("/agent")
@guards.person
def agent() -> AnyResponse:
    card.tell(house(), viewer().person, request.form.get("scenario", ""))
    return redirect("/#agent", 303)


@blueprint.get("/agent/steps")
@guards.person
def agent_steps() -> Response:
    who, token, language = viewer(), generate_csrf(), spoken()
    proxy: Any = current_app
    app: Flask = proxy._get_current_object()
    watch = card.Watch(steps.path(house().settings.instance, who.person))
    alive = still_signed_in(house(), who)
    render = partial(_render, app, who, token, language)
    return live.stream(watch, app.extensions["seats"], who.person, ("agent",), render, alive=alive)


def _render(app: Flask, who: Viewer, token: str, language: Spoken) -> str:
    """The live part, outside the request that opened the stream."""
    with app.app_context():
        g.viewer, g.spoken = who, language
        return render_template("evaluation/_steps.html", card=card.look(house(), who.person, who.zone), token=token)
