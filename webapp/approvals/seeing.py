"""Opening an action for somebody: who may see it, what its document says, and what was decided on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

from sqlalchemy import ColumnElement, Text, and_, cast, or_, select
from sqlalchemy.orm import Session

from vault.errors import KeeperError
from vault.evidence import carries, covers, stepped_in
from webapp.approvals import decisions, payloads
from webapp.approvals.decisions import Keys, Verified
from webapp.approvals.envelope import Document, read
from webapp.approvals.part import Part, part_of
from webapp.approvals.rules import Progress, Resolution, Subject, resolve
from webapp.approvals.tables import Action, ActionGroup, Decision, Usage
from webapp.errors import Missing
from webapp.people import linking
from webapp.web.house import House
from webapp.web.viewer import Viewer

NOT_THERE = "There is no such action, or it is not yours to see."


@dataclass(frozen=True)
class Opened:
    """An action with its verified document and decisions."""

    action: Action
    document: Document
    verified: Verified
    keys: Keys

    @property
    def subject(self) -> Subject:
        return self.document.subject(self.action.state, self.action.run_by, self.action.expires_at)

    def resolution(self, now: datetime) -> Resolution:
        return resolve(self.subject, self.verified.given, now)

    def progress(self, now: datetime) -> tuple[Progress, ...]:
        return self.resolution(now).progress

    def speaker(self, viewer: Viewer, now: datetime) -> Viewer:
        """The viewer with the groups for which they may speak on this action now: their own, those lent to them for such a one,
        and those in whose place the rule lets theirs decide by now. The keeper judges that itself when they do.

        What is lent is used where their own word would bring nothing, for whoever lent it is one human with them then: a
        colleague who lent them finance, and decides for it, must not cost them the seat that is theirs."""
        envelope, parties = self.document.envelope, self.document.parties
        own = {*viewer.groups, *stepped_in(viewer.groups, envelope, now)}
        lent = {
            one.group: one.lenders for one in viewer.lent if one.group not in viewer.groups and covers(one.scope, envelope)
            and carries(one.factor, envelope) and not any(map(parties.excludes, one.lenders))
        }
        if not lent or self.part(viewer.person, sorted(own), viewer.same_as) in ("confirm", "approve"):
            return replace(viewer, groups=tuple(sorted(own)), lent=())
        groups = {*viewer.groups, *lent}
        return replace(
            viewer, groups=tuple(sorted(groups | stepped_in(groups, envelope, now))),
            same_as=tuple(sorted({*viewer.same_as, *chain.from_iterable(lent.values())} - {viewer.person})),
        )

    def part(self, person: str, groups: Sequence[str], same_as: Sequence[str] = ()) -> Part:
        return part_of(self.subject, self.verified.given, person, groups, same_as)


def lent_to(viewer: Viewer) -> list[ColumnElement[bool]]:
    """For lists: what a delegation is for, as columns say; above any bound is an amount that could not be read, or was only
    reported."""
    found = []
    for one in viewer.lent:
        asked = select(ActionGroup.name).where(ActionGroup.action == Action.id, ActionGroup.name == one.group).exists()
        narrowed: list[ColumnElement[bool]] = [
            column.in_(names) for column, names in ((Action.server, one.servers), (Action.cls, one.classes)) if names
        ]
        if one.up_to is not None:
            counted = select(Usage.id).where(Usage.action == Action.id, Usage.base_minor.between(-one.up_to, one.up_to))
            narrowed += [counted.exists(), ~cast(Action.flags, Text).contains('"reported"', autoescape=True)]
        parties = (Action.person, Action.owner, Action.agent_owner, Action.server_owner, Action.edited_by)
        found.append(and_(asked, *narrowed, *(column.is_distinct_from(who) for column in parties for who in one.lenders)))
    return found


def visible_to(viewer: Viewer) -> ColumnElement[bool]:
    """Its own people, those whose group may decide, those who did, auditors and admins."""
    if viewer.admin or viewer.auditor:
        return Action.id.is_not(None)
    return or_(
        Action.person == viewer.person, Action.owner == viewer.person, Action.agent_owner == viewer.person,
        asked_of(viewer),
        select(Decision.id).where(Decision.action == Action.id, Decision.person == viewer.person).exists(),
    )


def asked_of(viewer: Viewer) -> ColumnElement[bool]:
    """A group of theirs, or one lent to them, is among those asked. A look for each row: for EXISTS, PostgreSQL reads every
    action of the group."""
    one = select(ActionGroup.action).where(ActionGroup.action == Action.id, ActionGroup.name.in_(viewer.groups)).limit(1)
    return or_(one.scalar_subquery().is_not(None), *lent_to(viewer))


def find(session: Session, action_id: str, viewer: Viewer) -> Action:
    """Raises Missing for what is not there and for what is not theirs to see: both look alike."""
    action = session.scalar(select(Action).where(Action.id == action_id, visible_to(viewer)))
    if action is None:
        raise Missing(NOT_THERE)
    return action


def open_for(house: House, action_id: str, viewer: Viewer) -> Opened:
    """Raises Missing, Tampered, KeeperError. The groups that count are those in the document, not in the table's copy."""
    try:
        return _theirs(house, action_id, viewer)
    except Missing:
        return _to_pass_alone(house, action_id, viewer)


