"""Who is told what: once, by each channel, until it arrives, and never more than a count and a place."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.clock import Clock
from tests.webapp.approvals.parts import APPROVE, CONFIRM, ORDER, draft, forge, held
from tests.webapp.notices.parts import Service, channel, due, look, person, send_all
from webapp.audit.tables import Entry
from webapp.ids import new_id
from webapp.notices import jobs, outward, preferences, words
from webapp.notices.rules import DAY
from webapp.notices.tables import Channel, Delivery, Notice
from webapp.people import suspension
from webapp.people.tables import Delegation, Person
from webapp.web.house import House


def _prefer(house: House, whom: str, **values: object) -> None:
    house.database.write(lambda s: preferences.store(s, whom, values, "test", house.clock()))


def _titles(house: House) -> list[str]:
    with house.database.read() as session:
        return [words.read(one.message, "").title for one in session.scalars(select(Delivery).order_by(Delivery.id))]


def _orders() -> list[dict[str, str]]:
    return [{**ORDER, "reference": f"RE-{number}"} for number in range(3)]


def test_an_approver_is_told_how_many_wait_and_where_and_nothing_of_what(house: House, service: Service) -> None:
    """Not the recipient, the amount, the reference, the tool's arguments or what the agent calls itself; no link that decides."""
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    for order in _orders():
        held(house, draft(house, ada, order=order))
    look(house)
    assert send_all(house) == [None]
    sent = service.got[0].decode()
    assert "3 actions wait for approval" in sent
    assert "3 at Harbour Bank (money)" in sent
    assert "http://localhost:8000/actions" in sent
    for unsaid in (*ORDER.values(), "480", "DE89", "Nordlicht", "Ledger Desk", "act_", "send_payment", "Ada", "token"):
        assert unsaid not in sent


def test_what_was_told_is_not_told_again_and_what_comes_later_is(house: House, service: Service, clock: Clock) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    first, second, _ = _orders()
    held(house, draft(house, ada, order=first))
    look(house)
    look(house)
    assert len(_titles(house)) == 1
    clock.forward(seconds=5)
    held(house, draft(house, ada, order=second))
    look(house)
    assert _titles(house) == ["Counterseal: 1 action waits for approval"] * 2


def test_whose_agent_it_is_confirms_and_is_not_told_to_approve(house: House, service: Service) -> None:
    """Nobody approves what they asked for, so nobody is asked to."""
    ada, cy = person(house, "Ada", ["finance"]), person(house, "Cy", ["support"])
    for one in (ada, cy):
        channel(house, one, service.url)
    held(house, draft(house, ada), APPROVE)
    look(house)
    assert _titles(house) == []
    held(house, draft(house, ada, order={**ORDER, "reference": "other"}), CONFIRM)
    look(house)
    assert _titles(house) == ["Counterseal: 1 action of your agents waits for your word"]


def test_a_group_is_told_of_what_waits_for_it_and_of_nothing_else(house: House, service: Service) -> None:
    ada = person(house, "Ada")
    channel(house, "group:finance", service.url)
    channel(house, "group:support", service.url)
    action = held(house, draft(house, ada))
    look(house)
    assert _titles(house) == ["Counterseal: 1 action waits for approval"]
    forge(house, action, state="uncertain", changed_at=house.clock() + timedelta(seconds=1))
    look(house)
    assert len(_titles(house)) == 1


def test_whom_a_group_was_lent_to_is_told_within_what_was_lent_and_not_where_the_lender_has_a_part(
    house: House, service: Service, clock: Clock
) -> None:
    ada, bob, cy, di = (person(house, name) for name in ("Ada", "Bob", "Cy", "Di"))
    for lender, to, classes in ((bob, cy, []), (bob, di, ["send"]), (ada, di, [])):
        channel(house, to, service.url)
        house.database.write(lambda s, lender=lender, to=to, classes=classes: s.add(Delegation(
            id=new_id("dlg"), lender=lender, person=to, group_name="finance", servers=[], classes=classes, up_to=None,
            since=clock.now, until=clock.now + timedelta(days=1), made_at=clock.now, ended_at=None, ended_by=None,
        )))
    held(house, draft(house, ada))
    look(house)
    with house.database.read() as session:
        assert session.scalars(select(Notice.whom)).all() == [cy]


