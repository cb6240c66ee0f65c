"""A recovery code enrols a new factor, once, and does nothing else; whoever reads the vault's record has no code."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event

from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson, decide, sign_in, with_passkey
from tests.vault.samples import approvers
from tests.vault.test_decisions import envelope
from tests.vault.test_factors import afresh
from tests.vault.test_signed_out import again
from vault import authority, factors, recovery, tickets
from vault.door import SessionProof
from vault.errors import FactorRefused, FactorTooYoung, NotSignedIn, Stale, TooMany
from vault.factors import ATTEMPTS, WINDOW
from vault.secret import Secret
from vault.young import DAY, HELD, old_enough


def made(parts: KeeperParts, person: SignedPerson) -> list[str]:
    return [one.reveal() for one in parts.door.recovery_make(proof=person.proof)]


def made_later(parts: KeeperParts, person: SignedPerson) -> list[str]:
    """After the minute that lies between."""
    later = parts.inside(lambda: datetime.now(UTC) + timedelta(seconds=recovery.APART + 1))
    return list(recovery.recovery_make(later, proven(person))["codes"])


def proven(person: SignedPerson) -> dict[str, object]:
    return {"proof": {"ticket": person.proof.ticket, "session": person.proof.session.reveal()}}


def used(parts: KeeperParts, person: SignedPerson, code: str) -> tuple[SignedPerson, int]:
    done = parts.door.recovery_use(proof=person.proof, code=Secret(code))
    return replace(person, proof=SessionProof(done.ticket, person.proof.session)), done.left


@pytest.fixture
def ada(keeper: KeeperParts) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, ("finance",)))


def test_ten_are_made_each_works_once_and_new_ones_void_those_of_before(keeper: KeeperParts, ada: SignedPerson) -> None:
    before, codes = made(keeper, ada), made_later(keeper, ada)
    assert len(set(codes)) == recovery.MANY
    assert keeper.door.recovery_left(person=ada.id).left == recovery.MANY
    lost = again(keeper, ada)
    with pytest.raises(FactorRefused):
        used(keeper, lost, before[0])
    assert used(keeper, lost, codes[3])[1] == 9
    with pytest.raises(FactorRefused):
        used(keeper, lost, codes[3])
    assert keeper.door.recovery_left(person=ada.id).left == 9


def test_the_record_holds_no_code(keeper: KeeperParts, ada: SignedPerson) -> None:
    codes = made(keeper, ada)
    found = keeper.inside().kv.read(recovery.path(ada.id))
    assert found is not None
    written = json.dumps(found.data)
    assert not any(one in written or one.replace("-", "") in written for one in codes)


def test_it_enrols_a_new_factor_which_then_is_one(keeper: KeeperParts, ada: SignedPerson) -> None:
    codes = made(keeper, ada)
    lost, _left = used(keeper, again(keeper, ada), codes[0])
    found = with_passkey(keeper, lost)
    assert len(keeper.door.factors(ada.id)) == 2
    keeper.door.challenge(proof=found.proof)
    made_later(keeper, found)


def test_new_ones_are_made_once_in_a_minute_however_many_ask_at_once(
    keeper: KeeperParts, ada: SignedPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attack: the hashing of one person's codes is everybody's wait."""
    hashed, first, at = list[str](), recovery._hash, datetime.now(UTC)

    def counted(code: str, salt: bytes) -> str:
        if not hashed:  # another one asks while the first is at work
            hashed.append(code)
            with pytest.raises(TooMany):
                recovery.recovery_make(keeper.inside(lambda: at), proven(ada))
        hashed.append(code)
        return first(code, salt)

    monkeypatch.setattr(recovery, "_hash", counted)
    recovery.recovery_make(keeper.inside(lambda: at), proven(ada))
    assert len(hashed) == 1 + recovery.MANY
    with pytest.raises(TooMany) as refusal:
        made(keeper, ada)
    assert "Wait a minute" in refusal.value.hint
    made_later(keeper, ada)


def test_who_waits_for_a_hash_waits_alone() -> None:
    """gevent's other requests go on meanwhile: the hashing is in a thread."""
    went, done = list[str](), Event()

    def other() -> None:
        while not done.is_set():
            went.append("on")
            gevent.sleep(0)

    beside = gevent.spawn(other)
    hashed = recovery._hash("0000", b"salt")
    done.set()
    beside.join()
    assert len(hashed) == 64
    assert went


def test_it_decides_nothing_removes_nothing_and_makes_no_codes(keeper: KeeperParts, ada: SignedPerson) -> None:
    codes = made(keeper, ada)
    lost, _left = used(keeper, again(keeper, ada), codes[0])
    raw = envelope(approvers("finance"))
    for verdict in ("approve", "reject", "break_glass"):
        with pytest.raises(NotSignedIn):
            keeper.door.decide(proof=lost.proof, envelope=raw, verdict=verdict, reason="x" * 30)  # type: ignore[arg-type]
    with pytest.raises(NotSignedIn):
        keeper.door.decision_challenge(proof=lost.proof, envelope=raw, verdict="approve")
    with pytest.raises(NotSignedIn):
        keeper.door.factor_remove(proof=lost.proof, factor=keeper.door.factors(ada.id)[0].id)
    with pytest.raises(NotSignedIn):
        keeper.door.recovery_make(proof=lost.proof)
    with pytest.raises(NotSignedIn):
        keeper.door.may_break_glass(proof=lost.proof)


