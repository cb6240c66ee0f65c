"""What a token for a token client costs the vault, by the vault's own audit log."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from tests.keeper_parts import KeeperParts
from tests.token_parts import allow
from tests.webapp.exchange.conftest import Scene
from vault import embedded

MOST = 2


def asked(keeper: KeeperParts, ask: Callable[[], None]) -> list[dict[str, Any]]:
    """Every request that OpenBao was sent meanwhile, those of logins too."""
    with (embedded.home(keeper.instance) / "audit.log").open() as log:
        log.seek(0, os.SEEK_END)
        ask()
        return [found["request"] for found in map(json.loads, log) if found["type"] == "request"]


def cheapest(keeper: KeeperParts, ask: Callable[[], None]) -> list[dict[str, Any]]:
    """Of four times, what the vault was sent in the one that cost it least: now and then the keeper sends it something by itself
    meanwhile (its token renewed, a claim settled). What every request costs, the cheapest one costs too."""
    return min((asked(keeper, ask) for _ in range(4)), key=len)


def test_a_token_that_can_be_reused_costs_two_requests_to_the_vault_at_most_and_makes_no_service_token(
    scene: Scene, keeper: KeeperParts
) -> None:
    first = scene.desk.exchange(scene.subject)
    assert first.status_code == 200, first.text

    def again() -> None:
        assert scene.desk.exchange(scene.subject).json["access_token"] == first.json["access_token"]

    sent = cheapest(keeper, again)
    assert 1 <= len(sent) <= MOST, [one["path"] for one in sent]
    assert all(one["operation"] == "read" and not one["path"].startswith("auth/") for one in sent)


def test_a_client_that_asks_for_itself_costs_no_more(scene: Scene, keeper: KeeperParts) -> None:
    allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=("accounts:read",), kind="service")
    assert scene.desk.own().status_code == 200

    def again() -> None:
        assert scene.desk.own().status_code == 200

    sent = cheapest(keeper, again)
    assert 1 <= len(sent) <= MOST, [one["path"] for one in sent]
    assert all(not one["path"].startswith("auth/") for one in sent)
