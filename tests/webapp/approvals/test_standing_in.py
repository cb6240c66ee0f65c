"""Escalation, delegation and break-glass on the pages: who is let in is the keeper's word, and a row in the database is none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, cast

import pytest
from sqlalchemy import func, select, update

from tests.app_parts import Browser, People, hidden
from tests.authenticator import Passkey
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import Server, action, decide, draft, forge, held, need, options, reject
from vault.app import table
from vault.door import Door
from vault.evidence import Need
from vault.table import Keeper
from webapp.approvals import execution, jobs
from webapp.approvals.tables import ActionGroup, Decision
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.db import Database
from webapp.db.due import Due
from webapp.incidents.tables import Incident
from webapp.people.tables import Delegation, Person
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
WHY = "The site is down and nobody of finance answers."


@dataclass(frozen=True)
class Within:
    """A keeper in this process, on the same vault: with settings of the test's own."""

    keeper: Keeper

    def ask(self, name: str, timeout: float | None = None, /, *, again: bool = False, **body: Any) -> Mapping[str, Any]:
        return json.loads(json.dumps(table()[name](self.keeper, json.loads(json.dumps(body)))))

    def close(self) -> None:
        self.keeper.vault.wire.close()


@dataclass(frozen=True, eq=False)
class OwnDoor(Door):
    keeper: Keeper | None = None

    @cached_property
    def _line(self) -> Any:
        assert self.keeper
        return Within(self.keeper)


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock) -> House:
    """The keeper's own clock is the test's, and its configuration may be changed by the test."""
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url)
    own = OwnDoor(keeper.door.socket, keeper=keeper.inside(clock))
    return House(settings, database, own, clock)


def own(house: House) -> Keeper:
    found = cast("OwnDoor", house.door).keeper
    assert found
    return found


def lend(lender: Browser, key: Passkey, to: Browser, group: str, clock: Clock, **more: str) -> Any:
    """Through the pages: fill in, look, sign."""
    until = (clock.now + timedelta(days=3)).date().isoformat()
    page = lender.send("/you/away/delegate", to=to.person, group=group, until=until, **more)
    assert page.status_code == 200, page.text
    fields = {name: hidden(page, name) for name in ("since", "servers", "up_to", "sealed", "until", "to", "group")}
    if "classes" in more:
        fields["classes"] = more["classes"]
    return lender.send("/you/away/sign", **fields, assertion=json.dumps(key.get(options(page), origin=PUBLIC_URL)))


def entries(house: House, subject: str) -> list[str]:
    with house.database.read() as session:
        return list(session.scalars(select(Entry.kind).where(Entry.subject == subject)))


def test_a_delegate_decides_in_the_lenders_place_and_the_page_says_so(
    house: House, clock: Clock, server: Server, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    ada, (fin, fin_key), (bob, bob_key) = someone("ada")[0], someone("fin", groups=[crew]), someone("bob")
    asked = [cast(Need, need(group=crew))]
    held_id = held(house, draft(house, ada.person), asked)
    assert bob.get(f"/actions/{held_id}").status_code == 404
    assert lend(fin, fin_key, bob, crew, clock).status_code == 303
    assert "Fin" in bob.get("/you/away").text
    assert held_id in bob.get("/actions").text
    assert decide(bob, bob_key, held_id).status_code == 303
    assert action(house, held_id).state == "approved"
    with house.database.read() as session:
        body = json.loads(session.scalars(select(Decision.body).where(Decision.action == held_id)).one())
        row = session.scalars(select(Delegation)).one()
    assert body["delegated"][crew]["by"] == fin.person
    assert entries(house, row.id) == ["delegation.made"]
    assert execution.run(house, held_id, server, server.recheck).state == "done"
    other = held(house, draft(house, ada.person, grant="grt_2"), asked)
    decide(bob, bob_key, other)
    assert bob.send(f"/you/away/{row.id}/end").status_code == 303  # either may end it, at once
    assert execution.run(house, other, server, server.recheck).state == "void"  # and the keeper would refuse it at the mint
    assert "in a colleague’s place, and that is over" in action(house, other).reason
    assert len(server.calls) == 1
    assert bob.get(f"/actions/{held(house, draft(house, ada.person, grant='grt_3'), asked)}").status_code == 404


def test_rows_that_delegate_do_nothing(house: House, clock: Clock, someone: Enrol, signed_in: People) -> None:
    """Attack: whoever can write to the database lends themself a group."""
    crew = f"crew-{signed_in.run}"
    ada, fin, (eve, _) = someone("ada")[0], someone("fin", groups=[crew])[0], someone("eve")
    until = clock.now + timedelta(days=9)
    house.database.write(lambda s: s.add(Delegation(
        id="dlg_forged", lender=fin.person, person=eve.person, group_name=crew, servers=[], classes=[], up_to=None,
        since=clock.now, until=until, made_at=clock.now, ended_at=None, ended_by=None,
    )))
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == eve.person).values(lent_until=until)))
    held_id = held(house, draft(house, ada.person), [need(group=crew)])
    assert eve.get(f"/actions/{held_id}").status_code == 404
    assert held_id not in eve.get("/actions").text
    assert eve.send(f"/actions/{held_id}/reject", shown=action(house, held_id).digest, reason="No.").status_code == 404
    assert eve.send(f"/actions/{held_id}/claim").status_code == 404


