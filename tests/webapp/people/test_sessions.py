"""Sessions: whose they are is what the keeper signed, and nothing that is written into the database changes it."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import func, select, update

from tests.app_parts import Browser, People
from tests.conftest import Clock
from vault.errors import NotSignedIn
from vault.secret import Secret
from webapp.audit.tables import Entry
from webapp.errors import Conflict
from webapp.people import sessions
from webapp.people.rules import fingerprint
from webapp.people.tables import Person, Session
from webapp.people.tickets import Tickets
from webapp.web.house import House

pytestmark = pytest.mark.both


def cookie(browser: Browser) -> str:
    found = browser.get_cookie("counterseal_session")
    assert found
    return str(found.value)


def inside(browser: Browser) -> bool:
    return browser.get("/you").status_code == 200


def row_of(house: House, browser: Browser) -> Session:
    with house.database.read() as db:
        return db.scalars(select(Session).where(Session.cookie == fingerprint(cookie(browser)))).one()


def test_a_person_with_both_steps_is_in(signed_in: People) -> None:
    page = signed_in("ada", groups=["finance", "user"]).get("/you")
    assert page.status_code == 200
    assert "finance" in page.text
    assert "ada@people.example" in page.text.replace("<wbr>", "")


def test_groups_written_into_the_database_give_nothing(signed_in: People, house: House) -> None:
    ada = signed_in("ada", groups=["user"])
    house.database.write(lambda db: db.execute(update(Person).values(groups=["admin", "audit", "finance"])))
    assert ada.get("/log").status_code == 403
    assert "finance" not in ada.get("/you").text


def test_a_session_written_into_the_database_is_nobodys(signed_in: People, house: House) -> None:
    """The attacker may write any row, with an admin's ticket copied from theirs, but has no cookie it was signed for."""
    admin = signed_in("root", groups=["admin"])
    mallory = signed_in.stranger()
    mallory.set_cookie("counterseal_session", "chosen-by-mallory", domain="localhost")
    ticket, now = row_of(house, admin).ticket, house.clock()
    house.database.write(lambda db: sessions.open_(
        db, cookie=Secret("chosen-by-mallory"), person=admin.person, ticket=ticket, browser="x", settings=house.settings.people,
        now=now,
    ))
    assert not inside(mallory)
    house.database.write(lambda db: db.execute(
        update(Session).where(Session.cookie == fingerprint("chosen-by-mallory")).values(ticket="e30.vault:v1:AAAA")
    ))
    assert not inside(mallory)


def test_another_persons_ticket_in_ones_own_row_is_a_stranger(signed_in: People, house: House) -> None:
    admin, ada = signed_in("root", groups=["admin"]), signed_in("ada")
    assert inside(admin)
    ticket, mine = row_of(house, admin).ticket, row_of(house, ada).id
    forged = update(Session).where(Session.id == mine).values(ticket=ticket, person=admin.person)
    house.database.write(lambda db: db.execute(forged))
    assert not inside(ada), "the ticket is known to be good, but for another cookie"
    assert inside(admin)


def test_a_row_that_names_another_person_changes_nobody(signed_in: People, house: House) -> None:
    admin, ada = signed_in("root", groups=["admin"]), signed_in("ada")
    mine = row_of(house, ada).id
    house.database.write(lambda db: db.execute(update(Session).where(Session.id == mine).values(person=admin.person)))
    page = ada.get("/you").text
    assert "<h1 class=\"title\">Ada</h1>" in page
    assert ada.get("/log").status_code == 403


def test_the_ticket_of_the_first_step_put_back_is_the_first_step(signed_in: People, house: House) -> None:
    ada = signed_in.first_step("ada")
    before = row_of(house, ada)
    signed_in.second_step(ada)
    assert inside(ada)
    house.database.write(lambda db: db.execute(update(Session).where(Session.id == before.id).values(ticket=before.ticket)))
    assert ada.get("/you").headers["Location"].startswith("/sign-in/second")


def test_an_auditor_sees_the_log_and_a_user_does_not(signed_in: People) -> None:
    assert signed_in("eve", groups=["audit"]).get("/log").status_code == 200
    assert signed_in("ada", groups=["user"]).get("/log").status_code == 403


def test_idle_for_too_long_is_signed_out_and_use_keeps_it(signed_in: People, house: House, clock: Clock) -> None:
    ada = signed_in("ada")
    idle = house.settings.people.idle
    clock.forward(seconds=idle - 60)
    assert inside(ada)
    clock.forward(seconds=idle - 60)
    assert inside(ada), "the use before kept it"
    clock.forward(seconds=idle + 1)
    assert not inside(ada)


