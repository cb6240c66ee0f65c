"""Somebody who lost their devices: a code on paper lets them in as far as a new second step, and no further."""

from __future__ import annotations

import re

from sqlalchemy import text

from tests.app_parts import Browser, People
from tests.webapp.people.test_factors import log
from webapp.web.house import House

CODE = re.compile(r"<li>([0-9a-z]{4}-[0-9a-z]{4}-[0-9a-z]{4})</li>")


def codes(browser: Browser) -> list[str]:
    page = browser.send("/you/recovery")
    assert page.headers["Cache-Control"] == "no-store"
    found = CODE.findall(page.text)
    assert len(found) == 10
    return found


def lost(signed_in: People) -> Browser:
    """The same person in a new browser, without anything to answer the second step with."""
    return signed_in.first_step("ada")


def test_one_lets_them_set_up_a_new_second_step(signed_in: People, house: House) -> None:
    code = codes(signed_in("ada"))[0]
    ada = lost(signed_in)
    assert "Use a recovery code" in ada.get("/sign-in/second").text
    done = ada.send("/sign-in/recovery", code=code, next="/connections")
    assert done.headers["Location"] == "/you/factors/first?next=/connections"
    assert "Set up a new second step" in ada.get("/you/factors/first").text
    signed_in.add_passkey(ada)
    assert ada.get("/you").status_code == 200
    assert log(house).count("recovery.used") == 1


def test_it_opens_no_page_before_that(signed_in: People) -> None:
    code = codes(signed_in("ada", groups=["admin", "audit"]))[0]
    ada = lost(signed_in)
    ada.send("/sign-in/recovery", code=code)
    for path in ("/", "/you", "/connections", "/history", "/groups", "/you/recovery", "/log"):
        answer = ada.get(path)
        assert answer.status_code == 303, path
        assert answer.headers["Location"].startswith("/sign-in/second")
    assert ada.get("/sign-in/second").headers["Location"].startswith("/you/factors/first")


def test_a_wrong_one_is_refused_in_words_and_in_the_log(signed_in: People, house: House) -> None:
    codes(signed_in("ada"))
    ada = lost(signed_in)
    answer = ada.send("/sign-in/recovery", code="aaaa-bbbb-cccc")
    assert answer.status_code == 422
    assert "not accepted" in answer.text
    assert ada.send("/sign-in/recovery", code=" ").status_code == 422
    assert log(house).count("second_step.failed") == 1
    assert ada.get("/you").headers["Location"].startswith("/sign-in/second")


def test_a_spent_one_is_not_taken_again(signed_in: People) -> None:
    code = codes(signed_in("ada"))[0]
    lost(signed_in).send("/sign-in/recovery", code=code)
    assert lost(signed_in).send("/sign-in/recovery", code=code).status_code == 422


def test_tries_are_counted_in_the_database_too(signed_in: People) -> None:
    codes(signed_in("ada"))
    ada = lost(signed_in)
    for _ in range(5):
        ada.send("/sign-in/recovery", code="aaaa-bbbb-cccc")
    assert ada.send("/sign-in/recovery", code="aaaa-bbbb-cccc").status_code == 429


def test_a_person_is_told_when_there_are_none_and_when_few_are_left(signed_in: People) -> None:
    ada = signed_in("ada")
    assert "You have no recovery codes" in ada.get("/you").text
    made = codes(ada)
    assert "10 recovery codes are left" in ada.get("/you").text
    for code in made[:7]:
        lost(signed_in).send("/sign-in/recovery", code=code)
    page = ada.get("/you").text
    assert "3 recovery codes are left" in page
    assert "notice warn" in page
    assert "Only 3 are left" in ada.get("/you/recovery").text


def test_they_are_shown_once_and_are_not_in_the_database(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    made = codes(ada)
    assert not CODE.findall(ada.get("/you/recovery").text)
    tables = ("audit_entries", "session", "person", "due")
    with house.database.read() as db:
        written = " ".join(str(row) for table in tables for row in db.execute(text(f"SELECT * FROM {table}")))
    assert not any(code in written or code.replace("-", "") in written for code in made)


def test_new_ones_within_a_minute_are_refused_in_words(signed_in: People) -> None:
    ada = signed_in("ada")
    codes(ada)
    answer = ada.send("/you/recovery")
    assert (answer.status_code, "Wait a minute" in answer.text, "10 are left" in answer.text) == (429, True, True)


def test_a_stranger_and_who_has_not_finished_signing_in_make_none(signed_in: People) -> None:
    signed_in("ada")
    assert signed_in.stranger().get("/sign-in/recovery").headers["Location"].startswith("/sign-in")
    assert lost(signed_in).send("/you/recovery").status_code == 401
