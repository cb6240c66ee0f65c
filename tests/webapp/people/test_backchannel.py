"""The identity provider says that somebody signed out there, and they are signed out here: once, and nobody else."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import func, select

from tests.app_parts import Browser, People
from tests.conftest import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.people.test_sessions import inside, row_of
from tests.webapp.people.test_signed_out import proof, refused, told
from webapp.audit.tables import Entry
from webapp.people.backchannel import LOGOUT
from webapp.people.tables import LogoutToken, Session
from webapp.web.house import House


def came(signed_in: People, person: str, **claims: str) -> Browser:
    browser = signed_in.first_step(person, **claims)
    signed_in.second_step(browser)
    return browser


def says(signed_in: People, token: str) -> int:
    """What the identity provider is answered: it has no cookie, and no page of ours."""
    answer = signed_in.stranger().post(LOGOUT, data={"logout_token": token})
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.status_code == 200 or answer.json["error"] == "invalid_request"
    return answer.status_code


def test_the_session_that_it_names_ends_here_and_at_the_keeper(signed_in: People, house: House) -> None:
    one, other, ben = came(signed_in, "ada", sid="s1"), came(signed_in, "ada", sid="s2"), came(signed_in, "ben", sid="s3")
    told(house)
    kept = [proof(house, each) for each in (one, other, ben)]
    assert says(signed_in, signed_in.idp.logout_token(sub=signed_in.subject("ada"), sid="s1")) == 200
    assert [inside(each) for each in (one, other, ben)] == [False, True, True]
    told(house)
    assert [refused(house, each) for each in kept] == [True, False, False]


def test_the_name_of_a_session_alone_is_enough(signed_in: People) -> None:
    one, other = came(signed_in, "ada", sid="only-1"), came(signed_in, "ben", sid="only-2")
    assert says(signed_in, signed_in.idp.logout_token(sid="only-1")) == 200
    assert (inside(one), inside(other)) == (False, True)


def test_a_person_without_a_session_is_signed_out_everywhere(signed_in: People, house: House) -> None:
    one, other, ben = came(signed_in, "ada", sid="s1"), came(signed_in, "ada"), came(signed_in, "ben")
    kept = [proof(house, each) for each in (one, other, ben)]
    assert says(signed_in, signed_in.idp.logout_token(sub=signed_in.subject("ada"))) == 200
    told(house)
    assert [inside(each) for each in (one, other, ben)] == [False, False, True]
    assert [refused(house, each) for each in kept] == [True, True, False]


def test_sessions_that_the_provider_never_named_end_with_the_one_it_names(signed_in: People) -> None:
    unnamed, named = came(signed_in, "ada"), came(signed_in, "ada", sid="s2")
    assert says(signed_in, signed_in.idp.logout_token(sub=signed_in.subject("ada"), sid="s1")) == 200
    assert (inside(unnamed), inside(named)) == (False, True)


def test_a_session_that_is_not_known_ends_nobodys(signed_in: People) -> None:
    ada = came(signed_in, "ada", sid="s1")
    assert says(signed_in, signed_in.idp.logout_token(sid="s9")) == 200
    assert says(signed_in, signed_in.idp.logout_token(sub="nobody-here")) == 200
    assert inside(ada)


def test_a_token_is_taken_once(signed_in: People, house: House) -> None:
    """Attack: one that was seen on its way signs the person out again and again."""
    ada = came(signed_in, "ada")
    token = signed_in.idp.logout_token(sub=signed_in.subject("ada"))
    assert says(signed_in, token) == 200
    assert not inside(ada)
    back = signed_in("ada")
    assert says(signed_in, token) == 400
    told(house)
    assert inside(back)


@pytest.mark.parametrize("lie", ["another client", "no event", "a nonce", "old", "forged", "cut", "none", "an id token"])
def test_what_does_not_verify_ends_nothing(signed_in: People, house: House, lie: str) -> None:
    ada = came(signed_in, "ada", sid="s1")
    idp, sub = signed_in.idp, signed_in.subject("ada")
    whole = idp.logout_token(sub=sub, sid="s1")
    head, _, rest = whole.partition(".")
    token = {
        "another client": lambda: idp.logout_token(sub=sub, aud="another"),
        "no event": lambda: idp.logout_token(sub=sub, events={}),
        "a nonce": lambda: idp.logout_token(sub=sub, nonce="n"),
        "old": lambda: idp.logout_token(sub=sub, iat=1_700_000_000),
        "forged": lambda: head + "." + rest[:-6] + "AAAAAA",
        "cut": lambda: head,
        "none": lambda: "",
        "an id token": lambda: idp.logout_token(sub=sub, events=None, nonce="n"),
    }[lie]()
    assert says(signed_in, token) == 400
    assert inside(ada)
    with house.database.read() as db:
        assert db.scalar(select(func.count()).select_from(LogoutToken)) == 0


def test_no_cookie_makes_it_somebody_elses_word(signed_in: People) -> None:
    """It is a machine's route: a signed-in browser that posts there without a token ends nothing, its own session neither."""
    ada = came(signed_in, "ada")
    assert ada.post(LOGOUT, data={}, headers={"Origin": PUBLIC_URL}).status_code == 400
    assert ada.get(LOGOUT).status_code == 405
    assert inside(ada)


def test_it_is_in_the_log_and_tokens_are_forgotten_when_they_cannot_be_taken_any_more(
    signed_in: People, house: House, clock: Clock
) -> None:
    ada = came(signed_in, "ada", sid="s1")
    says(signed_in, signed_in.idp.logout_token(sub=signed_in.subject("ada"), sid="s1"))
    with house.database.read() as db:
        entries = {row.kind: row for row in db.scalars(select(Entry))}
    assert entries["sign_in.logged_out"].subject == ada.person
    assert json.loads(entries["sign_in.logged_out"].body)["detail"]["sessions"] == 1
    assert json.loads(entries["session.ended"].body)["detail"]["why"] == "signed out at the identity provider"
    clock.forward(hours=1)
    says(signed_in, signed_in.idp.logout_token(sid="s9"))
    with house.database.read() as db:
        assert db.scalar(select(func.count()).select_from(LogoutToken)) == 1


def test_the_provider_s_own_name_for_a_session_is_not_kept(signed_in: People, house: House) -> None:
    ada = came(signed_in, "ada", sid="the-name-at-the-provider")
    assert "the-name-at-the-provider" not in row_of(house, ada).sid
    assert len(row_of(house, ada).sid) == 64
    with house.database.read() as db:
        assert db.scalar(select(Session.sid).where(Session.id == row_of(house, ada).id))
