"""What somebody lends who is a party under another name: the page does not offer it, and what was said by it counts no more."""

from __future__ import annotations

from typing import cast

import pytest

from tests.app_parts import People
from tests.clock import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import Server, action, decide, draft, held, need
from tests.webapp.approvals.test_standing_in import house as own_house
from tests.webapp.approvals.test_standing_in import lend
from vault.evidence import Need
from webapp.approvals import execution
from webapp.approvals.seeing import open_
from webapp.people import linking
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
house = own_house


def test_linked_before_it_is_not_shown_and_after_it_does_not_count(
    house: House, clock: Clock, server: Server, someone: Enrol, signed_in: People
) -> None:
    crew = f"crew-{signed_in.run}"
    ada, (fin, fin_key), (bob, bob_key) = someone("ada")[0], someone("fin", groups=[crew]), someone("bob")
    asked = [cast(Need, need(group=crew))]
    first = held(house, draft(house, ada.person), asked)
    lend(fin, fin_key, bob, crew, clock)
    assert decide(bob, bob_key, first).status_code == 303
    assert open_(house, first).resolution(clock.now).state == "approved"
    linking.link(house, ada.person, fin.person)
    assert not open_(house, first).progress(clock.now)[0].people, "his word is hers, and it is hers to ask"
    assert execution.run(house, first, server, server.recheck).state == "void"
    assert server.calls == []
    second = held(house, draft(house, ada.person, grant="grt_2"), asked)
    assert bob.get(f"/actions/{second}").status_code == 404
    assert second not in bob.get("/actions").text
    assert action(house, second).state == "held"
