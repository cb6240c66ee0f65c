"""Signing in at the identity provider: who may finish what somebody began, and once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from tests.app_parts import Browser, People
from tests.conftest import Clock
from webapp.audit.tables import Entry
from webapp.people.tables import Person, Session, SignIn
from webapp.web.house import House


@pytest.fixture
def kinds(house: House) -> Callable[[], list[str]]:
    """The kinds of all entries so far."""
    def read() -> list[str]:
        with house.database.read() as db:
            return list(db.scalars(select(Entry.kind).order_by(Entry.id)))

    return read


def agree(signed_in: People, url: str, person: str = "ada", **claims: Any) -> dict[str, str]:
    return signed_in.idp.authorize(url, subject=signed_in.subject(person), name=person.title(), **{"groups": ["user"], **claims})


def begun(signed_in: People, **fields: Any) -> tuple[Browser, str]:
    signed_in.meet()
    browser = signed_in.stranger()
    return browser, browser.at_idp(**fields)


def test_a_person_signs_in_and_has_a_second_step_to_take(signed_in: People, house: House, kinds: Callable[[], list[str]]) -> None:
    browser, url = begun(signed_in, next="/you?a=1")
    came = browser.back(agree(signed_in, url, groups=["user", "finance"], email="ada@people.example"))
    assert (came.status_code, came.headers["Location"]) == (303, "/sign-in/second?next=/you%3Fa%3D1")
    assert browser.get("/you").headers["Location"] == "/sign-in/second?next=/you"
    with house.database.read() as db:
        person = db.scalars(select(Person)).one()
        assert (person.name, person.email, person.groups) == ("Ada", "ada@people.example", ["finance", "user"])
    assert kinds() == ["sign_in.done", "session.opened"]


def test_the_cookie_is_only_for_us_and_only_the_browser_has_it(signed_in: People, house: House) -> None:
    browser, url = begun(signed_in)
    came = browser.back(agree(signed_in, url))
    header = next(value for value in came.headers.getlist("Set-Cookie") if value.startswith("counterseal_session="))
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= {part.strip() for part in header.split(";")}
    assert "Max-Age" not in header
    value = header.partition("=")[2].partition(";")[0]
    assert len(value) >= 43
    with house.database.read() as db:
        row = db.scalars(select(Session)).one()
        assert value not in (row.cookie, row.id)
        assert value not in row.ticket


def test_an_attempt_is_good_once(signed_in: People) -> None:
    browser, url = begun(signed_in)
    answer = agree(signed_in, url)
    assert browser.back(answer).status_code == 303
    again = browser.back({**agree(signed_in, url), "state": answer["state"]})
    assert again.status_code == 400
    assert "start again" in again.text


@pytest.mark.both
def test_of_two_that_finish_at_once_one_signs_in(app: Flask, signed_in: People, house: House) -> None:
    browser, url = begun(signed_in)
    answers = [agree(signed_in, url), agree(signed_in, url)]
    cookie = browser.get_cookie("counterseal_sign_in")
    assert cookie

    def finish(answer: dict[str, str]) -> int:
        other = signed_in.stranger()
        other.set_cookie("counterseal_sign_in", cookie.value, domain="localhost")
        return other.back(answer).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(finish, answers)) == [303, 400]
    with house.database.read() as db:
        assert db.scalar(select(func.count()).select_from(Session)) == 1


def test_another_browser_cannot_finish_it(signed_in: People, house: House) -> None:
    """Login CSRF: the attacker begins, agrees as themselves, and has the victim's browser open the callback."""
    attacker, url = begun(signed_in)
    answer = agree(signed_in, url, "mallory")
    victim, _ = begun(signed_in)
    for browser in (victim, signed_in.stranger()):
        came = browser.back(answer)
        assert came.status_code == 400
        assert "another browser" in came.text
        assert browser.get_cookie("counterseal_session") is None
    with house.database.read() as db:
        assert db.scalar(select(func.count()).select_from(Session)) == 0
    assert attacker.back(answer).status_code == 303, "and the one who began it still can"


def test_an_attempt_is_over_after_ten_minutes(signed_in: People, clock: Clock) -> None:
    browser, url = begun(signed_in)
    clock.forward(seconds=601)
    assert browser.back(agree(signed_in, url)).status_code == 400


ANSWERS: tuple[dict[str, str], ...] = (
    {}, {"state": ""}, {"state": "x"}, {"state": "x", "code": "y"}, {"error": "access_denied"}, {"error": "x" * 99, "state": "x"},
)


