"""What the keeper itself recorded of a person at sign-in. Groups are read here, never taken from who asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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
    same_as: tuple[str, ...] = ()
    """Other sign-ins of the same human, as an admin linked them."""
    parted: tuple[tuple[str, datetime], ...] = ()
    """Those that were linked once, and until when: for what was held before, they still are one human."""

    def same_for(self, held_at: datetime | None) -> tuple[str, ...]:
        """The other sign-ins that count as this human where an action is concerned that was held at `held_at`; None: nobody can
        say when, and every link there ever was counts."""
        before = (one for one, until in self.parted if held_at is None or held_at <= until)
        return tuple(sorted({*self.same_as, *before} - {self.id}))


def held_at(envelope: Mapping[str, Any]) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(envelope["created_at"]).replace("Z", "+00:00"))
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo is not None else None


def person(keeper: Keeper, who: str) -> Person:
    """Raises NotKnown for someone who never signed in."""
    found = keeper.kv.read(f"people/{who}")
    if found is None:
        raise NotKnown(f"no person {who}")
    return of(who, found.data)


def of(who: str, data: Data) -> Person:
    """As it is recorded."""
    return Person(
        who, data["issuer"], data["subject"], data["name"], data["email"], tuple(data["groups"]),
        datetime.fromisoformat(data["seen_at"]), tuple(data.get("same_as", ())),
        tuple((one["id"], datetime.fromisoformat(one["until"])) for one in data.get("parted", ())),
    )


def record(keeper: Keeper, one: Person) -> None:
    """Replace what the identity provider says of them: called with verified claims, at each sign-in. Links stay."""
    new: Data = {
        "issuer": one.issuer, "subject": one.subject, "name": one.name, "email": one.email,
        "groups": sorted(set(one.groups)), "seen_at": one.seen_at.isoformat(),
    }
    keeper.kv.update(f"people/{one.id}", lambda old: ({**_links(old), **new}, None))


def _links(old: Data | None) -> Data:
    return {name: old[name] for name in ("same_as", "parted") if name in old} if old else {}
