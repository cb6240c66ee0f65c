"""The revocation ledger: kept through restarts and days of silence, ended by the provider's word or a person's, and seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests import token_parts
from tests.keeper_parts import KeeperParts, until
from tests.scripted_provider import Scripted
from tests.webapp.connections.parts import own_file
from tests.webapp.incidents.conftest import Scene
from webapp.broker.jobs import jobs as broker
from webapp.connections.tables import Revocation
from webapp.db import Database
from webapp.db.due import Due
from webapp.incidents import ledger, reports
from webapp.incidents.jobs import jobs as incidents
from webapp.jobs import Worker, claim, release
from webapp.policy import active
from webapp.web.house import House

pytestmark = pytest.mark.both

ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
KINDS = {"broker.revoke", "broker.end_tokens", "incidents.forget"}


def work_off(house: House) -> int:
    """One round of a worker over the ledger's rows that are due now; how many those were."""
    worker, count = Worker(house, {**broker, **incidents}), 0
    while (row := house.database.write(lambda s: claim(s, worker.name, house.clock()))) is not None:
        again, failed = worker.work(row) if row.kind in KINDS else (house.clock() + timedelta(days=30), None)
        count += row.kind in KINDS
        house.database.write(partial(give_back, row=row, worker=worker.name, again=again, failed=failed))
    return count


def give_back(session: Session, *, row: Due, worker: str, again: datetime | None, failed: str | None) -> None:
    release(session, row, worker, again, failed)


def state(house: House, subject: str) -> Revocation:
    with house.database.read() as session:
        return session.get_one(Revocation, subject)


def test_a_provider_that_is_away_for_three_days_is_asked_across_restarts_until_it_confirms(
    scene: Scene, provider: Scripted
) -> None:
    house, clock, subject = scene.house, scene.house.clock, scene.account
    provider.revocation = 503
    house.settings.broker.revoke_backoff_max = 6 * 3600
    assert scene.ada.send(f"/connections/{scene.account}/disconnect").status_code == 303
    begun, rounds, gaps = clock(), 0, []
    while clock() - begun < timedelta(days=3):
        if rounds % 10 == 5:  # the process is killed: another one, with nothing but the database, goes on
            dead, house = house, replace(house, database=Database(house.database.url))
            if dead is not scene.house:
                dead.database.close()
        assert work_off(house) == 1
        with house.database.read() as session:
            next_at = session.scalars(select(Due.run_at).where(Due.kind == "broker.revoke", Due.key == subject)).one()
        gaps.append((next_at - clock()).total_seconds())
        assert gaps[-1] > 0
        clock.now = next_at  # type: ignore[attr-defined]
        rounds += 1
    assert gaps[:3] == sorted(gaps[:3])
    assert max(gaps) == house.settings.broker.revoke_backoff_max
    assert 20 < rounds < 30
    assert state(house, subject).state == "pending"
    assert state(house, subject).tries == rounds
    provider.revocation = 200
    assert work_off(house) == 1
    assert state(house, subject).state == "confirmed"
    clock.forward(days=1)  # type: ignore[attr-defined]
    assert work_off(house) == 0
    assert scene.log().count("revocation.settled") == 1
    if house is not scene.house:
        house.database.close()


@ONE
def test_the_ledger_is_visible_with_when_it_is_asked_again(scene: Scene, provider: Scripted) -> None:
    provider.revocation = 503
    incident = scene.open("person", scene.ada.person)
    scene.house.door.mint(connection=scene.account, person=scene.ada.person, scopes=["accounts:read"], receiver="bank", cap=60)
    assert work_off(scene.house) >= 1
    line = "Harbour Bank has not confirmed"
    for path in ("/incidents/ledger", f"/incidents/{incident}"):
        page = scene.ruth.get(path).text
        assert line in page, path
        assert "Asked again" in page, path


def test_a_person_ends_it_by_their_word_and_nobody_asks_any_more(scene: Scene, provider: Scripted) -> None:
    house, bob = scene.house, scene.people("bob")
    provider.revocation = 503
    scene.ada.send(f"/connections/{scene.account}/disconnect")
    assert "I ended it there by hand" in scene.ada.get(f"/connections/{scene.account}").text
    assert bob.send("/incidents/ledger/by-hand", subject=scene.account).status_code == 404
    assert bob.send("/incidents/ledger/by-hand", subject="con_none").status_code == 404
    assert state(house, scene.account).state == "pending"
    assert scene.ada.send("/incidents/ledger/by-hand", subject=scene.account, on="account").status_code == 303
    assert state(house, scene.account).state == "by_hand"
    assert scene.ada.send("/incidents/ledger/by-hand", subject=scene.account).status_code == 409
    work_off(house)
    house.clock.forward(hours=2)  # type: ignore[attr-defined]
    assert work_off(house) == 0
    assert state(house, scene.account).state == "by_hand"
    assert "Ended there by hand" in scene.ada.get(f"/connections/{scene.account}").text
    assert "revocation.by_hand" in scene.log()


