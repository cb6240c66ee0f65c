"""What is said to have ended at a disconnect is what the provider is known to end, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests import token_parts
from tests.app_parts import Browser, People
from tests.conftest import Clock
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from tests.scripted_provider import Scripted
from tests.scripted_provider import serve as scripted
from tests.webapp.connections.parts import own_file
from vault.providers.catalogue import load
from webapp.broker.jobs import revoke
from webapp.config import Settings
from webapp.connections.rules import Rest, rest
from webapp.connections.states import REVOKE
from webapp.db import Database
from webapp.db.due import Due
from webapp.web.house import House

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
GRANT_ALONE = "{overrides: harbour, title: Lasting Bank, revoke_effect: grant, ends_access: false, access_lifetime: 1800}"


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock) -> Iterator[House]:
    """In the keeper's own instance folder: one catalogue for both, with a bank that ends a consent and not what it gave out."""
    extra = own_file(keeper, "harbour", GRANT_ALONE)
    settings = Settings(instance=keeper.instance, public_url=PUBLIC_URL, database_url=database.url)
    yield House(settings, database, keeper.door, clock)
    extra.unlink()


@pytest.fixture
def provider() -> Iterator[Scripted]:
    with scripted() as made:
        yield made


def page(ada: Browser, connection: str) -> str:
    return " ".join(ada.get(f"/connections/{connection}").text.split())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_access_that_lives_on_is_not_said_to_have_ended(
    house: House, signed_in: People, provider: Scripted, clock: Clock
) -> None:
    """Lasting Bank confirms the end of the consent; the token that a server got a moment ago still works."""
    ada = signed_in("ada")
    connection = token_parts.account(house, provider, ada.person)
    minted = house.door.mint(connection=connection, person=ada.person, scopes=["accounts:read"], receiver="bank", cap=60)
    before = ada.get(f"/connections/{connection}/disconnect").text
    assert "told to end your consent too" in before
    assert "may work until it ends by itself, within 30 minutes" in before
    assert ada.send(f"/connections/{connection}/disconnect").status_code == 303
    assert revoke(house, Due(kind=REVOKE, key=connection, payload={})) is None
    assert minted.token.reveal() not in [one["token"] for one in provider.revoked]
    told, listed = page(ada, connection), ada.get("/connections").text
    assert "that your consent has ended" in told
    assert "such access may still work, and ends by itself" in told
    assert f'datetime="{(clock() + timedelta(minutes=30)).isoformat(timespec="seconds")}"' in told
    for each in (told, listed):
        assert "Consent ended at Lasting Bank; access may still work" in each
        assert "the access has ended" not in each
        assert "chip good" not in each
    clock.forward(minutes=31)
    told = page(ada, connection)
    assert "has ended by itself since" in told
    assert "Ended at Lasting Bank" in told


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_end_is_named_that_no_document_promises(
    house: House, signed_in: People, provider: Scripted, keeper: KeeperParts
) -> None:
    """A provider that cannot be told, whose tokens end, do not, or nobody says: before a disconnect, while paused, and after."""
    ada = signed_in("ada")
    connection = token_parts.account(house, provider, ada.person)
    ada.send(f"/connections/{connection}/pause")
    ends = {
        "access_lifetime: 1800": "ends by itself within 30 minutes",
        "access_lifetime: null, endless: true": "has no end of its own",
        "access_lifetime: null, assumed_lifetime: 1800": "is not known",
    }
    untold = "overrides: harbour, revoke_style: none, revoke_effect: none, ends_access: false"
    for fact, words in ends.items():
        own_file(keeper, "harbour", f"{{{untold}, {fact}}}")
        for shown in (page(ada, connection), page(ada, f"{connection}/disconnect")):
            assert words in shown
            assert not [other for other in ends.values() if other != words and other in shown]
    assert ada.send(f"/connections/{connection}/disconnect").status_code == 303
    assert revoke(house, Due(kind=REVOKE, key=connection, payload={})) is None
    told = page(ada, connection)
    assert "has no way to be told" in told
    assert "is not known" in told
    assert "by itself" not in told


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_provider_that_refuses_pkce_from_apps_with_a_secret_is_named_on_the_accounts_page_with_its_document(
    house: House, signed_in: People, provider: Scripted, keeper: KeeperParts
) -> None:
    ada = signed_in("ada")
    connection = token_parts.account(house, provider, ada.person)
    pages = (connection, f"new?provider=harbour&connection={connection}")
    assert all("PKCE" not in page(ada, one) for one in pages)
    own_file(keeper, "harbour", "{overrides: harbour, pkce: public, pkce_docs: https://bank.example/pkce}")
    for one in pages:
        assert 'takes PKCE <a href="https://bank.example/pkce"' in page(ada, one)
    own_file(keeper, "harbour", "{overrides: harbour, pkce: false}")
    assert all("offers no PKCE that is taken here" in page(ada, one) for one in pages)


def test_what_is_left_is_told_from_what_is_documented() -> None:
    known = load()
    hubspot, google, linkedin, slack = (known[name] for name in ("hubspot", "google", "linkedin", "slack"))
    assert rest(hubspot, NOW, NOW) == Rest(NOW + timedelta(seconds=1800))
    assert rest(hubspot, NOW, NOW + timedelta(seconds=1800)) is None
    assert rest(google, NOW, NOW) is None, "documented to end everything"
    assert rest(slack, NOW, NOW) is None, "each token is ended by itself"
    assert rest(linkedin.model_copy(update={"access_lifetime": None}), NOW, NOW + timedelta(days=900)) == Rest(None)
    assert rest(hubspot, None, NOW) is None, "it is connected"
