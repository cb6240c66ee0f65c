"""Lost every device: one administrator says so, another confirms, the person signs in and sets up anew; and how it is stopped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner
from flask import Flask
from sqlalchemy import delete, select, update
from werkzeug.test import TestResponse

from tests.app_parts import Browser, People, hidden
from tests.webapp.people.test_factors import log
from tests.webapp.people.test_sessions import inside
from tests.webapp.people.test_signed_out import proof, refused, told
from vault.door import Door
from vault.errors import KeeperAway
from webapp.audit.tables import Entry
from webapp.people import person_commands, readmission
from webapp.people.tables import Person, Readmission
from webapp.web.house import House

WHY = "Lost the phone and the laptop; called back on her desk line."


def admin(signed_in: People, name: str) -> Browser:
    return signed_in(name, groups=["admin"])


def begin(signed_in: People, browser: Browser, who: str) -> TestResponse:
    """The form, what it does, and the passkey."""
    page = browser.send("/readmissions/review", who=who, reason=WHY)
    assert page.status_code == 200, page.text
    fields = {"person": hidden(page, "person"), "reason": hidden(page, "reason")}
    return browser.send("/readmissions", **fields, **signed_in.passkeys[browser.person].answer(page))


def begun(signed_in: People, browser: Browser, who: str) -> str:
    done = begin(signed_in, browser, who)
    assert done.status_code == 303, done.text
    return str(done.headers["Location"])


def confirm(signed_in: People, browser: Browser, place: str) -> TestResponse:
    page = browser.get(place)
    return browser.send(f"{place}/confirm", **signed_in.passkeys[browser.person].answer(page))


def agreed(signed_in: People, who: str) -> str:
    place = begun(signed_in, admin(signed_in, "ada"), who)
    assert confirm(signed_in, admin(signed_in, "ben"), place).status_code == 303
    return place


def row(house: House, place: str) -> Readmission:
    with house.database.read() as session:
        return session.get_one(Readmission, place.rpartition("/")[2])


def test_the_whole_way(signed_in: People, house: House) -> None:
    lost = signed_in("lost")
    kept = proof(house, lost)
    place = begun(signed_in, admin(signed_in, "ada"), signed_in.subject("lost"))
    assert inside(lost), "one word ends nothing"
    ben = admin(signed_in, "ben")
    assert "1 to confirm" in ben.get("/you").text
    page = ben.get(place)
    assert WHY in page.text
    assert "lost@people.example" in page.text
    assert confirm(signed_in, ben, place).status_code == 303
    assert "may come" in ben.get(place).text
    assert not inside(lost)
    assert refused(house, kept)
    assert "people.signed_out" not in told(house), "who signs in now is not signed out again by a job"

    again = signed_in.first_step("lost")
    page = again.get("/sign-in/second")
    assert "You can set up a new second step" in page.text
    done = again.send("/sign-in/readmitted", next="/connections")
    assert done.headers["Location"] == "/you/factors/first?next=/connections"
    assert "it takes the place of everything you had" in again.get("/you/factors/first").text
    assert again.get("/connections").headers["Location"].startswith("/sign-in/second")
    signed_in.add_passkey(again)
    assert again.get("/you").status_code == 200
    assert len(house.door.factors(lost.person)) == 1
    with house.database.read() as session:
        assert len(session.get_one(Person, lost.person).factors) == 1
    assert row(house, place).state == "used"
    assert "came and set up" in ben.get(place).text
    kinds = log(house)
    for kind in ("readmission.starting", "readmission.started", "readmission.confirming", "readmission.agreed",
                 "readmission.using", "readmission.used"):
        assert kinds.count(kind) == 1, kind


def test_the_person_is_told_and_stops_it_with_what_they_still_have(signed_in: People, house: House) -> None:
    """Attack: somebody who has the person's password talks two administrators into it."""
    victim = signed_in("victim")
    place = agreed(signed_in, signed_in.subject("victim"))
    victim = signed_in("victim")
    page = victim.get("/you").text
    assert "Somebody wants to let you in again" in page
    assert WHY in page
    assert victim.send(f"{place}/end").status_code == 303
    assert row(house, place).state == "ended"
    assert "Somebody wants to let you in again" not in victim.get("/you").text
    thief = signed_in.first_step("victim")
    assert "You can set up" not in thief.get("/sign-in/second").text
    thief.send("/sign-in/readmitted")
    assert thief.get("/you").headers["Location"].startswith("/sign-in/second")


