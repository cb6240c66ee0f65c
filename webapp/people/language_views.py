"""Choosing the language of pages: for oneself, kept with the person; before signing in, kept by the browser."""

from __future__ import annotations

from datetime import datetime

from flask import Response, redirect, request
from flask.typing import ResponseReturnValue
from sqlalchemy import update
from sqlalchemy.orm import Session as DbSession

from webapp import audit
from webapp.errors import BadInput, said
from webapp.people import cookies
from webapp.people.answers import with_next
from webapp.people.rules import own_path
from webapp.people.tables import Person
from webapp.web.guards import person, public
from webapp.web.house import house
from webapp.web.languages import COOKIE, KEPT_FOR, Language, cookie_name, languages, speak
from webapp.web.viewer import viewer
from webapp.web.words import flash


def choose(db: DbSession, *, person: str, language: str, now: datetime) -> None:
    """Empty: what the browser asks for."""
    db.execute(update(Person).where(Person.id == person).values(language=language))
    audit.append(
        db, kind="person.language", actor=f"person:{person}", subject=person, detail={"language": language or "browser"}, at=now
    )


@person
def set_language() -> ResponseReturnValue:
    who, now, chosen = viewer().person, house().clock(), _chosen()
    tag = chosen.tag if chosen else ""
    house().database.write(lambda db: choose(db, person=who, language=tag, now=now))
    speak(chosen)
    flash(said("Pages are now in your language.") if chosen else said("Pages are now in the language of your browser."), "good")
    return _remembered("/you", chosen)


@public
def set_language_here() -> ResponseReturnValue:
    """Of the sign-in page: nobody is known yet, so the browser keeps it."""
    return _remembered(with_next("/sign-in", own_path(request.form.get("next"))), _chosen())


def _chosen() -> Language | None:
    """Raises BadInput for one that is not offered."""
    tag = request.form.get("language", "")
    if tag and tag not in languages().offered:
        raise BadInput("This language is not offered here.")
    return languages().offered.get(tag)


def _remembered(path: str, chosen: Language | None) -> Response:
    response, secure = redirect(path, 303), house().settings.secure
    assert isinstance(response, Response)
    if chosen:
        response.set_cookie(
            cookie_name(secure), chosen.tag, max_age=KEPT_FOR, path="/", secure=secure, httponly=True, samesite="Lax"
        )
    else:
        cookies.drop(response, house().settings, COOKIE)
    return response