def test_an_answer_to_nothing_we_asked_is_refused_and_writes_nothing(signed_in: People, kinds: Callable[[], list[str]]) -> None:
    for answer in ANSWERS:
        assert signed_in.stranger().back(answer).status_code == 400, answer
    assert kinds() == []


def test_a_code_that_the_provider_does_not_know_signs_nobody_in(signed_in: People, kinds: Callable[[], list[str]]) -> None:
    browser, url = begun(signed_in)
    came = browser.back({**agree(signed_in, url), "code": "made-up"})
    assert came.status_code == 400
    assert "That did not work" in came.text
    assert browser.get_cookie("counterseal_session") is None
    assert kinds() == ["sign_in.failed"]


def test_an_answer_from_another_issuer_signs_nobody_in(signed_in: People) -> None:
    """RFC 9207: a mix-up of two providers."""
    for change in ({"iss": "https://evil.example"}, {"iss": None}):
        browser, url = begun(signed_in)
        answer = {key: value for key, value in {**agree(signed_in, url), **change}.items() if value}
        assert browser.back(answer).status_code == 400, change


def test_an_attempt_sealed_for_one_state_is_no_use_for_another(signed_in: People, house: House) -> None:
    """Somebody who writes to the database swaps what two attempts were sealed with."""
    browser, url = begun(signed_in)
    _, other = begun(signed_in)
    answer, swapped = agree(signed_in, url), agree(signed_in, other)
    with house.database.read() as db:
        sealed = db.scalars(select(SignIn.sealed).order_by(SignIn.id)).all()
    house.database.write(lambda db: db.execute(update(SignIn).where(SignIn.sealed == sealed[0]).values(sealed=sealed[1])))
    assert browser.back({**answer, "code": swapped["code"]}).status_code == 400


def test_when_the_provider_says_no_the_page_says_so(signed_in: People, kinds: Callable[[], list[str]]) -> None:
    browser, url = begun(signed_in)
    state = agree(signed_in, url)["state"]
    came = browser.back({"error": "access_denied", "error_description": "<script>alert(1)</script>", "state": state})
    assert came.status_code == 400
    assert "did not let you in, or you cancelled" in came.text
    assert "script>alert" not in came.text
    assert kinds() == ["sign_in.failed"]


def test_no_sign_in_ends_on_another_site(signed_in: People) -> None:
    for wanted in ("//evil.example", "/\\evil.example", "https://evil.example", "https:evil.example"):
        browser, url = begun(signed_in, next=wanted)
        assert browser.back(agree(signed_in, url)).headers["Location"] == "/sign-in/second", wanted
        for page in (f"/sign-in/second?next={wanted}", f"/you/factors/first?next={wanted}"):
            assert "evil" not in browser.get(page).text + browser.get(page).headers.get("Location", "")


def test_a_cookie_planted_before_is_not_the_session_after(signed_in: People) -> None:
    """Session fixation: the cookie is new at each sign-in, and so is the CSRF token."""
    browser, url = begun(signed_in)
    browser.set_cookie("counterseal_session", "planted-by-the-attacker", domain="localhost")
    before = browser.token()
    assert browser.back(agree(signed_in, url)).status_code == 303
    cookie = browser.get_cookie("counterseal_session")
    assert cookie
    assert cookie.value != "planted-by-the-attacker"
    answer = browser.post("/sign-out", data={"csrf_token": before}, headers={"Origin": "http://localhost:8000"})
    assert answer.status_code == 400


def test_signing_in_again_ends_the_session_before(signed_in: People, house: House) -> None:
    browser = signed_in.first_step("ada")
    first = browser.get_cookie("counterseal_session")
    assert first
    signed_in.first_step("ben", browser=browser)
    old = signed_in.stranger()
    old.set_cookie("counterseal_session", first.value, domain="localhost")
    assert old.get("/you").headers["Location"].startswith("/sign-in?")
    with house.database.read() as db:
        assert sorted(str(why) for why in db.scalars(select(Session.ended_why))) == ["None", "signed in again"]


def test_the_page_before_the_provider_sends_no_referrer_and_no_form(signed_in: People) -> None:
    """`form-action 'self'` would stop a redirect to the provider after the form, so the page leads on by itself."""
    browser, url = begun(signed_in)
    assert url.startswith(signed_in.idp.issuer + "/authorize?")
    assert "form-action 'self';" in browser.get("/sign-in").headers["Content-Security-Policy"] + ";"
