"""A server that somebody reported gets no token in that person's name, and is told so."""

from __future__ import annotations

import pytest

from tests.app_parts import hidden
from tests.webapp.exchange.conftest import Scene

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_token_endpoint_tells_the_reason_as_words_and_as_a_code(scene: Scene) -> None:
    request, action_id = scene.held()
    shown = hidden(scene.ada.get(f"/actions/{action_id}"), "shown")
    assert scene.ada.send(f"/actions/{action_id}/report", shown=shown, preset="looks_like_fraud").status_code == 303
    scene.house.clock.forward(seconds=6)  # type: ignore[attr-defined]
    told = scene.desk.poll(request).json
    assert (told["error"], told["reason_code"]) == ("access_denied", "looks_like_fraud")
    assert "This looks like fraud." in told["error_description"]
    paused = scene.desk.exchange(scene.subject, scope="accounts:read").json
    assert (paused["error"], paused["reason_code"]) == ("access_denied", "agent_paused")
    assert paused["error_uri"].endswith("/approvals/reports")
