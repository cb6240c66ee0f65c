"""The admin's pages of servers and their tools."""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from webapp.errors import BadInput, CountersealError, said
from webapp.registry import deciding, look, pages
from webapp.registry.forms import ToolForm
from webapp.registry.pages import Handed
from webapp.web import guards
from webapp.web.house import house
from webapp.web.htmx import is_partial
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("registry", __name__)


def _handed() -> Handed:
    found: Handed = current_app.extensions["registry"]
    return found


def _actor() -> str:
    return f"person:{viewer().person}"


@blueprint.get("/servers")
@guards.admin
def index() -> str:
    with house().database.read() as session:
        return render_template("registry/servers.html", servers=pages.servers(session), form={}, refused="")


@blueprint.post("/servers")
@guards.admin
def add() -> ResponseReturnValue:
    form = {name: request.form.get(name, "").strip() for name in ("name", "url", "title", "provider")}
    try:
        look.add(house(), **form, actor=_actor())
    except CountersealError as error:
        with house().database.read() as session:
            return render_template("registry/servers.html", servers=pages.servers(session), form=form, refused=error.hint), 400
    return redirect(url_for("registry.server", name=form["name"]), 303)


@blueprint.get("/servers/<name>")
@guards.admin
def server(name: str) -> str:
    with house().database.read() as session:
        found, tools = pages.server(session, name)
    return render_template("registry/server.html", server=found, tools=tools, classes=pages.CLASSES)


@blueprint.post("/servers/<name>/look")
@guards.admin
def look_now(name: str) -> ResponseReturnValue:
    why = look.look(house(), name, actor=_actor())
    flash(why or said("Looked. This is what the server lists now."), "warn" if why else "good")
    return redirect(url_for("registry.server", name=name), 303)


@blueprint.post("/servers/<name>/pause")
@guards.admin
def pause(name: str) -> ResponseReturnValue:
    paused, now = request.form.get("paused") == "yes", house().clock()
    actor = _actor()
    house().database.write(lambda s: deciding.pause(s, server=name, paused=paused, actor=actor, now=now))
    return redirect(url_for("registry.server", name=name), 303)


@blueprint.get("/servers/<name>/tools/<path:tool>")
@guards.admin
def tool(name: str, tool: str) -> str:
    return _page(name, tool)


@blueprint.post("/servers/<name>/tools/<path:tool>")
@guards.admin
def decide(name: str, tool: str) -> ResponseReturnValue:
    form, what = ToolForm.sent(request.form), request.form.get("do", "")
    if what == "preview":
        return _preview(name, tool, form)
    try:
        _decide(name, tool, form, what)
    except BadInput as error:
        return _page(name, tool, form, refused=error.hint), 400
    return redirect(url_for("registry.server", name=name), 303)


def _decide(name: str, tool: str, form: ToolForm, what: str) -> None:
    seen, actor, now = request.form.get("seen", ""), _actor(), house().clock()
    if what == "approve":
        approval = form.approval()
        house().database.write(lambda s: deciding.approve(
            s, server=name, tool=tool, approval=approval, seen=seen, actor=actor, now=now
        ))
    elif what == "refuse":
        house().database.write(lambda s: deciding.refuse(s, server=name, tool=tool, seen=seen, actor=actor, now=now))
    else:
        raise BadInput("Say whether to approve or to refuse.")


def _preview(name: str, tool: str, form: ToolForm) -> str:
    arguments = request.form.get("sample", "")[:8000]
    facts, wrong = pages.preview(_handed(), form, arguments)
    if is_partial():
        return render_template("registry/_preview.html", facts=facts, wrong=wrong)
    return _page(name, tool, form, facts=facts, wrong=wrong, sample=arguments)


def _page(name: str, tool: str, form: ToolForm | None = None, **shown: object) -> str:
    with house().database.read() as session:
        found = pages.tool(session, name, tool, _handed(), form)
    given = {"facts": [], "wrong": "", "refused": "", "sample": found.sample, **shown}
    if "facts" not in shown:
        given["facts"], given["wrong"] = pages.preview(_handed(), found.form, str(given["sample"]))
    return render_template("registry/tool.html", tool=found, classes=pages.CLASSES, **given)
