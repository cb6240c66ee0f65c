"""Whatever the pages call "told" is told: escalation, a rota, more time, nobody left, incidents, and what happens to one's own
sign-in, agents and accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import select

from tests.clock import Clock
from tests.webapp.approvals.parts import APPROVE, ORDER, draft, forge, held, need
from tests.webapp.notices.parts import channel, look, person
from vault.evidence import Need
from webapp import audit
from webapp.approvals.jobs import expire
from webapp.approvals.tables import Usage
from webapp.connections import states
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.incidents.tables import Incident, IncidentNotice
from webapp.notices import looking, preferences
from webapp.notices.tables import Delivery, Notice
from webapp.people import rota
from webapp.people.tables import Delegation
from webapp.people.tables import Session as SignedIn
from webapp.web.house import House

URL = "ntfy://ntfy.example/desk"


def _listening(house: House, *whoms: str) -> None:
    for whom in whoms:
        channel(house, whom, URL)
    look(house)  # the first look begins with what happens from then on


def _told(house: House, whom: str) -> list[str]:
    with house.database.read() as session:
        return list(session.scalars(select(Notice.kind).where(Notice.whom == whom).order_by(Notice.id)))


def _sent(house: House) -> list[Any]:
    with house.database.read() as session:
        return [one.message["told"] for one in session.scalars(select(Delivery).order_by(Delivery.id))]


def _log(house: House, kind: str, actor: str, subject: str, /, **detail: Any) -> None:
    house.database.write(lambda s: audit.append(s, kind=kind, actor=actor, subject=subject, at=house.clock(), detail=detail))


def test_whoever_may_decide_from_a_time_on_is_told_then_and_not_before(house: House, clock: Clock) -> None:
    ada, lea, bea = person(house, "Ada"), person(house, "Lea", ["leads"]), person(house, "Bea", ["board"])
    _listening(house, lea, bea, "group:leads")
    step = cast(Need, {**need(), "escalate": [{"group": "leads", "after": 1800}, {"group": "board", "after": 7200}]})
    action = held(house, draft(house, ada), [step])
    look(house)
    assert _told(house, lea) == []
    clock.forward(minutes=30, seconds=1)
    assert expire(house, Due(key=action)) is not None
    look(house)
    assert (_told(house, lea), _told(house, bea), _told(house, "group:leads")) == (["approve"], [], ["approve"])
    clock.forward(minutes=90)
    assert expire(house, Due(key=action)) is not None
    look(house)
    assert (_told(house, lea), _told(house, bea), _told(house, "group:leads")) == (["approve"], ["approve"], ["approve"])


def test_who_is_on_call_is_told_as_a_member_and_a_rota_alone_tells_nobody(house: House, clock: Clock) -> None:
    """A slot of the rota gives no right: whoever is in it and not in the group could not open what the message speaks of."""
    ada, bob, eve = person(house, "Ada"), person(house, "Bob", ["finance"]), person(house, "Eve")
    _listening(house, bob, eve)
    for one in (bob, eve):
        for day in range(7):
            house.database.write(lambda s, one=one, day=day: rota.add(
                s, "finance", day=day, first=0, last=24, person=one, actor="test", now=clock.now
            ))
    held(house, draft(house, ada))
    look(house)
    assert (_told(house, bob), _told(house, eve)) == (["approve"], [])


def test_what_was_given_more_time_is_told_once_more_when_that_ends(house: House, clock: Clock) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    _listening(house, bob)
    action = held(house, draft(house, ada))
    look(house)
    clock.forward(hours=3, minutes=45)
    look(house)
    assert _sent(house)[-1] == [["expiring", "Harbour Bank", "money", 1]]
    forge(house, action, expires_at=clock.now + timedelta(hours=4), changed_at=clock.now)
    look(house)
    assert len(_sent(house)) == 2
    clock.forward(hours=3, minutes=45)
    look(house)
    look(house)
    assert len(_sent(house)) == 3
    assert _sent(house)[-1] == [["expiring", "Harbour Bank", "money", 1]]


def test_a_digest_still_names_what_was_given_more_time(house: House, clock: Clock) -> None:
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    _listening(house, bob)
    house.database.write(lambda s: preferences.store(s, bob, {"digest": "hourly", "kinds": ["approve"]}, "test", clock.now))
    action = held(house, draft(house, ada), within=2 * 3600)
    look(house)
    assert _sent(house) == []
    forge(house, action, expires_at=clock.now + timedelta(hours=6), changed_at=clock.now)
    clock.forward(hours=1)
    look(house)
    assert _sent(house) == [[["approve", "Harbour Bank", "money", 1]]]


def test_admins_and_their_group_are_told_of_what_nobody_is_there_for_and_nobody_else_is(house: House, clock: Clock) -> None:
    ada, bob, root = person(house, "Ada"), person(house, "Bob", ["finance"]), person(house, "Root", ["admin"])
    _listening(house, bob, root, "group:admin", "group:finance")
    held(house, draft(house, ada), [need(group="nobody-there")])
    look(house)
    assert {whom: _told(house, whom) for whom in (bob, root, "group:admin", "group:finance")} == {
        bob: [], root: ["stuck"], "group:admin": ["stuck"], "group:finance": [],
    }
    assert _sent(house) == [[["stuck", "Harbour Bank", "money", 1]]] * 2


@pytest.mark.parametrize(("up_to", "base", "flags", "told"), [
    (50_000, 48_000, [], ["approve"]), (40_000, 48_000, [], []), (50_000, None, [], []), (50_000, 48_000, ["reported"], []),
    (None, 48_000, [], ["approve"]),
], ids=("within", "above", "unreadable", "reported", "unbounded"))
def test_whom_a_group_was_lent_to_is_told_up_to_the_amount_that_was_lent(
    house: House, clock: Clock, up_to: int | None, base: int | None, flags: list[str], told: list[str]
) -> None:
    ada, bob, cy = person(house, "Ada"), person(house, "Bob", ["finance"]), person(house, "Cy")
    _listening(house, cy)
    house.database.write(lambda s: s.add(Delegation(
        id="dlg_1", lender=bob, person=cy, group_name="finance", servers=[], classes=[], up_to=up_to,
        since=clock.now, until=clock.now + timedelta(days=1), made_at=clock.now, ended_at=None, ended_by=None,
    )))
    action = held(house, draft(house, ada), APPROVE)
    forge(house, action, flags=flags)
    house.database.write(lambda s: [setattr(one, "base_minor", base) for one in s.scalars(select(Usage))])
    look(house)
    assert _told(house, cy) == told


def test_what_happens_to_ones_sign_in_agents_and_accounts_is_told(house: House, clock: Clock) -> None:
    """Also what somebody else did: an attacker in one's own session, an admin, the system."""
    ada, eve = person(house, "Ada"), person(house, "Eve")
    _listening(house, ada)
    for kind, actor, detail in (
        ("factor.added", f"person:{ada}", {}), ("factor.removed", f"person:{ada}", {}), ("recovery.made", f"person:{ada}", {}),
        ("recovery.used", f"person:{ada}", {}), ("oauth.consented", f"person:{ada}", {}),
        ("connection.connected", f"person:{ada}", {}), ("session.ended", "system", {"person": ada}),
        ("delegation.made", f"person:{eve}", {"to": ada}), ("delegation.ended", f"person:{eve}", {"by": eve, "to": ada}),
        ("readmission.started", f"person:{eve}", {"person": ada}), ("readmission.agreed", f"person:{eve}", {"person": ada}),
        ("readmission.used", f"person:{ada}", {"person": ada}), ("readmission.by_operator", "cli", {"person": ada}),
        ("person.linked", "cli", {"persons": [ada, eve]}), ("agent.reported", f"person:{eve}", {"person": ada}),
        ("readmission.started", f"person:{eve}", {"person": ada}), ("readmission.by_operator", "cli", {"person": ada}),
        ("readmission.used", f"person:{ada}", {"person": ada}),
    ):
        before = len(_told(house, ada))
        _log(house, kind, actor, "x", **detail)
        looking.look(house, clock.now)
        assert len(_told(house, ada)) == before + 1, kind
    assert set(_told(house, ada)) == {"security"}


