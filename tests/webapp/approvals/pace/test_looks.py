"""After several quick approvals in a row a typed detail is asked for, by the server, and nothing else gets past it."""

from __future__ import annotations

import json
import threading
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.app_parts import Browser
from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import ORDER, Server, action, decide, draft, held, reject
from webapp.approvals.pace import looks
from webapp.approvals.pace.rules import detail_of
from webapp.approvals.pace.tables import Look
from webapp.approvals.seeing import open_
from webapp.approvals.since import Seen
from webapp.errors import Conflict
from webapp.web.house import House

pytestmark = pytest.mark.both

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def several(house: House, person: str, count: int) -> list[str]:
    return [held(house, draft(house, person, order={**ORDER, "reference": str(number)})) for number in range(count)]


def look(house: House, action_id: str, person: str) -> Look:
    with house.database.read() as session:
        return session.get_one(Look, (action_id, person))


def right(house: House, action_id: str) -> tuple[str, str]:
    """What is asked for, and what is right."""
    detail = detail_of(open_(house, action_id).document)
    return detail.kind, {"amount": "480", "recipient": "3000"}[detail.kind]


@sqlite
def test_the_fourth_quick_approval_waits_for_what_its_page_shows(house: House, someone: Enrol, server: Server) -> None:
    house.settings.approvals.quick_row = 3
    ada, _ = someone("ada")
    bob, key = someone("bob", ["finance"])
    first, second, third, fourth, fifth = several(house, ada.person, 5)
    assert [decide(bob, key, one).status_code for one in (first, second, third)] == [303] * 3
    assert [look(house, one, bob.person).streak for one in (first, second, third)] == [1, 2, 3]
    asked, answer = right(house, fourth)
    page = bob.get(f"/actions/{fourth}").text
    assert {"amount": "Type the amount", "recipient": "Type the last four"}[asked] in page
    assert "Approve €" not in page
    for typed, keeps in (("", False), ("17", True), ("not it", True)):
        refused = decide(bob, key, fourth, typed=typed)
        assert refused.status_code == 400
        assert action(house, fourth).state == "held"
        assert not keeps or f'value="{typed}"' in refused.text
    assert look(house, fourth, bob.person).missed == 2
    assert decide(bob, key, fourth, typed=answer).status_code == 303
    assert look(house, fourth, bob.person).asked is True
    assert decide(bob, key, fifth).status_code == 400, "that one was quick too"
    assert reject(bob, fifth).status_code == 303
    assert action(house, fifth).state == "rejected"
    assert "Type the" not in bob.get(f"/actions/{several(house, ada.person, 6)[5]}").text


@sqlite
def test_who_takes_time_is_asked_nothing(house: House, someone: Enrol, server: Server) -> None:
    house.settings.approvals.quick_row = 3
    ada, _ = someone("ada")
    bob, key = someone("bob", ["finance"])
    for held_id in several(house, ada.person, 4):
        bob.get(f"/actions/{held_id}")
        house.clock.forward(seconds=11)  # type: ignore[attr-defined]
        assert decide(bob, key, held_id).status_code == 303
        assert (look(house, held_id, bob.person).seconds, look(house, held_id, bob.person).streak) == (11, 0)


@sqlite
def test_opening_is_seen_by_the_server_once_and_only_of_who_may_decide(house: House, someone: Enrol, server: Server) -> None:
    """A page that is loaded again is not a fresh look, and a decision without any look is a quick one."""
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    cleo, cleo_key = someone("cleo", ["finance"])
    held_id, unseen = several(house, ada.person, 2)
    bob.get(f"/actions/{held_id}")
    opened = look(house, held_id, bob.person).opened_at
    house.clock.forward(seconds=30)  # type: ignore[attr-defined]
    ada.get(f"/actions/{held_id}")
    bob.get(f"/actions/{held_id}")
    assert look(house, held_id, bob.person).opened_at == opened
    with house.database.read() as session:
        assert session.scalars(select(Look.person)).all() == [bob.person]
    sent = blind(cleo, cleo_key, house, unseen)
    assert sent.status_code == 303, sent.text
    assert look(house, unseen, cleo.person).quick is True
    assert look(house, unseen, cleo.person).seconds is None


def blind(browser: Browser, key: Passkey, house: House, action_id: str) -> TestResponse:
    """A decision by a program that only asks for the challenge, and makes up what a page showed."""
    shown = Seen(action(house, action_id).digest, "held", "approve", True, ()).written()
    made: Any = browser.send(f"/actions/{action_id}/challenge", shown=shown).json
    answer = json.dumps(key.get(made["options"], origin=PUBLIC_URL))
    return browser.send(f"/actions/{action_id}/decide", shown=shown, sealed=made["sealed"], assertion=answer)


def test_decisions_at_the_same_moment_do_not_slip_past_it(house: House) -> None:
    """Two quick approvals stand; of two more at once only one may be the third."""
    settings, now = house.settings.approvals, house.clock()
    settings.quick_row = 3
    for one in ("act_1", "act_2"):
        house.database.write(partial(
            looks.decided, settings=settings, action=one, person="per_1", verdict="approve", asked=False, now=now
        ))
    together, refused = threading.Barrier(2), list[str]()

    def one_more(name: str) -> None:
        together.wait()
        try:
            house.database.write(lambda s: looks.decided(s, settings, name, "per_1", "approve", asked=False, now=now))
        except Conflict:
            refused.append(name)

    threads = [threading.Thread(target=one_more, args=(name,)) for name in ("act_3", "act_4")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