@pytest.mark.parametrize("how", ["gone", "ended", "over", "another's"])
def test_no_row_keeps_it_from_whom_it_is_about(signed_in: People, house: House, how: str) -> None:
    """Attack: whoever can write to the database hides it from the person, and puts it back when they have looked."""
    signed_in("victim")
    place = agreed(signed_in, signed_in.subject("victim"))

    def hide() -> None:
        changes: dict[str, dict[str, object]] = {
            "ended": {"state": "ended"}, "over": {"until": house.clock()}, "another's": {"person": "per_other"},
        }
        write = delete(Readmission) if how == "gone" else update(Readmission).values(**changes[how])
        house.database.write(lambda s: s.execute(write))

    hide()
    assert "You can set up a new second step" in signed_in.first_step("victim").get("/sign-in/second").text
    victim = signed_in("victim")
    hide()
    assert "Somebody wants to let you in again" in victim.get("/you").text
    found = log(house).count("readmission.found")
    victim.get("/you")
    assert log(house).count("readmission.found") == found, "what is as the keeper has it is left alone"
    hide()
    assert victim.send(f"{place}/end").status_code == 303
    assert row(house, place).state == "ended"
    assert "Somebody wants to let you in again" not in victim.get("/you").text
    assert house.door.readmission(person=victim.person) is None


def test_ones_page_is_shown_where_the_keeper_does_not_answer(
    signed_in: People, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = signed_in("victim")
    agreed(signed_in, signed_in.subject("victim"))
    victim = signed_in("victim")

    def away(_door: Door, **_asked: object) -> None:
        raise KeeperAway

    monkeypatch.setattr(Door, "readmission", away)
    assert "Somebody wants to let you in again" in victim.get("/you").text


def test_who_looks_between_the_keeper_s_record_and_ours_takes_nothing_from_who_said_it(
    signed_in: People, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both words: what somebody's page adopted meanwhile is there once, and is told in words and not as a fault."""
    signed_in("lost")
    ada, ben = admin(signed_in, "ada"), admin(signed_in, "ben")
    say = Door.readmission_say

    def said(door: Door, **asked: Any) -> Any:
        done = say(door, **asked)
        readmission.adopt(house, done.person)
        return done

    monkeypatch.setattr(Door, "readmission_say", said)
    place = begun(signed_in, ada, signed_in.subject("lost"))
    assert confirm(signed_in, ben, place).status_code == 303
    assert row(house, place).state == "agreed"
    kinds = log(house)
    assert (kinds.count("readmission.found"), kinds.count("readmission.started"), kinds.count("readmission.agreed")) == (1, 0, 1)


def test_a_row_that_says_agreed_lets_nobody_in(signed_in: People, house: House) -> None:
    """Attack: somebody writes to the database."""
    signed_in("lost")
    place = begun(signed_in, admin(signed_in, "ada"), signed_in.subject("lost"))
    house.database.write(lambda s: s.execute(update(Readmission).values(state="agreed")))
    thief = signed_in.first_step("lost")
    answer = thief.send("/sign-in/readmitted")
    assert answer.headers["Location"] == "/sign-in/second"
    assert "This is over" in thief.get("/sign-in/second").text
    assert thief.get("/you/factors/first").headers["Location"] == "/sign-in/second"
    assert row(house, place).state == "started", "as the keeper has it"


def test_who_asked_does_not_confirm_nor_does_whom_it_is_about(signed_in: People) -> None:
    ada = admin(signed_in, "ada")
    lost = admin(signed_in, "lost")
    place = begun(signed_in, ada, signed_in.subject("lost"))
    for browser, words in ((ada, "You said the first word"), (lost, "This is about you")):
        page = browser.get(place)
        assert words in page.text
        assert "data-passkey" not in page.text
        assert browser.send(f"{place}/confirm", assertion="{}", sealed="x").status_code == 422
    assert "Nobody lets themself in" in lost.send(
        "/readmissions/review", who=signed_in.subject("lost"), reason=WHY
    ).text


@pytest.mark.parametrize(("method", "path"), [
    ("GET", "/readmissions"), ("POST", "/readmissions"), ("POST", "/readmissions/review"), ("GET", "/readmissions/rdm_1"),
    ("POST", "/readmissions/rdm_1/confirm"),
])
def test_who_is_no_administrator_sees_and_does_nothing(signed_in: People, method: str, path: str) -> None:
    user = signed_in("user")
    answer = user.get(path) if method == "GET" else user.send(path)
    assert answer.status_code == 403
    assert signed_in.stranger().get("/readmissions").headers["Location"].startswith("/sign-in")


def test_a_teammate_does_not_stop_somebody_elses(signed_in: People, house: House) -> None:
    signed_in("lost")
    place = begun(signed_in, admin(signed_in, "ada"), signed_in.subject("lost"))
    assert signed_in("mate").send(f"{place}/end").status_code == 404
    assert row(house, place).state == "started"


def test_an_administrator_outside_the_keeper_s_groups_is_told_so(signed_in: People, house: House) -> None:
    house.settings.people.admin_groups = ["helpdesk"]
    signed_in("lost")
    help_desk = signed_in("help", groups=["helpdesk"])
    answer = help_desk.send("/readmissions/review", who=signed_in.subject("lost"), reason=WHY)
    assert (answer.status_code, "recovery_groups" in answer.text) == (400, True)


def test_what_is_typed_wrong_is_said_and_kept(signed_in: People) -> None:
    ada = admin(signed_in, "ada")
    signed_in("lost")
    nobody = ada.send("/readmissions/review", who="nobody@nowhere", reason=WHY)
    assert (nobody.status_code, "has signed in here yet" in nobody.text, WHY in nobody.text) == (400, True, True)
    short = ada.send("/readmissions/review", who=signed_in.subject("lost"), reason="because")
    assert (short.status_code, "at least 10 characters" in short.text) == (400, True)
    place = begun(signed_in, ada, signed_in.subject("lost"))
    twice = ada.send("/readmissions/review", who=signed_in.subject("lost"), reason=WHY)
    assert begin(signed_in, ada, signed_in.subject("lost")).status_code == 400
    assert twice.status_code == 200
    assert "to be confirmed" in ada.get("/readmissions").text
    assert ada.send(f"{place}/end", **{"from": "list"}).headers["Location"] == "/readmissions"


def test_somebody_suspended_is_not_let_in(signed_in: People, house: House) -> None:
    lost = signed_in("lost")
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == lost.person).values(suspended="inc_1")))
    answer = begin(signed_in, admin(signed_in, "ada"), signed_in.subject("lost"))
    assert (answer.status_code, "suspended" in answer.text) == (400, True)


