"""Two administrators, two humans, by passkey: then whoever signed in afresh enrols one factor, once, in place of all they had."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson, decide, sign_in, with_passkey
from tests.vault.samples import approvers
from tests.vault.test_decisions import envelope
from tests.vault.test_signed_out import again, refused
from vault import authority, factors, people, readmission, recovery, signed_out, tickets
from vault.app import OPERATORS_ONLY
from vault.door import Answer, Readmission, SessionProof
from vault.errors import (
    BadRequest,
    FactorRefused,
    FactorTooYoung,
    MayNotDecide,
    NotKnown,
    NotSignedIn,
    Stale,
)
from vault.secret import Secret
from vault.settings import BadSettings, load
from vault.table import Keeper

WHY = "Lost the phone and the laptop; called back on her desk line."


def admin(parts: KeeperParts, name: str = "Ada", groups: tuple[str, ...] = ("admin",)) -> SignedPerson:
    return with_passkey(parts, sign_in(parts, groups, name=name))


def answer(parts: KeeperParts, who: SignedPerson, **about: str) -> Answer:
    asked = parts.door.readmission_challenge(proof=who.proof, **about)  # type: ignore[arg-type]
    assert asked.options is not None
    assert who.passkey is not None
    return Answer(sealed=asked.sealed, assertion=who.passkey.get(asked.options, origin=PUBLIC_URL))


def first(parts: KeeperParts, who: SignedPerson, person: str, reason: str = WHY) -> Readmission:
    given = answer(parts, who, person=person, reason=reason)
    return parts.door.readmission_say(proof=who.proof, person=person, reason=reason, answer=given)


def second(parts: KeeperParts, who: SignedPerson, begun: Readmission) -> Readmission:
    given = answer(parts, who, person=begun.person, readmission=begun.id)
    return parts.door.readmission_say(proof=who.proof, person=begun.person, readmission=begun.id, answer=given)


def came(parts: KeeperParts, who: SignedPerson, agreed: Readmission) -> SignedPerson:
    """They sign in afresh, and say that they come."""
    fresh = again(parts, who)
    ticket = parts.door.readmission_use(proof=fresh.proof, readmission=agreed.id)
    return replace(fresh, proof=SessionProof(ticket, fresh.proof.session), passkey=None)


@pytest.fixture
def lost(keeper: KeeperParts) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, ("finance",), name="Lost"))


@pytest.fixture
def agreed(keeper: KeeperParts, lost: SignedPerson) -> Readmission:
    return second(keeper, admin(keeper, "Ben"), first(keeper, admin(keeper), lost.id))


def test_two_say_so_and_one_factor_takes_the_place_of_all(keeper: KeeperParts, lost: SignedPerson) -> None:
    codes = keeper.door.recovery_make(proof=lost.proof)
    before = [one.id for one in keeper.door.factors(lost.id)]
    begun = first(keeper, admin(keeper), lost.id)
    assert (begun.state, begun.reason) == ("started", WHY)
    assert not refused(keeper, lost), "one word ends nothing"
    said = second(keeper, admin(keeper, "Ben"), begun)
    assert said.state == "agreed"
    assert refused(keeper, lost), "two words end what they are signed in to"
    assert [one.id for one in keeper.door.factors(lost.id)] == before, "what they had stays until there is something new"
    enrolled = with_passkey(keeper, came(keeper, lost, said))
    now = keeper.door.factors(lost.id)
    assert len(now) == 1
    assert now[0].id not in before
    assert keeper.door.readmission(person=lost.id) is None
    assert keeper.door.recovery_left(person=lost.id).left == 0
    assert len(codes) == 10
    assert decide(keeper, enrolled, envelope(approvers("finance")), "approve"), "in an evaluation instance, at once"


def test_the_ticket_opens_nothing_but_enrolling(keeper: KeeperParts, lost: SignedPerson, agreed: Readmission) -> None:
    here, raw = came(keeper, lost, agreed), envelope(approvers("finance"))
    asks: list[Callable[[], Any]] = [
        lambda: keeper.door.decide(proof=here.proof, envelope=raw, verdict="reject"),
        lambda: keeper.door.decision_challenge(proof=here.proof, envelope=raw, verdict="approve"),
        lambda: keeper.door.factor_remove(proof=here.proof, factor=keeper.door.factors(lost.id)[0].id),
        lambda: keeper.door.recovery_make(proof=here.proof),
        lambda: keeper.door.readmission_challenge(proof=here.proof, person=lost.id, reason=WHY),
        lambda: keeper.door.readmission_end(proof=here.proof, person=lost.id, readmission=agreed.id),
    ]
    for ask in asks:
        with pytest.raises(NotSignedIn):
            ask()


def test_it_is_used_once_and_enrols_once(keeper: KeeperParts, lost: SignedPerson, agreed: Readmission) -> None:
    """Attack: whoever took over the web process keeps the ticket, and puts a key of theirs in the place of the new one."""
    here = came(keeper, lost, agreed)
    with pytest.raises(Stale):
        came(keeper, lost, agreed)
    offers = [(one, keeper.door.passkey_begin(proof=here.proof, account="x")) for one in (Passkey(), Passkey())]

    def finish(passkey: Passkey, begun: Any) -> None:
        made = passkey.create(begun.options, origin=PUBLIC_URL)
        keeper.door.passkey_finish(proof=here.proof, sealed=begun.sealed, attestation=made, name="x")

    finish(*offers[0])
    with pytest.raises(Stale):
        finish(*offers[1])
    with pytest.raises(Stale):
        keeper.door.totp_begin(proof=here.proof, account="x")
    assert len(keeper.door.factors(lost.id)) == 1


def test_one_human_is_not_two_and_nobody_lets_themself_in(keeper: KeeperParts, lost: SignedPerson) -> None:
    ada, other, ben = admin(keeper), admin(keeper, "Ada too"), admin(keeper, "Ben")
    begun = first(keeper, ada, lost.id)
    with pytest.raises(MayNotDecide):
        second(keeper, ada, begun)
    keeper.door.person_link(ada.id, other.id)
    with pytest.raises(MayNotDecide):
        second(keeper, other, begun)
    with pytest.raises(MayNotDecide):
        first(keeper, ben, ben.id)
    keeper.door.person_link(ben.id, lost.id)
    with pytest.raises(MayNotDecide):
        second(keeper, ben, begun)


def test_only_those_whom_the_keeper_s_configuration_names(keeper: KeeperParts, lost: SignedPerson) -> None:
    with pytest.raises(MayNotDecide) as refusal:
        first(keeper, admin(keeper, groups=("finance", "Admin")), lost.id)
    assert "recovery_groups" in refusal.value.hint
    begun = first(keeper, admin(keeper), lost.id)
    with pytest.raises(MayNotDecide):
        second(keeper, admin(keeper, "Eve", ("user",)), begun)


def test_outside_an_evaluation_instance_nobody_unless_named(keeper: KeeperParts) -> None:
    settings = keeper.inside().settings
    assert replace(settings, evaluation=False).recoverers == frozenset()
    assert replace(settings, evaluation=False, recovery_groups=frozenset({"it"})).recoverers == {"it"}
    assert replace(settings, recovery_groups=frozenset({"it"})).recoverers == {"it"}


def test_the_setting_is_a_list_of_groups(tmp_path: Path) -> None:
    (tmp_path / "keeper.toml").write_text('recovery_groups = ["helpdesk", "it"]\n')
    assert load(tmp_path, evaluation=False, environ={}).recoverers == {"helpdesk", "it"}
    for wrong in ('"it"', '[""]', "[1]"):
        (tmp_path / "keeper.toml").write_text(f"recovery_groups = {wrong}\n")
        with pytest.raises(BadSettings, match="recovery_groups"):
            load(tmp_path, evaluation=False, environ={})


def test_a_word_is_for_one_person_one_reason_and_one_step(keeper: KeeperParts, lost: SignedPerson) -> None:
    """Attack: the page shows one person, and the passkey's answer is put under another's name."""
    ada, ben, mallory = admin(keeper), admin(keeper, "Ben"), sign_in(keeper, name="Mallory")
    given = answer(keeper, ada, person=lost.id, reason=WHY)
    with pytest.raises(FactorRefused):
        keeper.door.readmission_say(proof=ada.proof, person=mallory.id, reason=WHY, answer=given)
    with pytest.raises(FactorRefused):
        keeper.door.readmission_say(proof=ada.proof, person=lost.id, reason=WHY + " Really.", answer=given)
    begun = first(keeper, ada, lost.id)
    other = first(keeper, ada, mallory.id)
    given = answer(keeper, ben, person=lost.id, readmission=begun.id)
    with pytest.raises(FactorRefused):
        keeper.door.readmission_say(proof=ben.proof, person=mallory.id, readmission=other.id, answer=given)
    assert keeper.door.readmission(person=mallory.id) == other


def test_an_answer_is_good_once_and_a_code_is_none(keeper: KeeperParts, lost: SignedPerson) -> None:
    ada = admin(keeper)
    assert not keeper.door.readmission_challenge(proof=ada.proof, person=lost.id, reason=WHY).codes
    with pytest.raises(FactorRefused):
        keeper.door.readmission_say(proof=ada.proof, person=lost.id, reason=WHY, answer=Answer(code=Secret("123456")))
    given = answer(keeper, ada, person=lost.id, reason=WHY)
    begun = keeper.door.readmission_say(proof=ada.proof, person=lost.id, reason=WHY, answer=given)
    keeper.door.readmission_end(proof=ada.proof, person=lost.id, readmission=begun.id)
    with pytest.raises(Stale):
        keeper.door.readmission_say(proof=ada.proof, person=lost.id, reason=WHY, answer=given)


def test_a_right_code_of_an_authenticator_is_no_word(keeper: KeeperParts, lost: SignedPerson) -> None:
    """Attack: whoever took over the web process sees the codes that people type, and a code is bound to nothing."""
    ada, later = admin(keeper), at(keeper, seconds=60)
    offer = keeper.door.totp_begin(proof=ada.proof, account="ada")
    app = pyotp.parse_uri(offer.uri.reveal())
    assert isinstance(app, pyotp.TOTP)
    keeper.door.totp_finish(proof=ada.proof, sealed=offer.sealed, code=Secret(app.now()), name="Phone")
    code = app.at(later.clock())
    with pytest.raises(FactorRefused) as refusal:
        readmission.readmission_say(later, body(ada.proof, person=lost.id, reason=WHY, answer={"code": code}))
    assert refusal.value.hint == "This asks for a passkey."
    assert keeper.door.readmission(person=lost.id) is None


def test_a_young_passkey_says_no_word(real_keeper: KeeperParts) -> None:
    """Outside an evaluation instance: whoever took over an administrator's session enrols one, and waits a day."""
    lost, ada = sign_in(real_keeper, name="Lost"), admin(real_keeper)
    inside = real_keeper.inside()
    inside = replace(inside, settings=replace(inside.settings, recovery_groups=frozenset({"admin"})))
    asked = readmission.readmission_challenge(inside, body(ada.proof, person=lost.id, reason=WHY))
    assert ada.passkey is not None
    given = {"sealed": asked["sealed"], "assertion": ada.passkey.get(asked["options"], origin=PUBLIC_URL)}
    with pytest.raises(FactorTooYoung):
        readmission.readmission_say(inside, body(ada.proof, person=lost.id, reason=WHY, answer=given))


