"""Standing in for others: by delegation, from a time on, or alone by breaking the glass. Judged on what the keeper keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson, decide, sign_in, with_passkey
from tests.vault.samples import AGENT_OWNER, KEYS, NOW, OWNER, PRINCIPAL, approvers, confirm, statement
from tests.vault.samples import envelope as sample
from vault import decisions, delegating, people
from vault.decided import stamp
from vault.door import Answer, Delegation
from vault.door_standing import proof_of
from vault.errors import BadRequest, FactorRefused, FactorTooYoung, MayNotDecide, NotApproved, NotKnown
from vault.evidence import BadEnvelope, Statement, parse_statement, read_envelope, satisfied
from vault.settings import BadSettings, load
from vault.shapes import Evidence
from vault.spending import verify_without_account

LATER = NOW + timedelta(hours=1)
OPEN = {"servers": [], "classes": [], "up_to": None}


def met(raw: bytes, *said: Any, **more: Any) -> bool:
    return bool(satisfied(json.loads(raw)["requirement"], said, raw, keys=KEYS, now=LATER, **more))


def lent(by: str = "per_lender", until: datetime = LATER, scope: dict[str, Any] = OPEN) -> dict[str, Any]:
    return {"finance": {"by": by, "id": "dlg_1", "until": until.isoformat(), "scope": scope}}


# -- what a statement carries -------------------------------------------------------------------------------------------


def test_a_delegated_word_counts_within_its_scope_and_time_alone() -> None:
    facts = {"amount": {"status": "ok", "base_minor": 48000}}
    raw = sample(approvers("finance"), facts=facts)
    assert met(raw, statement(raw, "per_bob", delegated=lent()))
    assert met(raw, statement(raw, "per_bob", delegated=lent(scope={"servers": ["bank"], "classes": ["money"], "up_to": 48000})))
    others: list[dict[str, Any]] = [{"servers": ["shop"]}, {"classes": ["send"]}, {"up_to": 47999}, {"up_to": "1"}]
    for scope in ({}, *({**OPEN, **one} for one in others)):
        assert not met(raw, statement(raw, "per_bob", delegated=lent(scope=scope))), scope
    assert not met(raw, statement(raw, "per_bob", delegated=lent(until=NOW)))
    unread = sample(approvers("finance"), facts={"amount": {"status": "unknown"}})
    assert not met(unread, statement(unread, "per_bob", delegated=lent(scope={**OPEN, "up_to": 10**12})))


@pytest.mark.parametrize("facts", [
    {"amount": {"status": "ok", "base_minor": 100}, "enforced": False},
    {"amount": {"status": "ok", "base_minor": 100}, "inferred": ["amount"]},
    {"amount": {"status": "ok", "base_minor": -90000}},
    {"amount": None},
])
def test_an_amount_that_is_only_said_or_inferred_is_above_any_bound_of_a_delegation(facts: dict[str, Any]) -> None:
    raw = sample(approvers("finance"), facts=facts)
    assert not met(raw, statement(raw, "per_bob", delegated=lent(scope={**OPEN, "up_to": 48000})))
    assert met(raw, statement(raw, "per_bob", delegated=lent()))


def test_what_was_lent_by_a_code_decides_nothing_that_asks_for_a_passkey() -> None:
    """Attack: one code, caught in the web process, lends finance to somebody who then decides by a passkey of their own."""
    passkey, code = ({"finance": {**lent()["finance"], "factor": kind}} for kind in ("passkey", "totp"))
    raw = sample(approvers("finance", factor="passkey"))
    assert met(raw, statement(raw, "per_bob", delegated=passkey))
    assert not met(raw, statement(raw, "per_bob", delegated=code))
    assert not met(raw, statement(raw, "per_bob", delegated=lent())), "one that does not say by what"
    step = sample({**approvers("board", factor="passkey"), "escalate": {"group": "finance", "after": 1}})  # type: ignore[arg-type]
    late = {"at": (NOW + timedelta(seconds=2)).isoformat()}
    assert met(step, statement(step, "per_bob", delegated=passkey, **late))
    assert not met(step, statement(step, "per_bob", delegated=code, **late)), "nor in the place of those who are asked"
    plain = sample(approvers("finance"))
    assert met(plain, statement(plain, "per_bob", delegated=code))


@pytest.mark.parametrize("party", [PRINCIPAL, OWNER, AGENT_OWNER])
def test_the_delegate_of_a_party_is_no_way_around(party: str) -> None:
    raw = sample(approvers("finance"))
    assert not met(raw, statement(raw, "per_bob", delegated=lent(by=party)))


def test_a_seat_that_was_lent_is_filled_once() -> None:
    raw = sample(approvers("finance", 2))
    bob, lender = statement(raw, "per_bob", delegated=lent()), statement(raw, "per_lender")
    cas = statement(raw, "per_cas", delegated=lent())
    assert not met(raw, bob, lender)
    assert not met(raw, bob, cas)
    assert met(raw, bob, statement(raw, "per_dee"))


def test_what_ended_since_does_not_count_at_the_mint() -> None:
    raw = sample(approvers("finance"))
    bob = statement(raw, "per_bob", delegated=lent())
    assert met(raw, bob, groups_now={"per_bob": ["finance"]})
    assert not met(raw, bob, groups_now={"per_bob": []})


def test_another_group_steps_in_from_its_time_on_and_not_before() -> None:
    need = {**approvers("finance"), "escalate": {"group": "leads", "after": 1800}}
    raw = sample(need)  # type: ignore[arg-type]
    early, late = ({"groups": ["leads"], "at": (NOW + timedelta(seconds=after)).isoformat()} for after in (1799, 1800))
    assert not met(raw, statement(raw, "per_lea", **early))
    assert met(raw, statement(raw, "per_lea", **late))
    assert met(raw, statement(raw, "per_lea", **late), groups_now={"per_lea": ["leads"]})
    assert not met(raw, statement(raw, "per_lea", **late), groups_now={"per_lea": ["finance"]})
    assert not met(raw, statement(raw, PRINCIPAL, **late))
    strict = sample(need, {**approvers("finance", 1), "rule": "other"})  # type: ignore[arg-type, typeddict-item]
    assert not met(strict, statement(strict, "per_lea", **late))  # one of the rules lets nobody take its place


def test_each_later_step_lets_its_own_group_in_and_none_early() -> None:
    """Attack: whoever is asked last speaks when only the first step's time has come."""
    need = {**approvers("finance", 2), "escalate": [{"group": "leads", "after": 1800}, {"group": "board", "after": 3000}]}
    raw = sample(need)  # type: ignore[arg-type]

    def by(person: str, group: str, after: int) -> Any:
        return statement(raw, person, groups=[group], at=(NOW + timedelta(seconds=after)).isoformat())

    assert met(raw, by("per_lea", "leads", 1800), by("per_bea", "board", 3000))
    assert met(raw, by("per_fin", "finance", 0), by("per_bea", "board", 3000))
    assert not met(raw, by("per_lea", "leads", 1800), by("per_bea", "board", 2999))
    assert not met(raw, by("per_lea", "leads", 1799), by("per_bea", "board", 3000))
    late = {**approvers("finance", 1), "rule": "other", "escalate": {"group": "board", "after": 3300}}
    both = sample(need, late)  # type: ignore[arg-type]
    words = [statement(both, one, groups=["board"], at=(NOW + timedelta(seconds=3300)).isoformat()) for one in ("per_a", "per_b")]
    assert met(both, *words)
    leads = [statement(both, one, groups=["leads"], at=(NOW + timedelta(seconds=3300)).isoformat()) for one in ("per_a", "per_b")]
    assert not met(both, *leads), "one of the rules does not let them in"


