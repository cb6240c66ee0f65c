"""Connecting an account at a real provider, through the pages; and every way to have somebody else finish it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from tests.app_parts import Browser, People
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import SECRET, Provider
from tests.webapp.connections.parts import SCOPES, back, begin, connect, ids, log, rows
from vault.errors import NotKnown
from webapp.connections.connecting import TIDY
from webapp.connections.jobs import tidy
from webapp.connections.tables import Attempt
from webapp.db.due import Due
from webapp.web.house import House


def test_a_person_connects_an_account_and_reads_in_plain_words_what_they_granted(
    signed_in: People, bank: Provider, house: House
) -> None:
    ada = signed_in("ada")
    assert "No account is connected" in ada.get("/connections").text
    connection = connect(ada, bank)
    page = ada.get("/connections").text
    for words in ("Healthy", "Send payments", "See balances", "None has used it yet"):
        assert words in page
    [row] = rows(house, ada.person)
    assert (row.id, row.account, row.scopes) == (connection, "alice", sorted(["openid", *SCOPES]))
    assert log(house)[-2:] == ["connection.begun", "connection.connected"]


def test_the_page_leads_to_the_provider_and_nowhere_else(signed_in: People, bank: Provider) -> None:
    page = signed_in("ada").get("/connections/new?provider=harbour")
    policy = page.headers["Content-Security-Policy"]
    assert f"form-action 'self' {bank.issuer}" in policy
    assert "Send payments" in page.text


def test_only_what_was_agreed_to_is_granted(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connect(ada, bank, ["accounts:read"])
    assert "payments:send" not in rows(house, ada.person)[0].scopes
    assert "Send payments" not in ada.get("/connections").text


def test_who_declines_is_told_and_may_try_again(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    page = back(ada, bank.consent(begin(ada), login_hint="nobody"))
    assert page.status_code == 400
    assert "You did not agree" in page.text
    assert "they said no" not in page.text
    assert "/connections/new?provider=harbour" in page.text
    assert rows(house, ada.person) == []


def test_a_state_is_good_once(signed_in: People, bank: Provider) -> None:
    ada = signed_in("ada")
    came = bank.consent(begin(ada))
    done = back(ada, came)
    assert "Harbour Bank is connected" in ada.get(done.headers["Location"]).text
    assert "Start again" in back(ada, came).text
    assert len(ids(ada)) == 1


def test_an_attempt_that_somebody_else_began_finishes_nothing(signed_in: People, bank: Provider, house: House) -> None:
    """CSRF (RFC 9700 section 4.7): a victim is sent a link that would connect the attacker's account as theirs."""
    mallory, ada = signed_in("mallory"), signed_in("ada")
    came = bank.consent(begin(mallory), login_hint="mallory")
    assert back(ada, came).status_code == 400
    assert rows(house, ada.person) == []
    assert back(mallory, came).status_code == 303


def test_another_browser_of_the_same_person_finishes_nothing(signed_in: People, bank: Provider, house: House) -> None:
    here, there = signed_in("ada"), signed_in("ada")
    came = bank.consent(begin(here))
    assert back(there, came).status_code == 400
    assert rows(house, here.person) == []


