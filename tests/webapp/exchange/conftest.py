"""A token client, a person with a connected account, and what the person let the client do with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from tests import token_parts
from tests.app_parts import Browser, People
from tests.authenticator import Passkey
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.scripted_provider import Scripted
from tests.scripted_provider import serve as scripted
from tests.token_parts import Desk
from tests.webapp.approvals.parts import decide, with_passkey
from webapp.config import Settings
from webapp.db import Database
from webapp.policy import active
from webapp.web.house import House

CATALOGUE = {
    "harbour": 'overrides: harbour\nscopes: {"notes:write": {words: Write notes, effect: write}}',
    "wide": "extends: harbour\ntitle: Wide Bank\nnarrows: false",
}
SCOPES = ("accounts:read", "payees:read", "notes:write", "payments:send")


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock) -> Iterator[House]:
    """In the keeper's own instance folder, for both to read one catalogue: a scope that writes, and a bank that cannot narrow."""
    folder = keeper.instance / "providers"
    folder.mkdir(exist_ok=True)
    for name, text in CATALOGUE.items():
        (folder / f"{name}.yaml").write_text(text)
    settings = Settings(instance=keeper.instance, public_url=PUBLIC_URL, database_url=database.url)
    yield House(settings, database, keeper.door, clock)
    for name in CATALOGUE:
        (folder / f"{name}.yaml").unlink()


@dataclass
class Scene:
    """Ada, her account, her agent's token for the desk, and her consent."""

    house: House
    desk: Desk
    ada: Browser
    key: Passkey
    account: str
    subject: str
    consent: str
    provider: Scripted

    def held(self, **fields: Any) -> tuple[str, str]:
        """A request that waits for Ada: its auth_req_id and its action."""
        answer = self.desk.exchange(self.subject, **{"scope": "notes:write", **fields})
        assert answer.json["error"] == "authorization_pending", answer.text
        return answer.json["auth_req_id"], answer.json["error_uri"].rpartition("/")[2]

    def approved(self, **fields: Any) -> tuple[str, str]:
        """The same, confirmed by Ada, with the interval to the next poll gone by."""
        request, action_id = self.held(**fields)
        assert decide(self.ada, self.key, action_id).status_code == 303
        self.house.clock.forward(seconds=6)
        return request, action_id


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


@pytest.fixture
def scene(house: House, app: Flask, signed_in: People, provider: Scripted) -> Scene:
    active.at_start(house)
    desk = token_parts.desk(house, app, scopes=SCOPES)
    ada = signed_in("ada")
    key = with_passkey(ada)
    account = token_parts.account(house, provider, ada.person, scopes=SCOPES)
    consent = token_parts.allow(house, desk, ada.person, account, scopes=SCOPES)
    subject = token_parts.agents_token(house, ada.person, desk.resource)
    return Scene(house, desk, ada, key, account, subject, consent, provider)
