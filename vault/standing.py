"""For which groups a statement stands: by membership, by a colleague's delegation, or because nobody else had decided for as long
as the rule said. Pure; asked where a decision is judged, and again before anything is minted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from vault.envelope import Envelope
from vault.steps import others_of


def standing(body: Mapping[str, Any], envelope: Envelope, groups_now: Iterable[str] | None = None) -> Mapping[str, Any]:
    """The statement with `groups` those that it stands for on this envelope, in steps:

    1. of the groups that were signed, those that the person has now, where `groups_now` says which;
    2. of those held by delegation, the ones whose scope covers this envelope, that were lent strongly enough for it, and that had
       not ended when it was signed. Whoever delegated is then one human with whoever decides: nobody's seat is filled twice, and
       what is theirs they do not approve;
    3. the groups for which one of these stands from a time on that the rule named.
    """
    lent: Mapping[str, Mapping[str, Any]] = body.get("delegated") or {}
    groups = {str(one) for one in body.get("groups", ())}
    if groups_now is not None:
        groups &= set(groups_now)  # 1
    at, used = moment(str(body["at"])), list[str]()
    for group in sorted(groups & set(lent)):
        one = lent[group]
        if at < moment(str(one["until"])) and covers(one["scope"], envelope) and carries(str(one.get("factor", "")), envelope):
            used.append(str(lent[group]["by"]))  # 2
        else:
            groups.discard(group)
    same_as = [*body.get("same_as", ()), *used]
    return {**body, "groups": sorted(groups | stepped_in(groups, envelope, at)), "same_as": same_as}  # 3


def covers(scope: Mapping[str, Any], envelope: Envelope) -> bool:
    """Whether a delegation of this scope is for this action. An empty list names all; above any bound is an amount that cannot be
    read, or that is only inferred, or that a server only says of a token which does more. Raises KeyError, TypeError, ValueError
    for what is no scope."""
    servers, classes, up_to = scope["servers"], scope["classes"], scope["up_to"]
    if not isinstance(servers, list) or not isinstance(classes, list) or not (up_to is None or type(up_to) is int):
        raise TypeError("scope")
    if (servers and envelope["server"]["name"] not in servers) or (classes and envelope["tool"]["cls"] not in classes):
        return False
    if up_to is None:
        return True
    facts = envelope["facts"]
    if facts.get("enforced") is False or "amount" in (facts.get("inferred") or ()):
        return False
    amount = facts.get("amount") or {}
    base = amount.get("base_minor")
    return amount.get("status") == "ok" and type(base) is int and abs(base) <= up_to


def carries(factor: str, envelope: Envelope) -> bool:
    """Whether what was lent by this kind of factor counts here. Attack: one authenticator code, which is bound to nothing, lends
    a membership to somebody whose own passkey then decides what asks for a passkey."""
    asked = (need["factor"] for need in envelope["requirement"] if need["kind"] == "approvers")
    return factor == "passkey" or "passkey" not in asked


def stepped_in(groups: Iterable[str], envelope: Envelope, at: datetime) -> frozenset[str]:
    """The groups asked for which members of these may speak at this moment."""
    mine = set(groups)
    return frozenset(
        group for group, steps in others_from(envelope).items() if any(other in mine and at >= since for other, since in steps)
    )


def others_from(envelope: Envelope) -> Mapping[str, list[tuple[str, datetime]]]:
    """By group asked: which others may decide in its place, and from when, the earliest first."""
    return others_of(envelope["requirement"], moment(envelope["created_at"]))


def moment(text: str) -> datetime:
    """RFC 3339 with a zone. Raises ValueError."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is None:
        raise ValueError("a time without a zone")
    return found
