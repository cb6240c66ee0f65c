"""A person's own security log, and what they do about what was not them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import g, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from webapp.errors import said
from webapp.people import cookies, security
from webapp.web.guards import admin, person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

LONGEST = 64


def told() -> dict[str, Callable[[], Any]]:
    """`doubts()`, for the pages on which administrators are told."""

    def found() -> Any:
        with house().database.read() as db:
            return security.doubts(db)

    return {"doubts": found}


@person
def security_log() -> ResponseReturnValue:
    with house().database.read() as db:
        events = security.events(db, viewer().person, request.args.get("before", "")[:LONGEST])
    return render_template("people/security.html", events=events, more=len(events) == security.PAGE)


@person
def not_me_page(entry: str) -> ResponseReturnValue:
    with house().database.read() as db:
        event = security.one(db, viewer().person, entry[:LONGEST])
    return render_template("people/not_me.html", event=event)


@person
def not_me(entry: str) -> ResponseReturnValue:
    """Whoever says so is signed out by it too: the page says what to do next."""
    who, now = viewer(), house().clock()
    house().database.write(lambda db: security.not_me(db, who, entry[:LONGEST], now))
    g.viewer = None
    session.clear()
    response = make_response(render_template("people/not_me_done.html"))
    cookies.drop(response, house().settings, cookies.SESSION)
    return response


@admin
def settle_doubt(doubt: str) -> ResponseReturnValue:
    who, now = viewer(), house().clock()
    house().database.write(lambda db: security.settle(db, who, doubt[:LONGEST], now))
    flash(said("Noted: you have looked into it."), "good")
    return redirect(url_for("incidents.index"), 303)
