"""The page of a person's notices; a group's, for admins; and what a browser needs for push."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, redirect, render_template, request
from flask.typing import ResponseReturnValue

from vault.errors import KeeperError
from vault.secret import Secret
from webapp.errors import BadInput, LimitReached, psaid, said
from webapp.notices import browsers, channels, outward, preferences
from webapp.notices.listening import GROUP
from webapp.notices.rules import ADMINS, GROUPS, KINDS
from webapp.notices.tables import Channel
from webapp.people.rules import browser_said
from webapp.web.guards import admin, person, public
from webapp.web.house import house
from webapp.web.languages import languages, speak, spoken, told
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("notices", __name__)


@blueprint.get("/you/notices")
@person
def own() -> ResponseReturnValue:
    return _page(viewer().person)


@blueprint.get("/groups/<path:group>/notices")
@admin
def of_group(group: str) -> ResponseReturnValue:
    return _page(GROUP + group[:100])


def _page(whom: str, problem: str = "", status: int = 200) -> ResponseReturnValue:
    group = whom.removeprefix(GROUP) if whom.startswith(GROUP) else ""
    with house().database.read() as session:
        rows, prefs = channels.of(session, whom), preferences.of(session, whom, house().settings.policy.zone)
    snoozed = prefs.snoozed_until if prefs.snoozed_until and prefs.snoozed_until > house().clock() else None
    return render_template(
        "notices/page.html", rows=rows, prefs=prefs, zone=prefs.zone, group=group, snoozed=snoozed, problem=problem,
        kinds=_kinds(group), schemes=house().settings.notices.schemes, act=request.path, service=_service, retold=outward.retold,
    ), status


def _service(row: Channel) -> str:
    return browser_said(row.service) if row.kind == "push" else row.service


def _kinds(group: str) -> list[str]:
    """What can be chosen: of what only admins are told, nobody else is asked."""
    admins = group in house().settings.people.admin_groups if group else viewer().admin
    return [kind for kind in (GROUPS if group else KINDS) if admins or kind not in ADMINS]


@blueprint.post("/you/notices")
@person
def change() -> ResponseReturnValue:
    return _done(viewer().person, {**FOR_ALL, "subscribe": _subscribe, "unsubscribe": _unsubscribe})


@blueprint.post("/groups/<path:group>/notices")
@admin
def change_group(group: str) -> ResponseReturnValue:
    return _done(GROUP + group[:100], FOR_ALL)


def _done(whom: str, doing: Mapping[str, Callable[[str], None]]) -> ResponseReturnValue:
    """One form each: what is to be done is in `do`."""
    try:
        doing.get(request.form.get("do", ""), _unknown)(whom)
    except (KeeperError, BadInput, LimitReached) as error:
        return _page(whom, error.hint, 400)
    return redirect(request.path, 303)


def _actor() -> str:
    return f"person:{viewer().person}"


def _unknown(whom: str) -> None:
    raise BadInput("There is no such thing to do.")


def _add(whom: str) -> None:
    url, name = Secret(request.form.get("url", "").strip()), request.form.get("name", "")
    channels.add(house(), whom, url, name, _actor())
    flash(said("The channel is there. Its address is not shown again: try it now."), "good")


def _test(whom: str) -> None:
    answer = channels.test(house(), request.form.get("channel", "")[:64], whom)
    if answer.good:
        flash(said("Sent. Look whether it arrived."), "good")
    else:
        flash(said("It did not work. %(why)s", why=answer.words), "warn")


def _remove(whom: str) -> None:
    channel, actor, now = request.form.get("channel", "")[:64], _actor(), house().clock()
    house().database.write(lambda s: channels.remove(s, channel, whom, actor, now))
    flash(said("Taken away. Nothing is sent there any more."), "good")


def _prefer(whom: str) -> None:
    values: dict[str, Any] = preferences.read(request.form, request.form.getlist("kinds"), group=whom.startswith(GROUP))
    actor, now = _actor(), house().clock()
    house().database.write(lambda s: preferences.store(s, whom, values, actor, now))
    flash(said("Saved."), "good")


def _snooze(whom: str) -> None:
    choice, actor, now = request.form.get("for", ""), _actor(), house().clock()
    if house().database.write(lambda s: preferences.snooze(s, whom, choice, actor, now)) is None:
        flash(said("You are told again as usual."), "good")


def _subscribe(whom: str) -> None:
    browsers.subscribe(house(), viewer(), request.form.get("subscription", ""), request.headers.get("User-Agent", ""))
    flash(said("This browser is told from now on."), "good")


def _unsubscribe(whom: str) -> None:
    browsers.unsubscribe(house(), viewer(), request.form.get("endpoint", "")[:2000])
    flash(said("This browser is not told any more."), "good")


FOR_ALL: Mapping[str, Callable[[str], None]] = {
    "add": _add, "test": _test, "remove": _remove, "prefer": _prefer, "snooze": _snooze,
}


@blueprint.get("/you/notices/push-key")
@person
def push_key() -> ResponseReturnValue:
    """What a browser subscribes with (RFC 8292 section 3.2)."""
    return {"key": house().door.push_key()}


SHORTCUTS = {"/actions": said("What waits"), "/history": psaid("main menu", "History")}


@blueprint.get("/service-worker.js")
@public
def service_worker() -> Response:
    """At the root, so that it may answer for every page when there is no network; asked for anew each time."""
    found = _static("service_worker.js", "text/javascript")
    found.headers["Service-Worker-Allowed"] = "/"
    found.headers["Cache-Control"] = "no-cache"
    return found


@blueprint.get("/manifest.webmanifest")
@public
def manifest() -> Response:
    """Browsers ask for it without cookies (Web Application Manifest, "crossorigin"): the page that links to it says which."""
    speak(languages().offered.get(request.args.get("language", "")))
    found = json.loads(_static("app.webmanifest", "application/manifest+json").get_data())
    found |= {
        "lang": spoken().language.tag, "dir": spoken().language.direction,
        "description": told(said("Approve what agents want to do")),
        "shortcuts": [{"name": told(name), "url": url} for url, name in SHORTCUTS.items()],
    }
    answer = Response(json.dumps(found), mimetype="application/manifest+json")
    answer.vary.add("Accept-Language")
    return answer


@blueprint.get("/offline")
@public
def offline() -> str:
    """What a browser keeps for when there is no network: nothing of anybody's is on it."""
    return render_template("notices/offline.html")


def _static(name: str, mimetype: str) -> Response:
    return Response((Path(current_app.static_folder or "") / name).read_bytes(), mimetype=mimetype)
