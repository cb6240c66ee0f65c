"""Signing in again decides this one action, for this one person, as strongly as the operators said, once; and nothing else."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.keeper_parts import KeeperParts, SignedPerson, with_passkey
from tests.small_idp import SmallIdp
from tests.vault.samples import KEYS, NOW, approvers, confirm, statement
from tests.vault.samples import envelope as sample
from tests.vault.test_decisions import envelope, owned_by
from vault import step_up
from vault.door import Answer, Begun, SessionProof, SignedAgain
from vault.errors import BadRequest, FactorRefused, KeeperError, ProviderRefused, Stale
from vault.evidence import Met, parse_statement, satisfied, strength
from vault.secret import Secret

BACK = "http://localhost:8000/actions/sign-in-again/back"
MFA, STRONG = "urn:example:mfa", "urn:example:phr"


@pytest.fixture
def idp(keeper: KeeperParts, small_idp: SmallIdp) -> str:
    """Its name at the keeper; signing in again counts as a code does, for one context as a passkey."""
    name = f"idp_{secrets.token_hex(6)}"
    counts = {"step_up_acr": {MFA: "totp", STRONG: "passkey"}, "step_up_amr": {"otp": "totp"}}
    keeper.door.idp_put(name, {**small_idp.record, **counts})
    return name


def signed_in(
    keeper: KeeperParts, small_idp: SmallIdp, name: str, subject: str = "", *, enrol: bool = True, **claims: Any
) -> tuple[SignedPerson, str]:
    """Somebody of finance, with a passkey; and what the identity provider knows them by."""
    subject, session = subject or f"fin-{secrets.token_hex(4)}", Secret(secrets.token_urlsafe(32))
    begun = keeper.door.sign_in_begin(idp=name, redirect_uri="http://localhost:8000/sign-in/callback")
    came = small_idp.authorize(begun.url, subject=subject, name="Fin", groups=["finance"], **claims)
    done = keeper.door.sign_in_finish(
        sealed=begun.sealed, state=came["state"], code=Secret(came["code"]), iss=came["iss"], session=session
    )
    person = SignedPerson(done.person, SessionProof(done.ticket, session))
    return with_passkey(keeper, person) if enrol else person, subject


class Scene:
    def __init__(self, keeper: KeeperParts, small_idp: SmallIdp, idp: str) -> None:
        self.keeper, self.small, self.idp = keeper, small_idp, idp
        self.fin, self.subject = signed_in(keeper, small_idp, idp)

    def begin(self, raw: bytes, verdict: Any = "approve") -> Begun:
        return self.keeper.door.step_up_begin(
            proof=self.fin.proof, envelope=raw, verdict=verdict, idp=self.idp, redirect_uri=BACK
        )

    def answer(self, begun: Begun, **claims: Any) -> Answer:
        came = self.small.authorize(begun.url, **{"subject": self.subject, "acr": MFA, **claims})
        return Answer(sealed=begun.sealed, again=SignedAgain(came["state"], Secret(came["code"]), came["iss"]))

    def decide(self, raw: bytes, answer: Answer, verdict: Any = "approve", proof: SessionProof | None = None) -> dict[str, Any]:
        made = self.keeper.door.decide(proof=proof or self.fin.proof, envelope=raw, verdict=verdict, answer=answer)
        return dict(parse_statement(made, self.keeper.door.public_keys().authority))


@pytest.fixture
def scene(keeper: KeeperParts, small_idp: SmallIdp, idp: str) -> Scene:
    return Scene(keeper, small_idp, idp)


def test_it_is_asked_for_afresh_and_signed_as_what_it_was(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    begun = scene.begin(raw)
    for asked in ("prompt=login", "max_age=0", "acr_values=urn%3Aexample%3Amfa"):
        assert asked in begun.url
    body = scene.decide(raw, scene.answer(begun))
    factor = body["factor"]
    assert (body["person"], factor["kind"], factor["strength"], factor["acr"]) == (scene.fin.id, "idp", "totp", MFA)
    assert factor["issuer"] == scene.small.issuer
    assert abs(datetime.fromisoformat(factor["auth_time"]) - datetime.now(UTC)) < timedelta(minutes=2)


def test_the_account_s_owner_confirms_so_too(scene: Scene) -> None:
    raw = envelope(confirm(), connection=owned_by(scene.fin))
    assert scene.decide(raw, scene.answer(scene.begin(raw, "confirm")), "confirm")["verdict"] == "confirm"


def test_one_decision_s_sign_in_is_taken_for_no_other_action_and_no_other_verdict(scene: Scene) -> None:
    seen, target = envelope(approvers("finance")), envelope(approvers("finance"), action="act_two")
    with pytest.raises(FactorRefused):
        scene.decide(target, scene.answer(scene.begin(seen)))
    both = envelope(approvers("finance"), confirm(), connection=owned_by(scene.fin), action="act_three")
    with pytest.raises(KeeperError):
        scene.decide(both, scene.answer(scene.begin(seen)), "confirm")


def test_the_code_of_another_action_s_sign_in_is_not_taken_with_this_one_s_state(scene: Scene) -> None:
    """Attack: the browser is sent to the provider for what was seen, and its code is put under what is meant."""
    seen, target = envelope(approvers("finance")), envelope(approvers("finance"), action="act_two")
    other, ours = scene.answer(scene.begin(seen)), scene.answer(scene.begin(target))
    assert other.again is not None
    assert ours.again is not None
    mixed = Answer(sealed=ours.sealed, again=SignedAgain(ours.again.state, other.again.code, ours.again.iss))
    with pytest.raises(ProviderRefused):
        scene.decide(target, mixed)


def test_an_id_token_of_an_earlier_sign_in_is_refused(scene: Scene) -> None:
    """Whole and signed by the provider, of this very person, a minute old: its nonce is not this decision's."""
    raw = envelope(approvers("finance"))
    with pytest.raises(ProviderRefused):
        scene.decide(raw, scene.answer(scene.begin(raw), nonce="the nonce of a sign-in"))


