"""In which language each is told."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from tests.webapp.approvals.parts import draft, held
from tests.webapp.notices.parts import Service, channel, look, person, send_all
from webapp.notices import speaking, words
from webapp.notices.tables import Delivery
from webapp.people.tables import Person
from webapp.web.catalogue import ENGLISH
from webapp.web.house import House
from webapp.web.languages import Language, Languages


def test_each_is_told_in_the_language_that_they_chose_and_who_chose_none_in_english(
    house: House, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's name stays as an admin wrote it; what is kept for sending are counts, and no words."""
    offered = Languages([Language("en", ENGLISH), Language("de"), Language("fr")])
    monkeypatch.setattr(speaking, "offered", lambda _narrowed: offered)
    bob, eve = person(house, "Bob", ["finance"]), person(house, "Eve", ["finance"])
    house.database.write(lambda s: setattr(s.get_one(Person, bob), "language", "de"))
    for whom in (bob, eve, "group:finance"):
        channel(house, whom, service.url)
    held(house, draft(house, person(house, "Ada")))
    look(house)
    assert send_all(house) == [None, None, None]
    sent = [json.loads(one)["message"].splitlines() for one in service.got]
    german = ["1 Aktion wartet auf Genehmigung:", "- 1 bei Harbour Bank (Geld)"]
    english = ["1 action waits for approval:", "- 1 at Harbour Bank (money)"]
    assert sorted(lines[:2] for lines in sent) == sorted([german, english, english])
    with house.database.read() as session:
        kept = list(session.scalars(select(Delivery.message)))
    assert {words.read(one, "").title for one in kept} == {"Counterseal: 1 action waits for approval"}
    assert all("wartet" not in json.dumps(one) for one in kept)
