"""Several accounts at one provider, their names, the default one; and taking one's own uses away."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from tests.app_parts import Browser, People
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import Provider
from tests.webapp.connections.parts import connect, ids, log
from vault.door import ConnectionState, Event
from vault.errors import KeeperAway, Paused
from webapp.broker.jobs import end_tokens
from webapp.broker.tables import Lease
from webapp.clients.tables import Client
from webapp.connections import export, lookup, states
from webapp.connections.health import health
from webapp.connections.lookup import NoConnection
from webapp.connections.states import END_TOKENS
from webapp.connections.tables import Connection, Revocation
from webapp.db.due import Due
from webapp.errors import Said
from webapp.web.catalogue import Tongue
from webapp.web.house import House

READ = ("accounts:read",)


def used(house: House, person: str, scopes: tuple[str, ...] = READ) -> str:
    with house.database.read() as session:
        return lookup.usable(session, person, "harbour", scopes).account


def row_of(house: House, connection: str) -> Connection:
    with house.database.read() as session:
        return session.get_one(Connection, connection)


def test_the_same_account_connected_twice_is_reconnected(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    first = connect(ada, bank, ["accounts:read"])
    assert connect(ada, bank) == ""
    assert ids(ada) == [first]
    assert "payments:send" in row_of(house, first).scopes
    assert log(house).count("connection.connected") == 2


def test_the_first_account_is_the_default_until_its_owner_says_so(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    first, second = connect(ada, bank), connect(ada, bank, as_="bob")
    assert used(house, ada.person) == "alice"
    assert "your default" in ada.get("/connections").text
    assert ada.send(f"/connections/{second}/default").status_code == 303
    assert used(house, ada.person) == "bob"
    assert "connection.preferred" in log(house)
    assert [row_of(house, one).preferred for one in (first, second)] == [False, True]


def test_an_account_that_cannot_serve_is_never_stepped_around(signed_in: People, bank: Provider, house: House) -> None:
    """Whoever paused their account at work does not mean that agents take the one at home."""
    ada = signed_in("ada")
    first = connect(ada, bank, ["accounts:read"])
    connect(ada, bank, as_="bob")
    with pytest.raises(NoConnection) as less:
        used(house, ada.person, ("payments:send",))
    assert less.value.code == "scope_missing"
    ada.send(f"/connections/{first}/pause")
    with pytest.raises(NoConnection, match="paused by its owner") as paused:
        used(house, ada.person)
    assert paused.value.url == f"/connections/{first}"


def test_without_a_default_nobody_guesses(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    first, second = connect(ada, bank), connect(ada, bank, as_="bob")
    third = connect(ada, bank, as_="carol")
    page = ada.get(f"/connections/{first}/disconnect").text
    assert "Agents are refused until you choose another" in page
    ada.send(f"/connections/{first}/disconnect")
    with pytest.raises(NoConnection) as none:
        used(house, ada.person)
    assert (none.value.code, none.value.url) == ("no_default", "/connections")
    assert "none is the default" in ada.get("/connections").text
    ada.send(f"/connections/{third}/disconnect")
    assert used(house, ada.person) == "bob"  # the only one is no guess
    assert row_of(house, second).status == "active"


def test_a_name_is_the_persons_own_and_bounded(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    ada.send(f"/connections/{connection}/name", name="  Household   money ")
    assert "Harbour Bank, <bdi>Household money</bdi>" in ada.get(f"/connections/{connection}").text
    for bad in ("x" * 61, "pay\u202eroll"):
        assert ada.send(f"/connections/{connection}/name", name=bad).status_code == 400
    ada.send(f"/connections/{connection}/name", name="<b>bold</b>")
    assert "<b>bold</b>" not in ada.get("/connections").text
    ada.send(f"/connections/{connection}/name", name="")
    assert row_of(house, connection).name == ""


def test_a_disconnected_account_is_no_default(signed_in: People, bank: Provider) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    ada.send(f"/connections/{connection}/disconnect")
    assert ada.send(f"/connections/{connection}/default").status_code == 409


# -- pausing ---------------------------------------------------------------------------------------------------------


def test_a_pause_holds_at_the_keeper_too_and_ends_with_it(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)

    def mint() -> str:
        asked = {"connection": connection, "person": ada.person, "scopes": ["accounts:read"], "receiver": "bank", "cap": 60}
        return house.door.mint(**asked).token.reveal()  # type: ignore[arg-type]

    assert mint()
    ada.send(f"/connections/{connection}/pause")
    with pytest.raises(Paused):
        mint()
    assert end_tokens(house, Due(kind=END_TOKENS, key=connection, payload={})) is None
    ada.send(f"/connections/{connection}/resume", on="one")
    assert mint()
    assert [kind for kind in log(house) if kind.startswith("connection.")][-2:] == ["connection.paused", "connection.resumed"]


def test_a_pause_is_heard_by_a_keeper_that_was_away(
    signed_in: People, bank: Provider, house: House, keeper: KeeperParts
) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    keeper.stop_vault()
    try:
        assert ada.send(f"/connections/{connection}/pause").status_code == 303
        with pytest.raises(NoConnection):
            used(house, ada.person)
        assert ada.send(f"/connections/{connection}/resume").status_code == 503  # what the page says is true of the keeper too
    finally:
        keeper.start_vault()
    assert not house.door.connection(connection).paused
    end_tokens(house, Due(kind=END_TOKENS, key=connection, payload={}))
    assert house.door.connection(connection).paused
    ada.send(f"/connections/{connection}/resume")
    end_tokens(house, Due(kind=END_TOKENS, key=connection, payload={}))  # a late row of the pause changes nothing
    assert not house.door.connection(connection).paused


def test_the_ledger_says_what_became_of_what_was_handed_out(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    ada.send(f"/connections/{connection}/pause")
    assert "is asked to end access that was handed out before" in ada.get(f"/connections/{connection}").text
    end_tokens(house, Due(kind=END_TOKENS, key=connection, payload={}))
    assert "has ended at Harbour Bank" in ada.get(f"/connections/{connection}").text
    with house.database.read() as session:
        assert session.get_one(Revocation, connection + lookup.TOKENS).state == "confirmed"


# -- health ----------------------------------------------------------------------------------------------------------


def told(clock: Clock, status: str = "active", *, events: tuple[tuple[str, int], ...] = (), **state: object) -> str:
    """The chip and the sentence; `events` are (what, minutes ago), the latest first."""
    now = clock.now
    row = Connection(status=status, reason="", status_at=now, connected_at=now)
    found = {
        "status": "active", "account": "a", "label": "a", "scopes": (), "renewed_at": None, "renewals": 0, "expires_at": None,
        "events": tuple(Event(what, now - timedelta(minutes=ago)) for what, ago in events), **state,
    }
    made = health(row, ConnectionState(**found), "GitHub", now)  # type: ignore[arg-type]
    assert isinstance(made.words, Said)
    values = made.words.values.items()
    ago = {name: (now - one) // timedelta(minutes=1) if isinstance(one, datetime) else one for name, one in values}
    return f"{made.word}: {Tongue({}).pattern(made.words) % ago if ago else made.words}"


def test_health_is_told_in_words(clock: Clock) -> None:
    renewed = clock.now - timedelta(minutes=12)
    assert told(clock, renewals=14, renewed_at=renewed) == "Healthy: Access renewed 14 times, last 12."
    assert told(clock, "needs_consent", events=(("refused", 5),)).startswith("Reconnect: GitHub refused the last renewal 5.")
    assert "was lost twice" in told(clock, "needs_consent", events=(("lost", 1),))
    assert told(clock, events=(("away", 1), ("renewed", 9))).startswith("Not answering: GitHub did not renew the access 1.")
    assert told(clock, renewable=False).startswith("Healthy: GitHub named no end")
    soon = clock.now + timedelta(days=1)
    assert told(clock, renewable=False, expires_at=soon).startswith("Ends soon")
    assert told(clock, "paused").startswith("Paused by you")


def test_the_worse_news_is_believed(clock: Clock) -> None:
    row = Connection(status="active", reason="", status_at=None)
    over = ConnectionState("needs_consent", "a", "a", (), None, 0, None, events=(Event("refused", clock.now),))
    assert health(row, over, "GitHub", clock.now).word == "Reconnect"
    assert health(row, None, "GitHub", clock.now).word == "Reconnect"
    assert health(row, None, "GitHub", clock.now, away=True).word == "Connected"


# -- taking away -----------------------------------------------------------------------------------------------------


def uses(session: Session, house: House, person: str, connection: str, count: int) -> None:
    now = house.clock()
    session.merge(Client(id="cli_evil", kind="agent", name='=HYPERLINK("http://evil")', redirect_uris=[], created_at=now))
    session.add_all(
        Lease(
            id=f"lea_{number:06}", connection=connection, person=person, client="cli_evil", grant="g", server="bank", tool="get",
            action="act_1" if number == 0 else None, scopes=[], exclusive=False, cap=1, actors=[], state="closed", outcome="done",
            planned_at=now - timedelta(seconds=number // 3), until=now, ref="the-name-of-a-token",
        ) for number in range(count)
    )


def test_a_persons_own_uses_can_be_taken_away_whole(
    signed_in: People, bank: Provider, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over several batches, times that are the same among them: each use once."""
    ada = signed_in("ada")
    connection = connect(ada, bank)
    monkeypatch.setattr(export, "BATCH", 4)
    house.database.write(lambda s: uses(s, house, ada.person, connection, 23))
    answer = ada.get(f"/connections/{connection}/uses.json")
    found = json.loads(answer.text)
    assert (len(found["uses"]), found["complete"]) == (23, True)
    assert found["uses"][0]["provider"] == "harbour"
    assert {use["action"] for use in found["uses"]} == {"", "act_1"}
    assert "attachment" in answer.headers["Content-Disposition"]
    table = list(csv.reader(io.StringIO(ada.get("/connections/uses.csv").text)))
    assert table[0] == list(export.COLUMNS)
    assert len(table) == 24
    assert table[1][3].startswith("'=HYPERLINK")
    assert "the-name-of-a-token" not in answer.text


