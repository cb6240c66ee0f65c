"""Factors: enrolled by the person alone, each answer good once, at a bounded number of tries; against a real OpenBao."""

from __future__ import annotations

import secrets
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson, sign_in, with_passkey
from vault import authority, factors, tickets
from vault.door import SessionProof
from vault.errors import BadRequest, FactorRefused, KeeperError, NotKnown, NotSignedIn, TooMany
from vault.secret import Secret
from vault.table import Keeper


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


def body(person: SignedPerson, **more: object) -> dict[str, object]:
    return {"proof": {"ticket": person.proof.ticket, "session": person.proof.session.reveal()}, **more}


class Authenticator:
    """A person with a TOTP authenticator, in a keeper whose clock the test moves."""

    def __init__(self, parts: KeeperParts) -> None:
        self.clock = Clock()
        self.keeper: Keeper = parts.inside(self.clock)
        self.person = sign_in(parts)
        offer = factors.totp_begin(self.keeper, body(self.person, account="ada"))
        self.totp = pyotp.parse_uri(offer["uri"])
        assert isinstance(self.totp, pyotp.TOTP)
        done = factors.totp_finish(self.keeper, body(self.person, sealed=offer["sealed"], code=self.code(), name="Phone"))
        self.person = replace(self.person, proof=SessionProof(done["ticket"], self.person.proof.session))

    def code(self, steps: int = 0) -> str:
        assert isinstance(self.totp, pyotp.TOTP)
        return self.totp.at(self.clock.now + timedelta(seconds=30 * steps))

    def try_code(self, code: str) -> None:
        factors.check(self.keeper, body(self.person, answer={"code": code}))


@pytest.fixture
def ada(keeper: KeeperParts) -> Authenticator:
    return Authenticator(keeper)


def test_a_code_that_may_have_been_used_before_a_restore_is_refused(ada: Authenticator, tmp_path: Path):
    """The record of the backup does not know of it. The first code that nobody could have used yet is good."""
    (tmp_path / "vault").mkdir()
    restored = ada.clock.now + timedelta(seconds=30)
    (tmp_path / "vault" / "restored").write_text(restored.isoformat())
    ticket = ada.keeper
    ada.keeper = replace(ticket, settings=replace(ticket.settings, instance=tmp_path), memory={})
    ada.clock.now += timedelta(seconds=60)
    ada.person = replace(ada.person, proof=afresh(ticket, ada.person.id))
    for steps in (-1, 0):
        with pytest.raises(FactorRefused):
            ada.try_code(ada.code(steps))
    ada.try_code(ada.code(1))


def test_a_ticket_of_before_a_restore_opens_nothing(ada: Authenticator, tmp_path: Path):
    """Nor what was sealed for its session: a passkey's answer to it may have been used since the backup."""
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "restored").write_text((ada.clock.now + timedelta(seconds=1)).isoformat())
    before = ada.keeper
    ada.keeper = replace(before, settings=replace(before.settings, instance=tmp_path), memory={})
    ada.clock.now += timedelta(seconds=5)
    with pytest.raises(NotSignedIn, match="restore"):
        factors.challenge(ada.keeper, body(ada.person))
    ada.person = replace(ada.person, proof=afresh(before, ada.person.id))
    assert factors.challenge(ada.keeper, body(ada.person))["sealed"]


def afresh(keeper: Keeper, person: str) -> SessionProof:
    """What a new sign-in gives somebody whom the keeper knows."""
    session = Secret(secrets.token_urlsafe(32))
    made = tickets.new(
        person=person, name="Ada", email="ada@example.com", groups=("user",), auth_time=keeper.clock(), now=keeper.clock()
    )
    return SessionProof(authority.issue(keeper, made, session), session)


def test_a_code_is_good_once_ever(ada: Authenticator):
    with pytest.raises(FactorRefused):
        ada.try_code(ada.code())  # it was used to enrol
    ada.clock.now += timedelta(seconds=30)
    ada.try_code(ada.code())
    with pytest.raises(FactorRefused):
        ada.try_code(ada.code())


def test_a_code_written_with_a_space_is_the_same_code(ada: Authenticator):
    ada.clock.now += timedelta(seconds=30)
    code = ada.code()
    ada.try_code(f"{code[:3]} {code[3:]}")
    with pytest.raises(FactorRefused):
        ada.try_code(code)


def test_one_step_early_or_late_is_accepted_and_two_are_not(ada: Authenticator):
    ada.clock.now += timedelta(minutes=10)
    for steps in (-2, 2):
        with pytest.raises(FactorRefused):
            ada.try_code(ada.code(steps))
    ada.try_code(ada.code(-1))
    ada.try_code(ada.code(1))
    with pytest.raises(FactorRefused):
        ada.try_code(ada.code(0))  # older than one that was used


def test_five_wrong_codes_and_the_right_one_has_to_wait(ada: Authenticator):
    ada.clock.now += timedelta(minutes=10)
    wrong = f"{(int(ada.code(5)) + 1) % 10**6:06d}"
    for _ in range(5):
        with pytest.raises(FactorRefused):
            ada.try_code(wrong)
    with pytest.raises(TooMany):
        ada.try_code(ada.code())
    ada.clock.now += timedelta(minutes=5, seconds=1)
    ada.try_code(ada.code())


