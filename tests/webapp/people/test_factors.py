"""The second step: passkeys and authenticator codes, enrolled, used, limited and removed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from tests.app_parts import Browser, PageKey, People, hidden, options
from tests.keeper_parts import KeeperParts
from webapp.audit.tables import Entry
from webapp.people.factors import factor_name
from webapp.people.tables import Person
from webapp.web.house import House

KEY = re.compile(r'id="key">([A-Z2-7 ]+)<')


def key_on(page: TestResponse) -> str:
    found = KEY.search(page.text)
    assert found, page.text
    return found.group(1).replace(" ", "")


def log(house: House) -> list[str]:
    with house.database.read() as db:
        return list(db.scalars(select(Entry.kind).order_by(Entry.id)))


def add_app(browser: Browser, **fields: str) -> str:
    """Enrol an authenticator app; its key."""
    page = browser.get("/you/factors/totp")
    key = key_on(page)
    done = browser.send("/you/factors/totp", sealed=hidden(page, "sealed"), code=pyotp.TOTP(key).now(), name="My app", **fields)
    assert done.status_code == 303, done.text
    return key


def wrong(key: str) -> str:
    """Six digits that are not this moment's, nor of a step close by."""
    near = {pyotp.TOTP(key).at(int(time.time()) + 30 * step) for step in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(100)) if code not in near)


def factor_ids(browser: Browser) -> list[str]:
    return re.findall(r"/you/factors/(fac_[0-9a-f]+)/remove", browser.get("/you").text)


# -- enrolling ---------------------------------------------------------------------------------------------------------


def test_whoever_has_no_factor_chooses_one_and_then_goes_where_they_wanted(signed_in: People, house: House) -> None:
    ada = signed_in.first_step("ada")
    choice = ada.get("/sign-in/second?next=/connections")
    assert choice.headers["Location"] == "/you/factors/first?next=/connections"
    assert "Choose your second step" in ada.get(choice.headers["Location"]).text
    page, passkey = ada.get("/you/factors/passkey?next=/connections"), PageKey()
    done = ada.send("/you/factors/passkey", next=hidden(page, "next"), **passkey.enrolment(page))
    assert (done.status_code, done.headers["Location"]) == (303, "/connections")
    assert ada.get("/you").status_code == 200
    assert log(house)[-2:] == ["factor.adding", "factor.added"]


def test_the_authenticators_key_is_shown_as_a_picture_and_as_text_and_never_again(signed_in: People) -> None:
    ada = signed_in.first_step("ada")
    page = ada.get("/you/factors/totp")
    key = key_on(page)
    assert 'src="data:image/svg+xml;base64,' in page.text
    sealed = hidden(page, "sealed")
    again = ada.send("/you/factors/totp", sealed=sealed, code=wrong(key), name="App")
    assert again.status_code == 422
    assert key not in again.text.replace(" ", "")
    assert ada.send("/you/factors/totp", sealed=sealed, code=pyotp.TOTP(key).now(), name="App").status_code == 303
    assert ada.get("/you").status_code == 200


def test_a_code_as_people_type_it_is_taken(signed_in: People) -> None:
    ada = signed_in.first_step("ada")
    page = ada.get("/you/factors/totp")
    code = pyotp.TOTP(key_on(page)).now()
    assert ada.send("/you/factors/totp", sealed=hidden(page, "sealed"), code=f" {code[:3]} {code[3:]} ").status_code == 303


def test_an_offer_made_to_one_session_is_no_use_in_another(signed_in: People) -> None:
    ada, ben = signed_in.first_step("ada"), signed_in.first_step("ben")
    page = ada.get("/you/factors/totp")
    code = pyotp.TOTP(key_on(page)).now()
    answer = ben.send("/you/factors/totp", sealed=hidden(page, "sealed"), code=code)
    assert answer.status_code >= 400
    assert ben.get("/you").status_code == 303, "and nobody is in"


def test_a_first_factor_is_no_way_around_an_existing_one(signed_in: People, house: House) -> None:
    """Whoever has the account at the identity provider, and no factor, cannot add one of their own."""
    signed_in("ada")
    thief = signed_in.first_step("ada")
    for page in ("/you/factors/passkey", "/you/factors/totp", "/you/factors/first"):
        assert thief.get(page).headers["Location"].startswith("/sign-in/second"), page
    offer = signed_in.first_step("mallory").get("/you/factors/passkey")
    assert thief.send("/you/factors/passkey", **PageKey().enrolment(offer)).status_code >= 400
    assert len(house.door.factors(thief.person)) == 1


