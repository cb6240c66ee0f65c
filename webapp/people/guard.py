"""Who may come in: one check before each request, by the mark on the view. A route without a mark does not start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import flask_login
from flask import Flask, Request, current_app, g, make_response, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager
from flask_wtf.csrf import CSRFError, CSRFProtect

from vault.door import NO_FACTOR, SessionProof
from vault.errors import KeeperAway, NotSignedIn, SessionEnded
from webapp.errors import BadInput, Forbidden, Misdirected, said
from webapp.people import cookies, delegations, sessions
from webapp.people.answers import with_next
from webapp.people.form_session import KeeperSigned
from webapp.people.rules import SAFE_METHODS, admit, any_of, from_our_page, loopback_twin, own_path, same_host
from webapp.people.tables import Session
from webapp.people.tickets import Tickets
from webapp.web import faults
from webapp.web.guards import GUARDS, guard_of, public
from webapp.web.house import House, house
from webapp.web.locales import preferred
from webapp.web.viewer import Viewer

NEVER_SET = "counterseal_never"
ALWAYS_OPEN = frozenset({"static", "health.healthz"})
"""What is served while the keeper, and so every signing key, is away."""


def register(app: Flask, the_house: House) -> None:
    """Before each request: the address, the mark, who it is, whether they may, and that a page of ours asked."""
    settings, csrf = the_house.settings, CSRFProtect()
    app.config.update(
        SECRET_KEY=None,
        SESSION_COOKIE_NAME=cookies.name(settings, cookies.FORM),
        SESSION_COOKIE_SECURE=settings.secure, SESSION_COOKIE_HTTPONLY=True, SESSION_COOKIE_SAMESITE="Lax",
        REMEMBER_COOKIE_NAME=NEVER_SET,
        WTF_CSRF_CHECK_DEFAULT=False,
    )
    app.session_interface = KeeperSigned(the_house)
    public(app.view_functions["static"])
    _logins(app, Tickets(the_house.door))
    csrf.init_app(app)
    app.register_error_handler(SessionEnded, ended_at_the_keeper)

    @app.before_request
    def guard() -> ResponseReturnValue | None:
        return _address(the_house) or _enter(csrf)


def check_marks(app: Flask) -> None:
    """Raises RuntimeError if a route has no mark, or one that is not known: it would be refused at night, not now."""
    for rule in app.url_map.iter_rules():
        if guard_of(app.view_functions[rule.endpoint]) not in GUARDS:
            raise RuntimeError(f"{rule.endpoint} ({rule.rule}) has no guard mark")


def _logins(app: Flask, tickets: Tickets) -> None:
    """flask-login over our own sessions: no user id in a cookie of Flask's, no remember cookie."""
    logins = LoginManager()
    logins.session_protection = None
    logins.init_app(app)
    logins.request_loader(lambda asked: load(asked, house(), tickets))
    logins.unauthorized_handler(ask_to_sign_in)


def load(asked: Request, the_house: House, tickets: Tickets) -> Viewer | None:
    """Who this request's cookie stands for. Person, groups and factor come from the ticket alone."""
    cookie = cookies.read(asked, the_house.settings, cookies.SESSION)
    if not cookie:
        return None
    now = the_house.clock()
    with the_house.database.look() as db:
        found = sessions.find(db, cookie, now)
    if found is None:
        return None
    try:
        ticket = tickets.verify(found.ticket, cookie, now)
    except NotSignedIn:
        return None
    people = the_house.settings.people
    if now - found.seen_at >= timedelta(seconds=people.seen_every):
        the_house.database.write(lambda db: sessions.touch(db, found.id, people, now))
    return Viewer(
        person=ticket.person, name=ticket.name, email=ticket.email, groups=tuple(ticket.groups),
        admin=any_of(ticket.groups, people.admin_groups), auditor=any_of(ticket.groups, people.auditor_groups),
        session=found.id, proof=SessionProof(found.ticket, cookie),
        factor_at=None if ticket.factor in NO_FACTOR else ticket.factor_at,
        recovering=ticket.factor if ticket.factor in NO_FACTOR else "",
        zone=found.zone, locale=found.locale or preferred(asked.headers.get("Accept-Language", "")), same_as=found.same_as,
        language=found.language,
        lent=delegations.standing(the_house, ticket.person, now) if found.lent_until and found.lent_until > now else (),
    )


