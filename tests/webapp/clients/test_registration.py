"""Registering, counted; and what an admin may change."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select

from tests.conftest import Clock
from webapp.audit.tables import Entry
from webapp.clients import lookup, status
from webapp.clients.registration import clean, register
from webapp.clients.tables import Client, RegistrationCount
from webapp.config import OAuth
from webapp.db import Database
from webapp.errors import BadInput, Conflict, LimitReached, Missing

LIMITS = OAuth(registrations_per_source=3, registrations_per_hour=5, redirect_uris=2)


def add(database: Database, clock: Clock, *, source: str = "192.0.2.7", uris: list[str] | None = None) -> Client:
    uris = ["http://localhost/cb"] if uris is None else uris
    return database.write(lambda s: register(
        s, name="Desk", redirect_uris=uris, source=source, limits=LIMITS, public_url="https://seal.example", now=clock(),
    ))


def test_a_client_is_an_unverified_agent_and_the_log_says_so(database: Database, clock: Clock) -> None:
    client = add(database, clock)
    with database.read() as session:
        stored = lookup.get(session, client.id)
        assert (stored.kind, stored.status, stored.verified, stored.registered_by) == ("agent", "active", False, "itself")
        assert [(entry.kind, entry.subject) for entry in session.scalars(select(Entry))] == [("client.registered", client.id)]


@pytest.mark.parametrize("uris", [[], ["http://localhost/cb"] * 2, [f"http://localhost/{n}" for n in range(3)], ["http://evil.example/"]])
def test_a_bad_list_of_redirects_registers_nothing(database: Database, clock: Clock, uris: list[str]) -> None:
    with pytest.raises(BadInput):
        add(database, clock, uris=uris)
    with database.read() as session:
        assert lookup.page(session) == []
        assert session.scalars(select(RegistrationCount)).all() == []


def test_registrations_are_limited_per_source_and_in_total_until_the_hour_is_over(database: Database, clock: Clock) -> None:
    clock.now = clock.now.replace(minute=10)
    for _ in range(3):
        add(database, clock)
    with pytest.raises(LimitReached):
        add(database, clock)
    add(database, clock, source="192.0.2.8")
    add(database, clock, source="192.0.2.9")
    with pytest.raises(LimitReached):
        add(database, clock, source="192.0.2.10")
    clock.forward(hours=1)
    add(database, clock)


def test_two_at_once_cannot_both_take_the_last_registration(database: Database, clock: Clock) -> None:
    clock.now = clock.now.replace(minute=10)
    outcomes: list[str] = []

    def run() -> None:
        try:
            add(database, clock)
            outcomes.append("in")
        except LimitReached:
            outcomes.append("out")

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["in"] * 3 + ["out"] * 5


def test_counts_of_past_hours_are_forgotten(database: Database, clock: Clock) -> None:
    add(database, clock)
    clock.forward(hours=4)
    assert database.write(lambda s: clean(s, clock())) == 2


def change(database: Database, clock: Clock, client: Client, what: str) -> Client:
    return database.write(lambda s: status.change(s, client.id, what, actor="person:p", now=clock()))


def test_an_admin_vouches_pauses_and_revokes_and_revoked_is_for_good(database: Database, clock: Clock) -> None:
    client = add(database, clock)
    assert change(database, clock, client, "vouch").verified
    assert change(database, clock, client, "pause").status == "paused"
    with pytest.raises(Conflict):
        change(database, clock, client, "pause")
    assert change(database, clock, client, "resume").status == "active"
    revoked = change(database, clock, client, "revoke")
    assert (revoked.status, revoked.verified) == ("revoked", False)
    for what in status.CHANGES:
        with pytest.raises(Conflict):
            change(database, clock, client, what)
    with database.read() as session:
        kinds = [entry.kind for entry in session.scalars(select(Entry).order_by(Entry.id))]
    assert kinds == ["client.registered", "client.vouched", "client.paused", "client.resumed", "client.revoked"]


def test_what_is_not_a_change_or_not_a_client_is_refused(database: Database, clock: Clock) -> None:
    client = add(database, clock)
    with pytest.raises(BadInput):
        change(database, clock, client, "promote")
    with pytest.raises(Missing):
        database.write(lambda s: status.change(s, "client_nobody", "pause", actor="cli", now=clock()))