def test_an_export_is_bounded_and_says_so(
    signed_in: People, bank: Provider, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    monkeypatch.setattr(export, "BATCH", 2)
    monkeypatch.setattr(export, "MOST", 6)
    house.database.write(lambda s: uses(s, house, ada.person, connection, 9))
    found = json.loads(ada.get("/connections/uses.json").text)
    assert (len(found["uses"]), found["complete"]) == (6, False)
    assert "left out" in ada.get("/connections/uses.csv").text
    assert ada.get("/connections/uses.xml").status_code == 404


def test_nobody_takes_away_anothers_uses(signed_in: People, bank: Provider, house: House) -> None:
    ada, mallory = signed_in("ada"), signed_in("mallory")
    connection = connect(ada, bank)
    house.database.write(lambda s: uses(s, house, ada.person, connection, 3))
    assert mallory.get(f"/connections/{connection}/uses.json").status_code == 404
    assert json.loads(mallory.get("/connections/uses.json").text)["uses"] == []


# -- the list of providers -------------------------------------------------------------------------------------------


def test_many_providers_are_found_by_name_heading_and_what_they_allow(
    signed_in: People, bank: Provider, house: House, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = ("github", "gitlab", "google", "harbour", "microsoft", "slack", "notion", "atlassian", "dropbox", "discord", "zoom")
    monkeypatch.setattr(type(house.door), "providers", lambda _door: many)
    ada = signed_in("ada")
    page = ada.get("/connections").text
    assert f"See all {len(many)} providers" in page
    whole = ada.get("/connections/new").text
    assert whole.index(">Code<") < whole.index(">GitHub<") < whole.index(">Mail and files<")
    assert ">GitHub<" not in ada.get("/connections/new?q=send+payments").text
    assert "Harbour Bank" in ada.get("/connections/new?q=send+payments").text
    assert "Nothing found for “&lt;i&gt;”" in ada.get("/connections/new?q=<i>").text


def test_without_the_keeper_the_accounts_are_shown_and_none_is_called_healthy(
    signed_in: People, bank: Provider, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = signed_in("ada")
    connect(ada, bank)

    def away(*_args: object, **_more: object) -> None:
        raise KeeperAway

    for name in ("connections", "providers"):
        monkeypatch.setattr(type(house.door), name, away)
    page = ada.get("/connections").text
    assert "cannot be told while the vault is away" in page
    assert "Healthy" not in page


def test_the_page_is_woken_by_what_happens_to_its_accounts_alone(signed_in: People, bank: Provider, house: House) -> None:
    ada, bob = signed_in("ada"), signed_in("bob")
    connection = connect(ada, bank)

    def versions() -> tuple[str, str]:
        with house.database.read() as session:
            return lookup.version(session, ada.person), lookup.version(session, bob.person)

    before = versions()
    house.database.write(lambda s: states.needs_consent(s, connection, "over", house.clock()))
    after = versions()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_what_an_agent_may_do_is_shown_by_its_grant(signed_in: People, bank: Provider, house: House) -> None:
    from tests.webapp.connections.test_browser import users

    ada: Browser = signed_in("ada")
    connection = connect(ada, bank, ["accounts:read"])
    house.database.write(lambda s: users(s, house, ada.person, connection))
    page = ada.get(f"/connections/{connection}").text
    for words in ("Ledger Desk", "Unverified: its own name", "also need: Send payments", "Bookkeeping", "in answer to calls",
                  "/actions/act_1", "a call that needed no approval"):
        assert words in page