def may_pass_alone(house: House, opened: Opened, viewer: Viewer) -> bool:
    """Break-glass: by the keeper's word, for nobody's own, and only where others would decide."""
    kept_out = any(opened.document.parties.excludes(one) for one in viewer.selves)
    return opened.action.state == "held" and bool(opened.document.groups) and not kept_out and _is_of_the_few(house, viewer)


def _is_of_the_few(house: House, viewer: Viewer) -> bool:
    try:
        return viewer.factor_at is not None and house.door.may_break_glass(proof=viewer.proof)
    except KeeperError:
        return False


def _to_pass_alone(house: House, action_id: str, viewer: Viewer) -> Opened:
    """One of the few, of none of the groups that are asked, has to see what they would pass. Only while it waits. Raises Missing
    for everybody else, in the same words."""
    with house.database.read() as session:
        state = session.scalar(select(Action.state).where(Action.id == action_id))
    opened = open_(house, action_id) if state == "held" and _is_of_the_few(house, viewer) else None
    if opened is None or not may_pass_alone(house, opened, viewer):
        raise Missing(NOT_THERE)
    return opened


def _theirs(house: House, action_id: str, viewer: Viewer) -> Opened:
    opened = open_(house, action_id, viewer)
    mine = opened.document.parties.includes(viewer.person) or any(one.person == viewer.person for one in opened.verified.given)
    speaks_for = opened.speaker(viewer, house.clock()).groups
    if not (viewer.admin or viewer.auditor or mine or opened.document.groups & set(speaks_for)):
        raise Missing(NOT_THERE)
    return opened


def open_(house: House, action_id: str, viewer: Viewer | None = None) -> Opened:
    """For the system itself, or as far as the rows let `viewer` see it. Raises Missing, Tampered, KeeperError."""
    with house.database.read() as session:
        action = session.get(Action, action_id) if viewer is None else find(session, action_id, viewer)
        payload = payloads.stored(session, action_id, "request")
        rows = decisions.stored(session, action_id)
        same = linking.others(session, decisions.persons(rows))
    if action is None:
        raise Missing("There is no such action.")
    if payload is None:
        raise payloads.Tampered("The document of this action is gone.", detail=action_id)
    document = read(payloads.open_(house, payload, digest=action.digest), action)
    keys = decisions.authority_keys(house)
    verified = decisions.verify(rows, expected_action=action.id, expected_digest=document.digest, keys=keys,
                                envelope=document.envelope, same=same)
    return Opened(action, document, verified, keys)
