"""An approved decoy never runs, by any path; nothing tells it before somebody gave a word on it, and then it tells at once."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import inspect, select

from tests.app_parts import hidden
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, TWO, Server, action, decide, draft, forge, options, reject, verdict
from tests.webapp.approvals.test_standing_in import WHY, lend, own
from tests.webapp.approvals.test_standing_in import house as own_house
from vault.errors import KeeperError
from vault.evidence import Envelope
from webapp.approvals import execution, hold, jobs
from webapp.approvals.decoys import telling
from webapp.approvals.decoys.jobs import work
from webapp.approvals.outcome import Editor, Handed
from webapp.approvals.pace.tables import Look, Report
from webapp.approvals.payloads import for_holding
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action
from webapp.audit import sequence
from webapp.audit.tables import Entry
from webapp.config_approvals import Decoys
from webapp.db.due import Due
from webapp.errors import Conflict
from webapp.incidents.tables import Incident
from webapp.insights.gathering import gather
from webapp.insights.tables import Paced, RuleSpoke
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
house = own_house
PAGES = ("/", "/actions", "/history", "/actions/export.csv?tab=me", "/actions/export.json?tab=others")


@pytest.fixture
def crew(house: House) -> str:
    house.settings.approvals.decoys = Decoys(per_week=7, groups=["finance"])
    house.settings.approvals.quick_row = 0
    return "finance"


def put(house: House, *, decoy: bool = True, needs: Any = APPROVE, undo: int = 0, number: int = 1, runs: str = "return") -> str:
    """Held for nobody's agent, or for one whom no test signs in."""
    key, made = for_holding(house, decoy=decoy), draft(house, "per_nobody", grant=f"grt_{number}", runs=runs)
    asked = replace(verdict(needs), undo=undo)
    return house.database.write(lambda s: hold(
        s, draft=made, verdict=asked, sealer=key, settings=house.settings.approvals, now=house.clock(),
    )).action_id


def kinds(house: House, subject: str) -> list[str]:
    with house.database.read() as session:
        return list(session.scalars(select(Entry.kind).where(Entry.subject == subject)))


def rows(house: House, table: Any) -> int:
    with house.database.read() as session:
        return len(session.scalars(select(table)).all())


def over(house: House, server: Server, action_id: str) -> None:
    """Told, and nothing ran nor runs."""
    row = action(house, action_id)
    assert (row.state, row.mark) == ("withdrawn", "decoy")
    assert kinds(house, action_id).count("action.decoy") == 1
    with pytest.raises(Conflict):
        execution.run(house, action_id, server, server.recheck)
    assert server.calls == []


def test_who_lets_one_pass_is_told_at_once_and_nothing_runs(house: House, crew: str, server: Server, someone: Enrol) -> None:
    (bob, key), one = someone("bob", groups=[crew]), put(house)
    assert decide(bob, key, one).status_code == 303
    over(house, server, one)
    page = " ".join(bob.get(f"/actions/{one}").text.split())
    assert "A decoy: no agent asked for this" in page
    assert "it was missed." in page
    assert rows(house, Look) == 1
    with house.database.read() as session:
        assert session.scalars(select(Look.verdict)).one() == "", "it is in no figure of how people decide"


def test_who_says_no_is_told_at_once(house: House, crew: str, server: Server, someone: Enrol) -> None:
    bob, one = someone("bob", groups=[crew])[0], put(house)
    assert reject(bob, one).status_code == 303
    over(house, server, one)
    assert "it was caught." in bob.get(f"/actions/{one}").text


def test_the_first_of_two_who_are_asked_is_told(house: House, crew: str, server: Server, someone: Enrol) -> None:
    (bob, key), (eve, eve_key), one = someone("bob", groups=[crew]), someone("eve", groups=[crew]), put(house, needs=TWO)
    page = eve.get(f"/actions/{one}")
    decide(bob, key, one)
    over(house, server, one)
    late = eve.send(f"/actions/{one}/decide", shown=hidden(page, "shown"), sealed=hidden(page, "sealed"),
                    assertion=json.dumps(eve_key.get(options(page), origin=PUBLIC_URL)))
    assert late.status_code == 409
    assert rows(house, Incident) == 0