@pytest.mark.parametrize("forged", ["their passkey in its place", "no factor at all"])
def test_a_passkey_written_into_the_database_opens_nothing(signed_in: People, house: House, forged: str) -> None:
    """The row is a copy for lists; what counts lies in the vault. Neither is another's passkey taken, nor a new one enrolled as
    if it were the first."""
    ada = signed_in("ada")
    offer, theirs = signed_in.first_step("mallory").get("/you/factors/passkey"), PageKey()
    made = json.loads(theirs.enrolment(offer)["attestation"])
    old = "2020-01-01T00:00:00+00:00"
    row = {**made, "id": "fac_" + "0" * 32, "kind": "passkey", "created_at": old, "credential": made["id"]}
    rows = [row] if forged.startswith("their") else []
    house.database.write(lambda db: db.execute(update(Person).where(Person.id == ada.person).values(factors=rows)))
    thief = signed_in.first_step("ada")
    page = thief.get("/sign-in/second")
    assert [one["id"] for one in options(page)["allowCredentials"]] != [made["id"]]
    assert thief.send("/sign-in/second", **theirs.answer(page)).status_code == 422
    assert thief.send("/you/factors/passkey", **theirs.enrolment(offer)).status_code >= 400
    assert thief.get("/you/factors/passkey").headers["Location"].startswith("/sign-in/second")
    assert thief.get("/you").headers["Location"].startswith("/sign-in/second")
    assert len(house.door.factors(ada.person)) == 1


def test_what_is_no_attestation_enrols_nothing(signed_in: People, house: House) -> None:
    ada = signed_in.first_step("ada")
    for attestation in ("", "x", "[]", "{}", "[" * 5000, '{"id":"x"}', "x" * 30_000):
        page = ada.get("/you/factors/passkey")
        answer = ada.send("/you/factors/passkey", sealed=hidden(page, "sealed"), attestation=attestation)
        assert answer.status_code in (400, 422), attestation[:20]
    assert house.door.factors(ada.person) == ()


def test_adding_a_factor_ends_the_sessions_elsewhere(signed_in: People, house: House) -> None:
    here, there = signed_in("ada"), signed_in("ada")
    assert there.get("/you").status_code == 200
    add_app(here)
    assert here.get("/you").status_code == 200
    assert there.get("/you").headers["Location"].startswith("/sign-in?")


def test_a_name_is_one_line_of_what_can_be_read() -> None:
    assert factor_name("  Ada's\n\tphone \u202e", "totp") == "Ada's phone"
    assert factor_name("", "passkey") == "Passkey"
    assert factor_name("x" * 200, "totp") == "x" * 60


# -- the second step ---------------------------------------------------------------------------------------------------


def test_the_passkey_opens_the_door(signed_in: People, house: House) -> None:
    signed_in("ada")
    again = signed_in.first_step("ada")
    page = again.get("/sign-in/second?next=/connections")
    assert options(page)["userVerification"] == "required"
    answer = signed_in.passkeys[again.person].answer(page)
    done = again.send("/sign-in/second", next=hidden(page, "next"), **answer)
    assert (done.status_code, done.headers["Location"]) == (303, "/connections")
    assert log(house)[-1] == "second_step.done"


def test_a_passkey_used_otherwise_does_not(signed_in: People, house: House) -> None:
    """No user verification, inside a frame of another site, or another key under the same credential id."""
    signed_in("ada")
    again = signed_in.first_step("ada")
    for otherwise in ({"verified": False}, {"cross_origin": True}, {"key": ec.generate_private_key(ec.SECP256R1())}):
        answer = signed_in.passkeys[again.person].answer(again.get("/sign-in/second"), **otherwise)
        refused = again.send("/sign-in/second", **answer)
        assert refused.status_code == 422, otherwise
        assert again.get("/you").status_code == 303
        assert log(house)[-1] == "second_step.failed"


def test_an_answer_is_good_once_and_in_its_own_session(signed_in: People) -> None:
    signed_in("ada")
    one, two = signed_in.first_step("ada"), signed_in.first_step("ada")
    answer = signed_in.passkeys[one.person].answer(one.get("/sign-in/second"))
    assert two.send("/sign-in/second", **answer).status_code == 400
    assert two.get("/you").status_code == 303
    assert one.send("/sign-in/second", **answer).status_code == 303
    assert one.send("/sign-in/second", **answer).status_code == 422