def test_the_requesters_delegate_and_scopes_are_no_way_around(
    house: House, clock: Clock, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    ada, ada_key = someone("ada", groups=[crew])
    (fin, fin_key), (bob, _) = someone("fin", groups=[crew]), someone("bob")
    lend(ada, ada_key, bob, crew, clock)
    asked = [cast(Need, need(group=crew))]
    held_id = held(house, draft(house, ada.person), asked)
    assert bob.get(f"/actions/{held_id}").status_code == 404
    assert lend(fin, fin_key, bob, crew, clock, up_to="479.99", classes="money").status_code == 303
    assert bob.get(f"/actions/{held_id}").status_code == 404
    assert lend(fin, fin_key, bob, crew, clock, up_to="480", servers="bank").status_code == 303
    assert "Approve €480.00" in bob.get(f"/actions/{held_id}").text
    eve, _ = someone("eve")
    with house.database.read() as session:
        ids = list(session.scalars(select(Delegation.id)))
    assert eve.send(f"/you/away/{ids[0]}/end").status_code == 404
    root, _ = someone("root", groups=["admin"])
    assert root.send(f"/you/away/{ids[0]}/end").status_code == 303


def test_a_form_that_cannot_be_is_told_why_and_keeps_what_was_typed(house: House, clock: Clock, someone: Enrol) -> None:
    fin, _ = someone("fin", groups=["finance"])
    bob, _ = someone("bob")
    until = (clock.now + timedelta(days=3)).date().isoformat()
    for fields in (
        {"group": "board"}, {"until": "2020-01-01"}, {"until": "2199-01-01"}, {"until": "9999-12-31"}, {"until": "soon"},
        {"to": ""}, {"up_to": "1e9"}, {"up_to": "1.234"}, {"to": "per_nobody"},
    ):
        good = {"to": bob.person, "group": "finance", "until": until, "servers": "bank"}
        page = fin.send("/you/away/delegate", **{**good, **fields})
        assert page.status_code == 400, fields
        assert 'role="alert"' in page.text
        assert 'value="bank"' in page.text
    for since in ("9999-12-31T00:00:00+00:00", "2026-01-01T00:00:00", "x"):
        assert fin.send("/you/away/sign", **good, since=since).status_code == 400


def test_another_group_is_let_in_when_its_time_has_come(
    house: House, clock: Clock, server: Server, someone: Enrol, signed_in: People
) -> None:
    crew, leads, board = (f"{group}-{signed_in.run}" for group in ("crew", "leads", "board"))
    ada, (lea, lea_key) = someone("ada")[0], someone("lea", groups=[leads])
    bea, (cas, cas_key) = someone("bea", groups=[board])[0], someone("cas", groups=[board])
    steps = [{"group": leads, "after": 1800}, {"group": board, "after": 7200}]
    step = cast(Need, {**need(group=crew, quorum=2), "escalate": steps})
    held_id = held(house, draft(house, ada.person), [step])
    assert "of the 3 known here" in action(house, held_id).short, "both steps' groups are counted"
    assert lea.get(f"/actions/{held_id}").status_code == 404
    house.database.write(lambda s: s.add(ActionGroup(action=held_id, name=leads)))  # a row before its time lets nobody in
    assert lea.get(f"/actions/{held_id}").status_code == 404
    house.database.write(lambda s: s.delete(s.get_one(ActionGroup, (held_id, leads))))
    clock.forward(minutes=30, seconds=1)
    again = jobs.expire(house, Due(key=held_id))
    assert again is not None
    assert entries(house, held_id).count("action.escalated") == 1
    assert held_id in lea.get("/actions").text
    assert held_id not in bea.get("/actions").text
    assert bea.get(f"/actions/{held_id}").status_code == 404
    shown = ada.get(f"/actions/{held_id}").text
    assert f"{leads} may decide in its place by now" in shown
    assert f"{board} may decide in its place from" in shown
    assert decide(lea, lea_key, held_id).status_code == 303
    clock.forward(hours=1, minutes=30)
    assert jobs.expire(house, Due(key=held_id)) is not None
    assert entries(house, held_id).count("action.escalated") == 2
    assert held_id in bea.get("/actions").text
    assert f"{board} may decide in its place by now" in bea.get(f"/actions/{held_id}").text
    assert decide(cas, cas_key, held_id).status_code == 303
    assert action(house, held_id).state == "approved"
    assert execution.run(house, held_id, server, server.recheck).state == "done"


def test_one_of_the_few_passes_it_alone_and_everyone_is_told(
    house: House, server: Server, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    ada, fin = someone("ada")[0], someone("fin", groups=[crew])[0]
    root, key = someone("root", groups=["admin"])
    held_id = held(house, draft(house, ada.person), [need(group=crew, quorum=2)])
    assert "Nobody else can decide in time?" not in root.get(f"/actions/{held_id}").text
    assert root.get(f"/actions/{held_id}/alone").status_code == 404
    own(house).settings = replace(own(house).settings, break_glass=frozenset({root.person}))
    assert "Nobody else can decide in time?" in root.get(f"/actions/{held_id}").text
    page = root.get(f"/actions/{held_id}/alone")
    sent = {"shown": hidden(page, "shown"), "sealed": hidden(page, "sealed"),
            "assertion": json.dumps(key.get(options(page), origin=PUBLIC_URL))}
    short = root.send(f"/actions/{held_id}/alone", **sent, reason="because")
    assert short.status_code == 400
    assert "at least 20 characters" in short.text
    changed = root.send(f"/actions/{held_id}/alone", **{**sent, "shown": "00" * 32}, reason=WHY)
    assert (changed.status_code, WHY in changed.text, "Break the glass with your passkey" in changed.text) == (409, True, True)
    assert root.send(f"/actions/{held_id}/alone", **sent, reason=WHY).status_code == 303
    assert action(house, held_id).state == "approved"
    assert "Somebody broke the glass" in fin.get("/").text
    assert WHY in fin.get("/actions").text
    assert "Somebody broke the glass" in ada.get("/").text
    assert "passed it alone (break-glass)" in fin.get(f"/actions/{held_id}").text
    assert entries(house, held_id).count("action.glass_broken") == 1
    with house.database.read() as session:
        incident = session.scalars(select(Incident)).one()
    assert (incident.kind, incident.subject, incident.closed_at) == ("glass", held_id, None)
    assert root.send(f"/incidents/{incident.id}/close", note="It was me, all is well.").status_code == 403
    other, _ = someone("other", groups=["admin"])
    assert "Break-glass" in other.get("/incidents").text
    assert "Resume" not in other.get(f"/incidents/{incident.id}").text
    assert other.send(f"/incidents/{incident.id}/close", note="Looked into it.").status_code == 303
    assert execution.run(house, held_id, server, server.recheck).state == "done"


def test_rows_break_no_glass_and_what_is_ones_own_is_not_passed_alone(
    house: House, server: Server, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    root, key = someone("root", groups=["admin"])
    ada = someone("ada")[0]
    own(house).settings = replace(own(house).settings, break_glass=frozenset({root.person}))
    mine = held(house, draft(house, root.person), [need(group=crew)])
    assert root.get(f"/actions/{mine}/alone").status_code == 404
    held_id = held(house, draft(house, ada.person), [need(group=crew)])
    page = root.get(f"/actions/{held_id}/alone")
    other = root.send(
        f"/actions/{mine}/alone", shown=action(house, mine).digest, sealed=hidden(page, "sealed"), reason=WHY,
        assertion=json.dumps(key.get(options(page), origin=PUBLIC_URL)),
    )
    assert other.status_code == 403
    body = json.dumps({"v": 1, "kind": "decision", "action": held_id, "digest": action(house, held_id).digest,
                       "person": root.person, "verdict": "break_glass", "reason": WHY, "factor": {"kind": "passkey"}})
    house.database.write(lambda s: s.add(Decision(
        id="dec_forged", action=held_id, person=root.person, verdict="break_glass", body=body, signature="vault:v1:AAAA",
        entry="ent_x", at=house.clock(),
    )))
    forge(house, held_id, state="approved", run_by=house.clock() + timedelta(minutes=5))
    assert execution.run(house, held_id, server, server.recheck).state == "void"
    assert server.calls == []


def test_a_rota_names_who_is_asked_first_and_gives_nobody_a_right(
    house: House, clock: Clock, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    house.settings.evaluation = True
    ada, bob, cas = someone("ada")[0], someone("bob", groups=[crew])[0], someone("cas", groups=[crew])[0]
    root, _ = someone("root", groups=["admin"])
    held_id = held(house, draft(house, ada.person), [need(group=crew)])
    assert "Bob, Cas can give it" in ada.get(f"/actions/{held_id}").text
    assert bob.send(f"/groups/{crew}", person=bob.person, day="0", first="0", last="24").status_code == 403
    for day in range(7):
        assert root.send(f"/groups/{crew}", person=cas.person, day=str(day), first="0", last="24").status_code == 303
    assert "Cas (on call), Bob can give it" in ada.get(f"/actions/{held_id}").text
    assert root.send(f"/groups/{crew}", person=cas.person, day="7", first="0", last="24").status_code == 400
    assert crew in root.get("/groups").text
    assert cas.send("/you/away", until=(clock.now + timedelta(days=2)).date().isoformat()).status_code == 303
    assert "away until" in root.get(f"/groups/{crew}").text
    with house.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Entry).where(Entry.kind == "rota.added")) == 7
    assert reject(bob, held_id).status_code == 303


def test_a_colleague_who_lends_costs_nobody_the_seat_that_is_their_own(
    house: House, clock: Clock, server: Server, someone: Enrol, signed_in: People
) -> None:
    """Fin decides for finance, and Bob, who is of security and was lent finance, for security: two humans, two seats."""
    crew, guards = f"crew-{signed_in.run}", f"guards-{signed_in.run}"
    ada, (fin, fin_key), (bob, bob_key) = someone("ada")[0], someone("fin", groups=[crew]), someone("bob", groups=[guards])
    assert lend(fin, fin_key, bob, crew, clock).status_code == 303
    asked = [cast(Need, need(group=crew)), cast(Need, need(group=guards, rule="other"))]
    held_id = held(house, draft(house, ada.person), asked)
    assert decide(fin, fin_key, held_id).status_code == 303
    assert decide(bob, bob_key, held_id).status_code == 303
    assert action(house, held_id).state == "approved"
    with house.database.read() as session:
        bodies = [json.loads(body) for body in session.scalars(select(Decision.body).where(Decision.action == held_id))]
    assert not any("delegated" in body for body in bodies)
    alone = held(house, draft(house, ada.person, grant="grt_2"), asked[:1])
    assert decide(fin, fin_key, alone).status_code == 303
    two = held(house, draft(house, ada.person, grant="grt_3"), [cast(Need, need(group=crew, quorum=2))])
    assert decide(fin, fin_key, two).status_code == 303
    assert "data-passkey" not in bob.get(f"/actions/{two}").text, "for Fin, whose seat is filled, Bob can add nothing"
    assert bob.get(f"/actions/{two}").status_code == 200


def test_no_sign_in_of_whoever_broke_the_glass_closes_their_own_incident(house: House, clock: Clock, someone: Enrol) -> None:
    root, _ = someone("root", groups=["admin"])
    twin, _ = someone("twin", groups=["admin"])
    other, _ = someone("other", groups=["admin"])
    house.database.write(lambda s: s.add(Incident(
        id="inc_glass", kind="glass", subject="act_1", name="x", person=root.person, reason=WHY, before="",
        radius={"parts": [], "by_hand": []}, opened_at=clock.now, opened_by=f"person:{root.person}", lifted_at=clock.now,
        lifted_by=f"person:{root.person}", closed_at=None, closed_by=None,
    )))
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == twin.person).values(same_as=[root.person])))
    house.database.write(lambda s: s.execute(update(Person).where(Person.id == root.person).values(same_as=[twin.person])))
    assert [one.send("/incidents/inc_glass/close", note="Looked into it.").status_code for one in (root, twin, other)] == [
        403, 403, 303,
    ]