@ONE
def test_what_a_confirmation_does_not_end_is_said_until_it_ended_by_itself(
    scene: Scene, provider: Scripted, keeper: KeeperParts
) -> None:
    """GitHub Apps and others end the consent, and the access handed out before lives on: nobody reads that all is over."""
    house, still = scene.house, "may still work at Harbour Bank"
    path = own_file(keeper, "harbour", "{overrides: harbour, revoke_effect: grant, ends_access: false, access_lifetime: 3600}")
    try:
        assert scene.ada.send(f"/connections/{scene.account}/disconnect").status_code == 303
        work_off(house)
        assert state(house, scene.account).state == "confirmed"
        page = scene.ruth.get("/incidents/ledger").text
        assert "Nothing is open" in page
        assert still in page
        until = house.clock() + timedelta(hours=1)
        with house.database.read() as session:
            [line] = ledger.of(session, house.settings, [scene.account])
        assert f"{until:%Y-%m-%d %H:%M} UTC" in line.rest
        house.clock.forward(hours=2)  # type: ignore[attr-defined]
        assert still not in scene.ruth.get("/incidents/ledger").text
    finally:
        path.unlink()


@ONE
def test_the_owner_of_a_suspended_account_does_not_stop_what_its_provider_is_asked(scene: Scene, provider: Scripted) -> None:
    """Attack: whoever sits in the owner's browser says "I ended it there", and nobody asks the provider any more."""
    house, subject = scene.house, scene.account + ":tokens"
    provider.revocation = 503
    scene.open("connection", scene.account)
    refused = scene.ada.send("/incidents/ledger/by-hand", subject=subject)
    assert (refused.status_code, "still asked" in refused.text) == (409, True)
    assert state(house, subject).state == "pending"
    assert "I ended it there by hand" not in scene.ada.get(f"/connections/{scene.account}").text
    assert scene.ruth.send("/incidents/ledger/by-hand", subject=subject).status_code == 303


@ONE
def test_a_provider_that_cannot_be_told_stays_in_the_ledger_until_a_person_says_so(
    scene: Scene, keeper: KeeperParts
) -> None:
    house, where = scene.house, "https://harbour.example/apps"
    text = f'{{overrides: harbour, revoke_style: none, revoke_effect: none, manual_revoke_url: "{where}"}}'
    path = own_file(keeper, "harbour", text)
    try:
        incident = scene.open("provider", "harbour")
        work_off(house)
        page = scene.ruth.get("/incidents/ledger").text
        assert "Harbour Bank cannot be told" in page
        assert where in page
        with house.database.read() as session:
            line = reports.one(session, house.settings, incident).ledger[0]
        assert (line.state, line.url, line.next_at) == ("unsupported", where, None)
        assert scene.ruth.send("/incidents/ledger/by-hand", subject=line.subject).status_code == 303
        assert "Nothing is open" in scene.ruth.get("/incidents/ledger").text
    finally:
        path.unlink()


@ONE
def test_what_a_server_was_given_is_ended_at_the_provider(scene: Scene, provider: Scripted) -> None:
    """The token that the keeper shares with one server; another server's goes on."""
    house = scene.house
    active.at_start(house)
    mint = {"connection": scene.account, "person": scene.ada.person, "scopes": ["accounts:read"], "cap": 60}
    suspect, other = (house.door.mint(receiver=name, **mint).token.reveal() for name in (scene.desk.id, "mail"))  # type: ignore[arg-type]
    answer = scene.desk.exchange(token_parts.agents_token(house, scene.ada.person, scene.desk.resource))
    assert answer.status_code == 200, answer.text
    incident = scene.open("client", scene.desk.id)
    work_off(house)
    revoked = {form["token"] for form in provider.revoked}
    assert suspect in revoked
    assert other not in revoked
    with house.database.read() as session:
        assert {line.state for line in reports.one(session, house.settings, incident).ledger} == {"confirmed"}


@ONE
def test_what_has_ended_by_itself_waits_for_a_word_and_is_asked_for_once_a_day(scene: Scene, provider: Scripted) -> None:
    """The provider answers 400 to a token of one call that is over. Nobody says for it that it ended: the row stays, says what is
    known, and one click settles it."""
    house, provider.expires_in = scene.house, 1
    asked = {"connection": scene.account, "person": scene.ada.person, "scopes": ["accounts:read"], "receiver": "bank", "cap": 60}
    provider.strange = {house.door.mint(**asked, exclusive=True).token.reveal()}
    assert scene.ada.send(f"/connections/{scene.account}/disconnect").status_code == 303
    until(lambda: house.door.revoke(connection=scene.account).detail == "expired", "the token is over")
    assert work_off(house) == 1
    with house.database.read() as session:
        (line,) = ledger.of(session, house.settings, [scene.account])
    assert (line.state, line.over) == ("pending", True)
    assert line.next_at == house.clock() + timedelta(days=1)
    assert "has ended by itself" in line.words
    assert "It has ended by itself: ask no more" in scene.ada.get(f"/connections/{scene.account}").text
    assert "It has ended by itself: ask no more" in scene.ruth.get("/incidents/ledger").text
    assert scene.ada.send("/incidents/ledger/by-hand", subject=scene.account, on="account").status_code == 303
    assert state(house, scene.account).state == "by_hand"
    assert "It had ended by itself, as was said" in scene.ada.get(f"/connections/{scene.account}").text