def ended_at_the_keeper(error: Exception) -> ResponseReturnValue:
    """The keeper takes this session's ticket no more, though the row here still counts: it was opened while the keeper was being
    told that everything is over, or the row was put back. It ends here too, and they sign in again."""
    found, now = g.get("viewer"), house().clock()
    if found is not None:
        house().database.write(lambda db: sessions.end_where(
            db, Session.id == found.session, why="ended at the keeper", actor="system", now=now, tell=False
        ))
    g.viewer = None
    response = make_response(_send_to("/sign-in", 401, SessionEnded.hint, SessionEnded.code))
    cookies.drop(response, house().settings, cookies.SESSION)
    return response


def ask_to_sign_in() -> ResponseReturnValue:
    """A page load is sent to sign in and comes back; htmx is told to go there; a program gets 401."""
    return _send_to("/sign-in", 401, said("Sign in first."), "not_signed_in")


def _address(the_house: House) -> ResponseReturnValue | None:
    """Attack: DNS rebinding, where another name leads a browser here with that name's rights. Only our own name is served."""
    settings = the_house.settings
    if same_host(request.host, settings.netloc, settings.public_url.partition(":")[0]):
        return None
    page = request.method in SAFE_METHODS and guard_of(_view()) != "machine"
    if settings.evaluation and page and loopback_twin(request.host, settings.netloc):
        return redirect(settings.public_url + request.full_path.removesuffix("?"), 302)
    raise Misdirected(said("This server answers at %(address)s only.", address=settings.public_url))


def _enter(csrf: CSRFProtect) -> ResponseReturnValue | None:
    if request.endpoint is None or request.endpoint in ALWAYS_OPEN:
        return None
    mark = guard_of(_view())
    if mark not in GUARDS:
        raise Forbidden("This page is not open to anyone.", code="no_guard")
    if current_app.secret_key is None:
        raise KeeperAway("the cookies' key is not known yet")
    if mark == "machine":
        return None
    found = flask_login.current_user._get_current_object()
    g.viewer = found if isinstance(found, Viewer) else None
    refusal = _refusal(mark)
    if refusal is None:
        _from_our_page(csrf)
    return refusal


def _refusal(mark: str) -> ResponseReturnValue | None:
    admission = admit(mark, g.viewer)
    if admission == "sign_in":
        unauthorized: ResponseReturnValue = current_app.login_manager.unauthorized()  # type: ignore[attr-defined]
        return unauthorized
    if admission == "second_step":
        return _send_to("/sign-in/second", 401, said("Finish signing in first."), "second_step")
    if admission == "forbidden":
        raise Forbidden("This page is for people with another role.")
    return None


def _from_our_page(csrf: CSRFProtect) -> None:
    public_url = house().settings.public_url
    if not from_our_page(request.method, request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site"), public_url):
        raise Forbidden("This came from another site. Nothing was done.", code="cross_site")
    try:
        csrf.protect()
    except CSRFError as error:
        raise BadInput("This page was open for too long, or you signed in elsewhere. Go back, reload it and try again.",
                       code="csrf", detail=str(error.description)) from error


def _send_to(path: str, status: int, hint: str, code: str) -> ResponseReturnValue:
    if request.headers.get("HX-Request") == "true":
        page = urlsplit(request.headers.get("HX-Current-URL", ""))._replace(scheme="", netloc="").geturl()
        return "", status, {"HX-Redirect": with_next(path, own_path(page))}
    if request.method in SAFE_METHODS and request.accept_mimetypes.accept_html:
        return redirect(with_next(path, own_path(request.full_path.removesuffix("?"))), 303)
    return faults.answer(status, hint, code)


def _view() -> Callable[..., Any] | None:
    return current_app.view_functions.get(request.endpoint or "")