@pytest.mark.parametrize("kind", ["readmission.started", "person.not_me"])
def test_administrators_are_told_what_asks_for_one_of_them(house: House, clock: Clock, kind: str) -> None:
    ada, root, eve = person(house, "Ada"), person(house, "Root", groups=["admin"]), person(house, "Eve")
    _listening(house, root, eve)
    _log(house, kind, f"person:{ada}", "x")
    looking.look(house, clock.now)
    assert (_told(house, root), _told(house, eve)) == (["security"], [])
    _log(house, kind, f"person:{root}", "x")
    looking.look(house, clock.now)
    assert _told(house, root) == ["security"], "not of what they did themselves"


def test_an_account_that_needs_its_owner_is_told_to_them(house: House, clock: Clock) -> None:
    """The provider ended the grant: nobody did that here, and the entry names nobody."""
    ada, eve = person(house, "Ada"), person(house, "Eve")
    _listening(house, ada, eve)
    house.database.write(lambda s: s.add(Connection(
        id="con_1", person=ada, provider="bank", account="1", label="", scopes=[], status="active", status_at=clock.now,
        created_at=clock.now, connected_at=clock.now,
    )))
    house.database.write(lambda s: states.needs_consent(s, "con_1", "invalid_grant", clock.now))
    looking.look(house, clock.now)
    assert (_told(house, ada), _told(house, eve)) == (["security"], [])


