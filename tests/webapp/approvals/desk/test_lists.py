"""Lists on both databases: order, narrowing, what stays in place on an open page, and counts that are true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.clock import Clock
from tests.webapp.approvals.desk.parts import looker, put, row
from vault.door import Delegation
from webapp import audit
from webapp.approvals import queue, usage
from webapp.approvals.desk import export, filters, life, listing, saved, snoozing
from webapp.approvals.desk.filters import Filter
from webapp.approvals.desk.tables import Snooze
from webapp.approvals.queue import Tab
from webapp.approvals.tables import Action
from webapp.config import Settings
from webapp.db import Database
from webapp.errors import Conflict, LimitReached, Missing
from webapp.web.house import House
from webapp.web.viewer import Viewer

BOB = looker("per_bob", ["finance"])


def ids(database: Database, clock: Clock, tab: Tab = "me", limit: int = 50, after: str | None = None, **asked: str) -> list[str]:
    return [one.id for one in shown(database, clock, tab, limit, after, asked=asked).listing.rows]


def shown(
    database: Database, clock: Clock, tab: Tab = "me", limit: int = 50, after: str | None = None, before: tuple[str, ...] = (),
    viewer: Viewer = BOB, asked: Mapping[str, str] | None = None,
) -> listing.Shown:
    with database.read() as session:
        return listing.listed(
            session, viewer, tab, filters.read(asked or {}), clock(), limit=limit, after=after, before=before)


def end(database: Database, action: str, **values: Any) -> None:
    database.write(lambda s: s.execute(update(Action).where(Action.id == action).values(**{"state": "done", **values})))


def counts(database: Database, clock: Clock, viewer: Viewer = BOB) -> tuple[int, int]:
    with database.read() as session:
        found = listing.counts(session, viewer, clock())
        return found.waiting, found.snoozed


def test_what_could_go_most_wrong_comes_first_then_what_lapses_first(database: Database, clock: Clock) -> None:
    now = clock()
    late, soon, worst = put(database, [
        row(now, rank=3), row(now, rank=3, expires_at=now + timedelta(hours=1)),
        row(now, rank=0, expires_at=now + timedelta(days=2)),
    ])
    assert ids(database, clock) == [worst, soon, late]


def test_each_filter_finds_its_own_and_nothing_else(database: Database, clock: Clock) -> None:
    now = clock()
    plain, yen, mail, old = put(database, [
        row(now), row(now, amount_minor=5000, currency="JPY", named="", recipient="高橋 100%_off", flags=["new"], tool="pay"),
        row(now, cls="send", server="post", server_title="Änderungs-Post", client_name="Build Bot", amount_minor=None,
            currency=None, named="", recipient="ada@example.test", expires_at=now + timedelta(minutes=30)),
        row(now, state="done", amount_minor=99_99, ended_at=now),
    ])
    put(database, [row(now, person="per_bob")])  # his own: never his to approve
    for asked, wanted in [
        ({"q": "nordlicht"}, {plain}), ({"q": "de893704"}, {plain, }), ({"q": "100%_"}, {yen}), ({"q": "%"}, {yen}),
        ({"q": "bot ada@"}, {mail}), ({"q": "ÄNDERUNGS"}, {mail}), ({"q": plain[-9:]}, {plain}), ({"q": "nothing"}, set()),
        ({"server": "Harbour bank"}, {plain, yen}), ({"agent": "build bot"}, {mail}), ({"cls": "send"}, {mail}),
        ({"low": "481"}, {yen}), ({"high": "480"}, {plain}), ({"low": "480", "high": "480.00"}, {plain}),
        ({"low": "5000"}, {yen}), ({"currency": "jpy"}, {yen}), ({"first": "1"}, {yen}), ({"expiring": "1"}, {mail}),
        ({"group": "finance"}, {plain, yen, mail}), ({"group": "board"}, set()), ({"q": "') OR 1=1 --"}, set()),
    ]:
        assert {one.id for one in shown(database, clock, asked=asked).listing.rows} == wanted, asked
    assert ids(database, clock, "all", state="done") == [old]
    assert ids(database, clock, "all", state="rejected") == []


def test_a_search_looks_back_a_window_at_a_time_and_finds_all_in_the_end(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "WINDOW", 10)
    now = clock()
    all_of_them = put(database, [
        row(now, state="done", named="Solo" if number in (2, 13) else "Common", ended_at=now) for number in range(35)
    ])
    found: list[str] = []
    pages: list[str] = []
    after: str | None = None
    looks = 0
    while looks == 0 or after:
        part = shown(database, clock, "all", after=after, asked={"q": "solo"}).listing
        found, after, looks = [*found, *(one.id for one in part.rows)], part.more, looks + 1
        assert part.looked_back == (after is not None)
    assert (found, looks) == ([all_of_them[13], all_of_them[2]], 4)
    after = None
    while not pages or after:
        part = shown(database, clock, "all", 4, after, asked={"q": "common"}).listing
        pages, after = [*pages, *(one.id for one in part.rows)], part.more
    assert pages == [one for at, one in reversed(list(enumerate(all_of_them))) if at not in (2, 13)]


def test_an_export_looks_back_a_window_at_a_time_and_has_all_in_the_end(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "WINDOW", 10)
    monkeypatch.setattr(export, "PIECE", 3)
    now, house = clock(), House(Settings(public_url="https://counterseal.test"), database, cast(Any, None), clock)
    all_of_them = put(database, [
        row(now, state="done", named="Solo" if number in (2, 13) else "Common", ended_at=now) for number in range(35)
    ])
    for word, wanted in (("solo", {2, 13}), ("common", set(range(35)) - {2, 13})):
        pieces = export.pieces(house, BOB, "all", filters.read({"q": word}))
        assert [one["id"] for piece in pieces for one in piece] == [all_of_them[at] for at in sorted(wanted, reverse=True)]


def test_a_delegate_is_listed_nothing_above_what_the_delegation_is_for(database: Database, clock: Clock) -> None:
    """Its page would not be there: the bound is in the delegation, and the page asks the document."""
    now = clock()
    small, large, unread, told = put(database, [row(now), row(now), row(now), row(now, flags=["reported"])])
    for action, minor in ((small, 500_00), (large, 500_01), (unread, None), (told, 1)):
        call = usage.Call("per_ada", None, "cli_1", "bank", "send_payment", None, "", base_minor=minor)
        database.write(lambda s, call=call, action=action: usage.reserve(s, call, action, now))  # type: ignore[misc]
    lent = Delegation("per_bob", "per_dan", "finance", (), (), 500_00, now, now + timedelta(days=1), "dlg_1")
    dan = replace(looker("per_dan"), lent=(lent,))
    assert [one.id for one in shown(database, clock, viewer=dan).listing.rows] == [small]
    boundless = replace(dan, lent=(replace(lent, up_to=None),))
    assert {one.id for one in shown(database, clock, viewer=boundless).listing.rows} == {small, large, unread, told}


def test_what_somebody_does_again_and_again_pushes_nothing_out_of_an_actions_life(database: Database, clock: Clock) -> None:
    (one,) = put(database, [row(clock())])

    def told(session: Session) -> None:
        for kind in ("held", *["claimed", "released"] * life.MOST, "decided", "done"):
            audit.append(session, kind=f"action.{kind}", actor="person:per_bob", subject=one, at=clock(), detail={})

    database.write(told)
    with database.read() as session:
        events = [event.what for event in life.of(session, one, "per_bob")]
    assert (events[0], events[-2:], len(events)) == (life.WORDS["held"], ["Decided", "Done"], 3 + life.NOISES)


def test_an_open_page_keeps_every_row_where_it_is(database: Database, clock: Clock) -> None:
    """New ones are counted and not shown; what ended is grey in its place; what others pushed off the page is not."""
    now = clock()
    first, second, third = put(database, [row(now, rank=1), row(now, rank=2), row(now, rank=3)])
    before = (first, second, third)
    put(database, [row(now, rank=0)])
    end(database, second)
    again = shown(database, clock, before=before)
    assert [one.id for one in again.listing.rows] == list(before)
    assert (set(again.ended), again.fresh) == ({second}, 1)
    pushed = shown(database, clock, limit=1, before=before)
    assert ([one.id for one in pushed.listing.rows], set(pushed.ended), pushed.listing.cut) == (list(before), {second}, True)
    assert shown(database, clock, before=()).fresh == 0


def test_an_open_page_is_told_nothing_of_what_is_not_its_persons_to_see(database: Database, clock: Clock) -> None:
    secret = put(database, [row(clock())], group="board")[0]
    found = shown(database, clock, before=(secret,))
    assert (found.listing.rows, found.ended) == ([], frozenset())
    waits = put(database, [row(clock())])
    assert [one.id for one in shown(database, clock, before=(secret,)).listing.rows] == waits, "not all clear"


def test_what_is_put_off_leaves_comes_back_and_is_always_counted(database: Database, clock: Clock) -> None:
    now = clock()
    one, two, lapsing = put(database, [row(now), row(now), row(now, expires_at=now + timedelta(minutes=15, seconds=30))])

    def put_off(choice: str) -> list[snoozing.PutOff]:
        def work(session: Any) -> list[snoozing.PutOff]:
            return snoozing.put_off(session, BOB, [session.get(Action, each) for each in (one, lapsing)], choice, clock())
        return database.write(work)

    assert [done.until for done in put_off("1h")] == [now + timedelta(hours=1), None]
    assert (set(ids(database, clock)), ids(database, clock, "snoozed")) == ({two, lapsing}, [one])
    assert counts(database, clock) == (2, 1)
    cleo = looker("per_cleo", ["finance"])
    assert counts(database, clock, cleo) == (3, 0), "it waits for others as before"
    clock.forward(minutes=59)
    assert one in ids(database, clock, "snoozed")
    clock.forward(minutes=1)
    assert (set(ids(database, clock)), ids(database, clock, "snoozed")) == ({one, two}, [])
    assert counts(database, clock) == (2, 0)
    changed = database.write(lambda s: snoozing._wake(s, f"per_bob {one}", clock()))
    assert changed is None
    with database.read() as session:
        assert session.get(Snooze, (one, "per_bob")) is None
        assert queue.version(session) == clock().isoformat()


def test_views_are_ones_own_bounded_and_of_one_name_each(database: Database, clock: Clock) -> None:
    def work(act: Any, *given: Any) -> Any:
        return database.write(lambda s: act(s, *given, clock()))

    kept = work(saved.add, "per_bob", "  Large   ones ", "me", Filter(low="1000"))
    assert (kept.name, kept.query) == ("Large ones", "low=1000")
    with pytest.raises(Conflict):
        work(saved.add, "per_bob", "Large ones", "mine", Filter())
    work(saved.add, "per_eve", "Large ones", "me", Filter())
    for act, given in ((saved.rename, ("per_eve", kept.id, "Mine now")), (saved.remove, ("per_eve", kept.id))):
        with pytest.raises(Missing):
            work(act, *given)
    work(saved.rename, "per_bob", kept.id, "Über 1.000")
    for number in range(saved.MOST - 1):
        work(saved.add, "per_bob", f"View {number}", "all", Filter(state="done"))
    with pytest.raises(LimitReached):
        work(saved.add, "per_bob", "One more", "me", Filter())
    with pytest.raises(Conflict):
        work(saved.rename, "per_bob", kept.id, "View 1")
    work(saved.remove, "per_bob", kept.id)
    with database.read() as session:
        assert kept.id not in [one.id for one in saved.of(session, "per_bob")]
        assert len(saved.of(session, "per_eve")) == 1