@pytest.mark.parametrize("step", [
    {"group": "finance", "after": 60}, {"group": "", "after": 60}, {"group": "leads", "after": 0},
    {"group": "leads", "after": True}, {"group": "leads", "after": 31 * 86400}, {"group": "leads"},
    {"group": "leads", "after": 60, "more": 1}, "leads", None,
    [], [{"group": "leads", "after": 60}], [{"group": "leads", "after": 60}, {"group": "leads", "after": 90}],
    [{"group": "leads", "after": 60}, {"group": "board", "after": 60}], [{"group": "leads", "after": 60}, None],
    [{"group": "leads", "after": 60}, {"group": "board", "after": 59}], [{"group": "leads", "after": 60}, ["board", 90]],
    [{"group": "leads", "after": 60}, {"group": "finance", "after": 90}],
    [{"group": "leads", "after": 60}, {"group": ["b"], "after": 90}],
    [{"group": "leads", "after": 60}, {"group": "board", "after": 90, "more": 1}], ({"group": "leads", "after": 60},) * 2,
    [{"group": f"g{at}", "after": 60 + at} for at in range(5)],
])
def test_an_escalation_is_read_strictly(step: Any) -> None:
    with pytest.raises(BadEnvelope):
        read_envelope(sample({**approvers("finance"), "escalate": step}))  # type: ignore[arg-type]