def body(proof: SessionProof, **more: Any) -> dict[str, Any]:
    return {"proof": {"ticket": proof.ticket, "session": proof.session.reveal()}, **more}


def at(parts: KeeperParts, **later: float) -> Keeper:
    now = datetime.now(UTC) + timedelta(**later)
    return parts.inside(lambda: now)


def signed_in_at(keeper: Keeper, who: str) -> SessionProof:
    session, now = Secret(secrets.token_urlsafe(32)), keeper.clock()
    generation = signed_out.generation(keeper, who)
    made = tickets.new(person=who, name="Lost", email="", groups=(), auth_time=None, now=now, generation=generation)
    return SessionProof(authority.issue(keeper, made, session), session)


def test_each_step_has_its_time(keeper: KeeperParts, lost: SignedPerson) -> None:
    begun = first(keeper, admin(keeper), lost.id)
    tomorrow = at(keeper, hours=24, seconds=5)
    assert readmission.readmission(tomorrow, {"person": lost.id}) == {"readmission": None}
    said = second(keeper, admin(keeper, "Ben"), begun)
    later = at(keeper, hours=72, seconds=5)
    with pytest.raises(Stale):
        readmission.readmission_use(later, body(signed_in_at(later, lost.id), id=said.id))
    here = came(keeper, lost, said)
    for begin in (factors.passkey_begin, factors.totp_begin):
        with pytest.raises(Stale):
            begin(at(keeper, seconds=factors.FRESH + 5), body(here.proof, account="x"))


