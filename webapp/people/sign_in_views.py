"""Pages of signing in: at the identity provider, then the second step here."""

from __future__ import annotations

from flask import make_response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from vault.errors import FactorRefused, KeeperError, Stale, TooMany
from vault.secret import Secret
from webapp.errors import HTTP, BadInput, Forbidden, LimitReached, look_up, psaid, said
from webapp.people import cookies, factors, readmission, sessions, sign_in
from webapp.people.answers import read_answer, refused_words, with_next
from webapp.people.rules import browser_words, own_path
from webapp.people.tables import Readmission
from webapp.web.guards import public, signing_in
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

SAID = {
    "access_denied": said("The identity provider did not let you in, or you cancelled there."),
    "login_required": said("The identity provider wants you to sign in there again."),
    "temporarily_unavailable": said("The identity provider is out of service for the moment."),
}
REFUSED = said("The identity provider refused the sign-in.")
READMITTED = said("Somebody wants to let you set up a new second step. If you did not ask for that, stop it on the page You.")
UNNAMED = psaid("after: continue with", "single sign-on")


@public
def sign_in_page() -> ResponseReturnValue:
    wanted = own_path(request.args.get("next"))
    return render_template("people/sign_in.html", next_url=wanted, title=_title(), problem="")


@public
def start() -> ResponseReturnValue:
    url = sign_in.begin(house(), next_url=request.form.get("next"))
    return render_template("people/onward.html", url=url)


@public
def callback() -> ResponseReturnValue:
    came, error = _came(), request.args.get("error")
    try:
        if error:
            sign_in.refused(house(), came, error)
            return _failed(SAID.get(error, REFUSED), 400)
        cookie, next_url = sign_in.finish(house(), came)
    except BadInput as over:
        return _failed(over.hint, 400)
    except (KeeperError, Forbidden) as refusal:
        sign_in.note_failure(house(), refusal.code)
        return _failed(refusal.hint, look_up(HTTP, refusal, 400))
    return _signed_in(cookie, next_url)


@signing_in
def second_page() -> ResponseReturnValue:
    if viewer().factor_at is not None:
        return redirect(_wanted(), 303)
    if viewer().recovering:
        return redirect(with_next("/you/factors/first", _wanted()), 303)
    return _second("", 200)


@signing_in
def second() -> ResponseReturnValue:
    try:
        factors.check(house(), viewer(), read_answer(request.form))
    except (FactorRefused, Stale, BadInput) as refusal:
        return _second(refused_words(refusal, request.form), 422)
    except (LimitReached, TooMany) as limit:
        return _second(limit.hint, 429)
    if _readmission() is not None:
        flash(READMITTED, "warn")
    return redirect(_wanted(), 303)


@signing_in
def sign_out() -> ResponseReturnValue:
    here, person, now = viewer().session, viewer().person, house().clock()
    house().database.write(lambda db: sessions.end(db, session=here, person=person, why="signed out", now=now))
    return leave()


def leave() -> ResponseReturnValue:
    """What a browser is answered whose session was just ended by the person in it."""
    session.clear()
    response = make_response(redirect("/sign-in?out=1", 303))
    cookies.drop(response, house().settings, cookies.SESSION)
    return response


def _came() -> sign_in.Came:
    args, settings = request.args, house().settings
    return sign_in.Came(
        state=args.get("state", ""), code=Secret(args.get("code", "")), iss=args.get("iss"),
        browser=cookies.read(request, settings, cookies.ATTEMPT), old_session=cookies.read(request, settings, cookies.SESSION),
        agent=browser_words(request.user_agent.string),
    )


def _signed_in(cookie: Secret[str], next_url: str) -> ResponseReturnValue:
    """A new session of Flask's too: a CSRF token that was planted before is worth nothing after."""
    session.clear()
    response = make_response(redirect(with_next("/sign-in/second", next_url), 303))
    cookies.give_session(response, house().settings, cookie)
    cookies.drop(response, house().settings, cookies.ATTEMPT)
    return response


def _failed(problem: str, status: int) -> ResponseReturnValue:
    return render_template("people/sign_in.html", next_url="/", title=_title(), problem=problem), status


def _title() -> str:
    """What operators call their identity provider is said as it is."""
    title = house().settings.people.idp_title
    return UNNAMED if title == UNNAMED else title


def _second(problem: str, status: int) -> ResponseReturnValue:
    """The page of the second step, with a new challenge; or, for a person without a factor, the choice of their first."""
    who = viewer()
    kinds = {factor.kind for factor in house().door.factors(who.person)}
    if not kinds:
        return redirect(with_next("/you/factors/first", _wanted()), 303)
    challenge = house().door.challenge(proof=who.proof)
    page = render_template(
        "people/second.html", next_url=_wanted(), kinds=kinds, options=challenge.options, sealed=challenge.sealed,
        problem=problem, readmission=_readmission(),
    )
    return page, status


def _readmission() -> Readmission | None:
    """What administrators began for the person who signs in."""
    return readmission.told(house(), viewer().person)


def _wanted() -> str:
    return own_path(request.values.get("next"))
