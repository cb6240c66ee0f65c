"""The page of secrets: how old each is, when it is replaced next, and having it replaced now. An admin's; never a value."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from vault.errors import KeeperError
from vault.secret import Secret
from webapp.errors import BadInput, CountersealError, Forbidden, said
from webapp.secrets import clients, page, turning
from webapp.secrets.clients import LONGEST, OVERLAP, Kind
from webapp.secrets.status import counts, status
from webapp.web.guards import admin
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

blueprint = Blueprint("secrets", __name__)
READ = 200
"""Accounts, certificates and client keys each that the page reads, to show the oldest few."""
FRESH = timedelta(minutes=10)
"""How old the factor of a session may be that replaces a secret."""
STALE = "Your passkey or code was checked more than ten minutes ago. Sign out, sign in again, and then do this."


@blueprint.get("/secrets")
@admin
def index() -> ResponseReturnValue:
    return _page()


def _page(problem: str = "") -> ResponseReturnValue:
    groups = page.groups(status(house(), READ), counts(house()))
    shown = render_template(
        "secrets/index.html", groups=groups, problem=problem, fresh=_fresh(), overlap=OVERLAP, longest=LONGEST,
        now=house().clock(),
    )
    return shown, 400 if problem else 200


@blueprint.post("/secrets/rotate")
@admin
def rotate() -> ResponseReturnValue:
    name = request.form.get("name", "")[:40]
    _require_fresh()
    try:
        done = turning.turn(house(), name, _actor())
    except (KeeperError, CountersealError) as error:
        if name not in turning.WAYS:
            return _page(said("This was not replaced. %(why)s", why=error.hint))
        return _page(said("%(name)s was not replaced. %(why)s", name=name, why=error.hint))
    flash(said("%(name)s: %(done)s", name=name, done=done), "good")
    return redirect(url_for("secrets.index"), 303)


@blueprint.post("/secrets/client")
@admin
def client() -> ResponseReturnValue:
    """The secret goes to the keeper and is not kept, shown again or logged here."""
    kind, name = _kind(), request.form.get("name", "")[:128]
    _require_fresh()
    try:
        given, hours = Secret(request.form.get("secret", "").strip()), request.form.get("hours", "", type=str)
        until = clients.replace(house(), kind, name, given, int(hours) if hours.isdecimal() and len(hours) < 5 else 0, _actor())
    except (KeeperError, CountersealError) as error:
        return _page(said("The client secret was not replaced. %(why)s", why=error.hint))
    words = said(
        "%(name)s: the new secret is tried first; until %(when)s UTC the one before, where it is not known.",
        name=name, when=f"{until:%Y-%m-%d %H:%M}",
    )
    flash(words, "good")
    return redirect(url_for("secrets.index"), 303)


@blueprint.post("/secrets/client/end")
@admin
def end() -> ResponseReturnValue:
    kind, name = _kind(), request.form.get("name", "")[:128]
    _require_fresh()
    try:
        clients.end(house(), kind, name, _actor())
    except (KeeperError, CountersealError) as error:
        return _page(said("The overlap was not ended. %(why)s", why=error.hint))
    flash(said("%(name)s: the newest secret alone is shown from now on.", name=name), "good")
    return redirect(url_for("secrets.index"), 303)


def _actor() -> str:
    return f"person:{viewer().person}"


def _kind() -> Kind:
    kind = request.form.get("kind", "")
    if kind == "provider":
        return "provider"
    if kind == "idp":
        return "idp"
    raise BadInput("A client secret is that of a provider or of the identity provider.")


def _fresh() -> bool:
    at = viewer().factor_at
    return at is not None and house().clock() - at <= FRESH


def _require_fresh() -> None:
    """Attack: a browser that somebody left signed in."""
    if not _fresh():
        raise Forbidden(STALE)