def test_who_signed_in_long_ago_or_has_a_factor_does_not_come_in_this_way(
    keeper: KeeperParts, lost: SignedPerson, agreed: Readmission
) -> None:
    fresh = again(keeper, lost)
    with pytest.raises(NotSignedIn):
        readmission.readmission_use(at(keeper, seconds=factors.FRESH + 5), body(fresh.proof, id=agreed.id))
    with pytest.raises(NotSignedIn):
        keeper.door.readmission_use(proof=lost.proof, readmission=agreed.id)  # a session of before
    with pytest.raises(BadRequest):
        keeper.door.readmission_use(proof=with_passkey_of(keeper, lost).proof, readmission=agreed.id)
    with pytest.raises(Stale):
        keeper.door.readmission_use(proof=again(keeper, admin(keeper, "Eve")).proof, readmission=agreed.id)


def with_passkey_of(parts: KeeperParts, person: SignedPerson) -> SignedPerson:
    """Signed in again with the factor that they have."""
    fresh = again(parts, person)
    asked = parts.door.challenge(proof=fresh.proof)
    assert person.passkey is not None
    assert asked.options is not None
    given = Answer(sealed=asked.sealed, assertion=person.passkey.get(asked.options, origin=PUBLIC_URL))
    return replace(person, proof=SessionProof(parts.door.check(proof=fresh.proof, answer=given).ticket, fresh.proof.session))


