"""The admin's page of agents and the CLI: who may, and what it does."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from tests.app_parts import People
from webapp.cli import main
from webapp.clients import lookup
from webapp.clients.tables import Client
from webapp.db import Database
from webapp.web.house import House

ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def put_client(house: House, name: str = "Ledger Desk") -> str:
    """The id of a client that registered itself."""
    client = Client(id=f"client_{name.split()[0].lower()}", kind="agent", name=name, redirect_uris=["http://localhost/cb"],
                    created_at=house.clock())
    house.database.write(lambda s: s.add(client))
    return client.id


def status_of(house: House, client: str) -> tuple[str, bool]:
    with house.database.read() as session:
        found = lookup.get(session, client)
        return found.status, found.verified


@ON_SQLITE
def test_only_an_admin_sees_and_changes_agents(signed_in: People, house: House) -> None:
    client = put_client(house, "Ledger <i>")
    admin, user = signed_in("ada", groups=["admin"]), signed_in("bob")
    page = admin.get("/clients").text
    assert "Ledger &lt;i&gt;" in page
    assert "Unverified" in page
    assert user.get("/clients").status_code == 403
    assert user.send(f"/clients/{client}", change="vouch").status_code == 403
    assert signed_in.stranger().get("/clients").status_code in (303, 401)
    assert admin.post(f"/clients/{client}", data={"change": "vouch"}).status_code in (400, 403), "without the page's token"
    assert status_of(house, client) == ("active", False)
    assert admin.send(f"/clients/{client}", change="vouch").status_code == 303
    assert status_of(house, client) == ("active", True)
    assert admin.send(f"/clients/{client}", change="revoke").status_code == 303
    assert status_of(house, client) == ("revoked", False)
    assert admin.send(f"/clients/{client}", change="resume").status_code == 409
    assert admin.send(f"/clients/{client}", change="delete").status_code == 400
    assert admin.send("/clients/client_nobody", change="pause").status_code == 404


@ON_SQLITE
def test_an_empty_page_says_what_will_fill_it(signed_in: People) -> None:
    assert "No agent has registered yet" in signed_in("ada", groups=["admin"]).get("/clients").text


def test_the_command_lists_pauses_and_revokes(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.conftest import Clock
    from vault.door import Door
    from webapp.config import Settings

    monkeypatch.setenv("COUNTERSEAL_DATABASE_URL", database.url)
    house = House(Settings(), database, Door(Settings().socket, timeout=0.1), Clock())
    client = put_client(house)
    run = CliRunner().invoke
    listed = run(main, ["client", "list"])
    assert re.search(rf"{client}\s+agent\s+active\s+unverified .* 'Ledger Desk'", listed.output)
    assert run(main, ["client", "pause", client]).exit_code == 0
    assert status_of(house, client) == ("paused", False)
    assert run(main, ["client", "revoke", client]).exit_code == 0
    assert status_of(house, client) == ("revoked", False)
    again = run(main, ["client", "revoke", client])
    assert again.exit_code == 1
    assert "revoked" in again.output
    assert run(main, ["client", "pause", "nobody"]).exit_code == 1
