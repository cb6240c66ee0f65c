"""A service to send to, which is in a network that this house's operator allowed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.webapp.notices.parts import OWN, Service, near, serve
from webapp.notices import outward
from webapp.web.house import House


@pytest.fixture
def service(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """What is sent there leaves from this process: to start one for each message takes a second. `test_egress` starts them."""
    monkeypatch.setattr(outward, "_run", near)
    house.settings.notices.networks = OWN
    with serve() as made:
        yield made
