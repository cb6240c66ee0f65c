"""Being away: until when, who gets a group of one's own meanwhile; and each group's rota, for admins."""

from __future__ import annotations

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from vault.door import Delegation
from vault.errors import BadRequest, FactorRefused, KeeperError, MayNotDecide, NotKnown, Stale, TooMany
from webapp.errors import BadInput, said
from webapp.people import away_forms, delegations, lookup, rota
from webapp.people.answers import read_answer
from webapp.people.tables import Person
from webapp.web.guards import admin, person
from webapp.web.house import house
from webapp.web.viewer import viewer
from webapp.web.words import flash

REFUSED = (BadInput, BadRequest, FactorRefused, MayNotDecide, NotKnown, Stale, TooMany)


@person
def away_page() -> ResponseReturnValue:
    return _page("", 200)


def _page(problem: str, status: int) -> ResponseReturnValue:
    who, now = viewer(), house().clock()
    with house().database.read() as session:
        rows = delegations.of(session, who.person, now)
        people = delegations.choices(session, who)
        names = lookup.names(session, {person for row in rows for person in (row.lender, row.person)})
        away = session.get_one(Person, who.person).away_until
    return render_template(
        "people/away.html", rows=rows, names=names, people=people, problem=problem, form=request.form, now=now,
        away=away if away and away > now else None, classes=away_forms.CLASSES, currency=house().settings.policy.base_currency,
    ), status


@person
def set_away() -> ResponseReturnValue:
    who, now = viewer(), house().clock()
    try:
        until = away_forms.away(request.form, who, now)
    except BadInput as error:
        return _page(error.hint, 400)
    house().database.write(lambda s: delegations.away(s, who, until, now))
    flash(said("Others are asked first until then.") if until else said("Welcome back."), "good")
    return redirect("/you/away", 303)


@person
def review_delegation() -> ResponseReturnValue:
    """What is about to be lent, in words, to be signed for."""
    try:
        wanted = away_forms.delegation(request.form, viewer(), house().settings.policy.base_currency, house().clock())
        return _sign(wanted, "", 200)
    except REFUSED as error:
        return _page(error.hint, 400)


def _sign(wanted: Delegation, problem: str, status: int) -> ResponseReturnValue:
    challenge = delegations.challenge(house(), viewer(), wanted)
    with house().database.read() as session:
        names = lookup.names(session, {wanted.to})
    return render_template(
        "people/away_sign.html", wanted=wanted, challenge=challenge, problem=problem, form=request.form, names=names,
        currency=house().settings.policy.base_currency,
    ), status


@person
def sign_delegation() -> ResponseReturnValue:
    try:
        wanted = away_forms.signed(request.form, viewer(), house().settings.policy.base_currency)
    except REFUSED as error:
        return _page(error.hint, 400)
    try:
        delegations.make(house(), viewer(), wanted, read_answer(request.form))
    except (FactorRefused, Stale, BadInput) as error:
        return _sign(wanted, error.hint, 422)
    except KeeperError as error:
        return _page(error.hint, 400)
    flash(said("Delegated. You can end it here at any time."), "good")
    return redirect("/you/away", 303)


@person
def end_delegation(delegation: str) -> ResponseReturnValue:
    delegations.end(house(), viewer(), delegation)
    flash(said("Ended. From now on it counts for nothing."), "good")
    back = request.form.get("group", "")
    return redirect(url_for("people.group_page", group=back) if back and viewer().admin else "/you/away", 303)


@admin
def groups() -> ResponseReturnValue:
    with house().database.read() as session:
        return render_template("people/groups.html", groups=delegations.known_groups(session))


@admin
def group_page(group: str) -> ResponseReturnValue:
    return _group(group[:100], "", 200)


def _group(group: str, problem: str, status: int) -> ResponseReturnValue:
    now, policy = house().clock(), house().settings.policy
    with house().database.read() as session:
        members, slots = lookup.members(session, group), rota.of(session, group)
        lent = delegations.in_group(session, group, now)
        first = rota.on_call(session, group, policy, now)
        ids = {one.person for one in slots} | {person for row in lent for person in (row.lender, row.person)}
        names = lookup.names(session, ids)
    return render_template(
        "people/group.html", group=group, members=members, slots=slots, lent=lent, first=first, names=names, days=rota.DAYS,
        zone=policy.zone, problem=problem, now=now,
    ), status


@admin
def add_slot(group: str) -> ResponseReturnValue:
    form, actor, now = request.form, f"person:{viewer().person}", house().clock()
    day, first, last = (form.get(name, "", str) for name in ("day", "first", "last"))
    if not all(one.isascii() and one.isdecimal() and len(one) < 3 for one in (day, first, last)):
        return _group(group, said("Choose a day and two hours."), 400)
    try:
        house().database.write(lambda s: rota.add(
            s, group, day=int(day), first=int(first), last=int(last), person=form.get("person", ""), actor=actor, now=now
        ))
    except BadInput as error:
        return _group(group, error.hint, 400)
    return redirect(url_for("people.group_page", group=group), 303)


@admin
def remove_slot(slot: str) -> ResponseReturnValue:
    actor, now = f"person:{viewer().person}", house().clock()
    group = house().database.write(lambda s: rota.remove(s, slot, actor=actor, now=now))
    return redirect(url_for("people.group_page", group=group), 303)
