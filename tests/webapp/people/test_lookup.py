"""Names and members: whom to show and whom to tell."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy.orm import Session

from webapp.db import Database
from webapp.errors import BadInput, Missing
from webapp.people import lookup
from webapp.people.tables import Person

NOW = datetime(2026, 11, 3, tzinfo=UTC)


def put(database: Database, person: str, name: str, *groups: str) -> None:
    row = Person(id=person, issuer="i", subject=person, name=name, email="", groups=list(groups), created_at=NOW, seen_at=NOW)
    database.write(lambda db: db.add(row))


def test_somebody_unknown_is_named_by_their_id(database: Database) -> None:
    put(database, "per_a", "Ada")
    with database.read() as db:
        assert lookup.names(db, ["per_a", "per_x"]) == {"per_a": "Ada", "per_x": "per_x"}
        assert lookup.names(db, []) == {}


def test_an_operator_means_exactly_one_person(database: Database) -> None:
    known = (("per_a", "ada", "Ada@X.example"), ("per_b", "ben", "b@x.example"), ("per_c", "cy", "b@x.example"))
    for person, subject, email in known:
        row = Person(id=person, issuer="i", subject=subject, name="", email=email, groups=[], created_at=NOW, seen_at=NOW)
        database.write(partial(_put, row))
    with database.read() as db:
        assert {lookup.one(db, called) for called in ("per_a", "ada", "ada@x.example")} == {"per_a"}
        assert lookup.one(db, "cy") == "per_c"
        with pytest.raises(BadInput, match="Several persons"):
            lookup.one(db, "b@x.example")
        for nobody in ("", "%", "per_x", "@"):
            with pytest.raises(Missing, match="has signed in here yet"):
                lookup.one(db, nobody)


def _put(row: Person, db: Session) -> None:
    db.add(row)


def test_members_are_of_exactly_that_group(database: Database) -> None:
    """Not of one whose name contains it, nor by a wildcard, nor lost for an umlaut."""
    put(database, "per_a", "Ada", "finance", "prüfung")
    put(database, "per_b", "Ben", "finance-read")
    put(database, "per_c", "Cy", "f_nance")
    with database.read() as db:
        assert [person.id for person in lookup.members(db, "finance")] == ["per_a"]
        assert [person.id for person in lookup.members(db, "f_nance")] == ["per_c"]
        assert [person.id for person in lookup.members(db, "prüfung")] == ["per_a"]
        assert lookup.members(db, "%") == []