def test_one_that_could_be_stopped_or_runs_by_itself_does_not(house: House, crew: str, server: Server, someone: Enrol) -> None:
    """The undo window, and the worker that runs what was approved."""
    bob, key = someone("bob", groups=[crew])
    for number, more in enumerate([{"undo": 30}, {"runs": "approval"}]):
        one = put(house, number=number, **more)  # type: ignore[arg-type]
        decide(bob, key, one)
        over(house, server, one)
        assert bob.send(f"/actions/{one}/undo").status_code >= 400
        jobs.run_task(house, Due(key=one), server.handed)
    with house.database.read() as session:
        assert session.scalars(select(Due.key).where(Due.kind == "approvals.run")).all() == []
    assert server.calls == []


@pytest.mark.parametrize("state", ["approved", "held"])
def test_rows_that_say_otherwise_run_nothing(
    house: House, crew: str, server: Server, someone: Enrol, clock: Clock, state: str
) -> None:
    """Attack: whoever can write to the database takes what was signed on a decoy for an approval."""
    (bob, key), one = someone("bob", groups=[crew]), put(house)
    decide(bob, key, one)
    values = {"ended_at": None, "ended_by": None, "mark": "asked", "decided_at": clock.now, "reason": ""}
    forge(house, one, state=state, run_by=clock.now + timedelta(minutes=5) if state == "approved" else None, **values)
    for _ in range(2):  # and a second time, as a retry
        with suppress(Conflict, KeeperError):
            execution.run(house, one, server, server.recheck)
    assert server.calls == []
    assert action(house, one).state not in ("done", "executing")


def test_breaking_the_glass_for_one_tells_and_opens_no_incident(
    house: House, crew: str, server: Server, someone: Enrol
) -> None:
    (root, key), one = someone("root", groups=["admin"]), put(house)
    own(house).settings = replace(own(house).settings, break_glass=frozenset({root.person}))
    page = root.get(f"/actions/{one}/alone")
    sent = {"shown": hidden(page, "shown"), "sealed": hidden(page, "sealed"),
            "assertion": json.dumps(key.get(options(page), origin=PUBLIC_URL))}
    assert root.send(f"/actions/{one}/alone", **sent, reason=WHY).status_code == 303
    over(house, server, one)
    assert rows(house, Incident) == 0
    assert "action.glass_broken" not in kinds(house, one)


def test_who_stands_in_for_another_is_told_too(house: House, crew: str, server: Server, someone: Enrol, clock: Clock) -> None:
    (fin, fin_key), (bob, key) = someone("fin", groups=[crew]), someone("bob")
    assert lend(fin, fin_key, bob, crew, clock).status_code == 303
    one = put(house)
    assert decide(bob, key, one).status_code == 303
    over(house, server, one)


def test_a_report_of_one_pauses_no_agent(house: House, crew: str, server: Server, someone: Enrol) -> None:
    bob, one = someone("bob", groups=[crew])[0], put(house)
    shown = hidden(bob.get(f"/actions/{one}"), "shown")
    assert bob.send(f"/actions/{one}/report", shown=shown, preset="", reason="This is fraud.").status_code == 303
    over(house, server, one)
    assert rows(house, Report) == 0


def test_several_at_once_are_each_told(house: House, crew: str, server: Server, someone: Enrol) -> None:
    bob, one, real = someone("bob", groups=[crew])[0], put(house), put(house, decoy=False, number=2)
    picks = [f"{which} {action(house, which).digest}" for which in (one, real)]
    done = bob.send("/actions/reject/all", pick=picks, reason="Neither.", here="tab=me")
    assert done.text.count("It was a decoy") == 1
    over(house, server, one)
    assert action(house, real).state == "rejected"


