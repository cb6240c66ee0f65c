"""The lists' pages over HTTP: several rejected at once, put off, kept, exported, and an action's life."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace

import pytest
from sqlalchemy import select

from tests.app_parts import hidden
from tests.clock import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.desk.parts import put, row
from tests.webapp.approvals.parts import CONFIRM, ORDER, Server, action, decide, draft, forge, held
from tests.webapp.notices.parts import Service, channel, look, send_all
from webapp.approvals import execution, seen
from webapp.approvals.tables import Decision
from webapp.audit.tables import Entry
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def several(house: House, person: str, many: int = 3) -> list[str]:
    return [held(house, draft(house, person, order=ORDER | {"amount": f"{number + 2}.00"})) for number in range(many)]


def kinds(house: House, subject: str) -> list[str]:
    with house.database.read() as session:
        return list(session.scalars(select(Entry.kind).where(Entry.subject == subject).order_by(Entry.id)))


def picks(page: str) -> list[str]:
    return re.findall(r'name="pick" value="(act_\w+ [0-9a-f]{64})"', page)


def test_each_of_several_gets_a_signed_rejection_of_its_own_and_what_fails_is_said(
    house: House, someone: Enrol, server: Server
) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    one, two, gone = several(house, ada.person)
    own = held(house, draft(house, bob.person, order=ORDER | {"amount": "9.00"}))
    asked = bob.send("/actions/reject/ask", pick=[one, two, gone, own, "act_none", "x' OR 1=1"], here="tab=me")
    assert (asked.status_code, len(picks(asked.text))) == (200, 4)
    assert "Why not?" in asked.text
    nothing = bob.send("/actions/reject/all", pick=picks(asked.text), reason="  ")
    assert (nothing.status_code, len(picks(nothing.text))) == (400, 4)
    assert {action(house, each).state for each in (one, two, gone, own)} == {"held"}
    ada.send(f"/actions/{gone}/withdraw")
    forged = [pick.replace(pick[-4:], "0000") if pick.startswith(two) else pick for pick in picks(asked.text)]
    done = bob.send("/actions/reject/all", pick=forged, reason="Not these.", here="tab=me").text
    assert "1 of 4 are rejected" in done
    assert {each: action(house, each).state for each in (one, two, gone, own)} == {
        one: "rejected", two: "held", gone: "withdrawn", own: "held"}
    assert done.count("Not rejected") == 3
    assert "has changed since" in done
    with house.database.read() as session:
        signed = session.scalars(select(Decision).where(Decision.verdict == "reject")).all()
    assert [(each.action, each.person, bool(each.signature)) for each in signed] == [(one, bob.person, True)]
    assert action(house, one).reason == "Not these."
    assert "Tick at least one" in bob.get(bob.send("/actions/reject/ask", here="").headers["Location"]).text


def test_nobody_rejects_several_of_what_is_not_theirs(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    eve, _ = someone("eve")
    ids = several(house, ada.person)
    digests = [f"{each} {action(house, each).digest}" for each in ids]
    assert picks(eve.send("/actions/reject/ask", pick=ids).text) == []
    answer = eve.send("/actions/reject/all", pick=digests, reason="Mine.")
    assert not any(each in answer.text for each in ids)
    mine = ada.send("/actions/reject/all", pick=digests, reason="Mine.").text
    assert mine.count("Not rejected") == 3
    assert {action(house, each).state for each in ids} == {"held"}
    eve.send("/actions/snooze", pick=ids, until="1h")
    assert "waits for you any more" in eve.get("/actions").text
    assert all("action.snoozed" not in kinds(house, each) for each in ids)


WORST_FIRST = ("destroy", "money lookalike", "money unreadable", "money", "send", "write")


def test_what_is_graver_and_cannot_be_taken_back_comes_first_whenever_it_came(
    house: House, someone: Enrol, server: Server
) -> None:
    """Held with the mildest first and once more with the gravest first; what is milder lapses sooner."""
    ada, bob = someone("ada")[0], someone("bob", ["finance"])[0]
    kind: dict[str, str] = {}
    for number, one in enumerate((*reversed(WORST_FIRST), *WORST_FIRST)):
        cls, sign = (*one.split(), "")[:2]
        order = ORDER | {"reference": f"RE-{number}", "amount": "all of it" if sign == "unreadable" else "480.00"}
        made = draft(house, ada.person, order=order)
        used = made.facts["usage"] | ({"lookalike_of": "Nordlicht Energie GmbH"} if sign == "lookalike" else {})
        made = replace(made, tool={**made.tool, "cls": cls}, facts={**made.facts, "usage": used})
        kind[held(house, made, within=3600 * (len(WORST_FIRST) - WORST_FIRST.index(one)))] = one
    listed = [kind[one] for one in re.findall(r'id="row-(act_\w+)"', bob.get("/actions").text)]
    assert sorted(listed[2:6]) == sorted(WORST_FIRST[1:3] * 2), "both are what deceives or cannot be read"
    assert listed[:2] + listed[6:] == [one for one in ("destroy", *WORST_FIRST[3:]) for _ in range(2)]


def test_of_one_class_what_is_many_times_the_usual_comes_first_then_what_nobody_knows_then_the_usual(
    house: House, someone: Enrol, server: Server
) -> None:
    """Ada paid 480.00 three times; of Zoe nothing is known. What is milder lapses sooner."""
    ada, zoe, bob = someone("ada")[0], someone("zoe")[0], someone("bob", ["finance"])[0]

    def ask(person: str, amount: str, hours: int) -> str:
        order = ORDER | {"amount": amount, "reference": f"RE-{hours}"}
        return held(house, draft(house, person, order=order, grant=f"grt_{person}"), within=3600 * hours)

    for number in range(3):
        forge(house, ask(ada.person, "480.00", 20 + number), state="done")
    expected = [
        ask(ada.person, "4800.00", 9), ask(ada.person, "1500.00", 8), ask(zoe.person, "9000.00", 7), ask(zoe.person, "70.00", 6),
        ask(ada.person, "1200.00", 5), ask(ada.person, "480.00", 3), ask(ada.person, "400.00", 4), ask(ada.person, "1.00", 1),
    ]
    listed = re.findall(r'id="row-(act_\w+)"', bob.get("/actions").text)
    assert listed[:5] + listed[7:] == expected[:5] + expected[7:]
    assert listed[5:7] == expected[5:7], "of about the same size what lapses first"


def test_what_is_put_off_is_said_wherever_all_clear_would_be(
    house: House, someone: Enrol, server: Server, clock: Clock
) -> None:
    ada, _ = someone("ada")
    one = held(house, draft(house, ada.person), CONFIRM)
    assert "waiting for you" in ada.get("/actions").text
    back = ada.send("/actions/snooze", pick=one, until="15m", here="tab=me")
    assert back.headers["Location"] == "/actions"
    page = ada.get("/actions").text
    assert "comes back by itself" in page
    assert "Nothing else waits for you" in page
    assert re.search(r'Snoozed <span class="num">1<', page)
    start = ada.get("/").text
    assert "All clear" not in start
    assert "Snoozed (1)" in start
    assert 'class="count' not in start
    assert one in ada.get("/actions?tab=snoozed").text
    assert kinds(house, one)[-1] == "action.snoozed"
    clock.forward(minutes=15)
    assert one in ada.get("/actions").text
    assert "All clear" not in ada.get("/").text
    ada.send("/actions/snooze", pick=one, until="1h")
    ada.send("/actions/wake", pick=one, here="tab=snoozed")
    assert one in ada.get("/actions").text
    assert ada.send("/actions/snooze", pick=one, until="for ever").status_code == 303
    assert one in ada.get("/actions").text


def test_an_address_names_a_list_and_a_form_leads_nowhere_else(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    one = held(house, draft(house, ada.person), CONFIRM)
    assert one in ada.get("/actions?q=nordlicht").text
    missed = ada.get("/actions?q=atelier").text
    assert one not in missed
    assert "1 action waits for you that does not match" in missed
    assert "Nothing waits for you" not in missed
    wrong = ada.get("/actions?low=1,000&q=nordlicht")
    assert (wrong.status_code, "1000.50" in wrong.text, 'value="1,000"' in wrong.text) == (400, True, True)
    assert ada.get("/actions/export.csv?low=1,000").status_code == 400
    assert ada.get("/actions?tab=nothing").status_code == 400
    for evil in ("//evil.example", "tab=me&next=https://evil.example", "\x00", "tab=" + "x" * 3000):
        assert ada.send("/views", name="", here=evil).headers["Location"].startswith("/actions")
    ada.send("/views", name="<b>Big</b>", here="tab=mine&low=100")
    page = ada.get("/actions").text
    assert "&lt;b&gt;Big&lt;/b&gt;" in page
    assert "/actions?tab=mine&amp;low=100" in page
    view = re.search(r"/views/(viw_\w+)/rename", page)
    assert view
    eve, _ = someone("eve")
    assert eve.send(f"/views/{view[1]}/delete").status_code == 404
    ada.send(f"/views/{view[1]}/rename", name="Big")
    assert ">Big</a>" in ada.get("/actions").text
    ada.send(f"/views/{view[1]}/delete")
    assert ">Big</a>" not in ada.get("/actions").text


def test_an_export_is_recorded_and_has_what_the_person_may_see_as_text(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    now = house.clock()
    evil, other = put(house.database, [
        row(now, named='=HYPERLINK("http://evil.example")', client_name="@agent", person=ada.person), row(now, amount_minor=1),
    ])
    secret = put(house.database, [row(now)], group="board")[0]
    answer = bob.get("/actions/export.csv?low=100")
    assert answer.content_type.startswith("text/csv")
    assert "attachment" in answer.headers["Content-Disposition"]
    (found,) = csv.DictReader(io.StringIO(answer.get_data(as_text=True), newline=""))
    assert (found["id"], found["amount"], found["currency"]) == (evil, "480.00", "EUR")
    assert found["recipient_called"] == "'=HYPERLINK(\"http://evil.example\")"
    assert found["agent"] == "'@agent"
    assert found["asked_for"] == "Ada"
    assert found["receipt"].endswith(f"/actions/{evil}/receipt")
    made = json.loads(bob.get("/actions/export.json").get_data())
    assert {each["id"] for each in made["actions"]} == {evil, other}
    assert made["complete"] is True
    assert secret not in bob.get("/actions/export.csv?tab=others").get_data(as_text=True)
    assert json.loads(ada.get("/actions/export.json?tab=all").get_data())["actions"] == []
    assert kinds(house, bob.person).count("actions.exported") == 3


def test_an_actions_life_is_told_to_those_who_may_see_it(
    house: House, someone: Enrol, server: Server, clock: Clock, service: Service
) -> None:
    """From the message that went out, by way of who saw and opened it, to what was decided and what it did."""
    ada, _ = someone("ada")
    bob, key = someone("bob", ["finance"])
    eve, _ = someone("eve")
    for _ in range(2):
        channel(house, bob.person, service.url)
    one = held(house, draft(house, ada.person))
    clock.forward(minutes=1)
    look(house)
    assert send_all(house) == [None, None]
    clock.forward(minutes=1)
    bob.get("/actions")
    clock.forward(minutes=1)
    bob.get(f"/actions/{one}")
    clock.forward(minutes=1)
    bob.get(f"/actions/{one}")
    decide(bob, key, one)
    clock.forward(minutes=1)
    execution.run(house, one, server, lambda *_: None)
    with house.database.read() as session:
        marks = seen.first(session, one)
    assert [mark.person for mark in marks] == [bob.person]
    assert marks[0].opened_at is not None
    assert marks[0].listed_at is not None
    assert (marks[0].opened_at - marks[0].listed_at).total_seconds() == 60
    text = " ".join(re.sub(r"<[^>]+>|\s+", " ", ada.get(f"/actions/{one}/life").text).split())
    order = ("Held, and put before", "Sent: the first message", "Listed for Bob", "Opened by Bob", "Approved by passkey",
             "Everything that it needs", "Under way: sent once", "Done")
    assert sorted(order, key=text.find) == list(order), text
    assert [text.count(words) for words in order] == [1] * len(order), text
    assert "Everything that happened to it" in bob.get(f"/actions/{one}").text
    assert eve.get(f"/actions/{one}/life").status_code == 404


def test_an_open_list_says_how_many_are_new_and_greys_what_ended(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    one, two, three = several(house, ada.person)
    shown = hidden(bob.get("/actions"), "shown")
    assert sorted(shown.split(",")) == sorted([one, two, three])
    forge(house, two, state="withdrawn", ended_at=house.clock())
    held(house, draft(house, ada.person, order=ORDER | {"amount": "77.00"}))
    page = bob.get(f"/actions/rows?tab=me&shown={shown}").text
    assert "1 new: show it" in page
    assert re.findall(r'<li id="row-(act_\w+)"', page) == shown.split(",")
    assert re.findall(r'<li id="row-(act_\w+)" class="gone', page) == [two]
    assert "3 actions wait for you" in page
    assert "1 new" not in bob.get("/actions/rows?tab=me").text
