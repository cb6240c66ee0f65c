"""Whoever has a secret replaced may die before they say so: the log says it all the same, once, and only where it was done."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.clock import Clock
from webapp.audit.tables import Entry
from webapp.db.due import Due
from webapp.secrets import turning
from webapp.secrets.turning import FINISH, SPOOL, UNFINISHED
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


class Died(BaseException):
    """The process ends here: nobody catches it."""


def entries(house: House) -> list[tuple[str, str]]:
    with house.database.read() as session:
        found = session.execute(select(Entry.kind, Entry.actor).where(Entry.subject == SPOOL).order_by(Entry.id))
        return [(row.kind, row.actor) for row in found]


def due(house: House) -> Due:
    with house.database.read() as session:
        return session.scalars(select(Due).where(Due.kind == FINISH, Due.key == SPOOL)).one()


def test_a_death_before_the_second_entry_is_finished_and_one_before_the_secret_is_not(
    house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = turning._note

    def dies(*_given: object) -> None:
        raise Died

    monkeypatch.setattr(turning, "_note", dies)
    with pytest.raises(Died):
        turning.turn(house, SPOOL, "cli")
    monkeypatch.setattr(turning, "_note", real)
    assert entries(house) == [("key.rotating", "cli")]
    assert due(house).run_at == clock() + UNFINISHED
    for _twice in range(2):
        assert turning.jobs[FINISH](house, due(house)) is None
        assert entries(house) == [("key.rotating", "cli"), ("key.rotated", "system")]
    clock.forward(minutes=10)
    turning._begun(house, SPOOL, "cli")
    assert turning.jobs[FINISH](house, due(house)) is None
    assert entries(house)[2:] == [("key.rotating", "cli")], "nothing was replaced, so nothing is said to be"