def test_a_code_is_good_once_ever(signed_in: People) -> None:
    ada = signed_in.first_step("ada")
    page = ada.get("/you/factors/totp")
    code = pyotp.TOTP(key_on(page)).now()
    assert ada.send("/you/factors/totp", sealed=hidden(page, "sealed"), code=code, name="My app").status_code == 303
    later = signed_in.first_step("ada")
    page = later.get("/sign-in/second")
    assert "data-passkey" not in page.text
    used = later.send("/sign-in/second", sealed=hidden(page, "sealed"), code=code)
    assert used.status_code == 422, "it was spent when the app was enrolled"


def test_wrong_codes_run_out_and_the_page_says_when_to_come_back(signed_in: People, house: House) -> None:
    key = add_app(signed_in.first_step("ada"))
    later = signed_in.first_step("ada")
    sealed = hidden(later.get("/sign-in/second"), "sealed")
    for _ in range(house.settings.people.attempts):
        assert later.send("/sign-in/second", sealed=sealed, code=wrong(key)).status_code == 422
    refused = later.send("/sign-in/second", sealed=sealed, code=pyotp.TOTP(key).now())
    assert refused.status_code == 429
    assert "You can try again in 5 minutes" in refused.text
    elsewhere = signed_in.first_step("ada")
    sealed = hidden(elsewhere.get("/sign-in/second"), "sealed")
    again = elsewhere.send("/sign-in/second", sealed=sealed, code=wrong(key))
    assert again.status_code == 429, "another browser is no way around"


def test_an_answer_that_is_none_is_no_attempt(signed_in: People) -> None:
    later = add_app(signed_in.first_step("ada")) and signed_in.first_step("ada")
    for fields in ({}, {"code": ""}, {"code": "1" * 40}, {"assertion": "nonsense"}, {"assertion": "[]"}, {"assertion": "1"}):
        assert later.send("/sign-in/second", **fields).status_code == 422, fields


# -- removing ----------------------------------------------------------------------------------------------------------


def test_a_factor_is_removed_by_its_owner_and_other_sessions_end(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    add_app(ada)
    there = signed_in("ada")
    passkey, app = (factor.id for factor in sorted(house.door.factors(ada.person), key=lambda one: one.kind))
    assert sorted(factor_ids(ada)) == sorted([passkey, app])
    assert ada.send(f"/you/factors/{app}/remove").status_code == 303
    assert [factor.id for factor in house.door.factors(ada.person)] == [passkey]
    assert ada.get("/you").status_code == 200
    assert there.get("/you").status_code == 303
    assert [kind for kind in log(house) if kind.startswith("factor.rem")] == ["factor.removing", "factor.removed"]


def test_the_last_factor_stays(signed_in: People, house: House) -> None:
    ada = signed_in("ada")
    only = house.door.factors(ada.person)[0].id
    assert factor_ids(ada) == []
    refused = ada.send(f"/you/factors/{only}/remove")
    assert refused.status_code == 400
    assert "last factor stays" in refused.text
    assert len(house.door.factors(ada.person)) == 1


def test_nobody_removes_another_persons_factor(signed_in: People, house: House) -> None:
    ada, ben = signed_in("ada"), signed_in("ben")
    add_app(ada)
    add_app(ben)
    hers = house.door.factors(ada.person)[0].id
    assert ben.send(f"/you/factors/{hers}/remove").status_code == 404
    assert len(house.door.factors(ada.person)) == 2


# -- the page about oneself, and an absent vault ------------------------------------------------------------------------


def test_times_are_shown_in_the_zone_that_the_person_chose(signed_in: People) -> None:
    ada = signed_in("ada")
    assert ada.send("/you/zone", zone="Asia/Tokyo").status_code == 303
    page = ada.get("/you").text
    assert '<option value="Asia/Tokyo" selected>' in page
    assert "Japan Standard Time" in page or "GMT+9" in page or "+0900" in page
    for zone in ("", "Mars/Olympus", "../../etc/passwd", "/etc/localtime"):
        assert ada.send("/you/zone", zone=zone).status_code == 400


@pytest.fixture
def sealed(keeper: KeeperParts) -> Iterator[KeeperParts]:
    yield keeper
    keeper.mend()


def test_with_the_vault_sealed_a_person_can_still_look_and_sign_out(signed_in: People, sealed: KeeperParts) -> None:
    ada = signed_in("ada")
    sealed.seal()
    page = ada.get("/you")
    assert page.status_code == 200
    assert "The vault is sealed" in page.text
    assert ada.get("/sign-in").status_code == 200
    assert ada.send("/sign-in/start").status_code == 503
    assert ada.get("/you/factors/passkey").status_code == 503
    assert ada.send("/sign-out").status_code == 303
