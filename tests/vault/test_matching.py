"""A number that only the agent's screen shows: guessed, replayed, left out, forged."""

from __future__ import annotations

import json
import logging
import secrets
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.authenticator import Passkey
from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson, sign_in, with_passkey
from tests.vault.samples import KEYS, NOW, OWNER, approvers, confirm, statement
from tests.vault.samples import envelope as sample
from vault import matching
from vault.door import Answer
from vault.errors import BadRequest, FactorRefused, MatchRefused
from vault.evidence import BadEnvelope, Need, Statement, digest, parse_statement, read_envelope, satisfied
from vault.spent import was_rejected

MATCH: Need = {**confirm(), "match": True}


@pytest.fixture
def ada(keeper: KeeperParts) -> SignedPerson:
    return with_passkey(keeper, sign_in(keeper))


def mine(person: SignedPerson, *needs: Need, **changes: Any) -> bytes:
    """A call of this person's own agent, with an id of its own: what was tried is remembered for ever."""
    whose = {"principal": {"person": person.id, "name": "Ada"}, "connection": None, "action": f"act_{secrets.token_hex(8)}"}
    return sample(*(needs or (MATCH,)), now=datetime.now(UTC), **{**whose, **changes})


def number(keeper: KeeperParts, raw: bytes) -> str:
    return keeper.door.match_number(action=json.loads(raw)["action"], digest=digest(raw))


def wrong(keeper: KeeperParts, raw: bytes) -> str:
    return f"{(int(number(keeper, raw)) + 1) % 100:02}"


def confirmed(keeper: KeeperParts, person: SignedPerson, raw: bytes, match: str) -> Statement:
    assert person.passkey
    asked = keeper.door.decision_challenge(proof=person.proof, envelope=raw, verdict="confirm")
    assert asked.options is not None
    answer = Answer(sealed=asked.sealed, assertion=person.passkey.get(asked.options, origin=PUBLIC_URL))
    return keeper.door.decide(proof=person.proof, envelope=raw, verdict="confirm", answer=answer, match=match)


def counts(keeper: KeeperParts, raw: bytes, *statements: Statement) -> bool:
    keys = keeper.door.public_keys().authority
    return bool(satisfied(json.loads(raw)["requirement"], statements, raw, keys=keys, now=datetime.now(UTC)))


def test_the_number_of_this_very_call_confirms_it(keeper: KeeperParts, ada: SignedPerson) -> None:
    raw = mine(ada)
    given = confirmed(keeper, ada, raw, number(keeper, raw))
    assert counts(keeper, raw, given)
    body = json.loads(given.body)
    assert (body["verdict"], body["matched"]) == ("confirm", True)
    assert number(keeper, raw) not in [str(value) for value in body.values()]


def test_the_third_wrong_number_rejects_it_for_good(keeper: KeeperParts, ada: SignedPerson) -> None:
    """Attack: guess. The right one does not help any more, nor does another session."""
    raw = mine(ada)
    for left in ("2 tries", "1 try"):
        with pytest.raises(MatchRefused) as refused:
            confirmed(keeper, ada, raw, wrong(keeper, raw))
        assert left in refused.value.hint
    said = confirmed(keeper, ada, raw, wrong(keeper, raw))
    body = parse_statement(said, keeper.door.public_keys().authority)
    assert (body["verdict"], body["reason"], "matched" in body) == ("reject", matching.REASON, False)
    assert was_rejected(keeper.inside(), digest(raw))
    again = confirmed(keeper, ada, raw, number(keeper, raw))
    assert json.loads(again.body)["verdict"] == "reject"
    assert not counts(keeper, raw, again)


def test_the_third_try_may_be_the_right_one(keeper: KeeperParts, ada: SignedPerson) -> None:
    raw = mine(ada)
    for _ in range(2):
        with pytest.raises(MatchRefused):
            confirmed(keeper, ada, raw, wrong(keeper, raw))
    assert counts(keeper, raw, confirmed(keeper, ada, raw, number(keeper, raw)))


def test_of_many_guesses_at_once_three_are_looked_at(keeper: KeeperParts, ada: SignedPerson) -> None:
    """Attack: all hundred numbers in one moment, in several keeper processes."""
    raw = mine(ada)
    inside, found = keeper.inside(), read_envelope(raw)
    right, results = number(keeper, raw), list[bool | None]()

    def guess(given: str) -> None:
        try:
            results.append(matching.matched(inside, found, digest(raw), given))
        except MatchRefused:
            results.append(None)

    threads = [threading.Thread(target=guess, args=(f"{one:02}",)) for one in range(100) if f"{one:02}" != right][:12]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results, key=str) == [False] * 10 + [None] * 2
    assert matching.matched(inside, found, digest(raw), right) is False


