"""Holding: one action for the same call, caps, limits, and nothing in clear."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.conftest import Clock
from tests.webapp.approvals.parts import APPROVE, ORDER, action, again, draft, forge, held, verdict
from vault.door import Door, WrappingKey
from vault.evidence import Account
from vault.secret import Secret
from webapp.approvals import Draft, Sealer, hold, usage
from webapp.approvals.deciding import void_to_recipients
from webapp.approvals.holding import LOOK_AGAIN
from webapp.approvals.lookalike import lookalike_of
from webapp.approvals.tables import Action, Payload, Usage
from webapp.approvals.transitions import move
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.config_approvals import Approvals
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import BadInput, LimitReached
from webapp.web.house import House

KEY = WrappingKey("vault:v1:test", Secret(AESGCM.generate_key(256)))


class OneKey(Door):
    """A door that hands out one hourly key: these tests are about what is written with it."""

    def wrapping_key(self) -> WrappingKey:
        return KEY

    def unwrap(self, wrapped: str) -> WrappingKey:
        return KEY


@pytest.fixture
def house(database: Database, clock: Clock, tmp_path: Any) -> House:
    settings = Settings(public_url="http://localhost:8000", database_url=database.url, approvals=Approvals(held_per_person=3))
    return House(settings, database, OneKey(tmp_path / "none.sock"), clock)


def count(house: House, table: type[Any]) -> int:
    with house.database.read() as session:
        return len(session.scalars(select(table)).all())


def test_a_held_call_is_written_with_its_entry_its_reservation_and_its_end(house: House) -> None:
    held_id = held(house, draft(house, "per_ada"))
    with house.database.read() as session:
        kinds = {entry.kind for entry in session.scalars(select(Entry).where(Entry.subject == held_id))}
        due = session.scalars(select(Due).where(Due.key == held_id, Due.kind == "approvals.expire")).one()
        reserved = session.scalars(select(Usage).where(Usage.action == held_id)).one()
    assert kinds == {"action.held"}
    assert (due.kind, due.run_at) == ("approvals.expire", house.clock() + LOOK_AGAIN)  # and from then on until it lapses
    assert (reserved.state, reserved.base_minor) == ("reserved", 48000)


def test_no_argument_is_in_the_database_in_clear(house: House) -> None:
    held_id = held(house, draft(house, "per_ada", order={**ORDER, "reference": "a-secret-reference"}))
    with house.database.read() as session:
        everything = repr([vars(one) for table in (Action, Payload, Entry, Due) for one in session.scalars(select(table))])
    assert held_id in everything
    assert "a-secret-reference" not in everything


def test_concurrent_identical_calls_are_one_action(house: House) -> None:
    made, key, results = draft(house, "per_ada"), Sealer(KEY), []
    gate = threading.Barrier(6)

    def one() -> None:
        gate.wait()
        results.append(house.database.write(lambda s: hold(
            s, draft=made, verdict=verdict(), sealer=key, settings=house.settings.approvals, now=house.clock()
        )))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.action_id for one in results}) == 1
    assert [one.created for one in results].count(True) == 1
    assert (count(house, Action), count(house, Usage)) == (1, 1)


@pytest.mark.parametrize(("state", "what"), [
    ("held", "join"), ("approved", "join"), ("executing", "join"), ("uncertain", "refuse"), ("done", "answer"),
    ("failed", "answer"), ("rejected", "answer"), ("expired", "answer"), ("withdrawn", "answer"), ("void", None),
])
def test_the_same_call_finds_its_action_until_the_outcome_was_delivered(house: House, state: str, what: str | None) -> None:
    made = draft(house, "per_ada")
    held_id = held(house, made)
    forge(house, held_id, state=state, ended_at=None if what in ("join", "refuse") else house.clock())
    found = again(house, made)
    assert (found.what if found else None) == what
    forge(house, held_id, delivered_at=house.clock())
    found = again(house, made)
    still = what in ("join", "refuse") or state == "rejected"
    assert (found is not None) == still


def test_a_rejected_call_stays_rejected_for_ten_minutes(house: House, clock: Clock) -> None:
    made = draft(house, "per_ada")
    held_id = held(house, made)
    forge(house, held_id, state="rejected", ended_at=clock(), delivered_at=clock())
    clock.forward(minutes=9)
    assert again(house, made) is not None
    clock.forward(minutes=2)
    assert again(house, made) is None


def test_another_person_grant_or_argument_is_another_call(house: House) -> None:
    held(house, draft(house, "per_ada"))
    assert again(house, draft(house, "per_ada")) is not None
    assert again(house, draft(house, "per_bob")) is None
    assert again(house, draft(house, "per_ada", grant="grt_2")) is None
    assert again(house, draft(house, "per_ada", order={**ORDER, "amount": "480.01"})) is None


def test_a_repeated_call_says_when_the_same_ran(house: House, clock: Clock) -> None:
    made = draft(house, "per_ada")
    first = held(house, made)
    forge(house, first, state="done", ended_at=clock(), delivered_at=clock())
    clock.forward(minutes=3)
    second = action(house, held(house, made))
    assert (second.previous, second.flags) == (first, ["new", "again"])


def test_one_person_cannot_fill_the_queue(house: House) -> None:
    for number in range(3):
        held(house, draft(house, "per_ada", order={**ORDER, "amount": f"{number + 1}.00"}))
    with pytest.raises(LimitReached):
        held(house, draft(house, "per_ada"))
    held(house, draft(house, "per_bob"))


def test_a_hold_that_asks_for_nobody_is_refused(house: House) -> None:
    with pytest.raises(BadInput):
        held(house, draft(house, "per_ada"), ())


def limited(house: House, **limits: int) -> House:
    return replace(house, settings=house.settings.model_copy(update={"approvals": Approvals(**limits)}))


def numbered(house: House, number: int, **changed: Any) -> Draft:
    return replace(draft(house, "per_ada", order={**ORDER, "reference": f"RE-{number}"}), **changed)


def test_one_server_cannot_use_up_a_persons_places(house: House) -> None:
    """Attack: an agent, or a server that asks for tokens, varies its arguments until nothing else of the person's is held."""
    house = limited(house, held_per_person=4, held_per_server=2)
    for number in range(2):
        held(house, numbered(house, number))
    with pytest.raises(LimitReached):
        held(house, numbered(house, 2))
    other = {"name": "mail", "url": "http://127.0.0.1:2/mcp", "manifest": "ab" * 32}
    held(house, numbered(house, 3, server=other))
    assert held(house, numbered(house, 0)), "a call that is held already is found, and no new one"


