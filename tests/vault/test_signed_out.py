"""A ticket of a session that was ended, or of before a sign-out everywhere, opens nothing at the keeper."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.keeper_parts import KeeperParts, SignedPerson, sign_in, with_passkey
from tests.vault.samples import envelope
from vault import authority, signed_out, tickets
from vault.door import SessionProof
from vault.errors import BadRequest, NotKnown, NotSignedIn
from vault.secret import Secret
from vault.tickets import session_hash


def named(person: SignedPerson) -> str:
    return session_hash(person.proof.session)


def again(parts: KeeperParts, person: SignedPerson, **changes: int) -> SignedPerson:
    """The same person signs in once more, as `sso.sign_in_finish` has it."""
    keeper, session = parts.inside(), Secret(secrets.token_urlsafe(32))
    ticket = tickets.new(
        person=person.id, name="Ada", email="", groups=(), auth_time=None, now=keeper.clock(),
        generation=signed_out.generation(keeper, person.id),
    )
    return SignedPerson(person.id, SessionProof(authority.issue(keeper, replace(ticket, **changes), session), session))  # type: ignore[arg-type]


def refused(parts: KeeperParts, person: SignedPerson) -> bool:
    """Whether the keeper refuses what a web process that was taken over could ask with this cookie and ticket."""
    try:
        parts.door.challenge(proof=person.proof)
    except NotSignedIn:
        return True
    return False


def test_an_ended_sessions_ticket_opens_nothing_and_others_do(keeper: KeeperParts) -> None:
    here = with_passkey(keeper, sign_in(keeper))
    there = again(keeper, here)
    keeper.door.sessions_end(person=here.id, sessions=[named(there)])
    assert (refused(keeper, here), refused(keeper, there)) == (False, True)
    keeper.door.sessions_end(person=here.id, sessions=[named(there)])
    assert not refused(keeper, here), "again is once"


def test_signed_out_everywhere_ends_what_nobody_listed_and_the_next_sign_in_counts(keeper: KeeperParts) -> None:
    """Attack: the row of a session is hidden from the one who ends all of theirs."""
    here = with_passkey(keeper, sign_in(keeper))
    hidden = again(keeper, here)
    keeper.door.sessions_end(person=here.id, everything=True)
    assert refused(keeper, here)
    assert refused(keeper, hidden)
    assert not refused(keeper, again(keeper, here)), "within the same second, too"


def test_no_decision_is_signed_for_an_ended_session(keeper: KeeperParts) -> None:
    """Not even a rejection, which asks for no factor; and no factor is added or removed."""
    here = with_passkey(keeper, sign_in(keeper, ("finance",)))
    keeper.door.sessions_end(person=here.id, sessions=[named(here)])
    with pytest.raises(NotSignedIn):
        keeper.door.decide(proof=here.proof, envelope=envelope(), verdict="reject")
    with pytest.raises(NotSignedIn):
        keeper.door.passkey_begin(proof=here.proof, account="ada@example.com")
    with pytest.raises(NotSignedIn):
        keeper.door.factor_remove(proof=here.proof, factor="fac_1")


def test_a_challenge_of_before_the_end_gives_no_newer_ticket(keeper: KeeperParts) -> None:
    """Attack: the answer to a challenge that was given out before would be a ticket issued after the end."""
    here = with_passkey(keeper, sign_in(keeper))
    asked = keeper.door.challenge(proof=here.proof)
    keeper.door.sessions_end(person=here.id, everything=True)
    from vault.door import Answer

    assert asked.options is not None
    assert here.passkey is not None
    with pytest.raises(NotSignedIn):
        keeper.door.check(
            proof=here.proof, answer=Answer(sealed=asked.sealed, assertion=here.passkey.get(asked.options, origin="http://localhost:8000"))
        )


def test_another_persons_sessions_go_on(keeper: KeeperParts) -> None:
    ada, ben = sign_in(keeper), sign_in(keeper, name="Ben")
    keeper.door.sessions_end(person=ada.id, sessions=[named(ben)])
    keeper.door.sessions_end(person=ada.id, everything=True)
    assert not refused(keeper, ben)


def test_a_generation_that_is_still_to_come_is_refused_too(keeper: KeeperParts) -> None:
    """As after the vault alone was put back to an older copy."""
    ada = sign_in(keeper)
    assert refused(keeper, again(keeper, ada, generation=1))


def test_ended_sessions_are_remembered_as_long_as_their_tickets_live_and_bounded(keeper: KeeperParts) -> None:
    ada, now = sign_in(keeper), datetime.now(UTC)
    inside = keeper.inside(lambda: now)
    ask = {"person": ada.id, "sessions": ["a" * 64], "everything": False}
    signed_out.sessions_end(inside, ask)
    later = keeper.inside(lambda: now + timedelta(hours=25))

    def remembered() -> list[str]:
        found = inside.kv.read(signed_out.path(ada.id))
        assert found is not None
        return sorted(found.data["ended"])

    signed_out.sessions_end(keeper.inside(lambda: now + timedelta(hours=23)), {**ask, "sessions": ["c" * 64]})
    assert remembered() == ["a" * 64, "c" * 64]
    signed_out.sessions_end(later, {**ask, "sessions": ["b" * 64]})
    assert remembered() == ["b" * 64, "c" * 64]
    signed_out.sessions_end(later, {**ask, "sessions": [f"{number:064x}" for number in range(signed_out.MOST)]})
    assert signed_out.generation(inside, ada.id) == 1, "too many to remember: all of the person's are ended"


@pytest.mark.parametrize("wrong", ["", "A" * 64, "a" * 63, "per_a", "é" * 64])
def test_a_session_is_named_by_a_hash_and_nothing_else(keeper: KeeperParts, wrong: str) -> None:
    with pytest.raises(BadRequest):
        keeper.door.sessions_end(person=sign_in(keeper).id, sessions=[wrong])


def test_nothing_is_remembered_of_somebody_who_never_signed_in(keeper: KeeperParts) -> None:
    with pytest.raises(NotKnown):
        keeper.door.sessions_end(person="per_nobody", everything=True)


def test_a_ticket_of_before_there_were_generations_is_of_the_first() -> None:
    from tests.vault.test_tickets import KEYS, NOW, SESSION, ticket

    body = json.loads(tickets.body(tickets.new(
        person="per_a", name="", email="", groups=(), auth_time=None, now=NOW, generation=3), SESSION))
    assert body["generation"] == 3
    assert tickets.verify(ticket(), SESSION, KEYS, NOW).generation == 0