def test_each_call_has_a_number_of_its_own(keeper: KeeperParts, ada: SignedPerson) -> None:
    """Attack: the number that was typed for one is used for another, or for the same action with other arguments. Two of 40 may
    have the same one by chance; that all share five does not happen."""
    one = mine(ada)
    assert number(keeper, one) == number(keeper, one)
    assert len({number(keeper, mine(ada)) for _ in range(40)}) > 5
    action = json.loads(one)["action"]
    assert len({keeper.door.match_number(action=action, digest=f"{one:064x}") for one in range(40)}) > 5


@pytest.mark.parametrize("typed", ["", "1", "123", "ab", "٤٢", " 4", "4\n"])
def test_what_is_no_number_costs_neither_a_try_nor_the_factor(keeper: KeeperParts, ada: SignedPerson, typed: str) -> None:
    """Attack: a web process that leaves it out; and a mistyped one should not cost a try."""
    raw = mine(ada)
    assert ada.passkey
    asked = keeper.door.decision_challenge(proof=ada.proof, envelope=raw, verdict="confirm")
    assert asked.options is not None
    answer = Answer(sealed=asked.sealed, assertion=ada.passkey.get(asked.options, origin=PUBLIC_URL))
    for _ in range(4):
        with pytest.raises(MatchRefused) as refused:
            keeper.door.decide(proof=ada.proof, envelope=raw, verdict="confirm", answer=answer, match=typed)
        assert "Type the two digits" in refused.value.hint
    given = keeper.door.decide(proof=ada.proof, envelope=raw, verdict="confirm", answer=answer, match=number(keeper, raw))
    assert counts(keeper, raw, given)


def test_no_number_is_looked_at_before_the_factor(keeper: KeeperParts, ada: SignedPerson) -> None:
    """Attack: whoever has the session and not the factor guesses, or spends the tries of whose it is."""
    raw, other = mine(ada), Passkey()
    other.create(keeper.door.passkey_begin(proof=ada.proof, account="x").options, origin=PUBLIC_URL)
    for _ in range(4):
        asked = keeper.door.decision_challenge(proof=ada.proof, envelope=raw, verdict="confirm")
        answer = Answer(sealed=asked.sealed, assertion=other.get(asked.options, origin=PUBLIC_URL))
        with pytest.raises(FactorRefused) as refused:
            keeper.door.decide(proof=ada.proof, envelope=raw, verdict="confirm", match=wrong(keeper, raw), answer=answer)
        assert not isinstance(refused.value, MatchRefused)
    assert counts(keeper, raw, confirmed(keeper, ada, raw, number(keeper, raw)))


def test_a_statement_without_the_number_does_not_count_where_it_is_asked_for() -> None:
    """Attack: a confirmation of before the rule was made stricter; a field that somebody else's word for it sets."""
    raw = sample(MATCH)
    needs = json.loads(raw)["requirement"]

    def met(**more: Any) -> bool:
        return bool(satisfied(needs, [statement(raw, OWNER, "confirm", **more)], raw, keys=KEYS, now=NOW))

    assert met(matched=True)
    assert not any([met(), met(matched=False), met(matched="true"), met(matched=1)])


def test_a_plain_confirmation_beside_one_with_a_number_does_not_do() -> None:
    raw = sample(confirm("passkey"), MATCH)
    needs = json.loads(raw)["requirement"]
    assert not satisfied(needs, [statement(raw, OWNER, "confirm")], raw, keys=KEYS, now=NOW)
    assert satisfied(needs, [statement(raw, OWNER, "confirm", matched=True)], raw, keys=KEYS, now=NOW)


@pytest.mark.parametrize("need", [
    {**approvers("finance"), "match": True}, {**confirm(), "match": False}, {**confirm(), "match": 1},
    {**confirm(), "match": "y"},
])
def test_an_envelope_that_asks_for_it_in_another_way_is_none(need: Any) -> None:
    with pytest.raises(BadEnvelope):
        read_envelope(sample(need))


@pytest.mark.parametrize(("action", "digested"), [("../x", "0" * 64), ("act_1", "x" * 64), ("act_1", "0" * 63), ("", "0" * 64)])
def test_a_number_is_given_for_an_action_and_a_digest_and_nothing_else(keeper: KeeperParts, action: str, digested: str) -> None:
    with pytest.raises(BadRequest):
        keeper.door.match_number(action=action, digest=digested)


def test_the_keeper_logs_that_it_was_asked_for_and_not_the_number(
    keeper: KeeperParts, ada: SignedPerson, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    raw, inside = mine(ada), keeper.inside()
    action = json.loads(raw)["action"]
    found = matching.match_number(inside, {"action": action, "digest": digest(raw)})["number"]
    ours = [record for record in caplog.records if record.name == "counterseal.keeper.matching"]
    assert [record.getMessage() for record in ours] == [f"number of an action asked for action={action}"]
    assert not any(found == str(value) for record in ours for value in (record.args or ()))
