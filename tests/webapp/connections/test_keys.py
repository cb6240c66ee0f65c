"""API keys on the pages: pasted once, never seen again, reminded of, replaced, taken back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.app_parts import Browser, People
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.webapp.connections.parts import log, rows
from vault.door import SessionProof
from vault.errors import Disconnected
from vault.secret import Secret
from webapp.broker.jobs import revoke
from webapp.connections import keys, states
from webapp.connections.connecting import TIDY
from webapp.connections.jobs import jobs, tidy
from webapp.connections.states import REVOKE
from webapp.connections.tables import Connection
from webapp.db import Base
from webapp.db.due import Due
from webapp.ids import new_id
from webapp.web.house import House
from webapp.web.viewer import Viewer

KEY = "tvly-a-key-that-nobody-sees"
PAGE = "/connections/keys/new?provider=tavily"


@pytest.fixture(autouse=True)
def services(house: House) -> None:
    for name in ("tavily", "openai"):
        house.door.provider_put(name, {})


def paste(browser: Browser, provider: str = "tavily", **fields: str) -> Connection:
    done = browser.send("/connections/keys/new", provider=provider, **{"key": KEY, **fields})
    assert done.status_code == 303, done.text
    with house_of(browser).database.read() as session:
        return session.get_one(Connection, done.headers["Location"].rsplit("/", 1)[1])


def house_of(browser: Browser) -> House:
    found: House = browser.application.extensions["counterseal"]
    return found


def everything(house: House) -> str:
    """All that the database holds."""
    if house.database.sqlite:
        path = Path(str(house.database.engine.url.database))
        return "".join(one.read_bytes().decode("latin-1") for one in path.parent.glob(path.name + "*"))
    with house.database.read() as session:
        return "".join(str(tuple(row)) for table in Base.metadata.sorted_tables for row in session.execute(select(table)))


def test_a_key_is_pasted_used_and_nowhere_to_be_seen(
    signed_in: People, house: House, keeper: KeeperParts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ada = signed_in("ada")
    led = ada.get("/connections/new?provider=tavily")
    assert led.headers["Location"].endswith(PAGE)
    page = ada.get(PAGE)
    assert 'autocomplete="off"' in page.text
    assert "Search and read the web" in page.text
    row = paste(ada, label="Research")
    assert (row.provider, row.label, row.scopes, row.status, row.preferred) == ("tavily", "Research", ["search"], "active", True)
    minted = house.door.mint(connection=row.id, person=ada.person, scopes=["search"], receiver="web", cap=60)
    assert minted.token.reveal() == KEY
    shown = ada.get("/connections").text + ada.get(f"/connections/{row.id}").text + ada.get(f"/connections/keys/{row.id}").text
    assert "Research" in shown
    assert "This key is from today" in shown
    seen = shown + caplog.text + everything(house) + keeper.log.read_text(errors="replace")
    assert row.id in seen
    assert KEY not in seen
    assert log(house)[-2:] == ["connection.begun", "connection.connected"]


@pytest.mark.parametrize(("fields", "words"), [
    ({"key": "two words are-no-key"}, "is one word"), ({"key": ""}, ""), ({"until": "2020-01-01"}, "has passed already"),
    ({"until": "soon"}, "is a date"), ({"label": "x" * 61}, "at most 60"),
])
def test_what_is_wrong_is_said_and_the_key_is_not_repeated(
    signed_in: People, house: House, fields: dict[str, str], words: str
) -> None:
    ada = signed_in("ada")
    page = ada.send("/connections/keys/new", provider="tavily", **{"key": KEY, "label": "Mine", **fields})
    assert page.status_code == 400
    assert words in page.text
    assert "paste it again" in page.text
    assert KEY not in page.text
    assert "two words" not in page.text
    assert rows(house, ada.person) == []


def test_only_services_of_keys_have_this_page(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    assert ada.get("/connections/keys/new?provider=github").status_code == 400
    assert ada.send("/connections/keys/new", provider="github", key=KEY).status_code == 400
    refused = ada.send("/connections/keys/new", provider="exa", key=KEY)
    assert "not set up" in refused.text
    assert KEY not in refused.text
    assert rows(house, ada.person) == []


def test_a_key_that_can_delete_says_so_before_it_is_kept(signed_in: People) -> None:
    page = signed_in("ada").get("/connections/keys/new?provider=openai").text
    assert "waits for a person" in page
    assert "platform.openai.com/api-keys" in page


def test_an_old_key_is_spoken_of_until_it_is_replaced(signed_in: People, house: House, clock: Clock) -> None:
    ada = signed_in("ada")
    row = paste(ada, label="Research")
    due = Due(kind=keys.REMIND, key=row.id, payload={})
    assert jobs[keys.REMIND](house, due) == row.connected_at + timedelta(days=90)
    assert "Research" not in ada.get("/").text
    clock.forward(seconds=92 * 86_400)
    assert keys.remind(house, due) is None
    assert keys.remind(house, due) is None
    assert log(house).count("connection.key_reminder") == 1
    [old] = rows(house, ada.person)
    young = keys.age(old, keys.form(house, viewer_of(ada), provider="", connection=row.id).facts, clock.now)
    assert young is not None
    assert (young.days, young.late) == (92, True)
    house.door.key_put(connection=row.id, person=ada.person, provider="tavily", key=Secret(KEY + "2"), label="Research")
    pasted = keys.Pasted("", row.id, Secret(KEY + "3"), "", "")
    assert keys.put(house, viewer_of(ada), pasted).label == "Research"
    assert keys.late(house, viewer_of(ada)) == []
    again = keys.remind(house, due)
    assert again is not None
    assert again > clock.now


def viewer_of(browser: Browser) -> Viewer:
    proof = SessionProof("", Secret(""))
    return Viewer(browser.person, "", "", (), admin=False, auditor=False, session="", proof=proof, factor_at=None)


def test_start_and_account_page_say_how_old_and_where_to_rotate(signed_in: People, house: House, clock: Clock) -> None:
    ada = signed_in("ada")
    row = paste(ada, label="Research")
    house.database.write(lambda s: setattr(s.get_one(Connection, row.id), "connected_at", clock.now - timedelta(days=92)))
    for path in ("/", "/connections", f"/connections/{row.id}"):
        page = ada.get(path).text
        assert "92 days old" in page, path
        assert "https://app.tavily.com/home" in page, path
        assert f"/connections/keys/{row.id}" in page, path
    bob = signed_in("bob")
    assert "92 days old" not in bob.get("/").text


def test_a_key_with_a_last_day_is_over_after_it(signed_in: People, house: House, clock: Clock) -> None:
    ada = signed_in("ada")
    last = (clock.now + timedelta(days=20)).date()
    row = paste(ada, until=last.isoformat())
    due = Due(kind=keys.REMIND, key=row.id, payload={})
    assert row.key_until is not None
    assert keys.remind(house, due) == row.key_until - timedelta(days=14)
    clock.forward(seconds=7 * 86_400)
    assert keys.remind(house, due) == row.key_until
    clock.forward(seconds=15 * 86_400)
    assert keys.remind(house, due) is None
    [over] = rows(house, ada.person)
    assert over.status == "needs_consent"
    assert "until you replace it" in over.reason


def test_a_key_is_replaced_in_place(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    row = paste(ada, label="Research")
    assert ada.get(f"/connections/new?connection={row.id}").headers["Location"].endswith(f"/connections/keys/{row.id}")
    done = ada.send(f"/connections/keys/{row.id}", key="tvly-the-second-key")
    assert done.status_code == 303
    [now] = rows(house, ada.person)
    assert (now.id, now.label) == (row.id, "Research")
    assert now.account != row.account
    minted = house.door.mint(connection=row.id, person=ada.person, scopes=["search"], receiver="web", cap=60)
    assert minted.token.reveal() == "tvly-the-second-key"


def test_a_key_that_is_replaced_while_it_is_paused_is_in_use_again_as_the_page_says(signed_in: People, house: House) -> None:
    """Here and at the keeper: one that is shown as in use and refused by the keeper could never be resumed."""
    ada = signed_in("ada")
    row = paste(ada)
    ada.send(f"/connections/{row.id}/pause")
    assert "A new key resumes it" in ada.get(f"/connections/keys/{row.id}").text
    ada.send(f"/connections/keys/{row.id}", key="tvly-the-second-key")
    assert rows(house, ada.person)[0].status == "active"
    minted = house.door.mint(connection=row.id, person=ada.person, scopes=["search"], receiver="web", cap=60)
    assert minted.token.reveal() == "tvly-the-second-key"


def test_a_key_that_ran_out_while_it_was_paused_can_be_used_when_it_was_replaced(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    row = paste(ada)
    ada.send(f"/connections/{row.id}/pause")
    house.database.write(lambda s: states.needs_consent(s, row.id, "It ran out.", house.clock()))
    ada.send(f"/connections/keys/{row.id}", key="tvly-the-second-key")
    assert rows(house, ada.person)[0].status == "active"
    assert house.door.mint(connection=row.id, person=ada.person, scopes=["search"], receiver="web", cap=60).token


def test_a_key_is_taken_back_and_the_page_says_what_that_does_not_do(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    row = paste(ada)
    assert "revoke it by hand" in ada.get(f"/connections/{row.id}/disconnect").text
    ada.send(f"/connections/{row.id}/disconnect")
    with pytest.raises(Disconnected):
        house.door.mint(connection=row.id, person=ada.person, scopes=["search"], receiver="web", cap=60)
    assert revoke(house, Due(kind=REVOKE, key=row.id, payload={})) is None
    page = ada.get(f"/connections/{row.id}").text
    assert "it still takes the key until you end it there" in page
    assert "https://app.tavily.com/home" in page
    assert ada.get(f"/connections/keys/{row.id}").status_code == 400


def test_a_stranger_sees_and_replaces_nobodys_key(signed_in: People, house: House) -> None:
    ada, mallory = signed_in("ada"), signed_in("mallory")
    row = paste(ada)
    assert mallory.get(f"/connections/keys/{row.id}").status_code == 404
    assert mallory.send(f"/connections/keys/{row.id}", key="tvly-the-strangers-key").status_code == 404
    assert mallory.get(f"/connections/new?connection={row.id}").status_code == 404
    assert ada.post("/connections/keys/new", data={"provider": "tavily", "key": KEY}).status_code in (400, 403)
    minted = house.door.mint(connection=row.id, person=ada.person, scopes=["search"], receiver="web", cap=60)
    assert minted.token.reveal() == KEY


def test_a_key_that_nobody_knows_of_is_ended(signed_in: People, house: House) -> None:
    """The process dies after the keeper stored the key, before the row was written."""
    ada = signed_in("ada")
    orphan = new_id("con")
    house.door.key_put(connection=orphan, person=ada.person, provider="tavily", key=Secret(KEY), label="x")
    assert tidy(house, Due(kind=TIDY, key=orphan, payload={"person": ada.person})) is None
    assert house.door.connection(orphan).status == "disconnected"