def test_whoever_it_is_about_stops_it_with_the_factor_they_still_have(
    keeper: KeeperParts, lost: SignedPerson, agreed: Readmission
) -> None:
    """Attack: two administrators were talked into it, by somebody who has the person's password."""
    owner = with_passkey_of(keeper, lost)
    keeper.door.readmission_end(proof=owner.proof, person=lost.id, readmission=agreed.id)
    with pytest.raises(Stale):
        came(keeper, lost, agreed)
    with pytest.raises(NotKnown):
        keeper.door.readmission_end(proof=owner.proof, person=lost.id, readmission=agreed.id)


def test_one_is_open_at_a_time(keeper: KeeperParts, lost: SignedPerson) -> None:
    begun = first(keeper, admin(keeper), lost.id)
    with pytest.raises(BadRequest):
        first(keeper, admin(keeper, "Ben"), lost.id)
    assert keeper.door.readmission(person=lost.id) == begun


@pytest.mark.parametrize(
    "lie", ["no second", "one twice", "another person", "by hand", "another id", "a decision", "another first"]
)
def test_a_record_without_two_signed_words_lets_nobody_in(
    keeper: KeeperParts, lost: SignedPerson, agreed: Readmission, lie: str
) -> None:
    """What even a writer to the vault's record could not make up."""
    inside = keeper.inside()
    path = readmission.path(lost.id)
    found = inside.kv.read(path)
    assert found is not None
    one, two = found.data["statements"]
    said = json.loads(two["body"])
    lies = {
        "no second": [one], "one twice": [one, one],
        "another person": [one, signed(inside, {**said, "person": "per_other"})],
        "by hand": [one, {"body": two["body"].replace("confirm", "start"), "signature": two["signature"]}],
        "another id": [one, signed(inside, {**said, "id": "rdm_other"})],
        "a decision": [one, signed(inside, {**said, "kind": "decision"})],
        "another first": [one, signed(inside, {**said, "first": "per_other"})],
    }
    inside.kv.write(path, {**found.data, "statements": lies[lie]}, found.version)
    with pytest.raises(MayNotDecide):
        came(keeper, lost, agreed)


