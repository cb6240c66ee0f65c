"""The door's requests about letting somebody in again who lost every device. A part of `vault.door.Door`."""

from __future__ import annotations

from vault.door_recovery import Recovery
from vault.door_standing import answer_of, challenge_of, proof_of
from vault.lines import moment
from vault.shapes import Answer, Challenge, Json, SessionProof
from vault.shapes_people import Readmission


class Readmitting(Recovery):
    """Two administrators say so, each by passkey; the person comes. Who may say so is in the keeper's configuration."""

    def readmission(self, *, person: str) -> Readmission | None:
        """What is open for this person."""
        found = self._line.ask("readmission", again=True, person=person)["readmission"]
        return read(found) if found is not None else None

    def readmission_challenge(self, *, proof: SessionProof, person: str, reason: str = "", readmission: str = "") -> Challenge:
        """For the first word, with its `reason`; or for the second on `readmission`. Raises MayNotDecide with words for whoever
        asks, Stale, BadRequest, NotKnown."""
        return challenge_of(
            self._line.ask("readmission_challenge", proof=proof_of(proof), person=person, reason=reason, id=readmission)
        )

    def readmission_say(
        self, *, proof: SessionProof, person: str, answer: Answer, reason: str = "", readmission: str = ""
    ) -> Readmission:
        """Say it, by passkey. Raises FactorRefused, FactorTooYoung, Stale, and as `readmission_challenge` does."""
        return read(self._line.ask(
            "readmission_say", proof=proof_of(proof), person=person, reason=reason, id=readmission, answer=answer_of(answer)
        )["readmission"])

    def readmission_end(self, *, proof: SessionProof, person: str, readmission: str) -> None:
        """Stop it, whoever asks: who may is for the caller to say. Raises NotKnown."""
        self._line.ask("readmission_end", proof=proof_of(proof), person=person, id=readmission)

    def readmission_use(self, *, proof: SessionProof, readmission: str) -> str:
        """The ticket that replaces the session's: for ten minutes it enrols one factor, in place of all the person had. All their
        other sessions and their recovery codes are over. Raises Stale, NotSignedIn, MayNotDecide."""
        return str(self._line.ask("readmission_use", proof=proof_of(proof), id=readmission)["ticket"])

    def person_readmit(self, *, person: str, reason: str) -> Readmission:
        """In place of two administrators' words, an operator's. For operators. Raises NotKnown, BadRequest."""
        return read(self._line.ask("person_readmit", person=person, reason=reason)["readmission"])


def read(found: Json) -> Readmission:
    return Readmission(
        id=found["id"], person=found["person"], state=found["state"], reason=found["reason"], started_by=found["started_by"],
        confirmed_by=found["confirmed_by"], until=moment(found["until"]),
    )