def test_breaking_the_glass_carries_it_alone_with_a_passkey_and_a_reason() -> None:
    raw, why = sample(approvers("finance", 2, "passkey"), confirm()), "The site is down and nobody answers."
    assert met(raw, statement(raw, "per_root", "break_glass", reason=why))
    assert met(raw, statement(raw, "per_root", "break_glass", reason=why), glass_now={"per_root"})
    assert not met(raw, statement(raw, "per_root", "break_glass", reason=why), glass_now=set())
    assert not met(raw, statement(raw, "per_root", "break_glass", reason="  too short   " + " " * 20))
    assert not met(raw, statement(raw, "per_root", "break_glass", reason=why, factor={"id": "f", "kind": "totp"}))
    assert not met(raw, statement(raw, OWNER, "break_glass", reason=why))
    assert not met(raw, statement(raw, "per_root", "break_glass", reason=why, same_as=[OWNER]))
    assert not met(raw, statement(raw, "per_root", "break_glass", reason=why), statement(raw, "per_bob", "reject"))


# -- the keeper itself --------------------------------------------------------------------------------------------------


def now_envelope(*needs: Any, **changes: Any) -> bytes:
    return sample(*needs, now=datetime.now(UTC), **{"connection": None, "scopes": [], **changes})


def wanted(by: SignedPerson, to: SignedPerson, **changes: Any) -> Delegation:
    now = datetime.now(UTC).replace(microsecond=0)
    return replace(Delegation(by.id, to.id, "finance", (), (), None, now, now + timedelta(days=2)), **changes)


def sign(parts: KeeperParts, by: SignedPerson, one: Delegation, signed: Delegation | None = None) -> Delegation:
    asked = parts.door.delegation_challenge(proof=by.proof, delegation=signed or one)
    assert by.passkey
    assert asked.options
    answer = Answer(sealed=asked.sealed, assertion=by.passkey.get(asked.options, origin=PUBLIC_URL))
    return parts.door.delegate(proof=by.proof, delegation=one, answer=answer)


def approve(parts: KeeperParts, who: SignedPerson, raw: bytes, *named: tuple[str, str]) -> Any:
    asked = parts.door.decision_challenge(proof=who.proof, envelope=raw, verdict="approve", delegations=named)
    assert who.passkey
    assert asked.options
    answer = Answer(sealed=asked.sealed, assertion=who.passkey.get(asked.options, origin=PUBLIC_URL))
    return parts.door.decide(proof=who.proof, envelope=raw, verdict="approve", answer=answer, delegations=named)


@pytest.fixture
def fin(keeper: KeeperParts) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, ("finance",), name="Fin"))


@pytest.fixture
def bob(keeper: KeeperParts) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper, ("user",), name="Bob"))


def test_the_keeper_signs_for_whom_somebody_stands_and_minds_when_that_ends(
    keeper: KeeperParts, fin: SignedPerson, bob: SignedPerson
) -> None:
    raw = now_envelope(approvers("finance"))
    with pytest.raises(MayNotDecide):
        approve(keeper, bob, raw, (fin.id, "dlg_made_up"))  # a row that delegates is no delegation
    made = sign(keeper, fin, wanted(fin, bob))
    named = (fin.id, made.id)
    assert [one.id for one in keeper.door.delegations(person=bob.id, named=[named, (fin.id, "dlg_made_up")])] == [made.id]
    said = approve(keeper, bob, raw, named)
    body = parse_statement(said, keeper.door.public_keys().authority)
    assert body["groups"] == ["finance", "user"]
    assert body["delegated"]["finance"]["by"] == fin.id
    inside = keeper.inside()
    assert verify_without_account(inside, Evidence(raw, [said]), receiver="bank")
    keeper.door.delegation_end(proof=fin.proof, by=fin.id, delegation=made.id)
    with pytest.raises(NotApproved):
        verify_without_account(keeper.inside(), Evidence(raw, [said]), receiver="bank")
    with pytest.raises(MayNotDecide):
        approve(keeper, bob, raw, named)


