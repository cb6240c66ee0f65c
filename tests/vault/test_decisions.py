"""A decision leaves the keeper only for the bytes, the verdict, the person and the factor it was asked with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyotp
import pytest

from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson, decide, sign_in, with_passkey
from tests.vault.samples import approvers, confirm
from tests.vault.samples import envelope as sample
from vault import decided, decisions
from vault.door import Answer, SessionProof
from vault.errors import (
    BadRequest,
    FactorRefused,
    FactorTooYoung,
    KeeperError,
    MayNotDecide,
    NotSignedIn,
    Stale,
)
from vault.evidence import canonical, parse_statement, satisfied
from vault.factors import path as factors_path
from vault.secret import Secret


def envelope(*needs, **changes) -> bytes:
    return sample(*needs, now=datetime.now(UTC), **changes)


def owned_by(person: SignedPerson) -> dict:
    return {"id": "con_a", "owner": person.id, "provider": "harbour", "account": "42", "label": "Household"}


@pytest.fixture
def fin(keeper: KeeperParts) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, ("finance",), name="Fin"))


def with_totp(parts: KeeperParts, person: SignedPerson) -> tuple[SignedPerson, str]:
    """Enrolled by this moment's code; and the next one, which is good already and for a minute at least."""
    offer = parts.door.totp_begin(proof=person.proof, account="ada")
    totp = pyotp.parse_uri(offer.uri.reveal())
    assert isinstance(totp, pyotp.TOTP)
    now = datetime.now(UTC)
    done = parts.door.totp_finish(proof=person.proof, sealed=offer.sealed, code=Secret(totp.at(now)), name="Phone")
    return replace(person, proof=SessionProof(done.ticket, person.proof.session)), totp.at(now + timedelta(seconds=30))


def test_an_approval_is_signed_over_the_very_bytes(keeper: KeeperParts, fin: SignedPerson):
    raw = envelope(approvers("finance", 1, "passkey"))
    statement = decide(keeper, fin, raw, "approve")
    keys = keeper.door.public_keys().authority
    body = parse_statement(statement, keys)
    assert (body["person"], body["verdict"], body["groups"]) == (fin.id, "approve", ["finance"])
    assert body["factor"]["kind"] == "passkey"
    requirement = json.loads(raw)["requirement"]
    assert satisfied(requirement, [statement], raw, keys=keys, now=datetime.now(UTC))


def test_the_owner_confirms_their_own_agents_call(keeper: KeeperParts):
    ada = with_passkey(keeper, sign_in(keeper))
    mine = {"principal": {"person": ada.id, "name": "Ada"}, "connection": owned_by(ada)}
    raw = envelope(confirm(), **mine)
    statement = decide(keeper, ada, raw, "confirm")
    keys = keeper.door.public_keys().authority
    assert satisfied(json.loads(raw)["requirement"], [statement], raw, keys=keys, now=datetime.now(UTC))


@pytest.mark.parametrize("role", ["principal", "connection", "client", "server"])
def test_no_one_approves_what_they_asked_for(keeper: KeeperParts, fin: SignedPerson, role: str):
    """In the group or not: requester, account's owner, agent's owner and the server's owner are known by identity."""
    own = {
        "principal": {"person": fin.id, "name": ""}, "connection": owned_by(fin),
        "client": {"id": "c", "grant": "g", "name": "", "owner": fin.id},
        "server": {"name": "cli_desk", "url": "", "manifest": "", "owner": fin.id},
    }
    with pytest.raises(MayNotDecide):
        decide(keeper, fin, envelope(approvers("finance"), **{role: own[role]}), "approve")


def test_groups_are_those_of_the_sign_in(keeper: KeeperParts):
    """The door takes no groups from the caller: there is no parameter to lie in, and the ticket's are not looked at either."""
    eve = with_passkey(keeper, sign_in(keeper, ("sales",), name="Eve"))
    with pytest.raises(MayNotDecide):
        decide(keeper, eve, envelope(approvers("finance")), "approve")


@pytest.mark.parametrize(("needs", "verdict"), [([confirm()], "confirm"), ([approvers("finance")], "confirm")])
def test_nobody_else_confirms(keeper: KeeperParts, fin: SignedPerson, needs: list, verdict: str):
    with pytest.raises(MayNotDecide):
        decide(keeper, fin, envelope(*needs), verdict)  # type: ignore[arg-type]