# -- a code that somebody else found ------------------------------------------------------------------------------------


@dataclass
class Theft:
    """On a keeper that is no evaluation instance. The owner has a passkey and codes; the thief the codes, and their password."""

    parts: KeeperParts
    owner: SignedPerson
    codes: list[str]

    def thief(self, code: int = 0) -> SignedPerson:
        return with_passkey(self.parts, used(self.parts, again(self.parts, self.owner), self.codes[code])[0])

    def checked(self, person: SignedPerson) -> SignedPerson:
        """Signed in afresh, a second later, with the factor that they have."""
        now = datetime.now(UTC) + timedelta(seconds=2)
        inside, fresh = self.parts.inside(lambda: now), afresh(self.parts.inside(), person.id)
        bare = {"ticket": fresh.ticket, "session": fresh.session.reveal()}
        asked = factors.challenge(inside, {"proof": bare})
        assert person.passkey is not None
        answer = {"sealed": asked["sealed"], "assertion": person.passkey.get(asked["options"], origin=PUBLIC_URL)}
        done = factors.check(inside, {"proof": bare, "answer": answer})
        return replace(person, proof=SessionProof(done["ticket"], fresh.session))

    def newest(self) -> str:
        return max(self.parts.door.factors(self.owner.id), key=lambda one: one.created_at).id

    def remove(self, who: SignedPerson, factor: str, **later: float) -> None:
        now = datetime.now(UTC) + timedelta(**later)
        factors.factor_remove(self.parts.inside(lambda: now), {**proven(who), "factor": factor})


@pytest.fixture
def theft(real_keeper: KeeperParts) -> Theft:
    owner = with_passkey(real_keeper, sign_in(real_keeper))
    owner = with_passkey(real_keeper, owner)
    codes = made(real_keeper, owner)
    record = real_keeper.inside().kv.read(recovery.path(owner.id))
    assert record is not None
    real_keeper.inside().kv.write(recovery.path(owner.id), {**record.data, "asked_at": 0}, record.version)
    return Theft(real_keeper, owner, codes)


def test_whoever_found_a_code_takes_nothing_away_for_a_day(theft: Theft) -> None:
    """Nor with what they enrol beside it. After a day the owner has seen it; then it is a factor as any other."""
    theirs = [one.id for one in theft.parts.door.factors(theft.owner.id)]
    beside = with_passkey(theft.parts, theft.thief())
    for who in (beside, theft.owner):
        for ask in (lambda who=who: theft.remove(who, theirs[0]), lambda who=who: made(theft.parts, who)):
            with pytest.raises(FactorTooYoung) as refusal:
                ask()
            assert refusal.value.hint == HELD
    assert {one.id for one in theft.parts.door.factors(theft.owner.id)} > set(theirs)
    assert theft.parts.door.recovery_left(person=theft.owner.id).left == 9
    fresh = again(theft.parts, theft.owner)
    day = DAY.total_seconds() - 120
    late = replace(beside, proof=proof_at(theft.parts, fresh, day))
    with pytest.raises(FactorTooYoung):
        theft.remove(late, theirs[0], seconds=day)
    theft.remove(late, theirs[0], seconds=day + 240)


def proof_at(parts: KeeperParts, person: SignedPerson, seconds: float) -> SessionProof:
    """A ticket with a factor of so much later."""
    inside = parts.inside(lambda: datetime.now(UTC) + timedelta(seconds=seconds))
    ticket = tickets.verify(person.proof.ticket, person.proof.session, authority.keys(inside), datetime.now(UTC))
    later = tickets.with_factor(replace(ticket, expires_at=inside.clock() + timedelta(hours=1)), "passkey", inside.clock())
    return SessionProof(authority.issue(inside, later, person.proof.session), person.proof.session)


def test_its_owner_removes_what_the_thief_enrolled_and_makes_new_codes(theft: Theft) -> None:
    theft.thief()
    owner = theft.owner
    theft.remove(owner, theft.newest())
    with pytest.raises(NotSignedIn):
        made(theft.parts, owner)
    assert len(recovery.recovery_make(theft.parts.inside(lambda: datetime.now(UTC) + timedelta(seconds=3)),
                                      proven(theft.checked(owner)))["codes"]) == 10


def test_removing_it_themself_frees_the_thief_s_session_of_nothing(theft: Theft) -> None:
    """Attack: the mark goes with the factor, and the ticket that it gave stays."""
    theirs = [one.id for one in theft.parts.door.factors(theft.owner.id)]
    thief = theft.thief()
    theft.remove(thief, theft.newest())
    for ask in (
        lambda: theft.remove(thief, theirs[0]), lambda: made(theft.parts, thief), lambda: with_passkey(theft.parts, thief),
    ):
        with pytest.raises(NotSignedIn):
            ask()
    assert [one.id for one in theft.parts.door.factors(theft.owner.id)] == theirs


