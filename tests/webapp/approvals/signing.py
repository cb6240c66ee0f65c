"""A house whose keeper's part is played in this process by the keeper's own rules: statements are signed and verified, an
approval is spent once. Nothing else of it is there, so that hundreds of steps take seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vault.samples import KEYS, signed
from vault import decided
from vault.door import Answer, Door, WrappingKey
from vault.errors import MayNotDecide, NotApproved
from vault.evidence import Statement, confirmer, digest, excluded, read_envelope, satisfied
from vault.secret import Secret
from webapp.people.tables import Person
from webapp.web.house import House
from webapp.web.viewer import Viewer

ANSWER = Answer(sealed="s", assertion={"id": "x"})
KEY = WrappingKey("vault:v1:test", Secret(AESGCM.generate_key(256)))


@dataclass
class Signs:
    """What the keeper keeps: who said no to what, and what was spent."""

    clock: Any
    people: Mapping[str, tuple[str, ...]]
    spent: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    before_signing: Any = None


class SigningDoor(Door):
    """`proof` is the person's id."""

    signs: Signs

    def wrapping_key(self) -> WrappingKey:
        return KEY

    def unwrap(self, wrapped: str) -> WrappingKey:
        return KEY

    def public_keys(self) -> Any:
        return SimpleNamespace(authority=KEYS)

    def status(self) -> Any:
        return SimpleNamespace(keeper="ready", vault="ready", now=None)

    def may_break_glass(self, *, proof: Any) -> bool:
        return False

    def decide(
        self, *, proof: Any, envelope: bytes, verdict: Any, reason: str = "", answer: Any = None, delegations: Any = (),
        match: str = "",
    ) -> Statement:
        if self.signs.before_signing is not None:
            self.signs.before_signing(proof)
        read, groups = read_envelope(envelope), self.signs.people[proof]
        if (verdict == "approve" and proof in excluded(read)) or (verdict == "confirm" and proof != confirmer(read)):
            raise MayNotDecide
        if verdict == "reject":
            self.signs.refused.add(digest(envelope))
        return signed({
            "v": 1, "kind": "decision", "action": read["action"], "digest": digest(envelope), "person": proof, "name": proof,
            "groups": sorted(groups), "verdict": verdict, "reason": reason, "nonce": f"{proof}{len(self.signs.spent)}",
            "factor": {"id": "fac", "kind": "passkey", "created_at": decided.stamp(self.signs.clock())},
            "at": decided.stamp(self.signs.clock()),
        })

    def spend(self, *, receiver: str, evidence: Any) -> None:
        raw = evidence.envelope
        met = satisfied(read_envelope(raw)["requirement"], evidence.statements, raw, keys=KEYS, now=self.signs.clock())
        if not met or digest(raw) in self.signs.spent | self.signs.refused:
            raise NotApproved("spent, refused or not met")
        self.signs.spent.add(digest(raw))


def door(house_folder: Any, clock: Any, people: Mapping[str, tuple[str, ...]]) -> SigningDoor:
    made = SigningDoor(house_folder / "none.sock")
    made.signs = Signs(clock, people)
    return made


def plant(house: House, people: Mapping[str, tuple[str, ...]]) -> None:
    """The persons, as their last sign-in left them."""
    now = house.clock()
    for person, groups in people.items():
        house.database.write(lambda s, person=person, groups=groups: s.add(Person(
            id=person, issuer="i", subject=person, name=person, email=f"{person}@x", groups=list(groups), created_at=now,
            seen_at=now, tries=0,
        )))


def viewer(house: House, person: str) -> Viewer:
    assert isinstance(house.door, SigningDoor)
    proof: Any = person
    return Viewer(person, person, f"{person}@x", house.door.signs.people[person], False, False, "ses", proof, house.clock())
