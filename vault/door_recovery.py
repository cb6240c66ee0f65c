"""The door's requests about recovery codes. A part of `vault.door.Door`."""

from __future__ import annotations

from vault.door_sessions import Sessions
from vault.door_standing import proof_of
from vault.lines import moment_or_none
from vault.secret import Secret
from vault.shapes import SessionProof
from vault.shapes_people import Recovered, RecoveryLeft


class Recovery(Sessions):
    """Codes for whoever lost their devices: to sign in with, once each, and enrol a new factor."""

    def recovery_make(self, *, proof: SessionProof) -> tuple[Secret[str], ...]:
        """Ten new ones, told this once; those of before are void. Needs a ticket that records a factor."""
        return tuple(Secret(one) for one in self._line.ask("recovery_make", proof=proof_of(proof))["codes"])

    def recovery_left(self, *, person: str) -> RecoveryLeft:
        found = self._line.ask("recovery_left", again=True, person=person)
        return RecoveryLeft(int(found["left"]), moment_or_none(found["made_at"]))

    def recovery_use(self, *, proof: SessionProof, code: Secret[str]) -> Recovered:
        """Spend one. The ticket that comes back enrols a factor and does nothing else. Raises FactorRefused, TooMany."""
        found = self._line.ask("recovery_use", proof=proof_of(proof), code=code.reveal())
        return Recovered(found["ticket"], int(found["left"]))