def signed(keeper: Keeper, said: dict[str, Any]) -> dict[str, str]:
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return {"body": text, "signature": authority.sign(keeper, "authority", text.encode())}


@pytest.mark.parametrize("since", ["the first left", "the second left", "they are one human", "one is the person"])
def test_what_is_known_of_both_administrators_when_the_person_comes_counts(
    keeper: KeeperParts, lost: SignedPerson, since: str
) -> None:
    ada, ben, inside = admin(keeper), admin(keeper, "Ben"), keeper.inside()
    said = second(keeper, ben, first(keeper, ada, lost.id))
    if since == "they are one human":
        keeper.door.person_link(ada.id, ben.id)
    elif since == "one is the person":
        keeper.door.person_link(ben.id, lost.id)
    else:
        gone = ada if since == "the first left" else ben
        people.record(inside, replace(people.person(inside, gone.id), groups=("user",)))
    with pytest.raises(MayNotDecide):
        came(keeper, lost, said)


def test_after_a_restore_what_was_agreed_before_is_over(
    keeper: KeeperParts, lost: SignedPerson, agreed: Readmission, tmp_path: Path
) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault" / "restored").write_text((datetime.now(UTC) + timedelta(seconds=5)).isoformat())
    inside = at(keeper, seconds=10)
    restored = replace(inside, settings=replace(inside.settings, instance=tmp_path), memory={})
    assert readmission.readmission(restored, {"person": lost.id}) == {"readmission": None}


def test_an_operator_says_so_alone_and_the_web_process_cannot(keeper: KeeperParts, lost: SignedPerson) -> None:
    assert "person_readmit" in OPERATORS_ONLY
    said = keeper.door.person_readmit(person=lost.id, reason=WHY)
    assert (said.state, said.started_by) == ("agreed", "operator")
    assert refused(keeper, lost)
    with_passkey(keeper, came(keeper, lost, said))
    assert len(keeper.door.factors(lost.id)) == 1
    with pytest.raises(NotKnown):
        keeper.door.person_readmit(person=f"per_{secrets.token_hex(10)}", reason=WHY)
    with pytest.raises(BadRequest):
        keeper.door.person_readmit(person=lost.id, reason="because")


def test_recovery_codes_of_before_are_void(keeper: KeeperParts, lost: SignedPerson) -> None:
    """And new ones are made at once, without the minute that lies between two makings."""
    codes = keeper.door.recovery_make(proof=lost.proof)
    said = second(keeper, admin(keeper, "Ben"), first(keeper, admin(keeper), lost.id))
    assert recovery.recovery_left(keeper.inside(), {"person": lost.id})["left"] == len(codes) == 10
    found = with_passkey(keeper, came(keeper, lost, said))
    assert recovery.recovery_left(keeper.inside(), {"person": lost.id}) == {"left": 0, "made_at": None}
    assert len(keeper.door.recovery_make(proof=found.proof)) == 10