def test_the_keeper_signs_nothing_for_a_step_whose_time_has_not_come(
    keeper: KeeperParts, fin: SignedPerson, bob: SignedPerson
) -> None:
    lea, bea = (with_passkey(keeper, sign_in(keeper, (group,), name=group)) for group in ("leads", "board"))
    steps = [{"group": "leads", "after": 1800}, {"group": "board", "after": 7200}]
    asked = stamp(datetime.now(UTC) - timedelta(minutes=40))
    raw = now_envelope({**approvers("finance"), "escalate": steps}, created_at=asked)
    with pytest.raises(MayNotDecide):
        approve(keeper, bea, raw)
    assert verify_without_account(keeper.inside(), Evidence(raw, [approve(keeper, lea, raw)]), receiver="bank")
    late = now_envelope({**approvers("finance"), "escalate": steps}, created_at=stamp(datetime.now(UTC) - timedelta(hours=3)))
    assert verify_without_account(keeper.inside(), Evidence(late, [approve(keeper, bea, late)]), receiver="bank")


def test_it_ends_when_its_lender_leaves_the_group_and_is_for_nobody_else(
    keeper: KeeperParts, fin: SignedPerson, bob: SignedPerson
) -> None:
    raw, made = now_envelope(approvers("finance")), sign(keeper, fin, wanted(fin, bob))
    cas = with_passkey(keeper, sign_in(keeper, ("user",), name="Cas"))
    with pytest.raises(MayNotDecide):
        approve(keeper, cas, raw, (fin.id, made.id))
    with pytest.raises(MayNotDecide):
        sign(keeper, bob, wanted(bob, cas))  # what was lent to Bob he cannot lend on
    mine = now_envelope(approvers("finance"), principal={"person": fin.id, "name": "Fin"})
    with pytest.raises(MayNotDecide):
        approve(keeper, bob, mine, (fin.id, made.id))  # the requester's delegate
    inside = keeper.inside()
    people.record(inside, replace(people.person(inside, fin.id), groups=("user",)))
    assert keeper.door.delegations(person=bob.id, named=[(fin.id, made.id)]) == ()
    with pytest.raises(MayNotDecide):
        approve(keeper, bob, raw, (fin.id, made.id))


def test_a_delegation_is_signed_for_exactly_as_it_was_shown(keeper: KeeperParts, fin: SignedPerson, bob: SignedPerson) -> None:
    with pytest.raises(FactorRefused):
        sign(keeper, fin, wanted(fin, bob), signed=wanted(fin, bob, up_to=100))
    for bad, error in (
        (wanted(fin, fin), MayNotDecide), (wanted(fin, bob, group="board"), MayNotDecide),
        (replace(wanted(fin, bob), to="per_none"), NotKnown),
        (wanted(fin, bob, until=datetime.now(UTC) + timedelta(days=31)), BadRequest), (wanted(fin, bob, up_to=-1), BadRequest),
        (wanted(fin, bob, until=datetime.now(UTC) - timedelta(days=1)), BadRequest),
    ):
        with pytest.raises(error):
            sign(keeper, fin, bad)
    with pytest.raises(NotKnown):
        keeper.door.delegation_end(proof=bob.proof, by=fin.id, delegation="dlg_none")


def test_a_factor_too_young_to_approve_lends_nothing(real_keeper: KeeperParts) -> None:
    """Otherwise a stolen session would enrol a factor and lend itself what that may not approve yet."""
    fin = with_passkey(real_keeper, sign_in(real_keeper, ("finance",), name="Fin"))
    with pytest.raises(FactorTooYoung):
        sign(real_keeper, fin, wanted(fin, sign_in(real_keeper, (), name="Bob")))