def test_the_last_place_is_taken_once(house: House) -> None:
    """The second begins while the first is not committed: it waits for it, and then sees it."""
    house = limited(house, held_per_person=3, held_per_server=1)
    key, outcomes = Sealer(KEY), []

    def store(session: Session, number: int) -> None:
        hold(
            session, draft=drafts[number], verdict=verdict(), sealer=key, settings=house.settings.approvals, now=house.clock()
        )

    def second() -> None:
        try:
            house.database.write(lambda s: store(s, 1))
            outcomes.append("held")
        except LimitReached:
            outcomes.append("refused")

    drafts = [numbered(house, 0), numbered(house, 1)]
    thread = threading.Thread(target=second)

    def first(session: Session) -> None:
        store(session, 0)
        thread.start()
        thread.join(1)

    house.database.write(first)
    thread.join()
    assert (outcomes, count(house, Action)) == (["refused"], 1)


def test_caps_count_what_waits_and_give_back_what_never_ran(house: House, clock: Clock) -> None:
    def used() -> int:
        with house.database.read() as session:
            found = usage.facts(session, usage.Call("per_ada", None, "cli_2", "bank", "other"), clock())
        return found.counts["base_minor_last_day"]

    held_id = held(house, draft(house, "per_ada"))
    assert used() == 48000
    with house.database.read() as session:
        call = usage.Call("per_ada", None, "cli_1", "bank", "send_payment")
        assert usage.facts(session, call, clock(), excluding=held_id).counts["base_minor_last_day"] == 0
    house.database.write(lambda s: move(s, s.get_one(Action, held_id), "withdrawn", clock(), actor="system"))
    assert used() == 0
    house.database.write(lambda s: usage.record(s, usage.Call("per_ada", "con_1", "c", "s", "t", base_minor=5), clock()))
    assert used() == 5
    clock.forward(hours=25)
    assert used() == 0