def test_a_rejection_needs_a_say_and_a_checked_factor(keeper: KeeperParts, fin: SignedPerson):
    raw = envelope(approvers("finance"))
    stranger = with_passkey(keeper, sign_in(keeper, ("sales",)))
    with pytest.raises(MayNotDecide):
        keeper.door.decide(proof=stranger.proof, envelope=raw, verdict="reject")
    without = sign_in(keeper, ("finance",))
    with pytest.raises(NotSignedIn):
        keeper.door.decide(proof=without.proof, envelope=raw, verdict="reject")
    statement = keeper.door.decide(proof=fin.proof, envelope=raw, verdict="reject", reason="Not ours: “évil”")
    assert parse_statement(statement, keeper.door.public_keys().authority)["reason"] == "Not ours: “évil”"


def asked(parts: KeeperParts, person: SignedPerson, raw: bytes, verdict="approve", **otherwise) -> Answer:
    found = parts.door.decision_challenge(proof=person.proof, envelope=raw, verdict=verdict)
    return Answer(sealed=found.sealed, assertion=person.passkey.get(found.options, origin=PUBLIC_URL, **otherwise))  # type: ignore


def test_a_passkeys_answer_serves_no_other_envelope_and_no_other_verdict(keeper: KeeperParts):
    ada = with_passkey(keeper, sign_in(keeper, ("finance",)))
    shown, run = envelope(approvers("finance")), envelope(approvers("finance"), arguments={"amount": "9999999.00"})
    with pytest.raises(FactorRefused):
        keeper.door.decide(proof=ada.proof, envelope=run, verdict="approve", answer=asked(keeper, ada, shown))
    mine = envelope(confirm(), approvers("finance"), connection=owned_by(ada), principal={"person": ada.id, "name": ""})
    with pytest.raises(MayNotDecide):
        keeper.door.decide(proof=ada.proof, envelope=mine, verdict="approve", answer=asked(keeper, ada, mine, "confirm"))


def test_the_signed_challenge_names_the_envelope_and_the_verdict():
    """What the passkey signs differs for every envelope, verdict and nonce."""
    one, two, nonce = envelope(confirm()), envelope(confirm(), action="act_two"), bytes(32)
    made = {decided.challenge(v, n, e) for v in ("approve", "confirm") for n in (nonce, b"\1" * 32) for e in (one, two)}
    assert len(made) == 8


def test_a_sign_in_challenge_decides_nothing(keeper: KeeperParts, fin: SignedPerson):
    found = keeper.door.challenge(proof=fin.proof)
    answer = Answer(sealed=found.sealed, assertion=fin.passkey.get(found.options, origin=PUBLIC_URL))  # type: ignore
    with pytest.raises(BadRequest):
        keeper.door.decide(proof=fin.proof, envelope=envelope(approvers("finance")), verdict="approve", answer=answer)


def test_an_answer_is_good_once(keeper: KeeperParts, fin: SignedPerson):
    raw = envelope(approvers("finance"))
    answer = asked(keeper, fin, raw)
    keeper.door.decide(proof=fin.proof, envelope=raw, verdict="approve", answer=answer)
    with pytest.raises((Stale, FactorRefused)):
        keeper.door.decide(proof=fin.proof, envelope=raw, verdict="approve", answer=answer)


def test_an_answer_is_good_once_whichever_keeper_hears_it(keeper: KeeperParts, fin: SignedPerson):
    """This test is a second keeper process on the same vault."""
    raw = envelope(approvers("finance"))
    answer = asked(keeper, fin, raw, count=0)
    fin_proof = {"ticket": fin.proof.ticket, "session": fin.proof.session.reveal()}
    again = {"proof": fin_proof, "envelope": raw.decode(), "verdict": "approve",
             "answer": {"sealed": answer.sealed, "assertion": answer.assertion}}
    keeper.door.decide(proof=fin.proof, envelope=raw, verdict="approve", answer=answer)
    with pytest.raises(Stale):
        decisions.decide(keeper.inside(), again)


def test_a_code_approves_where_the_requirement_allows_it_and_once(keeper: KeeperParts):
    person, code = with_totp(keeper, sign_in(keeper, ("finance",)))
    answer = Answer(code=Secret(code))
    with pytest.raises(FactorRefused):
        keeper.door.decide(
            proof=person.proof, envelope=envelope(approvers("finance", 1, "passkey")), verdict="approve", answer=answer
        )
    raw = envelope(approvers("finance"))
    statement = keeper.door.decide(proof=person.proof, envelope=raw, verdict="approve", answer=answer)
    assert parse_statement(statement, keeper.door.public_keys().authority)["factor"]["kind"] == "totp"
    with pytest.raises(FactorRefused):
        keeper.door.decide(proof=person.proof, envelope=envelope(approvers("finance")), verdict="approve", answer=answer)