def test_only_whom_the_keepers_own_configuration_names_breaks_the_glass(
    keeper: KeeperParts, fin: SignedPerson, bob: SignedPerson
) -> None:
    raw = now_envelope(approvers("finance", 2))
    assert not keeper.door.may_break_glass(proof=bob.proof)
    with pytest.raises(MayNotDecide):
        keeper.door.decision_challenge(proof=bob.proof, envelope=raw, verdict="break_glass")
    named = keeper.inside()
    named.settings = replace(named.settings, break_glass=frozenset({f"https://idp.example {bob.id}"}))
    assert decisions.may_break(named, people.person(named, bob.id))
    assert not decisions.may_break(named, people.person(named, fin.id))
    said = _broken(keeper, named, bob, raw, "Nobody of finance answers, and it is due at six.")
    assert verify_without_account(named, Evidence(raw, [said]), receiver="bank")
    with pytest.raises(NotApproved):
        verify_without_account(keeper.inside(), Evidence(raw, [said]), receiver="bank")  # named then, and not any more
    with pytest.raises(BadRequest):
        _broken(keeper, named, bob, raw, "because")
    mine = now_envelope(approvers("finance"), principal={"person": bob.id, "name": "Bob"})
    with pytest.raises(MayNotDecide):
        _broken(keeper, named, bob, mine, "Nobody of finance answers, and it is due at six.")


def _broken(parts: KeeperParts, named: Any, who: SignedPerson, raw: bytes, reason: str) -> Any:
    ask = {"proof": proof_of(who.proof), "envelope": raw.decode(), "verdict": "break_glass"}
    asked = decisions.decision_challenge(named, ask)
    assert who.passkey
    assertion = who.passkey.get(asked["options"], origin=PUBLIC_URL)
    done = decisions.decide(named, {**ask, "reason": reason,
                                    "answer": {"sealed": asked["sealed"], "assertion": assertion, "code": None}})
    return Statement(done["body"], done["signature"])


def test_who_may_break_the_glass_is_nobody_unless_named(tmp_path: Any) -> None:
    assert load(tmp_path, evaluation=False, environ={}).break_glass == frozenset()
    (tmp_path / "keeper.toml").write_text('break_glass = ["per_root", "https://idp.example root"]\n')
    assert load(tmp_path, evaluation=False, environ={}).break_glass == {"per_root", "https://idp.example root"}
    (tmp_path / "keeper.toml").write_text('break_glass = "per_root"\n')
    with pytest.raises(BadSettings):
        load(tmp_path, evaluation=False, environ={})


def test_an_ordinary_decision_is_as_it_was(keeper: KeeperParts, fin: SignedPerson) -> None:
    body = json.loads(decide(keeper, fin, now_envelope(approvers("finance")), "approve").body)
    assert "delegated" not in body
    assert body["groups"] == ["finance"]


def test_the_keeper_keeps_what_a_delegation_was_signed_with_and_counts_those_that_are_over_no_more(
    keeper: KeeperParts, fin: SignedPerson, bob: SignedPerson
) -> None:
    made = sign(keeper, fin, wanted(fin, bob))
    [found] = keeper.door.delegations(person=bob.id, named=[(fin.id, made.id)])
    assert (made.factor, found.factor) == ("passkey", "passkey")
    over = {**(keeper.inside().kv.read(delegating.path(fin.id)) or pytest.fail("none")).data["given"][0]}
    over |= {"until": (datetime.now(UTC) - timedelta(days=1)).isoformat()}
    keeper.inside().kv.update(delegating.path(fin.id), lambda old: ({"given": [over] * delegating.MOST}, None))
    assert sign(keeper, fin, wanted(fin, bob)).id


def test_nobody_breaks_the_glass_over_what_only_its_owner_is_asked(
    keeper: KeeperParts, bob: SignedPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = keeper.inside()
    monkeypatch.setattr(decisions, "may_break", lambda *_: True)
    body = {"proof": proof_of(bob.proof), "verdict": "break_glass", "envelope": now_envelope(confirm()).decode()}
    with pytest.raises(MayNotDecide, match="nobody but the owner"):
        decisions.decision_challenge(inside, body)