def test_parallel_guesses_are_all_counted(ada: Authenticator):
    """The bound must hold when a hundred requests read the record before one of them has written it."""
    ada.clock.now += timedelta(minutes=10)
    outcomes: list[str] = []

    def guess() -> None:
        try:
            ada.try_code("000000" if ada.code() != "000000" else "000001")
        except KeeperError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=guess) for _ in range(12)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert outcomes.count("factor_refused") == 5
    assert outcomes.count("too_many") == 7


def test_two_threads_cannot_use_one_code(ada: Authenticator):
    ada.clock.now += timedelta(minutes=10)
    code, outcomes = ada.code(), []

    def use() -> None:
        try:
            ada.try_code(code)
            outcomes.append("in")
        except FactorRefused:
            outcomes.append("out")

    threads = [threading.Thread(target=use) for _ in range(4)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert sorted(outcomes) == ["in", "out", "out", "out"]


@pytest.mark.parametrize("code", ["", "12345", "1234567", "١٢٣٤٥٦", "12345a", "-12345"])
def test_what_is_not_six_digits_is_no_code(ada: Authenticator, code: str):
    with pytest.raises((FactorRefused, BadRequest)):
        ada.try_code(code)


def test_the_seed_is_shown_once_as_uri_and_as_svg(keeper: KeeperParts):
    person = sign_in(keeper)
    offer = keeper.door.totp_begin(proof=person.proof, account="ada@example.com")
    assert offer.uri.reveal().startswith("otpauth://totp/Counterseal:ada%40example.com?secret=")
    svg = offer.svg.reveal()
    assert svg.startswith("<svg")
    assert "style" not in svg, "the content security policy would refuse it"
    assert pyotp.parse_uri(offer.uri.reveal()).secret not in repr(offer) + offer.sealed


def test_a_first_factor_needs_a_sign_in_of_the_last_ten_minutes(keeper: KeeperParts):
    person = sign_in(keeper, now=datetime.now(UTC) - timedelta(minutes=11))
    with pytest.raises(NotSignedIn):
        keeper.door.totp_begin(proof=person.proof, account="ada")
    with pytest.raises(NotSignedIn):
        keeper.door.passkey_begin(proof=person.proof, account="ada")


def test_a_further_factor_needs_a_session_in_which_one_was_checked(keeper: KeeperParts):
    """Somebody who signs in as the person at the identity provider alone cannot add a factor of their own."""
    ada = sign_in(keeper)
    enrolled = with_passkey(keeper, ada)
    with pytest.raises(NotSignedIn):
        keeper.door.totp_begin(proof=ada.proof, account="ada")
    offer = keeper.door.totp_begin(proof=enrolled.proof, account="ada")
    code = pyotp.parse_uri(offer.uri.reveal()).now()  # type: ignore[union-attr]
    keeper.door.totp_finish(proof=enrolled.proof, sealed=offer.sealed, code=Secret(code), name="Phone")
    assert {one.kind for one in keeper.door.factors(ada.id)} == {"passkey", "totp"}


def test_of_two_first_enrolments_at_once_one_is_a_further_one(keeper: KeeperParts):
    """Both were offered while there was no factor; the second to finish finds one, and needs it."""
    ada = sign_in(keeper)
    first = keeper.door.passkey_begin(proof=ada.proof, account="ada")
    offer = keeper.door.totp_begin(proof=ada.proof, account="ada")
    attestation = Passkey().create(first.options or {}, origin=PUBLIC_URL)
    keeper.door.passkey_finish(proof=ada.proof, sealed=first.sealed, attestation=attestation, name="Laptop")
    code = pyotp.parse_uri(offer.uri.reveal()).now()  # type: ignore[union-attr]
    with pytest.raises(NotSignedIn):
        keeper.door.totp_finish(proof=ada.proof, sealed=offer.sealed, code=Secret(code), name="Phone")


def test_the_last_factor_stays_and_only_ones_own_go(keeper: KeeperParts):
    ada, eve = with_passkey(keeper, sign_in(keeper)), with_passkey(keeper, sign_in(keeper))
    (mine,) = keeper.door.factors(ada.id)
    with pytest.raises(FactorRefused):
        keeper.door.factor_remove(proof=ada.proof, factor=mine.id)
    with pytest.raises(NotKnown):
        keeper.door.factor_remove(proof=eve.proof, factor=mine.id)
    begun = keeper.door.passkey_begin(proof=ada.proof, account="ada")
    other = Passkey().create(begun.options or {}, origin=PUBLIC_URL)
    done = keeper.door.passkey_finish(proof=ada.proof, sealed=begun.sealed, attestation=other, name="Key")
    keeper.door.factor_remove(proof=ada.proof, factor=mine.id)
    assert [one.id for one in keeper.door.factors(ada.id)] == [done.factor.id]
