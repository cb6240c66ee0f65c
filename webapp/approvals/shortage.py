"""Nobody left: whether those who could still decide an action are enough for what it asks.

Said when a call is held, not when it lapses: to the agent, on the action's page, and to admins. It decides nothing: the call is
held all the same, and what it says rests on what the last sign-ins said, not on what the keeper would say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.evidence import Need, others_of
from webapp.approvals import decisions, kept_words
from webapp.approvals.rules import Given, Parties, Subject, merged, progress, strong_enough, wanted
from webapp.approvals.tables import Action
from webapp.approvals.transitions import touch
from webapp.errors import said
from webapp.people import factor_rows, lookup
from webapp.people.tables import Person
from webapp.web.viewer import Viewer

Bar = Literal["", "party", "suspended", "factor"]
"""Why somebody of the group cannot decide: it is theirs, they are suspended, or they have no factor that counts."""
LONGEST = 500
LISTED = 20
BARRED: dict[Bar, tuple[str, str]] = {
    "party": ("asked for it or own what it uses", ""),
    "suspended": ("suspended", said("An administrator can lift a suspension.")),
    "factor": ("without a factor that counts", said("They add a passkey under You; a new one approves after 24 hours.")),
}
MORE_PEOPLE = said("Whoever runs the identity provider puts people into the group; they sign in here once and add a passkey.")


@dataclass(frozen=True)
class Candidate:
    """Somebody of a group that was asked. `bar` is empty for those who can decide."""

    person: str
    name: str
    bar: Bar
    factors: frozenset[str]
    away: bool = False
    selves: frozenset[str] = frozenset()
    """All their sign-ins."""


@dataclass(frozen=True)
class Shortage:
    """`whys` say what is missing, `mends` who could mend it: sentences of ours, for people."""

    whys: tuple[str, ...]
    mends: tuple[str, ...]

    @property
    def why(self) -> str:
        """As it is kept, in English."""
        return " ".join(self.whys)[:LONGEST]


def candidates(
    session: Session, need: Need, parties: Parties, now: datetime, *, evaluation: bool, also: Iterable[str] = ()
) -> list[Candidate]:
    """Everyone of the need's group, as the last sign-ins said, and of those that may take its place (`also`)."""
    members = {person.id: person for group in (need["group"], *also) for person in lookup.members(session, group)}
    found = []
    for person in members.values():
        kinds = factor_rows.kinds(person, now, approving=True, evaluation=evaluation)
        bar, selves = _bar(person, kinds, need, parties), frozenset({person.id, *person.same_as})
        found.append(Candidate(person.id, person.name, bar, kinds, _away(person, now), selves))
    return found


def _away(person: Person, now: datetime) -> bool:
    return person.away_until is not None and person.away_until > now


def _bar(person: Person, kinds: Iterable[str], need: Need, parties: Parties) -> Bar:
    if any(parties.excludes(one) for one in (person.id, *person.same_as)):
        return "party"
    if person.suspended:
        return "suspended"
    return "" if any(strong_enough(need, kind) for kind in kinds) else "factor"


def of(
    session: Session, needs: Sequence[Need], parties: Parties, given: Sequence[Given], now: datetime, *, evaluation: bool
) -> Shortage | None:
    """What is missing even if everyone who can still decide says yes; None where they are enough. Needs are counted together: one
    person in two groups is one person."""
    asked = tuple(_at_any_hour(need) for need in merged(needs))
    later = {group: [other for other, _ in steps] for group, steps in others_of(needs, now).items()}
    groups = {
        need["group"]: candidates(session, need, parties, now, evaluation=evaluation, also=later.get(need["group"], ()))
        for need in asked if need["kind"] == "approvers"
    }
    said = [_yes(one, group, now) for group, members in groups.items() for one in members if not one.bar]
    met = progress(Subject("held", parties, asked, now), [*given, *said])
    whys, mends = list[str](), list[str]()
    for one in met:
        if one.need["kind"] == "approvers" and not one.met:
            whys.append(_why(one.need, len(one.people), groups[one.need["group"]]))
            mends += _mends(groups[one.need["group"]])
    owner = _owner(session, asked, parties, given, now)
    if owner is not None:
        whys += owner.whys
        mends += owner.mends
    return Shortage(tuple(whys), tuple(dict.fromkeys(mends))) if whys else None


def _at_any_hour(need: Need) -> Need:
    """Business hours come round: who may decide then is not missing now."""
    return cast(Need, {name: value for name, value in need.items() if name != "hours"})


def _yes(one: Candidate, group: str, now: datetime) -> Given:
    factor = "passkey" if "passkey" in one.factors else "totp"
    return Given(one.person, one.name, (group,), "approve", factor, "", now)


def _why(need: Need, able: int, members: Sequence[Candidate]) -> str:
    group, many = need["group"], wanted(need)
    if not members:
        return said("It needs %(many)s from %(group)s, and nobody of that group has signed in here.", many=many, group=group)
    barred = ", ".join(
        f"{count} {words}" for bar, (words, _) in BARRED.items() if (count := sum(one.bar == bar for one in members))
    )
    others = f" ({barred})" if barred else ""
    kept = f"It needs {many} from {group}, and {able or 'nobody'} of the {len(members)} known here can decide{others}."
    return kept_words.shortage(kept)


def _mends(members: Sequence[Candidate]) -> list[str]:
    return [*(mend for bar, (_, mend) in BARRED.items() if mend and any(one.bar == bar for one in members)), MORE_PEOPLE]


def _owner(
    session: Session, needs: Sequence[Need], parties: Parties, given: Sequence[Given], now: datetime
) -> Shortage | None:
    """A confirmation that its owner cannot give."""
    asked = [need for need in needs if need["kind"] == "confirm"]
    owner = session.get(Person, parties.owner)
    if not asked or owner is None or any(one.verdict == "confirm" for one in given):
        return None
    kinds = factor_rows.kinds(owner, now, approving=False, evaluation=False)
    if owner.suspended:
        return Shortage((said("It needs the owner’s confirmation, and the owner is suspended."),), (BARRED["suspended"][1],))
    if not all(any(strong_enough(need, kind) for kind in kinds) for need in asked):
        return Shortage(
            (said("It needs the owner’s confirmation, and the owner has no factor that counts for it."),),
            (said("The owner adds a passkey under You."),),
        )
    return None


def again(session: Session, action: Action, now: datetime, *, evaluation: bool) -> None:
    """Look once more at an action that waits: people sign in, leave, and are suspended meanwhile. From its row, and from
    statements as they are stored: this is a notice."""
    needs = cast("list[Need]", action.requirement)
    parties = Parties(action.person, action.owner, action.agent_owner, action.server_owner, action.edited_by or "")
    given = decisions.as_stored(decisions.stored(session, action.id))
    found = of(session, needs, parties, given, now, evaluation=evaluation)
    keep(session, action, found, now)


def keep(session: Session, action: Action, found: Shortage | None, now: datetime) -> None:
    """Write it where lists and the agent's answers read it, and wake the pages, if it changed."""
    why = found.why if found is not None else ""
    if action.short != why:
        touch(session, action.id, now, short=why)


def stuck(session: Session, viewer: Viewer, now: datetime) -> Sequence[Action]:
    """For admins: what waits for people who are not there, what lapses first before the rest."""
    if not viewer.admin:
        return ()
    asked = select(Action).where(Action.state == "held", Action.short != "", Action.expires_at > now)
    return session.scalars(asked.order_by(Action.expires_at, Action.id).limit(LISTED)).all()