def test_a_change_of_one_is_no_way_to_a_call_that_runs(
    app: Flask, house: House, crew: str, server: Server, someone: Enrol
) -> None:
    """Attack: an edit makes a new action, and that has a mark of its own."""

    def never(*_: Any) -> Any:
        raise AssertionError("judged")

    def schema(_session: Any, envelope: Envelope) -> dict[str, Any]:
        return {"properties": {name: {"type": "string"} for name in envelope["arguments"]}}

    app.extensions["approvals"] = Handed(server, server.recheck, Editor(schema, never))
    bob, one = someone("bob", groups=[crew])[0], put(house)
    page = bob.get(f"/actions/{one}/edit")
    sent = {"shown": hidden(page, "shown"), "a0": "48.00", "a0-given": "1", "why": "One tenth."}
    assert bob.send(f"/actions/{one}/edit", **sent).status_code == 303
    assert "A decoy: no agent asked for this" in bob.get(f"/actions/{one}").text
    over(house, server, one)
    assert rows(house, Action) == 1


def test_nothing_tells_them_apart_before(house: House, crew: str, server: Server, someone: Enrol, clock: Clock) -> None:
    """Rows, documents and pages of a decoy and of a call that was asked for say the same in every place but the values."""
    bob, root = someone("bob", groups=[crew])[0], someone("root", groups=["admin"])[0]
    one, real = put(house), put(house, decoy=False, number=2)
    rows = [action(house, which) for which in (one, real)]
    own = {"id", "digest", "changed_at", "grant_id"}
    columns = [column.key for column in inspect(Action).columns if column.key not in own]
    assert [getattr(rows[0], name) for name in columns] == [getattr(rows[1], name) for name in columns]
    assert rows[0].mark == "sealed"
    envelopes: list[Any] = [dict(open_(house, which).document.envelope) for which in (one, real)]
    assert envelopes[0].keys() == envelopes[1].keys()
    facts = [{**one["facts"], "usage": None} for one in envelopes]  # the first counts towards what the second sees of it
    assert facts[0] == facts[1]
    assert {name for name in envelopes[0] if envelopes[0][name] != envelopes[1][name]} <= {"action", "client", "mark", "facts"}
    assert kinds(house, one) == kinds(house, real)
    for who in (bob, root):
        for page in (*PAGES, f"/actions/{one}"):
            assert "decoy" not in who.get(page).text.lower(), page
    assert one in bob.get("/actions").text


def test_it_is_in_no_list_file_or_receipt_of_what_was(house: House, crew: str, server: Server, someone: Enrol) -> None:
    bob, root = someone("bob", groups=[crew])[0], someone("root", groups=["admin"])[0]
    one, real = put(house), put(house, decoy=False, number=2)
    for which in (one, real):
        reject(bob, which)
    for who in (bob, root):
        for page in ("/history", "/actions/export.csv?tab=all", "/actions/export.json?tab=all"):
            found = who.get(page)
            assert found.status_code == 200, page
            assert one not in found.text
            assert real in found.text
    assert bob.get(f"/actions/{one}/receipt").status_code == 409
    quality = " ".join(root.get("/approvals/quality").text.split())
    assert "Decoys" in quality
    assert '<td class="num">1</td><td class="num">0</td>' in quality


@pytest.mark.parametrize("decoy", [True, False])
def test_a_row_makes_no_decoy_of_what_waits(house: House, crew: str, server: Server, someone: Enrol, decoy: bool) -> None:
    """Attack: whoever can write to the database has the page say that nobody asked: somebody approves to be done with it."""
    (bob, key), one = someone("bob", groups=[crew]), put(house, decoy=decoy)
    forge(house, one, mark="decoy")
    page = bob.get(f"/actions/{one}").text
    assert "decoy" not in page.lower()
    assert "agent wants to" in page
    assert "decoy" not in bob.get(f"/actions/{one}/now").text.lower()
    assert one in bob.get("/actions").text
    assert decide(bob, key, one).status_code == 303
    assert ("A decoy: no agent asked for this" in bob.get(f"/actions/{one}").text) == decoy


