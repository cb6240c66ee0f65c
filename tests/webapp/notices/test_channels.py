"""Channels: so many of each person or group, and an address that is theirs alone."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, update

from tests.webapp.notices.parts import Service, channel, look, person
from vault.errors import BadRequest
from webapp.approvals.tables import Action
from webapp.errors import LimitReached
from webapp.notices import channels
from webapp.notices.tables import Channel
from webapp.web.house import House


@pytest.mark.both
def test_several_who_add_a_channel_at_once_do_not_pass_the_limit(house: House) -> None:
    """Each would count nine."""
    bob, most, together = person(house, "Bob"), house.settings.notices.channels, threading.Barrier(6)
    for _ in range(most - 1):
        channel(house, bob, "ntfy://ntfy.example/desk")
    refused = list[str]()

    def add() -> None:
        together.wait(60)
        try:
            channel(house, bob, "ntfy://ntfy.example/desk")
        except LimitReached:
            refused.append("")

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with house.database.read() as session:
        assert len(channels.of(session, bob)) == most
    assert len(refused) == 5


def test_nobody_looks_where_nobody_listens(house: House, service: Service) -> None:
    bob = person(house, "Bob", ["finance"])
    made = channel(house, bob, service.url)
    assert look(house) is not None
    house.database.write(lambda s: channels.remove(s, made, bob, "test", house.clock()))
    assert look(house) is None


def test_an_address_that_was_moved_to_another_channel_does_not_open(house: House, service: Service) -> None:
    """Attack: whoever can write to the database gives their own channel another's sealed address."""
    bob, eve = person(house, "Bob"), person(house, "Eve")
    theirs, mine = channel(house, bob, service.url), channel(house, eve, service.url)
    with house.database.read() as session:
        row = session.get(Channel, theirs)
        assert row is not None
        sealed = row.sealed
    house.database.write(lambda s: s.execute(update(Channel).where(Channel.id == mine).values(sealed=sealed)))
    with pytest.raises(BadRequest):
        channels.test(house, mine, eve)
    assert service.got == []


def test_an_address_is_nowhere_in_the_database_in_clear(house: House, service: Service) -> None:
    bob = person(house, "Bob")
    made = channel(house, bob, f"ntfy://user:hunter2@127.0.0.1:{service.port}/desk")
    with house.database.read() as session:
        row = session.get(Channel, made)
        assert row is not None
        assert "hunter2" not in " ".join(str(value) for value in vars(row).values())
        assert session.scalar(select(Action.id)) is None
