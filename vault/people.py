"""What the keeper itself recorded of a person at sign-in. Groups are read here, never taken from who asks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vault.errors import NotKnown
from vault.kv import Data
from vault.table import Keeper


@dataclass(frozen=True)
class Person:
    id: str
    issuer: str
    subject: str
    name: str
    email: str
    groups: tuple[str, ...]
    seen_at: datetime


def person(keeper: Keeper, who: str) -> Person:
    """Raises NotKnown for someone who never signed in."""
    found = keeper.kv.read(f"people/{who}")
    if found is None:
        raise NotKnown(f"no person {who}")
    data = found.data
    return Person(
        who, data["issuer"], data["subject"], data["name"], data["email"], tuple(data["groups"]),
        datetime.fromisoformat(data["seen_at"]),
    )


def record(keeper: Keeper, one: Person) -> None:
    """Replace what is known of them: called with verified claims, at each sign-in."""
    new: Data = {
        "issuer": one.issuer, "subject": one.subject, "name": one.name, "email": one.email,
        "groups": sorted(set(one.groups)), "seen_at": one.seen_at.isoformat(),
    }
    keeper.kv.update(f"people/{one.id}", lambda _old: (new, None))
