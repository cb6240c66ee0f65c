"""A person chooses the language of their pages; programs read English whatever they ask for."""

from __future__ import annotations

import json

import pytest
from flask import Flask
from sqlalchemy import select

from tests.app_parts import People
from tests.pseudo import mirrored
from webapp.audit.tables import Entry
from webapp.people.tables import Person
from webapp.web.catalogue import ENGLISH
from webapp.web.house import House
from webapp.web.languages import Language, Languages

PSEUDO = {"Accept-Language": "he"}


@pytest.fixture
def app(app: Flask) -> Flask:
    app.extensions["languages"] = Languages([Language("en", ENGLISH), mirrored()])
    return app


def test_it_is_kept_with_the_person_and_written_down(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    page = ada.get("/you")
    assert '<html lang="en" dir="ltr">' in page.text
    assert page.headers["Content-Language"] == "en"
    came = ada.send("/you/language", language="he")
    assert (came.status_code, came.headers["Location"]) == (303, "/you")
    page = ada.get("/you")
    assert '<html lang="he" dir="rtl">' in page.text
    assert "⟧Pägës ärë ñöw ïñ ÿöür läñgüägë." in page.text
    with house.database.read() as db:
        assert db.scalars(select(Person.language).where(Person.id == ada.person)).one() == "he"
        entry = db.scalars(select(Entry).where(Entry.kind == "person.language")).one()
        assert (entry.actor, json.loads(entry.body)["detail"]) == (f"person:{ada.person}", {"language": "he"})
    ada.delete_cookie("counterseal_language")
    assert 'lang="he"' in ada.get("/you").text
    assert 'lang="en"' in signed_in("bob").get("/you").text


def test_it_can_be_left_to_the_browser_again(signed_in: People) -> None:
    ada = signed_in("ada")
    ada.send("/you/language", language="he")
    ada.send("/you/language", language="")
    assert 'lang="en"' in ada.get("/you").text
    assert 'lang="he"' in ada.get("/you", headers=PSEUDO).text


def test_before_signing_in_the_browser_keeps_it(signed_in: People) -> None:
    stranger = signed_in.stranger()
    assert 'action="/sign-in/language"' in stranger.get("/sign-in?next=/you").text
    came = stranger.send("/sign-in/language", language="he", next="/you")
    assert came.headers["Location"] == "/sign-in?next=/you"
    cookie = next(value for value in came.headers.getlist("Set-Cookie") if value.startswith("counterseal_language="))
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert 'lang="he"' in stranger.get("/sign-in").text
    assert 'lang="he"' in stranger.get("/nowhere").text


@pytest.mark.parametrize("wanted", ["xx", "../de", "<b>", "en-US", "EN"])
@pytest.mark.parametrize("path", ["/you/language", "/sign-in/language"])
def test_one_that_is_not_offered_is_refused(signed_in: People, house: House, path: str, wanted: str) -> None:
    ada = signed_in("ada")
    came = ada.send(path, language=wanted)
    assert came.status_code == 400
    assert not any(value.startswith("counterseal_language=") for value in came.headers.getlist("Set-Cookie"))
    with house.database.read() as db:
        assert db.scalars(select(Person.language).where(Person.id == ada.person)).one() == ""


def test_a_choice_that_is_offered_no_more_is_passed_over(app: Flask, signed_in: People) -> None:
    ada = signed_in("ada")
    ada.send("/you/language", language="he")
    app.extensions["languages"] = Languages([Language("en", ENGLISH)])
    page = ada.get("/you")
    assert (page.status_code, 'lang="en"' in page.text) == (200, True)
    assert "/you/language" not in page.text


def test_a_stranger_cannot_be_sent_elsewhere_by_it(signed_in: People) -> None:
    """Attack: an open redirect."""
    for next_url in ("https://evil.example", "//evil.example", "/\\evil.example"):
        assert signed_in.stranger().send("/sign-in/language", language="he", next=next_url).headers["Location"] == "/sign-in"


def test_an_error_is_told_in_the_readers_language_and_to_a_program_in_english(signed_in: People) -> None:
    ada = signed_in("ada")
    page = ada.get("/nowhere", headers=PSEUDO)
    assert "⟧Nö pägë häs thïs äddrëss." in page.text
    assert page.headers["Content-Language"] == "he"
    answer = ada.get("/nowhere", headers={**PSEUDO, "Accept": "application/json"})
    assert answer.get_json()["error_description"].startswith("No page has this address.")
    assert "Content-Language" not in answer.headers
    refused = signed_in.stranger().post("/oauth/token", headers=PSEUDO)
    assert "⟧" not in refused.text