@pytest.mark.parametrize(("kind", "detail"), [
    ("session.ended", {"why": "signed out"}), ("factor.adding", {}), ("person.zone", {}), ("action.decided", {}),
])
def test_what_one_did_oneself_and_is_no_news_is_not_told(house: House, clock: Clock, kind: str, detail: dict[str, Any]) -> None:
    ada = person(house, "Ada")
    _listening(house, ada)
    _log(house, kind, f"person:{ada}", "x", **detail)
    looking.look(house, clock.now)
    assert _told(house, ada) == []


def test_a_sign_in_from_another_browser_is_told_and_that_of_every_morning_is_not(house: House, clock: Clock) -> None:
    ada = person(house, "Ada")
    _listening(house, ada)
    for number, browser in enumerate(("Firefox", "Firefox", "Chromium", "Firefox")):
        clock.forward(hours=1)
        house.database.write(lambda s, number=number, browser=browser: s.add(SignedIn(
            id=f"ses_{number}", cookie=f"{number}", person=ada, ticket="", browser=browser, created_at=clock.now,
            seen_at=clock.now, idle_until=clock.now, expires_at=clock.now, ended_at=None, ended_why=None,
        )))
        _log(house, "session.opened", f"person:{ada}", f"ses_{number}", browser=browser)
        looking.look(house, clock.now)
    assert _told(house, ada) == ["security", "security"]


def test_an_incident_is_told_to_whom_it_concerns_and_to_admins_and_not_to_who_opened_it(house: House, clock: Clock) -> None:
    ada, bob, root, other = (person(house, name, groups) for name, groups in (
        ("Ada", []), ("Bob", ["finance"]), ("Root", ["admin"]), ("Other", ["admin"]),
    ))
    _listening(house, ada, bob, root, other, "group:admin", "group:finance")
    _incident(house, clock, "inc_1", "person", ada, [ada], root)
    looking.look(house, clock.now)
    assert {whom: _told(house, whom) for whom in (ada, bob, root, other, "group:admin", "group:finance")} == {
        ada: ["incident"], bob: [], root: [], other: ["incident"], "group:admin": ["incident"], "group:finance": [],
    }


def test_a_broken_glass_is_told_to_the_groups_that_would_have_decided(house: House, clock: Clock) -> None:
    ada, root = person(house, "Ada"), person(house, "Root", ["admin"])
    _listening(house, "group:finance", "group:support")
    action = held(house, draft(house, ada, order=ORDER))
    _incident(house, clock, "inc_1", "glass", action, [], root)
    looking.look(house, clock.now)
    assert (_told(house, "group:finance"), _told(house, "group:support")) == (["approve", "incident"], [])


def _incident(house: House, clock: Clock, name: str, kind: str, subject: str, told: list[str], by: str) -> None:
    def write(session: Any) -> None:
        session.add(Incident(
            id=name, kind=kind, subject=subject, name="x", person="", reason="y", before="", radius={}, opened_at=clock.now,
            opened_by=f"person:{by}", lifted_at=None, lifted_by=None, closed_at=None, closed_by=None,
        ))
        session.flush()
        session.add_all(IncidentNotice(incident=name, person=one, dismissed_at=None) for one in told)

    house.database.write(write)
    _log(house, "incident.opened", f"person:{by}", name, kind=kind, about=subject)


def test_more_changes_at_once_than_are_read_in_one_go_are_all_told(
    house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: a flood of changes in one moment, behind which nothing new is seen any more."""
    monkeypatch.setattr(looking, "PAGE", 3)
    monkeypatch.setattr(looking, "AT_ONCE", 2)
    ada, bob = person(house, "Ada"), person(house, "Bob", ["finance"])
    _listening(house, bob)
    for number in range(8):
        action = held(house, draft(house, ada, order={**ORDER, "reference": f"RE-{number}"}))
        forge(house, action, changed_at=clock.now)
    for _ in range(8):
        _log(house, "delegation.made", f"person:{ada}", "x", to=bob)
    looking.look(house, clock.now)
    assert sorted(_told(house, bob)) == ["approve"] * 8 + ["security"] * 8
    assert looking.look(house, clock.now) == 0


def test_looking_where_nothing_happens_writes_nothing(house: House, clock: Clock) -> None:
    bob = person(house, "Bob", ["finance"])
    _listening(house, bob)
    clock.forward(minutes=5)
    looking.look(house, clock.now)
    writes, write = list[int](), house.database.write

    def counted(work: Any) -> Any:
        writes.append(1)
        return write(work)

    house.database.write = counted  # type: ignore[method-assign]
    for _ in range(3):
        clock.forward(minutes=5)
        looking.look(house, clock.now)
    assert writes == []