def test_what_was_enrolled_beside_it_frees_them_of_nothing_either(theft: Theft) -> None:
    """Attack: the thief's second factor signs them in when the first is gone."""
    theirs = [one.id for one in theft.parts.door.factors(theft.owner.id)]
    thief, enrolled = theft.thief(), theft.newest()
    beside = with_passkey(theft.parts, thief)
    theft.remove(beside, enrolled)
    with pytest.raises(FactorTooYoung):
        theft.remove(theft.checked(beside), theirs[0], seconds=3)


def test_one_code_enrols_one_factor_within_ten_minutes(theft: Theft) -> None:
    here, _left = used(theft.parts, again(theft.parts, theft.owner), theft.codes[0])
    late = theft.parts.inside(lambda: datetime.now(UTC) + timedelta(seconds=factors.FRESH + 5))
    for begin in (factors.passkey_begin, factors.totp_begin):
        with pytest.raises(Stale):
            begin(late, {**proven(here), "account": "x"})
    offers = [(one, theft.parts.door.passkey_begin(proof=here.proof, account="x")) for one in (Passkey(), Passkey())]

    def finish(passkey: Passkey, begun: Any) -> None:
        answer = passkey.create(begun.options, origin=PUBLIC_URL)
        theft.parts.door.passkey_finish(proof=here.proof, sealed=begun.sealed, attestation=answer, name="x")

    finish(*offers[0])
    with pytest.raises(Stale):
        finish(*offers[1])


def test_what_it_enrolled_approves_after_24_hours(ada: SignedPerson, keeper: KeeperParts) -> None:
    """In an evaluation instance at once, as any new factor; elsewhere `old_enough` says."""
    codes = made(keeper, ada)
    found = with_passkey(keeper, used(keeper, again(keeper, ada), codes[0])[0])
    assert decide(keeper, found, envelope(approvers("finance")), "approve")
    newest = max(keeper.door.factors(ada.id), key=lambda one: one.created_at)
    one = {"created_at": newest.created_at.isoformat()}
    assert not old_enough(keeper.inside(), one, evaluation=False)
    later = keeper.inside(lambda: datetime.now(UTC) + timedelta(hours=24, minutes=1))
    assert old_enough(later, one, evaluation=False)
    assert FactorTooYoung.code == "factor_too_young"


def test_guesses_are_bounded_and_the_bound_passes(keeper: KeeperParts, ada: SignedPerson) -> None:
    codes, lost = made(keeper, ada), again(keeper, ada)
    for _ in range(ATTEMPTS):
        with pytest.raises(FactorRefused):
            used(keeper, lost, "0000-0000-0000")
    with pytest.raises(TooMany):
        used(keeper, lost, codes[0])
    later = keeper.inside(lambda: datetime.now(UTC) + timedelta(seconds=WINDOW + 5))
    proof = {"ticket": lost.proof.ticket, "session": lost.proof.session.reveal()}
    assert recovery.recovery_use(later, {"proof": proof, "code": codes[0]})["left"] == 9


@pytest.mark.parametrize("typed", [str.upper, lambda one: one.replace("-", ""), lambda one: f"  {one.replace('-', ' ')} "],
                         ids=["upper case", "without dashes", "with blanks"])
def test_it_is_taken_as_people_type_it(keeper: KeeperParts, ada: SignedPerson, typed: object) -> None:
    codes = made(keeper, ada)
    assert callable(typed)
    assert used(keeper, again(keeper, ada), typed(codes[0]))[1] == 9


def test_another_persons_code_and_one_where_there_are_none_are_wrong(keeper: KeeperParts, ada: SignedPerson) -> None:
    codes, ben = made(keeper, ada), with_passkey(keeper, sign_in(keeper, name="Ben"))
    with pytest.raises(FactorRefused):
        used(keeper, ben, codes[0])
    assert (keeper.door.recovery_left(person=ben.id).left, keeper.door.recovery_left(person=ben.id).made_at) == (0, None)
    with pytest.raises(NotSignedIn):
        keeper.door.recovery_make(proof=again(keeper, ada).proof)


def test_codes_of_before_a_restore_count_no_more(keeper: KeeperParts, ada: SignedPerson, tmp_path: Path) -> None:
    """Which of them were spent since, the vault of the backup does not know."""
    codes = made(keeper, ada)
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "restored").write_text((datetime.now(UTC) + timedelta(seconds=5)).isoformat())
    clock = datetime.now(UTC) + timedelta(seconds=10)
    inside = keeper.inside(lambda: clock)
    restored = replace(inside, settings=replace(inside.settings, instance=tmp_path), memory={})
    assert recovery.recovery_left(restored, {"person": ada.id}) == {"left": 0, "made_at": None}
    proof = afresh(inside, ada.id)
    with pytest.raises(FactorRefused):
        recovery.recovery_use(restored, {"proof": {"ticket": proof.ticket, "session": proof.session.reveal()}, "code": codes[0]})