@pytest.mark.parametrize("ended", ["rejected", "lapsed", "done"])
def test_nor_of_what_is_over(house: House, crew: str, server: Server, someone: Enrol, clock: Clock, ended: str) -> None:
    """By what was signed on it; the keeper's word where nobody said one."""
    (bob, key), real, one = someone("bob", groups=[crew]), put(house, decoy=False), put(house, number=2)
    for which in (real, one):
        if ended == "rejected":
            reject(bob, which)
        elif ended == "done":
            decide(bob, key, which)
    if ended == "lapsed":
        clock.forward(hours=5)
        jobs.expire(house, Due(key=real))
        jobs.expire(house, Due(key=one))
    if ended == "done":
        execution.run(house, real, server, server.recheck)
    forge(house, real, mark="decoy")
    forge(house, one, mark="asked")
    for which, decoy in ((real, False), (one, True)):
        assert ("A decoy: no agent asked for this" in bob.get(f"/actions/{which}").text) == decoy
        assert bob.get(f"/actions/{which}/receipt").status_code == (409 if decoy else 200)


def test_what_lapses_or_is_stopped_is_told_by_the_worker(
    house: House, crew: str, server: Server, someone: Enrol, clock: Clock
) -> None:
    """And is in no list before it is known."""
    root = someone("root", groups=["admin"])[0]
    one, real = put(house), put(house, decoy=False, number=2)
    clock.forward(hours=5)
    for which in (one, real):
        jobs.expire(house, Due(key=which))
    assert (action(house, one).state, action(house, one).mark) == ("expired", "sealed")
    page = root.get("/history").text
    assert one not in page
    assert real not in page
    house.settings.approvals.decoys = Decoys()
    assert work(house, Due(key="all"), server.handed) is None, "nothing is left of which it is not known"
    assert [action(house, which).mark for which in (one, real)] == ["decoy", "asked"]
    assert kinds(house, one)[-1] == "action.decoy"
    assert "action.decoy" not in kinds(house, real)
    page = root.get("/history").text
    assert one not in page
    assert real in page
    assert "One was over before anybody said a word" in root.get("/approvals/quality").text
    assert telling.reveal(house) == 0


def test_a_call_that_was_asked_for_runs_with_its_mark(house: House, crew: str, server: Server, someone: Enrol) -> None:
    (bob, key), real = someone("bob", groups=[crew]), put(house, decoy=False)
    decide(bob, key, real)
    assert action(house, real).mark == "asked"
    assert execution.run(house, real, server, server.recheck).state == "done"
    assert real in bob.get("/history").text


def test_none_carries_a_mark_where_there_are_no_decoys(house: House, server: Server) -> None:
    one = put(house, decoy=False)
    assert "mark" not in open_(house, one).document.envelope
    assert action(house, one).mark == ""




@pytest.mark.parametrize("looked", ["while it waits", "afterwards"])
def test_no_figure_of_the_insights_has_it(
    house: House, crew: str, server: Server, someone: Enrol, clock: Clock, looked: str
) -> None:
    bob = someone("bob", groups=[crew])[0]
    one, real = put(house), put(house, decoy=False, number=2)
    if looked == "while it waits":
        sequence(house)
        gather(house)
    for which in (one, real):
        reject(bob, which)
    sequence(house)
    gather(house)
    clock.forward(minutes=1)
    gather(house)
    with house.database.read() as session:
        assert session.scalars(select(Paced.action)).all() == [real]
        assert set(session.scalars(select(RuleSpoke.subject))) == {real}
