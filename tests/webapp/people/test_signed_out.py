"""What ends a session ends its ticket at the keeper too: also for whoever runs the web process and kept the cookie."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import delete, select

from tests.app_parts import Browser, People
from tests.webapp.people.test_sessions import cookie, inside, row_of
from vault.door import SessionProof
from vault.errors import NotSignedIn
from vault.secret import Secret
from webapp.db.due import Due
from webapp.incidents import opening
from webapp.incidents.rules import Target
from webapp.jobs import claim
from webapp.people import jobs
from webapp.people.tables import Session
from webapp.web.house import House


def told(house: House) -> list[str]:
    """Work off what this room has due; the kinds, in order."""
    done = []
    while row := house.database.write(lambda db: claim(db, "test", house.clock())):
        if row.kind in jobs.jobs:
            assert jobs.jobs[row.kind](house, row) is None
            done.append(row.kind)
        house.database.write(lambda db, gone=row.id: db.execute(delete(Due).where(Due.id == gone)))  # type: ignore[misc]
    return done


def proof(house: House, browser: Browser) -> SessionProof:
    """What a web process that was taken over has of a session."""
    return SessionProof(row_of(house, browser).ticket, Secret(cookie(browser)))


def refused(house: House, of: SessionProof) -> bool:
    try:
        house.door.challenge(proof=of)
    except NotSignedIn:
        return True
    return False


def test_signing_out_ends_the_ticket_at_the_keeper(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    kept = proof(house, ada)
    assert not refused(house, kept)
    ada.send("/sign-out")
    assert told(house) == ["people.session_ended"]
    assert refused(house, kept)


def test_one_session_ended_from_another_is_ended_at_the_keeper(signed_in: People, house: House) -> None:
    here, there, third = signed_in("ada"), signed_in("ada"), signed_in("ada")
    told(house)
    kept = [proof(house, each) for each in (here, there, third)]
    here.send(f"/you/sessions/{row_of(house, there).id}/end")
    told(house)
    assert [refused(house, each) for each in kept] == [False, True, False]
    here.send("/you/sessions/end-others")
    told(house)
    assert [refused(house, each) for each in kept] == [False, True, True]


def test_everywhere_is_here_too_and_what_no_row_knows(signed_in: People, house: House) -> None:
    here, there, hidden, ben = signed_in("ada"), signed_in("ada"), signed_in("ada"), signed_in("ben")
    told(house)
    kept = [proof(house, each) for each in (here, there, hidden, ben)]
    row = row_of(house, hidden).id
    house.database.write(lambda db: db.execute(delete(Session).where(Session.id == row)))
    left = here.send("/you/sessions/end-all")
    assert left.headers["Location"] == "/sign-in?out=1"
    assert here.get_cookie("counterseal_session") is None
    assert told(house) == ["people.signed_out"]
    assert [refused(house, each) for each in kept] == [True, True, True, False]
    assert (inside(there), inside(ben)) == (False, True)
    again = signed_in("ada")
    assert inside(again)
    assert not refused(house, proof(house, again))


def test_an_incident_about_a_person_ends_their_tickets_at_the_keeper(signed_in: People, house: House) -> None:
    """What docs/security.md promises: a suspended person's session signs nothing, whoever has it."""
    ada = signed_in("ada")
    kept = proof(house, ada)
    target = Target("person", ada.person, "Ada", ada.person)
    house.database.write(lambda s: opening.open_(
        s, house.settings, target, reason="stolen laptop", actor="cli", now=house.clock()
    ))
    assert "people.signed_out" in told(house)
    assert refused(house, kept)


def test_a_new_factor_ends_the_tickets_of_the_other_sessions(signed_in: People, house: House) -> None:
    here, there = signed_in("ada"), signed_in("ada")
    told(house)
    kept = proof(house, there)
    signed_in.add_passkey(here, name="Another")
    told(house)
    assert refused(house, kept)
    assert not refused(house, proof(house, here))


def test_a_keeper_that_is_away_is_told_later(signed_in: People, house: House, app: Flask) -> None:
    """The session is over here at once; the due row stays until the keeper has heard."""
    ada = signed_in("ada")
    ada.send("/sign-out")
    with house.database.read() as db:
        assert db.scalars(select(Due.kind).where(Due.kind.startswith("people."))).all() == ["people.session_ended"]
    assert not inside(ada)


@pytest.mark.parametrize("path", ["/you/sessions/end-all", "/you/sessions/end-others"])
def test_another_sites_form_ends_nothing(signed_in: People, path: str) -> None:
    ada = signed_in("ada")
    assert ada.post(path, data={}, headers={"Origin": "https://evil.example"}).status_code in (400, 403)
    assert inside(ada)


def test_the_page_says_where_one_is_signed_in(signed_in: People) -> None:
    ada = signed_in("ada")
    page = ada.get("/you").text
    assert "Where you are signed in" in page
    assert "This one" in page
    assert "Sign out everywhere" in page


def test_a_session_that_only_the_keeper_ended_ends_here_when_it_asks_for_something(signed_in: People, house: House) -> None:
    """Somebody signed in again while the keeper was being told that everything is over; or a row was put back. They are sent to
    sign in, and not from one refusal to the next."""
    ada = signed_in("ada")
    house.door.sessions_end(person=ada.person, everything=True)
    answer = ada.get("/you/factors/passkey")
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/sign-in?next=")
    assert ada.get_cookie("counterseal_session") is None
    with house.database.read() as db:
        row = db.scalars(select(Session).where(Session.person == ada.person)).one()
    assert row.ended_why == "ended at the keeper"
    again = signed_in("ada")
    house.door.sessions_end(person=ada.person, everything=True)
    posted = again.send("/you/recovery")
    assert (posted.status_code, "Sign in again" in posted.text) == (401, True)
