"""Passkeys: this person's, this site's, with user verification, each challenge once; against a real OpenBao."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson, sign_in, with_passkey
from vault import factors
from vault.door import Answer, SessionProof
from vault.errors import BadRequest, FactorRefused, Stale
from vault.secret import Secret


@pytest.fixture
def eve_and_ada(keeper: KeeperParts) -> tuple[SignedPerson, SignedPerson]:
    return with_passkey(keeper, sign_in(keeper, name="Eve")), with_passkey(keeper, sign_in(keeper))


def sign_with(parts: KeeperParts, person: SignedPerson, *, origin: str = PUBLIC_URL, passkey: Passkey | None = None, **otherwise):
    asked = parts.door.challenge(proof=person.proof)
    assert asked.options
    assertion = (passkey or person.passkey).get(asked.options, origin=origin, **otherwise)
    return parts.door.check(proof=person.proof, answer=Answer(sealed=asked.sealed, assertion=assertion))


def test_a_passkey_signs_in_and_the_ticket_says_so(keeper: KeeperParts):
    ada = with_passkey(keeper, sign_in(keeper))
    done = sign_with(keeper, ada)
    assert done.factor.kind == "passkey"
    assert done.factor.last_used_at is not None
    keeper.door.totp_begin(proof=SessionProof(done.ticket, ada.proof.session), account="ada")


@pytest.mark.parametrize("otherwise", [
    {"origin": "http://localhost:8001"}, {"origin": "https://localhost:8000"}, {"origin": "http://127.0.0.1:8000"},
    {"rp_id": "example.com"}, {"verified": False}, {"cross_origin": True}, {"top_origin": "http://evil.example"},
    {"cross_origin": "yes"}, {"challenge": "AAAA"}, {"count": 0}, {"key": Passkey().key}, {"handle": "AAAA"},
], ids=lambda otherwise: next(iter(otherwise)))
def test_an_assertion_that_is_not_quite_right_is_refused(keeper: KeeperParts, otherwise: dict):
    ada = with_passkey(keeper, sign_in(keeper))
    sign_with(keeper, ada)
    with pytest.raises(FactorRefused):
        sign_with(keeper, ada, **otherwise)
    sign_with(keeper, ada, count=100)


def test_a_sign_count_that_did_not_rise_is_a_cloned_authenticator(keeper: KeeperParts):
    ada = with_passkey(keeper, sign_in(keeper))
    sign_with(keeper, ada, count=7)
    for count in (7, 6, 0):
        with pytest.raises(FactorRefused):
            sign_with(keeper, ada, count=count)


def test_anothers_passkey_is_no_passkey_of_mine(keeper: KeeperParts, eve_and_ada: tuple[SignedPerson, SignedPerson]):
    eve, ada = eve_and_ada
    with pytest.raises(FactorRefused):
        sign_with(keeper, ada, passkey=eve.passkey)


def test_a_challenge_is_good_once(keeper: KeeperParts):
    ada = with_passkey(keeper, sign_in(keeper))
    asked = keeper.door.challenge(proof=ada.proof)
    assert ada.passkey
    for expected in (None, Stale):
        answer = Answer(sealed=asked.sealed, assertion=ada.passkey.get(asked.options or {}, origin=PUBLIC_URL))
        if expected is None:
            keeper.door.check(proof=ada.proof, answer=answer)
        else:
            with pytest.raises(expected):
                keeper.door.check(proof=ada.proof, answer=answer)


def test_a_challenge_is_good_for_five_minutes(keeper: KeeperParts):
    ada = with_passkey(keeper, sign_in(keeper))
    proof = {"ticket": ada.proof.ticket, "session": ada.proof.session.reveal()}
    asked = factors.challenge(keeper.inside(), {"proof": proof})
    assertion = ada.passkey.get(asked["options"], origin=PUBLIC_URL)  # type: ignore[union-attr]
    late = keeper.inside(lambda: datetime.now(UTC) + timedelta(minutes=5, seconds=1))
    with pytest.raises(Stale):
        factors.check(late, {"proof": proof, "answer": {"sealed": asked["sealed"], "assertion": assertion}})


def test_a_challenge_belongs_to_its_person_session_and_purpose(keeper: KeeperParts, eve_and_ada):
    eve, ada = eve_and_ada
    asked = keeper.door.challenge(proof=ada.proof)
    assertion = eve.passkey.get(asked.options, origin=PUBLIC_URL)
    with pytest.raises(BadRequest):
        keeper.door.check(proof=eve.proof, answer=Answer(sealed=asked.sealed, assertion=assertion))
    offer = keeper.door.passkey_begin(proof=ada.proof, account="ada")
    with pytest.raises(BadRequest):
        keeper.door.check(proof=ada.proof, answer=Answer(sealed=offer.sealed, assertion=assertion))


@pytest.mark.parametrize("answer", [Answer(), Answer(sealed="x", assertion={}, code=Secret("123456"))], ids=["none", "both"])
def test_exactly_one_answer(keeper: KeeperParts, answer: Answer):
    ada = with_passkey(keeper, sign_in(keeper))
    with pytest.raises(BadRequest):
        keeper.door.check(proof=ada.proof, answer=answer)


MALFORMED = [
    {}, {"id": None}, {"response": None}, {"response": {}}, {"response": {"clientDataJSON": 5}},
    {"response": {"clientDataJSON": "bnVsbA"}}, {"response": {"clientDataJSON": "e30"}}, {"type": "password"},
]


@pytest.mark.parametrize("change", MALFORMED, ids=str)
def test_malformed_answers_are_refused_and_never_an_error_of_ours(keeper: KeeperParts, change: dict):
    ada = with_passkey(keeper, sign_in(keeper))
    asked = keeper.door.challenge(proof=ada.proof)
    good = ada.passkey.get(asked.options, origin=PUBLIC_URL)  # type: ignore[union-attr,arg-type]
    bad = {**good, **change} if change else {}
    with pytest.raises(FactorRefused):
        keeper.door.check(proof=ada.proof, answer=Answer(sealed=asked.sealed, assertion=bad))
    begun = keeper.door.passkey_begin(proof=ada.proof, account="ada")
    attestation = {**Passkey().create(begun.options or {}, origin=PUBLIC_URL), **change} if change else {}
    with pytest.raises(FactorRefused):
        keeper.door.passkey_finish(proof=ada.proof, sealed=begun.sealed, attestation=attestation, name="x")


@pytest.mark.parametrize("otherwise", [
    {"verified": False}, {"cross_origin": True}, {"rp_id": "example.com"}, {"origin": "http://evil.example"},
], ids=str)
def test_a_passkey_is_not_enrolled_from_elsewhere_or_without_user_verification(keeper: KeeperParts, otherwise: dict):
    person = sign_in(keeper)
    begun = keeper.door.passkey_begin(proof=person.proof, account="ada")
    given = {"origin": PUBLIC_URL, **otherwise}
    with pytest.raises(FactorRefused):
        keeper.door.passkey_finish(
            proof=person.proof, sealed=begun.sealed, attestation=Passkey().create(begun.options or {}, **given), name="x"
        )
    assert keeper.door.factors(person.id) == ()