def test_agent_written_names_are_shown_as_text(signed_in: People) -> None:
    """A person's name and address are what the identity provider says."""
    signed_in("lost")
    ada = admin(signed_in, "ada")
    page = ada.send("/readmissions/review", who=signed_in.subject("lost"), reason=WHY + " <script>alert(1)</script>")
    assert "<script>alert" not in page.text


def test_by_the_command_line_loudly(signed_in: People, house: House, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = signed_in("lost")
    subject = signed_in.subject("lost")
    from contextlib import nullcontext

    monkeypatch.setattr(person_commands, "opened", lambda _settings: nullcontext(house))
    monkeypatch.setattr(person_commands, "Settings", lambda: house.settings)
    run = CliRunner()
    stopped = run.invoke(person_commands.person, ["readmit", subject, "--reason", WHY], input="n\n")
    assert stopped.exit_code == 1
    assert inside(lost)
    done = run.invoke(person_commands.person, ["readmit", subject, "--reason", WHY], input="y\n")
    assert done.exit_code == 0, done.output
    assert "NOBODY ELSE CONFIRMS THIS" in done.output
    assert not inside(lost)
    again = signed_in.first_step("lost")
    assert "an operator let you in again" in again.get("/sign-in/second").text
    again.send("/sign-in/readmitted")
    signed_in.add_passkey(again)
    assert len(house.door.factors(lost.person)) == 1
    with house.database.read() as session:
        entry = session.scalars(select(Entry).where(Entry.kind == "readmission.by_operator")).one()
    assert (entry.actor, entry.subject, json.loads(entry.body)["detail"]["reason"]) == ("cli", lost.person, WHY)


def test_a_session_of_before_and_a_second_one_do_not_use_it(signed_in: People, house: House) -> None:
    signed_in("lost")
    before = signed_in.first_step("lost")
    agreed(signed_in, signed_in.subject("lost"))
    assert before.get("/sign-in/second").headers["Location"] == "/sign-in", "signed out by it"
    one, two = signed_in.first_step("lost"), signed_in.first_step("lost")
    assert one.send("/sign-in/readmitted").headers["Location"] == "/you/factors/first"
    assert two.send("/sign-in/readmitted").status_code == 401


def test_what_the_keeper_recorded_and_whose_answer_was_lost_is_shown_all_the_same(signed_in: People, house: House) -> None:
    """Else nobody could stop it, or begin another, for a day."""
    signed_in("lost")
    ada, ben = admin(signed_in, "ada"), admin(signed_in, "ben")
    place = begun(signed_in, ada, signed_in.subject("lost"))
    house.database.write(lambda s: s.execute(delete(Readmission)))
    ada.send("/readmissions/review", who=signed_in.subject("lost"), reason=WHY)
    assert row(house, place).state == "started"
    assert confirm(signed_in, ben, place).status_code == 303
    house.database.write(lambda s: s.execute(update(Readmission).values(state="started")))
    assert "may come" in ben.get(place).text
    assert row(house, place).state == "agreed"
