"""What was approved and later regretted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clock import Clock
from tests.webapp.approvals.conftest import Enrol, server, someone  # noqa: F401 fixtures
from tests.webapp.approvals.parts import draft, forge, held
from tests.webapp.insights.parts import action
from webapp.approvals.pace.tables import Report
from webapp.incidents.tables import Incident
from webapp.insights import regrets
from webapp.insights.tables import Regret
from webapp.web.house import House

EVER = datetime(2020, 1, 1, tzinfo=UTC)


def found(house: House, groups: tuple[str, ...] | None = None) -> dict[str, list[str]]:
    with house.database.read() as session:
        return {one.action.id: sorted(why.kind for why in one.why) for one in regrets.of(session, EVER, groups)}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_who_may_say_that_it_should_not_have_run(house: House, someone: Enrol) -> None:  # noqa: F811
    """Its own people and those who are asked; of what was done, once, with a reason. No role alone is enough."""
    ada, bob = someone("ada")[0], someone("bob", ["finance"])[0]
    root, eve = someone("root", ["admin"])[0], someone("eve")[0]
    one = held(house, draft(house, ada.person))
    path = f"/actions/{one}/regret"
    assert bob.send(path, regret="Too early").status_code == 409
    forge(house, one, state="done")
    assert "It should not have run" in bob.get(f"/actions/{one}").text
    assert 'name="regret"' not in root.get(f"/actions/{one}").text
    assert eve.send(path, regret="x").status_code == 404
    assert root.send(path, regret="x").status_code == 403
    assert bob.send(path, regret="  ").status_code == 400
    assert bob.send(path, regret="x" * 501).status_code == 400
    assert bob.send(path, regret="The wrong <b>one</b>").status_code == 303
    assert bob.send(path, regret="again").status_code == 409
    assert ada.send(path, regret="I never asked").status_code == 303
    page = root.get(f"/actions/{one}").text
    assert "The wrong &lt;b&gt;one&lt;/b&gt;" in page
    assert "I never asked" in page
    assert "Somebody said that it should not have run" in page
    assert house.database.write(lambda s: s.query(Regret).count()) == 2
    assert bob.post(path, data={"regret": "no token"}).status_code == 400


def test_a_report_and_an_incident_touch_what_ran_before_them(house: House, clock: Clock) -> None:
    """Of the same agent and person, or the same place, in the 30 days before; and nothing that came after, or did not run."""
    now = clock()
    ran = action(house.database, now - timedelta(days=2), decided=5)
    there = action(house.database, now - timedelta(days=3), decided=5, person="per_cleo", owner="per_cleo", client="cli_2")
    action(house.database, now - timedelta(days=32), decided=5)
    action(house.database, now, decided=60)
    action(house.database, now - timedelta(days=2), decided=5, state="rejected")
    unsure = action(house.database, now - timedelta(days=2), decided=5, state="uncertain", person="per_dan", owner="per_dan",
                    client="cli_3", server="shop")
    report: dict[str, Any] = {
        "id": "rep_1", "action": "act_x", "person": "per_ada", "clients": ["cli_1"], "client_name": "n", "known": False,
        "reporter": "per_bob", "reason": "r", "reason_code": "other", "withdrawn": 0, "created_at": now, "note": "",
    }
    house.database.write(lambda s: s.add(Report(**report)))
    assert found(house) == {ran: ["reported"], unsure: ["uncertain"]}
    incident: dict[str, Any] = {
        "id": "inc_1", "kind": "server", "subject": "bank", "name": "Harbour Bank", "person": "", "reason": "r", "before": "",
        "radius": {}, "opened_at": now, "opened_by": "per_root",
    }
    house.database.write(lambda s: s.add(Incident(**incident)))
    glass = {**incident, "id": "inc_2", "kind": "glass", "subject": unsure}
    house.database.write(lambda s: s.add(Incident(**glass)))
    assert found(house) == {ran: ["incident", "reported"], there: ["incident"], unsure: ["uncertain"]}
    with house.database.read() as session:
        told = {why.text for one in regrets.of(session, EVER, ("finance",)) for why in one.why}
    assert told == {""}, "what an incident is about and what a report said is not for approvers"
    assert found(house, ("ops",)) == {}
    assert found(house, ("finance",)).keys() == {ran, there, unsure}
