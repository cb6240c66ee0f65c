"""Recovery codes: the page that shows them once, and the way in with one."""

from __future__ import annotations

from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue

from vault.errors import FactorRefused, TooMany
from webapp.errors import BadInput, LimitReached, nsaid, said
from webapp.people import recovery
from webapp.people.answers import with_next
from webapp.people.rules import own_path
from webapp.web.guards import person, signing_in
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash


@person
def codes_page() -> ResponseReturnValue:
    return _codes("", 200)


def _codes(problem: str, status: int) -> ResponseReturnValue:
    left = house().door.recovery_left(person=viewer().person)
    return render_template("people/recovery.html", left=left, codes=(), few=recovery.FEW, problem=problem), status


@person
def make_codes() -> ResponseReturnValue:
    """The answer to the form shows them: there is no address at which they could be seen again."""
    try:
        codes = recovery.make(house(), viewer())
    except FactorRefused as refusal:
        return _codes(refusal.hint, 422)
    except TooMany as limit:
        return _codes(limit.hint, 429)
    return render_template("people/recovery.html", left=None, codes=[one.reveal() for one in codes], few=recovery.FEW)


@signing_in
def use_page() -> ResponseReturnValue:
    return _use("", 200)


@signing_in
def use_code() -> ResponseReturnValue:
    try:
        left = recovery.use(house(), viewer(), recovery.read(request.form.get("code", "")))
    except (FactorRefused, BadInput) as refusal:
        return _use(refusal.hint, 422)
    except (LimitReached, TooMany) as limit:
        return _use(limit.hint, 429)
    none = said("That code is spent. None are left.")
    some = nsaid("That code is spent. %(num)s is left.", "That code is spent. %(num)s are left.", left)
    flash(some if left else none, "good" if left > recovery.FEW else "warn")
    return redirect(with_next("/you/factors/first", _wanted()), 303)


def _use(problem: str, status: int) -> ResponseReturnValue:
    if viewer().factor_at is not None:
        return redirect(_wanted(), 303)
    if viewer().recovering:
        return redirect(with_next("/you/factors/first", _wanted()), 303)
    return render_template("people/recovery_use.html", next_url=_wanted(), problem=problem), status


def _wanted() -> str:
    return own_path(request.values.get("next"))
