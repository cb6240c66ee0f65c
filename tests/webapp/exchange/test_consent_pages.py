"""The page on which a person lets a server use an account: what it says, who may press its button, and taking it back."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from sqlalchemy import select

from tests import token_parts
from tests.app_parts import People
from tests.token_parts import permit
from tests.webapp.exchange.conftest import SCOPES, Scene
from webapp.broker.handed_out import withdrawn
from webapp.clients import status
from webapp.connections import consents
from webapp.db.due import Due
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def new(scene: Scene, **changed: str) -> str:
    asked = {"client": scene.desk.id, "connection": scene.account, **changed}
    return "/connections/consents/new?" + "&".join(f"{name}={value}" for name, value in asked.items() if value)


def live(scene: Scene, account: str = "") -> consents.Consent | None:
    with scene.house.database.read() as session:
        return consents.live(session, scene.desk.id, account or scene.account)


def taken_back(scene: Scene) -> None:
    assert scene.ada.send(f"/connections/consents/{scene.consent}/withdraw").status_code == 303


def test_the_page_says_who_asks_for_what_and_the_button_gives_what_was_chosen(scene: Scene) -> None:
    taken_back(scene)
    page = scene.ada.get(new(scene)).text
    for words in ("Issue Desk", "https://desk.example/mcp", "registered by an operator", "See balances", "Send payments"):
        assert words in page
    done = scene.ada.send("/connections/consents/new", client=scene.desk.id, connection=scene.account, kind="person",
                          scope=["accounts:read"])
    assert done.status_code == 303, done.text
    found = live(scene)
    assert found is not None
    assert (found.scopes, found.kind, found.person) == (("accounts:read",), "person", scene.ada.person)
    assert "Only for calls in your name" in scene.ada.get("/connections/consents").text


def ticked(page: str) -> set[str]:
    return set(re.findall(r'<input type="checkbox" name="scope" value="([^"]+)" checked>', page))


def test_what_is_grave_is_for_the_person_to_tick(scene: Scene) -> None:
    """Without JavaScript: the form as it comes from the server. What nobody described counts as grave."""
    house = scene.house
    taken_back(scene)
    account = token_parts.account(house, scene.provider, scene.ada.person, scopes=(*SCOPES, "secret:all"))
    house.database.write(lambda s: permit(s, scene.desk.id, "harbour", (*SCOPES, "secret:all")))
    page = scene.ada.get(new(scene, connection=account)).text
    assert ticked(page) == {"accounts:read", "payees:read", "notes:write"}
    assert 'value="payments:send">' in page
    assert 'value="secret:all">' in page
    assert "left for you to tick" in page


def test_what_was_ticked_before_stays_ticked_but_for_a_graver_kind_of_use(scene: Scene) -> None:
    """Attack: a server that was allowed money in answer to calls shows the link on which it would get it for itself."""
    assert ticked(scene.ada.get(new(scene)).text) == set(SCOPES)
    assert ticked(scene.ada.get(new(scene, kind="service")).text) == set(SCOPES) - {"payments:send"}


def test_an_account_for_its_own_use_is_said_to_be_that(scene: Scene) -> None:
    assert "also when nobody calls it" in scene.ada.get(new(scene, kind="service")).text
    assert scene.ada.get(new(scene, kind="everything")).status_code == 400


def test_a_bank_that_cannot_narrow_is_said_to_give_everything(scene: Scene) -> None:
    wide = token_parts.account(scene.house, scene.provider, scene.ada.person, entry="wide")
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "wide", ("accounts:read",)))
    page = scene.ada.get(new(scene, connection=wide)).text
    assert "cannot make a token that does less" in page
    assert "send payments" in page.lower()


@pytest.mark.parametrize("changed", [
    {"scope": ["admin"]}, {"scope": []}, {"kind": "all"}, {"client": "cli_none"}, {"connection": "con_none"},
])
def test_what_the_page_does_not_offer_is_not_given(scene: Scene, changed: dict[str, object]) -> None:
    taken_back(scene)
    fields = {"client": scene.desk.id, "connection": scene.account, "kind": "person", "scope": ["accounts:read"], **changed}
    assert scene.ada.send("/connections/consents/new", **fields).status_code in (400, 404)
    assert live(scene) is None


def test_what_an_admin_did_not_register_cannot_be_given_even_if_the_account_has_it(scene: Scene) -> None:
    taken_back(scene)
    scene.house.database.write(lambda s: permit(s, scene.desk.id, "harbour", ("accounts:read",)))
    assert "Send payments" not in scene.ada.get(new(scene)).text
    refused = scene.ada.send("/connections/consents/new", client=scene.desk.id, connection=scene.account, kind="person",
                             scope=["payments:send"])
    assert refused.status_code == 400
    assert live(scene) is None


def test_a_stranger_neither_sees_nor_gives_nor_withdraws(scene: Scene, signed_in: People) -> None:
    bob = signed_in("bob")
    assert bob.get(new(scene)).status_code == 404
    gave = bob.send("/connections/consents/new", client=scene.desk.id, connection=scene.account, kind="service",
                    scope=["accounts:read"])
    assert gave.status_code == 404
    assert bob.send(f"/connections/consents/{scene.consent}/withdraw").status_code == 404
    assert "Issue Desk" not in bob.get("/connections/consents").text
    found = live(scene)
    assert found is not None
    assert (found.id, found.kind) == (scene.consent, "person")


def test_nobody_gives_by_a_link_or_from_another_site(scene: Scene, signed_in: People) -> None:
    taken_back(scene)
    fields = {"client": scene.desk.id, "connection": scene.account, "kind": "service", "scope": "accounts:read"}
    scene.ada.get("/connections/consents/new?" + "&".join(f"{n}={v}" for n, v in fields.items()))
    forged = scene.ada.post("/connections/consents/new", data=fields, headers={"Origin": "https://evil.example"})
    assert forged.status_code in (400, 403)
    assert signed_in.stranger().get(new(scene)).status_code in (302, 303, 401)
    assert live(scene) is None


def test_of_several_accounts_the_person_chooses_one_and_without_any_connects_one(
    scene: Scene, app: Flask, signed_in: People
) -> None:
    second = token_parts.account(scene.house, scene.provider, scene.ada.person)
    page = scene.ada.get(new(scene, connection="", provider="harbour")).text
    assert "Which account" in page
    assert second in page
    bob = signed_in("bob")
    assert "/connections/new?provider=harbour" in bob.get(new(scene, connection="", provider="harbour")).text


def test_a_client_that_was_shut_out_cannot_be_allowed(scene: Scene) -> None:
    taken_back(scene)
    scene.house.database.write(lambda s: status.change(s, scene.desk.id, "pause", actor="cli", now=scene.house.clock()))
    assert scene.ada.get(new(scene)).status_code == 404
    gave = scene.ada.send("/connections/consents/new", client=scene.desk.id, connection=scene.account, kind="person",
                          scope=["accounts:read"])
    assert gave.status_code == 404


def end_leases(house: House, consent: str) -> None:
    with house.database.read() as session:
        due = session.scalars(select(Due).where(Due.kind == consents.WITHDRAWN, Due.key == consent)).one()
    assert withdrawn(house, due) is None


def test_what_is_withdrawn_gives_nothing_more_and_what_was_given_is_ended_at_the_provider(scene: Scene) -> None:
    given = scene.desk.exchange(scene.subject).json
    assert scene.desk.introspect(given["lease_id"])["active"]
    taken_back(scene)
    assert not scene.desk.introspect(given["lease_id"])["active"]
    refused = scene.desk.exchange(scene.subject).json
    assert refused["error"] == "interaction_required"
    end_leases(scene.house, scene.consent)
    assert [one["token"] for one in scene.provider.revoked] == [given["access_token"]]
    token_parts.allow(scene.house, scene.desk, scene.ada.person, scene.account, scopes=SCOPES)
    assert scene.desk.exchange(scene.subject).json["access_token"] != given["access_token"]


def test_withdrawing_does_not_touch_another_clients_token(scene: Scene, app: Flask) -> None:
    other = token_parts.desk(scene.house, app, name="Other", resource="https://other.example/mcp", scopes=SCOPES)
    token_parts.allow(scene.house, other, scene.ada.person, scene.account, scopes=SCOPES)
    subject = token_parts.agents_token(scene.house, scene.ada.person, other.resource)
    theirs = other.exchange(subject).json
    scene.desk.exchange(scene.subject)
    taken_back(scene)
    end_leases(scene.house, scene.consent)
    assert theirs["access_token"] not in [one["token"] for one in scene.provider.revoked]
    assert other.introspect(theirs["lease_id"])["active"]


def test_a_withdrawn_account_is_left_alone_where_it_was_disconnected_meanwhile(scene: Scene) -> None:
    scene.desk.exchange(scene.subject)
    taken_back(scene)
    scene.house.door.disconnect(connection=scene.account, person=scene.ada.person)
    end_leases(scene.house, scene.consent)
    assert scene.provider.revoked == []