def test_nor_where_another_sign_in_of_the_lender_has_a_part(house: House, service: Service, clock: Clock) -> None:
    """As the action's page has it (`seeing.speaker`): it would not be theirs to see."""
    ada, bob, cy = (person(house, name) for name in ("Ada", "Bob", "Cy"))
    channel(house, cy, service.url)

    def rows(session: Session) -> None:
        session.add(Delegation(
            id="dlg_1", lender=bob, person=cy, group_name="finance", servers=[], classes=[], up_to=None, since=clock.now,
            until=clock.now + timedelta(days=1), made_at=clock.now, ended_at=None, ended_by=None,
        ))
        session.execute(update(Person).where(Person.id == bob).values(same_as=[ada]))

    house.database.write(rows)
    held(house, draft(house, ada))
    look(house)
    assert _titles(house) == []


def test_what_was_decided_before_its_digest_is_not_in_it(house: House, service: Service, clock: Clock) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    _prefer(house, bob, digest="hourly")
    first, second, _ = _orders()
    gone = held(house, draft(house, ada, order=first))
    held(house, draft(house, ada, order=second))
    look(house)
    assert _titles(house) == []
    forge(house, gone, state="rejected")
    clock.forward(hours=1)
    look(house)
    assert _titles(house) == ["Counterseal: 1 action waits for approval"]


def test_what_lapses_soon_is_told_once_more_as_that(house: House, service: Service, clock: Clock) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    held(house, draft(house, ada))
    look(house)
    clock.forward(hours=3, minutes=45)
    look(house)
    look(house)
    assert _titles(house) == ["Counterseal: 1 action waits for approval", "Counterseal: 1 action lapses soon, undecided"]


def test_the_owner_is_told_of_an_uncertain_outcome_and_of_an_end_only_where_they_want_it(
    house: House, service: Service, clock: Clock
) -> None:
    ada = person(house, "Ada")
    channel(house, ada, service.url)
    action = held(house, draft(house, ada))
    look(house)
    for state in ("uncertain", "done"):
        clock.forward(seconds=1)
        forge(house, action, state=state, changed_at=clock.now)
        look(house)
    assert _titles(house) == ["Counterseal: 1 action has an uncertain outcome"]
    _prefer(house, ada, kinds=["outcome"])
    clock.forward(seconds=1)
    other = held(house, draft(house, ada, order={**ORDER, "reference": "other"}))
    forge(house, other, state="failed", changed_at=clock.now)
    look(house)
    assert _titles(house)[1:] == ["Counterseal: 1 action of your agents has ended"]


def test_a_service_that_is_away_is_tried_again_ever_more_seldom_and_then_given_up(
    house: House, service: Service, clock: Clock
) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    made = channel(house, bob, service.url)
    held(house, draft(house, ada))
    look(house)
    service.status = 503
    assert send_all(house)[0] - clock.now == timedelta(seconds=30)
    assert send_all(house)[0] - clock.now == timedelta(seconds=30)  # not before that, whoever asks
    clock.forward(seconds=30)
    assert send_all(house)[0] - clock.now == timedelta(seconds=60)
    with house.database.read() as session:
        row = session.get(Channel, made)
        assert row is not None
        assert "503" in row.failure
    clock.forward(days=2)
    assert send_all(house) == [None]
    assert len(service.got) == 2
    with house.database.read() as session:
        assert session.scalars(select(Delivery.state)).all() == ["given_up"]