def test_a_recipient_is_known_only_after_a_persons_word_and_only_to_that_account(house: House, clock: Clock) -> None:
    def known(person: str = "per_ada", name: str = "Nordlicht Energy GmbH") -> usage.Used:
        call = usage.Call(person, None, "c", "bank", "send_payment", recipient=name, recipient_shown=name)
        with house.database.read() as session:
            return usage.facts(session, call, clock())

    row = action(house, held(house, draft(house, "per_ada")))
    assert known().approved_before == 0
    for amount in (200, 100):
        house.database.write(lambda s, amount=amount: usage.remember_recipient(
            s, row, recipient="Nordlicht Energy GmbH", shown_as="Nordlicht Energy GmbH", base_minor=amount, now=clock()
        ))
    assert (known().approved_before, known().up_to_minor) == (2, 200)
    assert known("per_bob").approved_before == 0
    assert known(name="Nordlicht Energie GmbH").lookalike_of == "Nordlicht Energy GmbH"


@pytest.mark.parametrize(("name", "known", "alike"), [
    ("Nordlicht Energie GmbH", "Nordlicht Energy GmbH", True),
    ("pаypal", "paypal", True),  # a Cyrillic letter
    ("Acme\u200b Ltd", "Acme Ltd", True),
    ("MicrosoftSupport", "Microsoft Support", True),
    ("rnicrosoft", "microsoft", True),
    ("Acme Ltd", "Acme Ltd", False),
    ("ACME  ltd", "Acme Ltd", False),
    ("Bolt", "Bolt2", False),
    ("DE89370400440532013000", "DE89370400440532013001", True),
    ("DE89370400440532013000", "DE16 3704 0044 0532 0131 00", True),  # other check digits: they follow from the rest
    ("DE89370400440532013000", "DE90370400440532013000", True),
    ("DE89370400440532013000", "DE89370400440532031000", True),
    ("DK89370400440532013000", "DE89370400440532013000", True),
    ("DE89 3704 0044 0532 0130 00", "de89370400440532013000", False),  # the same
    ("DE89370400440532013000", "DE89370400440532013111", False),
    ("DE02120300000000202051", "DE13120300000000987654", False),  # at the same bank
    ("3704004405", "3704004406", False),  # any number
    ("Harbour Bakery", "Nordlicht Energy GmbH", False),
])
def test_what_looks_like_a_known_recipient_and_is_not(name: str, known: str, alike: bool) -> None:
    assert (lookalike_of(name, [known, "Somebody else entirely"]) == known) is alike


def test_an_envelope_is_canonical_and_carries_what_the_page_shows(house: House) -> None:
    from webapp.approvals.payloads import open_

    held_id = held(house, draft(house, "per_ada"), APPROVE, within=60)
    with house.database.read() as session:
        payload = session.get(Payload, (held_id, "request"))
    assert payload is not None
    row = action(house, held_id)
    document = json.loads(open_(house, payload, digest=row.digest))
    assert document["arguments"] == ORDER
    assert document["facts"]["amount"]["minor"] == 48000
    assert document["requirement"][0]["group"] == "finance"
    assert row.expires_at - row.created_at <= timedelta(seconds=60)


def test_a_change_of_recipients_voids_what_waits_for_that_account_and_nothing_else(house: House, clock: Clock) -> None:
    def of(connection: str, amount: str) -> str:
        account: Account = {"id": connection, "owner": "per_ada", "provider": "bank", "account": connection, "label": connection}
        return held(house, draft(house, "per_ada", account=account, order={**ORDER, "amount": amount}))

    mine, other = of("con_1", "1.00"), of("con_2", "2.00")
    assert house.database.write(lambda s: void_to_recipients(s, "con_1", clock())) == 1
    assert (action(house, mine).state, action(house, other).state) == ("void", "held")
