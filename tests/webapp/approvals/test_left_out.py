"""Who may pass an action alone can open it; a crowd of useless delegations takes no place; and a page is shown though the keeper
knows somebody otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.app_parts import People, hidden
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import Server, action, decide, draft, held, need, options
from tests.webapp.approvals.test_standing_in import WHY, own
from tests.webapp.approvals.test_standing_in import house as own_house
from webapp.people import delegations
from webapp.people.tables import Delegation
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
house = own_house


def test_one_of_the_few_opens_what_they_may_pass_alone_and_nothing_else(
    house: House, server: Server, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    ada, (fin, fin_key), (gil, key) = someone("ada")[0], someone("fin", groups=[crew]), someone("gil")
    waits, over = (held(house, draft(house, ada.person, grant=f"grt_{n}"), [need(group=crew)]) for n in (1, 2))
    mine = held(house, draft(house, gil.person), [need(group=crew)])
    confirmed = held(house, draft(house, ada.person, grant="grt_3"), [need("confirm")])
    decide(fin, fin_key, over)
    assert gil.get(f"/actions/{waits}").status_code == 404
    own(house).settings = replace(own(house).settings, break_glass=frozenset({gil.person}))
    assert "Nobody else can decide in time?" in gil.get(f"/actions/{waits}").text
    assert gil.get(f"/actions/{over}").status_code == gil.get(f"/actions/{confirmed}").status_code == 404
    assert gil.get(f"/actions/{mine}/alone").status_code == 404
    assert gil.send(f"/actions/{waits}/reject", shown=action(house, waits).digest, reason="No.").status_code in (403, 404)
    page = gil.get(f"/actions/{waits}/alone")
    sent = {"shown": hidden(page, "shown"), "sealed": hidden(page, "sealed"),
            "assertion": json.dumps(key.get(options(page), origin=PUBLIC_URL))}
    assert gil.send(f"/actions/{waits}/alone", **sent, reason=WHY).status_code == 303
    assert action(house, waits).state == "approved"
    assert gil.get(f"/actions/{waits}").status_code == 200, "who decided sees what became of it"
    own(house).settings = replace(own(house).settings, break_glass=frozenset())
    again = held(house, draft(house, ada.person, grant="grt_4"), [need(group=crew)])
    assert gil.get(f"/actions/{again}").status_code == 404


def test_many_delegations_of_one_lender_take_no_other_lenders_place(house: House, clock: Clock) -> None:
    """Attack: twenty of no use, lent to whoever stands in for somebody."""

    def row(number: int, lender: str) -> Delegation:
        return Delegation(
            id=f"dlg_{number:03d}", lender=lender, person="per_bob", group_name=f"g{number}", servers=[], classes=[], up_to=None,
            since=clock.now, until=clock.now + timedelta(days=1), made_at=clock.now, ended_at=None, ended_by=None,
        )

    rows = [row(1, "per_fin"), row(2, "per_fin"), row(3, "per_lea"), *(row(number, "per_eve") for number in range(10, 60))]
    house.database.write(lambda s: s.add_all(rows))
    with house.database.read() as session:
        named = {one.id for one in delegations._named(session, "per_bob", clock.now)}
    assert {"dlg_001", "dlg_002", "dlg_003", "dlg_059"} <= named
    assert len(named) == delegations.ASKED


def test_whom_the_keeper_knows_otherwise_sees_the_page_and_why_they_cannot_decide(
    house: House, server: Server, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    ada, (bob, _) = someone("ada")[0], someone("bob", groups=[crew])
    waits = held(house, draft(house, ada.person), [need(group=crew)])
    house.door.person_link(ada.person, bob.person)  # and no row says so
    page = bob.get(f"/actions/{waits}")
    assert page.status_code == 200
    assert "the keeper knows your groups, or your other sign-ins, otherwise than this page does" in page.text
    assert "DE89 3704 0044 0532 0130 00" in page.text
    assert bob.get(f"/actions/{waits}/now").status_code == 200
