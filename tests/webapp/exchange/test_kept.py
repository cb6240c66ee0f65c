"""What is kept of a token client's request, so that other rules can be tried on it."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.webapp.exchange.conftest import Scene
from webapp.approvals.judged.tables import Judged
from webapp.insights import replay
from webapp.policy import active

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_what_was_given_and_what_waits_is_kept_once(scene: Scene) -> None:
    """Under the lease's id and the action's; asked for again while it waits, it is no other request. It is tried as what is
    only reported."""
    assert "access_token" in scene.desk.exchange(scene.subject, scope="accounts:read").json
    _, action = scene.held()
    again = scene.desk.exchange(scene.subject, scope="notes:write")
    assert (again.json["error"], action in again.text) == ("slow_down", True)
    with scene.house.database.read() as session:
        rows = {row.verdict: row for row in session.scalars(select(Judged))}
        assert session.query(Judged).count() == 2
    assert rows["allow"].id.startswith("lea_")
    assert rows["hold"].id == action
    assert '"reported":true' in rows["hold"].asked
    rules = active.current(scene.house)
    found = replay.run(scene.house.database, rules, days=1, now=scene.house.clock(), active=rules.digest)
    assert (found.calls, found.not_kept, found.changed, dict(found.skipped)) == (2, 0, 0, {})