def test_no_use_keeps_a_session_longer_than_a_day(signed_in: People, house: House, clock: Clock) -> None:
    ada = signed_in("ada")
    for _ in range(5):
        clock.forward(seconds=house.settings.people.absolute / 5 - 1)
        assert inside(ada)
    clock.forward(seconds=10)
    assert not inside(ada)


def test_the_last_use_is_written_at_most_once_a_minute(signed_in: People, house: House, clock: Clock) -> None:
    ada = signed_in("ada")
    clock.forward(seconds=61)
    inside(ada)
    seen = row_of(house, ada).seen_at
    clock.forward(seconds=30)
    inside(ada)
    assert row_of(house, ada).seen_at == seen
    clock.forward(seconds=31)
    inside(ada)
    assert row_of(house, ada).seen_at > seen


def test_signing_out_ends_the_session_here_and_for_its_cookie(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    kept = cookie(ada)
    assert ada.send("/sign-out").status_code == 303
    assert ada.get_cookie("counterseal_session") is None
    ada.set_cookie("counterseal_session", kept, domain="localhost")
    assert not inside(ada)


def test_a_person_ends_their_other_sessions_and_nobody_elses(signed_in: People, house: House) -> None:
    here, there, ben = signed_in("ada"), signed_in("ada"), signed_in("ben")
    page = here.get("/you")
    assert "This one" in page.text
    assert row_of(house, there).id in page.text
    assert row_of(house, ben).id not in page.text
    assert here.send(f"/you/sessions/{row_of(house, ben).id}/end").status_code == 404
    assert here.send(f"/you/sessions/{row_of(house, there).id}/end").status_code == 303
    assert (inside(here), inside(there), inside(ben)) == (True, False, True)
    again = signed_in("ada")
    assert here.send("/you/sessions/end-others").status_code == 303
    assert (inside(here), inside(again), inside(ben)) == (True, False, True)


def test_every_end_of_a_session_is_in_the_log(signed_in: People, house: House) -> None:
    here, _there = signed_in("ada"), signed_in("ada")
    here.send("/you/sessions/end-others")
    here.send("/sign-out")
    with house.database.read() as db:
        assert db.scalar(select(func.count()).select_from(Entry).where(Entry.kind == "session.ended")) == 2


def test_a_session_that_was_ended_gets_no_newer_ticket(signed_in: People, house: House) -> None:
    """The second step of a session that is ended at that moment comes to nothing."""
    ada = signed_in.first_step("ada")
    row = row_of(house, ada)
    house.database.write(lambda db: sessions.end(db, session=row.id, person=row.person, why="test", now=house.clock()))
    with pytest.raises(Conflict):
        house.database.write(lambda db: sessions.replace_ticket(db, row.id, "newer"))
    assert row_of(house, ada).ticket == row.ticket


def test_a_session_is_ended_once(signed_in: People, house: House) -> None:
    row = row_of(house, signed_in.first_step("ada"))
    done, start = [], threading.Barrier(2)

    def end() -> None:
        start.wait()
        try:
            house.database.write(lambda db: sessions.end(db, session=row.id, person=row.person, why="test", now=house.clock()))
        except Exception as error:
            done.append(type(error).__name__)
        else:
            done.append("ended")

    threads = [threading.Thread(target=end) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["Missing", "ended"]


def test_old_sessions_are_forgotten(signed_in: People, house: House, clock: Clock) -> None:
    signed_in.first_step("ada")
    clock.forward(days=3)
    house.database.write(lambda db: sessions.forget(db, clock.now))
    with house.database.read() as db:
        assert db.scalar(select(func.count()).select_from(Session)) == 0


class CountedDoor:
    """The real door, and how often it was asked for the keys."""

    def __init__(self, house: House) -> None:
        self.asked, self._door = 0, house.door

    def public_keys(self) -> object:
        self.asked += 1
        return self._door.public_keys()


def test_keys_are_asked_for_once_and_again_for_a_newer_version(signed_in: People, house: House) -> None:
    ada = signed_in.first_step("ada")
    row, door = row_of(house, ada), CountedDoor(house)
    tickets = Tickets(door)  # type: ignore[arg-type]
    for _ in range(3):
        assert tickets.verify(row.ticket, Secret(cookie(ada)), house.clock()).person == ada.person
    assert door.asked == 1
    newer = row.ticket.replace("vault:v1:", "vault:v9:")
    with pytest.raises(NotSignedIn):
        tickets.verify(newer, Secret(cookie(ada)), house.clock())
    assert door.asked == 2
    with pytest.raises(NotSignedIn):
        tickets.verify("no ticket at all", Secret(cookie(ada)), house.clock())
    assert door.asked == 2
