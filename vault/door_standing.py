"""The door's requests about who stands in for whom, and what all of its requests carry. A part of `vault.door.Door`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vault.door_accounts import Accounts
from vault.lines import moment, moment_or_none
from vault.said import heard
from vault.shapes import Age, Answer, Challenge, Delegation, Json, SessionProof


class Standing(Accounts):
    """Delegations, who is one human, and who may break the glass."""

    def delegation_challenge(self, *, proof: SessionProof, delegation: Delegation) -> Challenge:
        """Passkey options whose challenge is SHA-256 over a domain string, a nonce and the delegation. Raises MayNotDecide for a
        group that the person is not in, NotKnown, BadRequest for times and scopes that cannot be."""
        found = self._line.ask("delegation_challenge", proof=proof_of(proof), delegation=written(delegation))
        return challenge_of(found)

    def delegate(self, *, proof: SessionProof, delegation: Delegation, answer: Answer) -> Delegation:
        """Record it, signed for by the lender's own factor, one that is old enough to approve by. As recorded, with its id."""
        found = self._line.ask(
            "delegate", proof=proof_of(proof), delegation=written(delegation), answer=answer_of(answer)
        )
        return read(found["delegation"])

    def delegation_end(self, *, proof: SessionProof, by: str, delegation: str) -> None:
        """At once and for ever; twice is once. Raises NotKnown."""
        self._line.ask("delegation_end", proof=proof_of(proof), by=by, id=delegation)

    def delegations(self, *, person: str, named: Iterable[tuple[str, str]]) -> tuple[Delegation, ...]:
        """Of these, by lender and id, the ones that stand now for this person."""
        found = self._line.ask("delegations", again=True, person=person, delegations=refs(named))
        return tuple(read(one) for one in found["delegations"])

    def person_link(self, one: str, other: str) -> tuple[str, ...]:
        """Two sign-ins are one human, and so is whoever is linked to either: all of them. For operators. Raises NotKnown for who
        never signed in."""
        return tuple(self._line.ask("person_link", one=one, other=other)["together"])

    def person_unlink(self, person: str) -> tuple[str, ...]:
        """A sign-in is a human of its own, for what is held from now on; whom it was linked to. For operators."""
        return tuple(self._line.ask("person_unlink", person=person)["parted"])

    def mark(self, action: str, *, decoy: bool = False) -> str:
        """For the envelope of a call that is about to be held under this id. `decoy`: nobody asked for it, and it never runs."""
        return str(self._line.ask("mark", again=True, action=action, decoy=decoy)["mark"])

    def may_break_glass(self, *, proof: SessionProof) -> bool:
        """Whether the keeper's configuration lets this person pass an action alone."""
        return bool(self._line.ask("break_glass", again=True, proof=proof_of(proof))["may"])


def refs(named: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{by} {which}" for by, which in named]


def written(one: Delegation) -> Json:
    return {"to": one.to, "group": one.group, "scope": one.scope, "since": one.since.isoformat(), "until": one.until.isoformat()}


def read(found: Json) -> Delegation:
    scope = found["scope"]
    return Delegation(
        found["by"], found["to"], found["group"], tuple(scope["servers"]), tuple(scope["classes"]), scope["up_to"],
        moment(found["since"]), moment(found["until"]), found["id"], found.get("factor", ""),
    )


def proof_of(proof: SessionProof) -> Json:
    return {"ticket": proof.ticket, "session": proof.session.reveal()}


def answer_of(answer: Answer) -> Json:
    code = answer.code.reveal() if answer.code is not None else None
    found: dict[str, Any] = {"sealed": answer.sealed, "assertion": answer.assertion, "code": code}
    if answer.again is not None:
        found["idp"] = {"state": answer.again.state, "code": answer.again.code.reveal(), "iss": answer.again.iss}
    return found


def age_of(one: Json) -> Age:
    how, upto = heard(one["how"], one.get("said")), moment_or_none(one["next"])
    return Age(one["kind"], one["name"], moment(one["since"]), upto, how, bool(one["unfinished"]))


def challenge_of(found: Json) -> Challenge:
    return Challenge(found["options"], found["sealed"], bool(found.get("codes")), bool(found.get("again")))