def test_a_channel_that_fails_rests_whatever_else_is_to_be_told_there(house: House, service: Service, clock: Clock) -> None:
    """Attack: a service that never answers and a message for each of one's own calls would take every seat of the worker."""
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    made = channel(house, bob, service.url)
    service.status = 503
    for number in range(3):
        clock.forward(seconds=1)
        held(house, draft(house, ada, order={**ORDER, "reference": f"RE-{number}"}))
        look(house)
        send_all(house)
    assert len(service.got) == 1
    clock.forward(seconds=30)
    service.status = 200
    assert send_all(house) == [None] * 3
    assert len(service.got) == 4
    with house.database.read() as session:
        row = session.get_one(Channel, made)
        assert (row.failures, row.failure) == (0, "")


def test_a_message_that_finds_no_seat_waits_and_nothing_is_noted_against_its_channel(
    house: House, service: Service, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    made = channel(house, bob, service.url)
    held(house, draft(house, ada))
    look(house)
    monkeypatch.setattr(outward, "_messages", threading.BoundedSemaphore(1))
    outward._messages.acquire()
    assert send_all(house) == [clock.now + timedelta(seconds=jobs.BUSY)]
    outward._messages.release()
    assert send_all(house) == [None]
    with house.database.read() as session:
        assert session.get_one(Channel, made).failed_at is None


def test_the_pause_between_tries_has_a_cap() -> None:
    assert [jobs.pause(tries, 3600).total_seconds() for tries in (0, 1, 5, 7, 500)] == [30, 60, 960, 3600, 3600]


def test_a_worker_that_died_after_sending_tries_once_more_and_one_that_did_not_does_not(house: House, service: Service) -> None:
    """At least once; and each message is settled once."""
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    held(house, draft(house, ada))
    look(house)
    row = due(house, "notices.send")[0]
    jobs.send(house, row)
    jobs.send(house, row)
    assert len(service.got) == 1
    house.database.write(lambda s: s.execute(update(Delivery).values(state="waiting")))
    jobs.send(house, row)
    assert len(service.got) == 2


def test_quiet_hours_in_a_persons_own_zone_keep_a_message_until_they_end(house: House, service: Service, clock: Clock) -> None:
    """Stored for two people in the same words: for whom it is another time of day, it is not quiet. What would lapse before the
    end is told at once."""
    zone, zones = ZoneInfo("Asia/Kathmandu"), {"Bob": "Asia/Kathmandu", "Cy": "UTC"}
    ada, bob, cy = person(house, "Ada"), *(person(house, name, ["finance"], zones[name]) for name in zones)
    clock.now = clock.now.replace(minute=7, second=0, microsecond=0)
    here = clock.now.astimezone(zone)
    quarter = (here.hour * 60 + here.minute) // 15 * 15
    end = clock.now - timedelta(minutes=here.minute % 15) + timedelta(hours=2)
    for one in (bob, cy):
        channel(house, one, service.url)
        _prefer(house, one, quiet_first=(quarter - 60) % DAY, quiet_last=(quarter + 120) % DAY)
    first, second, third = _orders()
    held(house, draft(house, ada, order=first))
    look(house)
    assert _told(house) == [(cy, "sent")]
    clock.forward(seconds=1)
    held(house, draft(house, ada, order=second), within=3600)
    look(house)
    assert set(_told(house)[1:]) == {(bob, "sent"), (cy, "sent")}
    clock.now = end - timedelta(seconds=1)
    look(house)
    assert _told(house)[3:] == []
    clock.now = end
    look(house)
    assert _told(house)[3:] == [(bob, "sent")]
    assert _titles(house)[-1] == "Counterseal: 1 action waits for approval"
    clock.forward(seconds=1)
    held(house, draft(house, ada, order=third))
    look(house)
    assert set(_told(house)[4:]) == {(bob, "sent"), (cy, "sent")}
    assert len(service.got) == 6


def _told(house: House) -> list[tuple[str, str]]:
    """Whom each message went to, after every one was tried."""
    send_all(house)
    with house.database.read() as session:
        found = select(Channel.whom, Delivery.state).join(Channel, Channel.id == Delivery.channel)
        return [(whom, state) for whom, state in session.execute(found.order_by(Delivery.made_at, Channel.whom))]


def _logged(house: House) -> list[tuple[str, str, dict[str, object]]]:
    with house.database.read() as session:
        found = session.scalars(select(Entry).where(Entry.kind == "action.told").order_by(Entry.id)).all()
        return [(one.subject, one.actor, json.loads(one.body)["detail"]) for one in found]


def test_the_first_message_that_is_taken_is_in_the_actions_history_and_nothing_of_whom_it_told(
    house: House, service: Service, clock: Clock
) -> None:
    """Once, when a service took it: not when it was made, nor by each channel, nor again before it lapses. What was not told is
    not there, and an outcome that is told is no message to those who may decide."""
    ada, bob, cy = person(house, "Ada"), person(house, "Bob", ["finance"]), person(house, "Cy", ["finance"])
    first, second, _ = _orders()
    one = held(house, draft(house, ada, order=first))
    for whom in (ada, bob, cy):
        channel(house, whom, service.url)
    look(house)
    service.status = 503
    send_all(house)
    assert _logged(house) == []
    clock.forward(minutes=1)
    service.status = 200
    send_all(house)
    assert _logged(house) == [(one, "system", {})]
    clock.forward(hours=3, minutes=45)
    look(house)
    _prefer(house, bob, kinds=[])
    _prefer(house, cy, kinds=[])
    other = held(house, draft(house, ada, order=second))
    look(house)
    forge(house, other, state="uncertain", changed_at=clock.now)
    look(house)
    send_all(house)
    assert _titles(house)[-1] == "Counterseal: 1 action has an uncertain outcome"
    assert _logged(house) == [(one, "system", {})]


@pytest.mark.both
def test_of_two_messages_taken_at_once_one_is_the_first(house: House, service: Service) -> None:
    ada, bob, cy = person(house, "Ada"), person(house, "Bob", ["finance"]), person(house, "Cy", ["finance"])
    for whom in (bob, cy):
        channel(house, whom, service.url)
    actions = {held(house, draft(house, ada, order=order)) for order in _orders()}
    look(house)
    threads = [threading.Thread(target=jobs.send, args=(house, row)) for row in due(house, "notices.send")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with house.database.read() as session:
        assert session.scalars(select(Delivery.state)).all() == ["sent", "sent"]
    told = [subject for subject, _, _ in _logged(house)]
    assert (set(told), len(told)) == (actions, 3)


@pytest.mark.both
def test_two_looks_at_once_make_each_notice_and_each_message_once(house: House, service: Service) -> None:
    """Of two workers one waits for the other."""
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    held(house, draft(house, ada))
    row = due(house, "notices.look")[0]
    threads = [threading.Thread(target=jobs.look, args=(house, row)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with house.database.read() as session:
        assert len(session.scalars(select(Notice.id)).all()) == 1
        assert len(session.scalars(select(Delivery.id)).all()) == 1


def test_somebody_who_is_suspended_is_told_nothing(house: House, service: Service) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == bob).values(suspended="inc_1")))
    held(house, draft(house, ada))
    look(house)
    assert _titles(house) == []


def test_nor_what_was_made_before_they_were(house: House, service: Service) -> None:
    """What waits to be sent may go to whoever took their sign-in over."""
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    channel(house, bob, service.url)
    held(house, draft(house, ada))
    look(house)
    assert len(_titles(house)) == 1
    house.database.write(lambda s: suspension.suspend(s, bob, "inc_1"))
    assert send_all(house) == [None]
    house.database.write(lambda s: suspension.lift(s, bob, "inc_1"))
    assert send_all(house) == [None]
    assert service.got == []
    with house.database.read() as session:
        assert session.scalars(select(Delivery.state)).all() == ["given_up"]
