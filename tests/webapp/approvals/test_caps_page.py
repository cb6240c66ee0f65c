"""How much of a limit is used stands on the action's page: for whose it is, and for admins."""

from __future__ import annotations

import pytest

from tests.conftest import Clock
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import ORDER, Server, draft, held
from webapp.approvals import usage
from webapp.policy import active
from webapp.web.house import House


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_owner_and_an_admin_see_what_is_used_and_what_this_would_bring_it_to(
    house: House, someone: Enrol, server: Server, clock: Clock
) -> None:
    active.at_start(house)
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    spent = usage.Call(ada.person, None, "cli_1", "bank", "send_payment", base_minor=320_000)
    house.database.write(lambda s: usage.record(s, spent, clock()))
    first = held(house, draft(house, ada.person))
    mine = ada.get(f"/actions/{first}").text
    assert "Used through any agent in the last 24 hours" in mine
    for figure in ("€3,200.00", "€50,000.00", "€3,680.00", "€20,000.00"):
        assert figure in mine
    assert "from this account in" not in mine, "no account is used"
    assert "Used through any agent" not in bob.get(f"/actions/{first}").text
    second = held(house, draft(house, ada.person, order={**ORDER, "amount": "19800.00"}))
    passed = ada.get(f"/actions/{second}").text
    assert passed.count("policy refuses that") == 1, "480.00 that wait to the same recipient count"