LIES = {
    "another issuer (mix-up)": {"iss": "https://evil.example"},
    "a state of nobody": {"state": "made up"},
    "no code": {"code": ""},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_callback_that_lies_connects_nothing(signed_in: People, bank: Provider, house: House, lie: dict[str, str]) -> None:
    ada = signed_in("ada")
    page = back(ada, {**bank.consent(begin(ada)), **lie})
    assert page.status_code == 400
    assert "evil" not in page.text
    assert rows(house, ada.person) == []


def test_without_the_issuer_that_this_provider_always_names_nothing_is_connected(
    signed_in: People, bank: Provider, house: House
) -> None:
    ada = signed_in("ada")
    came = bank.consent(begin(ada))
    del came["iss"]
    assert back(ada, came).status_code == 400
    assert rows(house, ada.person) == []


def test_a_code_of_one_provider_is_not_taken_at_anothers_callback(signed_in: People, bank: Provider, house: House) -> None:
    """Providers that do not name themselves return to an address of their own (RFC 9700 section 4.4.2.2)."""
    ada = signed_in("ada")
    assert back(ada, bank.consent(begin(ada)), "/connections/callback/github").status_code == 400
    assert rows(house, ada.person) == []


def test_a_parameter_given_twice_is_refused(signed_in: People, bank: Provider) -> None:
    ada = signed_in("ada")
    assert ada.get("/connections/callback?state=a&state=b&code=c").status_code == 400
    assert ada.get("/connections/callback").status_code == 400


def test_an_attempt_ends(signed_in: People, bank: Provider, clock: Clock) -> None:
    ada = signed_in("ada")
    came = bank.consent(begin(ada))
    clock.forward(seconds=601)
    assert back(ada, came).status_code == 400


def test_nothing_is_begun_without_a_page_of_ours(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    assert ada.post("/connections/new", data={"provider": "harbour", "scope": SCOPES}).status_code in (400, 403)
    with house.database.read() as session:
        assert session.scalars(select(Attempt)).all() == []


def test_what_no_words_describe_cannot_be_asked_for(signed_in: People, bank: Provider) -> None:
    ada = signed_in("ada")
    for scope in (["admin:everything"], [], ["payments:send", "x"]):
        assert ada.send("/connections/new", provider="harbour", scope=scope).status_code == 400
    assert ada.get("/connections/new?provider=nowhere").status_code == 400


def test_a_reconnect_keeps_the_connection_and_its_id(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank, ["accounts:read"])
    assert "Reconnect Harbour Bank" in ada.get(f"/connections/new?connection={connection}").text
    connect(ada, bank, connection=connection)
    [row] = rows(house, ada.person)
    assert row.id == connection
    assert "payments:send" in row.scopes


def test_a_reconnect_with_another_account_changes_nothing(signed_in: People, bank: Provider, house: House) -> None:
    ada = signed_in("ada")
    connection = connect(ada, bank)
    page = back(ada, bank.consent(begin(ada, connection=connection), login_hint="bob"))
    assert page.status_code == 400
    assert "another account" in page.text
    assert rows(house, ada.person)[0].account == "alice"


def test_nobody_reconnects_another_persons_account(signed_in: People, bank: Provider) -> None:
    ada, mallory = signed_in("ada"), signed_in("mallory")
    connection = connect(ada, bank)
    assert mallory.get(f"/connections/new?connection={connection}").status_code == 404
    assert mallory.send("/connections/new", connection=connection, provider="harbour", scope=SCOPES).status_code == 404


def test_no_token_and_no_secret_is_in_the_database_or_a_page(
    signed_in: People, bank: Provider, house: House, keeper: KeeperParts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ada = signed_in("ada")
    connection = connect(ada, bank)
    minted = house.door.mint(connection=connection, person=ada.person, scopes=["accounts:read"], receiver="bank", cap=60)
    inside = keeper.inside()
    record = inside.kv.read(f"connections/{connection}")
    inside.vault.wire.close()
    assert record is not None
    secrets = [SECRET, minted.token.reveal(), record.data["refresh"]]
    shown = ada.get("/connections").text + ada.get(f"/connections/{connection}").text + caplog.text + _whole(house)
    shown += keeper.log.read_text(errors="replace")
    assert connection in shown
    assert [secret for secret in secrets if secret in shown] == []


def _whole(house: House) -> str:
    """Everything that the database holds."""
    if house.database.sqlite:
        path = Path(str(house.database.engine.url.database))
        return "".join(one.read_bytes().decode("latin-1") for one in path.parent.glob(path.name + "*"))
    from webapp.db import Base

    with house.database.read() as session:
        return "".join(str(tuple(row)) for table in Base.metadata.sorted_tables for row in session.execute(select(table)))


def test_tokens_that_nobody_knows_of_are_ended(signed_in: People, bank: Provider, house: House) -> None:
    """The process dies after the keeper stored the tokens, before the row was written."""
    ada = signed_in("ada")
    came = bank.consent(begin(ada))
    with house.database.read() as session:
        attempt = session.scalars(select(Attempt)).one()
    from vault.secret import Secret

    house.door.connect_finish(
        connection=attempt.connection, person=ada.person, sealed=attempt.sealed, state=came["state"], code=Secret(came["code"]),
        iss=came["iss"]
    )
    due = Due(kind=TIDY, key=attempt.connection, payload={"person": ada.person})
    assert tidy(house, due) is None
    assert house.door.connection(attempt.connection).status == "disconnected"
    assert tidy(house, Due(kind=TIDY, key="con_never", payload={"person": ada.person})) is None
    with pytest.raises(NotKnown):
        house.door.connection("con_never")


ROUTES = [
    ("GET", "/connections/{}"), ("GET", "/connections/{}/disconnect"), ("POST", "/connections/{}/disconnect"),
    ("POST", "/connections/{}/pause"), ("POST", "/connections/{}/resume"), ("POST", "/connections/{}/name"),
    ("POST", "/connections/{}/default"), ("GET", "/connections/{}/now"), ("GET", "/connections/{}/uses.json"),
    ("GET", "/connections/{}/uses.csv"), ("GET", "/connections/new?connection={}&add=payments:send"),
]


def test_a_stranger_and_a_teammate_on_every_route(signed_in: People, bank: Provider, house: House) -> None:
    """Whoever is not signed in is asked to sign in; somebody of the same groups finds nothing there."""
    ada, teammate, stranger = signed_in("ada"), signed_in("bob"), signed_in.stranger()
    connection = connect(ada, bank)

    def ask(browser: Browser, method: str, route: str) -> int:
        path = route.format(connection)
        return (browser.get(path) if method == "GET" else browser.send(path)).status_code

    for method, route in ROUTES:
        assert ask(teammate, method, route) == 404
        assert ask(stranger, method, route) in (302, 303, 401)
    for path in (
        "/connections", "/connections/now", "/connections/uses.json", "/connections/new", "/connections/new?provider=harbour",
        "/connections/callback?state=a&code=b",
    ):
        assert stranger.get(path).status_code in (302, 303, 401)
    assert rows(house, ada.person)[0].status == "active"
