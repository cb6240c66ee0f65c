"""Sign-ins that are one human: who may not approve under one of them may not under another, and one human counts once.

Linking can only make approving harder. Unlinking holds for what is held from then on: what was held before still sees one human.
Both are for operators (`vault.app`): neither a row in the database nor the web process, under a user of its own, unlinks anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from vault.errors import BadRequest, NotKnown
from vault.kv import Data
from vault.people import person
from vault.said import said
from vault.table import Body, Keeper, segment

MOST = 16


def person_link(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.person_link`. Everyone who is linked to either is linked to all: written to each, so that the record of one is enough
    to know them. What a failure left half done, the same request again completes."""
    one, other = person(keeper, segment(body, "one")), person(keeper, segment(body, "other"))
    together = {one.id, other.id, *one.same_as, *other.same_as}
    if one.id == other.id or len(together) > MOST:
        raise BadRequest("the same person, or too many", hint=said("Link two sign-ins, and at most %(most)s in all.", most=MOST))
    for each in sorted(together):
        keeper.kv.update(f"people/{each}", lambda old, each=each: (_linked(old, together - {each}), None))  # type: ignore[misc]
    return {"together": sorted(together)}


def person_unlink(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.person_unlink`: this sign-in is a human of its own again. The others stay linked."""
    who = person(keeper, segment(body, "person"))
    now = keeper.clock()
    for each in who.same_as:
        keeper.kv.update(f"people/{each}", lambda old: (_parted(old, {who.id}, now), None))
    keeper.kv.update(f"people/{who.id}", lambda old: (_parted(old, set(who.same_as), now), None))
    return {"parted": sorted(who.same_as)}


def _linked(old: Data | None, others: set[str]) -> Data:
    if old is None:
        raise NotKnown("somebody who is linked is not known")
    return {**old, "same_as": sorted({*old.get("same_as", ()), *others})}


def _parted(old: Data | None, others: set[str], now: datetime) -> Data:
    if old is None:
        raise NotKnown("somebody who is linked is not known")
    kept = [one for one in old.get("parted", ()) if one["id"] not in others]
    parted = [{"id": one, "until": now.isoformat()} for one in sorted(others)]
    return {**old, "same_as": sorted({*old.get("same_as", ())} - others), "parted": [*kept, *parted]}


HANDLERS = {"person_link": person_link, "person_unlink": person_unlink}
