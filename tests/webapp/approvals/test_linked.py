"""One human under two sign-ins: neither page, queue nor database makes two of them."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, TWO, action, decide, draft, held
from webapp.approvals.seeing import open_
from webapp.audit.tables import Entry
from webapp.cli import main
from webapp.people import linking
from webapp.people.tables import Person
from webapp.web.house import House

pytestmark = pytest.mark.both


def row_of(house: House, person: str) -> Person:
    with house.database.read() as session:
        return session.get_one(Person, person)


def test_a_requester_does_not_approve_under_another_name_whatever_a_row_says(house: House, someone: Enrol) -> None:
    ada, bob = someone("ada", groups=["finance"])[0], someone("bob", groups=["finance"])
    held_id = held(house, draft(house, ada.person), APPROVE)
    page = bob[0].get(f"/actions/{held_id}")
    linking.link(house, ada.person, bob[0].person)
    shown = bob[0].get(f"/actions/{held_id}").text
    assert "You cannot approve this: under another sign-in of yours" in shown
    assert "data-options" not in shown
    assert "Nothing waits for you" in bob[0].get("/actions").text or held_id not in bob[0].get("/actions").text
    house.database.write(lambda s: s.execute(update(Person).values(same_as=[])))
    assert page.status_code == 200
    refused = bob[0].get(f"/actions/{held_id}")
    assert refused.status_code == 200, "the rest of the page is shown"
    assert "data-options" not in refused.text, "the row would show the button again, and the keeper does not sign"


def test_two_sign_ins_do_not_fill_a_quorum_of_two(house: House, someone: Enrol) -> None:
    ada, bob, bea, cleo = (someone(name, groups=["finance"]) for name in ("ada", "bob", "bea", "cleo"))
    held_id = held(house, draft(house, ada[0].person), TWO)
    decide(*bob, held_id)
    linking.link(house, bob[0].person, bea[0].person)
    assert "You have given your word under another sign-in of yours" in bea[0].get(f"/actions/{held_id}").text
    assert "You have given your word. It waits for others." in bob[0].get(f"/actions/{held_id}").text
    assert open_(house, held_id).part(bea[0].person, ["finance"], [bob[0].person]) == "given"
    assert action(house, held_id).state == "held"
    assert decide(*cleo, held_id).status_code == 303
    assert action(house, held_id).state == "approved"


def test_an_operator_links_and_unlinks_by_name_and_both_are_in_the_log(
    house: House, someone: Enrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = someone("ada")[0].person, someone("bob")[0].person
    settings = house.settings
    monkeypatch.setenv("COUNTERSEAL_DATABASE_URL", settings.database)
    monkeypatch.setenv("COUNTERSEAL_DOOR_SOCKET", str(house.door.socket))

    def say(*words: str) -> Any:
        return CliRunner().invoke(main, ["person", *words])

    done = say("link", ada, bob)
    assert done.exit_code == 0, done.output
    assert "one human" in done.output
    assert (row_of(house, ada).same_as, row_of(house, bob).same_as) == ([bob], [ada])
    assert say("link", ada, "nobody").exit_code != 0
    assert say("unlink", ada).exit_code == 0
    assert (row_of(house, ada).same_as, row_of(house, bob).same_as) == ([], [])
    with house.database.read() as session:
        kinds = session.scalars(select(Entry.kind).where(Entry.kind.like("person.%linked")).order_by(Entry.id)).all()
    assert list(kinds) == ["person.linked", "person.unlinked"]