@pytest.mark.parametrize("claims", [
    {"acr": "urn:example:password"}, {"acr": None}, {"acr": ""}, {"acr": [MFA]}, {"acr": None, "amr": ["pwd"]},
    {"acr": None, "amr": "otp"},
], ids=["lower", "none", "empty", "a list", "amr lower", "amr no list"])
def test_a_weaker_sign_in_is_refused(scene: Scene, claims: dict[str, Any]) -> None:
    raw = envelope(approvers("finance"))
    with pytest.raises(FactorRefused):
        scene.decide(raw, scene.answer(scene.begin(raw), **claims))


def test_a_method_that_the_operators_named_counts(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    assert scene.decide(raw, scene.answer(scene.begin(raw), acr=None, amr=["pwd", "otp"]))["factor"]["strength"] == "totp"


AHEAD = 20
"""Seconds by which a provider's sign-in is after we began: a test's next steps may take as long, and the skew allows 30."""


def now_and(seconds: float) -> float:
    return datetime.now(UTC).timestamp() + seconds


@pytest.mark.parametrize("auth_time", [lambda: now_and(-600), lambda: now_and(600), lambda: None, lambda: True, lambda: "now"],
                         ids=["old", "to come", "none", "true", "text"])
def test_a_session_at_the_provider_is_not_a_new_sign_in(scene: Scene, auth_time: Callable[[], Any]) -> None:
    """A provider that does not know `prompt=login` answers at once, with the time of long ago."""
    raw = envelope(approvers("finance"))
    with pytest.raises(FactorRefused):
        scene.decide(raw, scene.answer(scene.begin(raw), auth_time=auth_time()))


def test_one_sign_in_there_is_one_decision(scene: Scene) -> None:
    """Attack: a web process that was taken over begins one for each action it wants, and takes what asks for a sign-in out of the
    addresses: the provider answers from the session that the person's own sign-in left there, for all of them."""
    one, two, three = [envelope(approvers("finance"), action=name) for name in ("act_one", "act_two", "act_three")]
    begun = {raw: scene.begin(raw) for raw in (one, two, three)}
    signed_at = int(now_and(AHEAD))
    scene.decide(one, scene.answer(begun[one], auth_time=signed_at))
    for other, at in ((two, signed_at), (three, signed_at - 1)):
        with pytest.raises(FactorRefused) as refusal:
            scene.decide(other, scene.answer(begun[other], auth_time=at))
        assert refusal.value.hint == step_up.USED
    again = envelope(approvers("finance"), action="act_four")
    assert scene.decide(again, scene.answer(scene.begin(again), auth_time=signed_at + 1))


def test_what_was_refused_uses_up_no_sign_in(scene: Scene) -> None:
    raw, signed_at = envelope(approvers("finance")), int(now_and(AHEAD))
    with pytest.raises(FactorRefused):
        scene.decide(raw, scene.answer(scene.begin(raw), auth_time=signed_at, acr="urn:example:password"))
    assert scene.decide(raw, scene.answer(scene.begin(raw), auth_time=signed_at))


def test_the_sign_in_by_which_one_came_in_decides_nothing(keeper: KeeperParts, small_idp: SmallIdp, scene: Scene) -> None:
    """Nor that of another session of theirs; nor where the provider's clock is ahead of ours."""
    raw, ahead = envelope(approvers("finance")), int(now_and(AHEAD))
    scene.fin, scene.subject = signed_in(keeper, small_idp, scene.idp, auth_time=int(now_and(-20)))
    begun, other = scene.begin(raw), int(now_and(0))
    signed_in(keeper, small_idp, scene.idp, scene.subject, enrol=False, auth_time=other)
    with pytest.raises(FactorRefused):
        scene.decide(raw, scene.answer(begun, auth_time=other))
    scene.fin, scene.subject = signed_in(keeper, small_idp, scene.idp, auth_time=ahead)
    with pytest.raises(FactorRefused):
        scene.decide(raw, scene.answer(scene.begin(raw), auth_time=ahead))
    assert scene.decide(raw, scene.answer(scene.begin(raw), auth_time=ahead + 1))


@pytest.mark.parametrize(("auth_time", "issued", "new"), [
    (1000, 1005, True), (999, 1006, True), (997, 1005, False), (980, 1005, False), (980, 985, True), (970, 970, True),
    (969, 969, False), (1035, 1005, True), (1036, 1005, False),
], ids=str)
def test_new_is_by_the_providers_own_clock_and_within_half_a_minute_by_ours(auth_time: int, issued: int, new: bool) -> None:
    """Asked at 1000, answered at 1005. A sign-in of some seconds before we asked is told from a clock that is behind."""
    claims = {"auth_time": auth_time, "iat": issued}
    if new:
        assert step_up._since(claims, 1000.0, 1005.0).timestamp() == auth_time
    else:
        with pytest.raises(FactorRefused):
            step_up._since(claims, 1000.0, 1005.0)


def test_somebody_else_who_signs_in_there_decides_nothing(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    with pytest.raises(FactorRefused):
        scene.decide(raw, scene.answer(scene.begin(raw), subject="mallory"))


def test_what_was_begun_in_another_session_or_by_another_person_is_refused(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    again, _ = signed_in(scene.keeper, scene.small, scene.idp)
    with pytest.raises(BadRequest):
        scene.decide(raw, scene.answer(scene.begin(raw)), proof=again.proof)


def test_it_is_good_once(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    begun = scene.begin(raw)
    scene.decide(raw, scene.answer(begun))
    with pytest.raises(Stale):
        scene.decide(raw, scene.answer(begun))


def test_a_state_or_issuer_of_another_request_is_refused(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    answer = scene.answer(scene.begin(raw))
    assert answer.again is not None
    for state, iss in (("another", answer.again.iss), (answer.again.state, "https://evil.example"), (answer.again.state, None)):
        with pytest.raises((Stale, ProviderRefused)):
            scene.decide(raw, Answer(sealed=answer.sealed, again=SignedAgain(state, answer.again.code, iss)))


def test_where_a_passkey_is_asked_for_it_counts_only_as_the_operators_say(scene: Scene) -> None:
    raw = envelope(approvers("finance", 1, "passkey"))
    with pytest.raises(FactorRefused):
        scene.decide(raw, scene.answer(scene.begin(raw)))
    body = scene.decide(raw, scene.answer(scene.begin(raw), acr=STRONG))
    assert body["factor"]["strength"] == "passkey"


def test_nobody_breaks_the_glass_by_it(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    with pytest.raises(KeeperError):
        scene.begin(raw, "break_glass")
    with pytest.raises(KeeperError):
        scene.decide(raw, scene.answer(scene.begin(raw)), "break_glass")


def test_an_answer_is_one_answer(scene: Scene) -> None:
    raw = envelope(approvers("finance"))
    answer = scene.answer(scene.begin(raw))
    with pytest.raises(BadRequest):
        scene.decide(raw, Answer(sealed=answer.sealed, again=answer.again, code=Secret("000000")))


def test_it_is_off_unless_an_operator_says_what_counts(keeper: KeeperParts, small_idp: SmallIdp) -> None:
    name = f"idp_{secrets.token_hex(6)}"
    keeper.door.idp_put(name, small_idp.record)
    fin, _ = signed_in(keeper, small_idp, name)
    raw = envelope(approvers("finance"))
    assert not keeper.door.decision_challenge(proof=fin.proof, envelope=raw, verdict="approve", idp=name).again
    with pytest.raises(FactorRefused):
        keeper.door.step_up_begin(proof=fin.proof, envelope=raw, verdict="approve", idp=name, redirect_uri=BACK)


def test_the_page_is_told_whether_it_would_do(scene: Scene, keeper: KeeperParts, small_idp: SmallIdp) -> None:
    def told(raw: bytes, idp: str) -> bool:
        return keeper.door.decision_challenge(proof=scene.fin.proof, envelope=raw, verdict="approve", idp=idp).again

    assert told(envelope(approvers("finance")), scene.idp)
    assert told(envelope(approvers("finance", 1, "passkey")), scene.idp)
    assert not told(envelope(approvers("finance")), "")
    assert not told(envelope(approvers("finance")), "unknown")
    weak = f"idp_{secrets.token_hex(6)}"
    keeper.door.idp_put(weak, {**small_idp.record, "step_up_acr": {MFA: "totp"}})
    assert not told(envelope(approvers("finance", 1, "passkey")), weak)


@pytest.mark.parametrize("ways", [{"x": "strong"}, {"x": True}, {"": "totp"}, ["x"], "x"], ids=str)
def test_what_counts_is_said_in_two_words(keeper: KeeperParts, small_idp: SmallIdp, ways: Any) -> None:
    for key in ("step_up_acr", "step_up_amr"):
        with pytest.raises(BadRequest):
            keeper.door.idp_put("refused", {**small_idp.record, key: ways})


# -- evidence -----------------------------------------------------------------------------------------------------------


def factor(**changes: Any) -> dict[str, Any]:
    return {"id": "idp:main", "kind": "idp", "created_at": "", "strength": "totp", "issuer": "https://idp.example", **changes}


@pytest.mark.parametrize(("asked", "given", "met"), [
    ("", factor(), True), ("totp", factor(), True), ("passkey", factor(), False), ("passkey", factor(strength="passkey"), True),
    ("", factor(strength=""), False), ("", factor(strength="idp"), False), ("", factor(strength=None), False),
    ("", {"kind": "idp"}, False), ("", {"kind": "totp", "strength": "passkey"}, True),
    ("passkey", {"kind": "totp", "strength": "passkey"}, False), ("", {"kind": "recovery"}, False), ("", "idp", False),
    ("", None, False),
], ids=str)
def test_it_counts_where_a_code_counts(asked: str, given: Any, met: bool) -> None:
    need = approvers("finance", 1, asked)
    raw = sample(need)
    found = satisfied([need], [statement(raw, "per_a", factor=given)], raw, keys=KEYS, now=NOW)
    assert isinstance(found, Met) is met


def test_a_strong_sign_in_breaks_no_glass_whatever_is_signed() -> None:
    need = approvers("finance")
    raw = sample(need)
    why = "The plant is on fire and nobody answers."
    given = statement(raw, "per_a", "break_glass", factor=factor(strength="passkey"), reason=why)
    assert not isinstance(satisfied([need], [given], raw, keys=KEYS, now=NOW), Met)


def test_strength_is_of_a_factor_and_nothing_else() -> None:
    assert json.loads(json.dumps([strength(one) for one in (None, "passkey", [], {}, {"kind": ["passkey"]})])) == [""] * 5
