"""Taking an account back: here at once, at the provider until it confirms; and pausing it."""

from __future__ import annotations

import pytest

from tests.app_parts import People
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import Provider
from tests.scripted_provider import serve as scripted
from tests.webapp.connections.parts import connect, log, rows
from vault.errors import Disconnected
from webapp.broker.jobs import revoke
from webapp.connections import lookup
from webapp.connections.lookup import NoConnection
from webapp.connections.states import REVOKE
from webapp.connections.tables import Revocation
from webapp.db.due import Due
from webapp.web.house import House

pytestmark = pytest.mark.both

READ = ("accounts:read",)


def ledger(house: House, subject: str) -> Revocation:
    with house.database.read() as session:
        found = session.get(Revocation, subject)
    assert found is not None
    return found


def due(connection: str) -> Due:
    return Due(kind=REVOKE, key=connection, payload={})


def test_a_disconnected_account_is_of_no_use_from_that_moment_and_ended_at_the_provider(
    signed_in: People, bank: Provider, house: House
) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    minted = house.door.mint(connection=connection, person=ada.person, scopes=list(READ), receiver="bank", cap=60)
    assert bank.introspect(minted.token.reveal())["active"]
    assert "From that moment on nothing here can use this account" in ada.get(f"/connections/{connection}/disconnect").text
    done = ada.send(f"/connections/{connection}/disconnect")
    assert "Harbour Bank not told yet" in ada.get(done.headers["Location"]).text
    with house.database.read() as session, pytest.raises(NoConnection):
        lookup.usable(session, ada.person, "harbour", READ)
    with pytest.raises(Disconnected):
        house.door.mint(connection=connection, person=ada.person, scopes=list(READ), receiver="bank", cap=60)
    assert revoke(house, due(connection)) is None
    assert not bank.introspect(minted.token.reveal())["active"]
    page = ada.get(f"/connections/{connection}").text
    assert "Ended at Harbour Bank" in page
    assert "The keys were destroyed here" in page
    assert log(house)[-2:] == ["connection.disconnected", "revocation.settled"]


def test_the_account_is_disconnected_even_while_the_keeper_is_away(
    signed_in: People, bank: Provider, house: House, keeper: KeeperParts
) -> None:
    """The row refuses at once; the ledger tells keeper and provider when they are back."""
    ada = signed_in("ada")
    connection = connect(ada, bank)
    keeper.stop_vault()
    try:
        assert ada.send(f"/connections/{connection}/disconnect").status_code == 303
        assert rows(house, ada.person)[0].status == "disconnected"
        with house.database.read() as session, pytest.raises(NoConnection):
            lookup.usable(session, ada.person, "harbour", READ)
    finally:
        keeper.start_vault()
    assert revoke(house, due(connection)) is None
    assert house.door.connection(connection).status == "disconnected"
    assert ledger(house, connection).state == "confirmed"


def test_the_ledger_asks_again_later_and_later_until_the_provider_confirms(
    signed_in: People, house: House, clock: Clock, bank: Provider
) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    with scripted(revocation=503) as away:
        house.door.provider_put("harbour", away.record())
        ada.send(f"/connections/{connection}/disconnect")
        waits = []
        for _ in range(14):
            again = revoke(house, due(connection))
            assert again is not None
            waits.append((again - clock.now).total_seconds())
        assert waits == sorted(waits)
        assert waits[0] < 10
        assert waits[-1] == house.settings.broker.revoke_backoff_max
        assert ledger(house, connection).tries == 14
        away.revocation = 200
        assert revoke(house, due(connection)) is None
    assert ledger(house, connection).state == "confirmed"


def test_a_second_disconnect_changes_nothing(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    ada.send(f"/connections/{connection}/disconnect")
    assert ada.send(f"/connections/{connection}/disconnect").status_code == 409
    assert ada.get(f"/connections/{connection}/disconnect").status_code == 303
    assert log(house).count("connection.disconnected") == 1


def test_a_paused_account_serves_nobody_until_it_is_resumed(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    ada.send(f"/connections/{connection}/pause")
    assert "Paused by you" in ada.get("/connections").text
    with house.database.read() as session, pytest.raises(NoConnection, match="paused"):
        lookup.usable(session, ada.person, "harbour", READ)
    assert ada.send(f"/connections/{connection}/pause").status_code == 409
    ada.send(f"/connections/{connection}/resume")
    with house.database.read() as session:
        assert lookup.usable(session, ada.person, "harbour", READ).id == connection


def test_what_an_account_was_not_granted_leads_to_where_it_can_be(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank, ["accounts:read"])
    with house.database.read() as session:
        with pytest.raises(NoConnection) as wider:
            lookup.usable(session, ada.person, "harbour", ("payments:send",))
        with pytest.raises(NoConnection) as none:
            lookup.usable(session, "per_stranger", "harbour", READ)
    assert wider.value.url == f"/connections/new?connection={connection}&add=payments%3Asend"
    assert none.value.url == "/connections/new?provider=harbour&add=accounts%3Aread"
    assert none.value.hint == "No Harbour Bank account is connected. Connect one to go on."