def test_outside_evaluation_a_factor_of_less_than_24_hours_confirms_and_does_not_approve(real_keeper: KeeperParts):
    ada = with_passkey(real_keeper, sign_in(real_keeper, ("finance",)))
    with pytest.raises(FactorTooYoung):
        decide(real_keeper, ada, envelope(approvers("finance")), "approve")
    assert decide(real_keeper, ada, envelope(confirm(), connection=owned_by(ada)), "confirm")
    record = real_keeper.inside().kv.read(factors_path(ada.id))
    assert record
    yesterday = (datetime.now(UTC) - timedelta(hours=24)).isoformat()
    record.data["factors"][0]["created_at"] = yesterday
    real_keeper.inside().kv.write(factors_path(ada.id), record.data, record.version)
    assert decide(real_keeper, ada, envelope(approvers("finance")), "approve")


def test_an_expired_action_is_not_decided(keeper: KeeperParts, fin: SignedPerson):
    raw = sample(approvers("finance"), now=datetime.now(UTC) - timedelta(hours=5))
    with pytest.raises(Stale):
        decide(keeper, fin, raw, "approve")


@pytest.mark.parametrize("change", [
    lambda raw: raw + b" ", lambda raw: raw.replace(b'"v":1', b'"v":1.0'), lambda raw: b"{}", lambda raw: b"x",
    lambda raw: canonical({**json.loads(raw), "requirement": []}),
    lambda raw: raw[:-1] + b',"arguments":{"amount":"1.00"}}',
], ids=["space", "number", "empty", "text", "no requirement", "second key"])
def test_only_a_canonical_envelope_is_decided(keeper: KeeperParts, fin: SignedPerson, change):
    with pytest.raises(BadRequest):
        decide(keeper, fin, change(envelope(approvers("finance"))), "approve")


def test_another_sessions_ticket_decides_nothing(keeper: KeeperParts, fin: SignedPerson):
    stolen = replace(fin, proof=SessionProof(fin.proof.ticket, Secret("x" * 43)))
    with pytest.raises(NotSignedIn):
        decide(keeper, stolen, envelope(approvers("finance")), "approve")


@pytest.mark.parametrize("verdict", ["APPROVE", "", "allow", "approve\nreject"])
def test_there_are_three_verdicts(keeper: KeeperParts, fin: SignedPerson, verdict: str):
    with pytest.raises(BadRequest):
        keeper.door.decide(proof=fin.proof, envelope=envelope(approvers("finance")), verdict=verdict)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["seal", "stop_vault"])
def test_without_a_vault_nothing_is_decided_and_with_it_all_works_again(keeper: KeeperParts, fin: SignedPerson, fault: str):
    raw = envelope(approvers("finance"))
    answer = asked(keeper, fin, raw)
    getattr(keeper, fault)()
    with pytest.raises(KeeperError) as raised:
        keeper.door.decide(proof=fin.proof, envelope=raw, verdict="approve", answer=answer)
    assert raised.value.code == {"seal": "vault_sealed", "stop_vault": "vault_away"}[fault]
    keeper.mend()
    assert keeper.door.decide(proof=fin.proof, envelope=raw, verdict="approve", answer=answer), "the answer was not lost"


def test_outside_evaluation_a_code_of_an_app_of_a_day_approves(real_keeper: KeeperParts):
    person, code = with_totp(real_keeper, sign_in(real_keeper, ("finance",)))
    raw, answer = envelope(approvers("finance")), Answer(code=Secret(code))
    with pytest.raises(FactorTooYoung):
        real_keeper.door.decide(proof=person.proof, envelope=raw, verdict="approve", answer=answer)
    record = real_keeper.inside().kv.read(factors_path(person.id))
    assert record
    record.data["factors"][0]["created_at"] = (datetime.now(UTC) - timedelta(hours=24)).isoformat()
    real_keeper.inside().kv.write(factors_path(person.id), record.data, record.version)
    statement = real_keeper.door.decide(proof=person.proof, envelope=raw, verdict="approve", answer=answer)
    assert parse_statement(statement, real_keeper.door.public_keys().authority)["factor"]["kind"] == "totp"
