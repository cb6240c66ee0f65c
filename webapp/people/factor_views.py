"""Pages that add and remove a person's factors. The first one is chosen at the first sign-in."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue

from vault.door import TotpOffer
from vault.errors import FactorRefused, Stale, TooMany
from webapp.errors import BadInput, LimitReached, said
from webapp.people import factors
from webapp.people.answers import read_code, read_json, refused_words, with_next
from webapp.people.rules import browser_said, browser_words, own_path
from webapp.web.guards import person, signing_in
from webapp.web.house import house
from webapp.web.languages import told
from webapp.web.viewer import viewer
from webapp.web.words import flash


@signing_in
def first() -> ResponseReturnValue:
    if not viewer().recovering and house().door.factors(viewer().person):
        return redirect(with_next("/sign-in/second", _wanted()), 303)
    return render_template("people/first.html", next_url=_wanted())


@signing_in
def passkey_page() -> ResponseReturnValue:
    return _second_step_first() or _offer_passkey("", 200)


@signing_in
def add_passkey() -> ResponseReturnValue:
    form = request.form
    try:
        attestation = read_json(form.get("attestation", ""))
        ended = factors.add_passkey(
            house(), viewer(), sealed=form.get("sealed", ""), attestation=attestation, name=form.get("name", "")
        )
    except (FactorRefused, Stale, BadInput) as refusal:
        return _offer_passkey(refusal.hint, 422)
    return _added(ended)


@signing_in
def totp_page() -> ResponseReturnValue:
    return _second_step_first() or _offer_totp("", 200)


@signing_in
def add_totp() -> ResponseReturnValue:
    form = request.form
    try:
        code = read_code(form)
        ended = factors.add_totp(house(), viewer(), sealed=form.get("sealed", ""), code=code, name=form.get("name", ""))
    except (FactorRefused, BadInput) as refusal:
        return _ask_code_again(refused_words(refusal, form), 422)
    except (LimitReached, TooMany) as limit:
        return _ask_code_again(limit.hint, 429)
    except Stale as stale:
        return _offer_totp(stale.hint, 422)
    return _added(ended)


@person
def remove(factor: str) -> ResponseReturnValue:
    ended = factors.remove(house(), viewer(), factor)
    others, none = said("Removed. You were signed out everywhere else."), said("Removed. It cannot be used any more.")
    flash(others if ended else none, "good")
    return redirect("/you", 303)


def _second_step_first() -> ResponseReturnValue | None:
    """A further factor needs one that was checked in this session, or a recovery code. The keeper insists on it too."""
    if viewer().factor_at is None and not viewer().recovering and house().door.factors(viewer().person):
        return redirect(with_next("/sign-in/second", request.path), 303)
    return None


def _offer_passkey(problem: str, status: int) -> ResponseReturnValue:
    who = viewer()
    challenge = house().door.passkey_begin(proof=who.proof, account=who.email or who.name)
    page = render_template(
        "people/passkey.html", next_url=_wanted(), options=challenge.options, sealed=challenge.sealed, problem=problem,
        name=request.form.get("name") or told(browser_said(browser_words(request.user_agent.string))),
    )
    return page, status


def _offer_totp(problem: str, status: int) -> ResponseReturnValue:
    who = viewer()
    offer = house().door.totp_begin(proof=who.proof, account=who.email or who.name)
    return render_template(
        "people/totp.html", next_url=_wanted(), sealed=offer.sealed, picture=_picture(offer), key=_key(offer), problem=problem
    ), status


def _ask_code_again(problem: str, status: int) -> ResponseReturnValue:
    """The QR code was shown once; the person's app has it by now, and its next code will do."""
    return render_template(
        "people/totp.html", next_url=_wanted(), sealed=request.form.get("sealed", ""), picture="", key="", problem=problem,
        name=request.form.get("name", ""),
    ), status


def _added(ended: int) -> ResponseReturnValue:
    others, none = said("Added. You were signed out everywhere else."), said("Added. You will be asked for it when you sign in.")
    flash(others if ended else none, "good")
    return redirect(_wanted("/you"), 303)


def _picture(offer: TotpOffer) -> str:
    """An SVG inside `<img>` runs no script, whatever is in it."""
    return "data:image/svg+xml;base64," + base64.b64encode(offer.svg.reveal().encode()).decode()


def _key(offer: TotpOffer) -> str:
    """The secret in groups of four, for an app that cannot scan."""
    secret = parse_qs(urlsplit(offer.uri.reveal()).query)["secret"][0]
    return " ".join(secret[at:at + 4] for at in range(0, len(secret), 4))


def _wanted(otherwise: str = "/") -> str:
    wanted = request.values.get("next")
    return own_path(wanted) if wanted else otherwise
