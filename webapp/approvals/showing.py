"""Gathers what the page of one action needs: its document, decisions, names, the last similar action, what this person can do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from vault.door import Challenge
from vault.errors import KeeperAway, KeeperError, MayNotDecide, Stale, VaultAway, VaultSealed
from vault.evidence import asks_match
from webapp.approvals import afresh, page, payloads, records, since
from webapp.approvals.deciding import drifted
from webapp.approvals.decoys import telling
from webapp.approvals.outcome import Recheck, Upstream, unpack
from webapp.approvals.page import Change, Piece
from webapp.approvals.part import Part, code_counts
from webapp.approvals.records import Records
from webapp.approvals.rules import Progress, may_reject
from webapp.approvals.seeing import Opened, open_for, visible_to
from webapp.approvals.since import Seen
from webapp.approvals.tables import Action
from webapp.errors import Missing, said
from webapp.people import lookup
from webapp.web.house import House
from webapp.web.viewer import Viewer

KNOWN_OTHERWISE = said(
    "You cannot decide this: the keeper knows your groups, or your other sign-ins, otherwise than this page does. Sign out and "
    "in again; if that does not help, ask an administrator."
)


@dataclass(frozen=True)
class Shown:
    """One action as one person sees it."""

    opened: Opened
    part: Part
    progress: tuple[Progress, ...]
    names: dict[str, str]
    deciders: dict[str, list[str]]
    """Names of a group's members as the last sign-ins said: whom to ask."""
    recipient: tuple[Piece, ...]
    records: Records
    out_of_hours: tuple[str, ...]
    """Whose: `""` for the instance's own zone, and person ids."""
    earlier: Action | None
    changes: tuple[Change, ...]
    answer: Upstream | None
    may_reject: bool
    may_withdraw: bool
    may_close: bool
    sees_answer: bool
    seen: Seen
    challenge: Challenge | None = None
    code_counts: bool = True
    """Whether an authenticator code is enough for what this person would give."""
    restored_at: datetime | None = None
    """When a backup was restored, if that was after this was held."""
    away: str = ""
    """Why nothing can be decided right now."""
    decoy: bool = False
    """Whether it was one: by what was signed, once it is over."""
    runs_at: datetime | None = None
    """Of what was approved and can still be stopped: nothing runs before."""

    @property
    def action(self) -> Action:
        return self.opened.action

    @property
    def decides(self) -> bool:
        return self.action.state == "held" and self.part in ("confirm", "approve")

    @property
    def asks_number(self) -> bool:
        """Whether whoever confirms types the number that their agent shows. The number itself is on no page."""
        return asks_match(self.opened.document.envelope)

    @property
    def by_code(self) -> bool:
        """Whether a code is asked for: not of somebody who has no app. While the vault is away nobody knows, and it is."""
        return self.code_counts and not self.closed and (self.challenge is None or self.challenge.codes)

    @property
    def by_codes(self) -> bool:
        """Whether somebody's word was given by a code: the page says how much weaker that is."""
        return any(one.factor == "totp" and one.verdict != "reject" for one in self.opened.verified.given)

    @property
    def before_at(self) -> datetime | None:
        """When the last identical call ended, or was held."""
        before = self.opened.document.envelope["facts"].get("before")
        return datetime.fromisoformat(before["at"]) if before else None

    closed: bool = False
    """Whether it is too late or too early for this person's word: `away` says why."""
    runs_in: int = 0
    """Seconds until then, rounded up."""

    @property
    def may_stop(self) -> bool:
        return self.may_reject or self.may_withdraw

    def mine(self, person: str) -> bool:
        return self.opened.document.parties.includes(person)


def show(house: House, action_id: str, viewer: Viewer, recheck: Recheck) -> Shown:
    """Raises Missing, Tampered, KeeperError. An action that drifted is void from here on, and shown so."""
    opened = open_for(house, action_id, viewer)
    if drifted(house, opened, recheck) is not None:
        opened = open_for(house, action_id, viewer)
    now = house.clock()
    document, action = opened.document, opened.action
    viewer = opened.speaker(viewer, now)
    part = opened.part(viewer.person, viewer.groups, viewer.same_as)
    own = document.parties.includes(viewer.person)
    decided = any(one.person == viewer.person for one in opened.verified.given)
    earlier = _earlier(house, opened, viewer)
    challenge, away, closed = _challenge(house, opened, viewer, part)
    used, remembered = document.envelope["facts"]["usage"], _records(house, opened)
    return Shown(
        opened=opened, part=part, progress=opened.progress(now), names=_names(house, opened),
        deciders=_deciders(house, opened), recipient=page.marked(document.recipient_shown, used.get("lookalike_of", "")),
        records=remembered, out_of_hours=_out_of_hours(house, opened, viewer, remembered),
        earlier=earlier.action if earlier else None, changes=page.compared(document, earlier.document) if earlier else (),
        answer=_answer(house, opened) if own or decided else None, sees_answer=own or decided,
        seen=since.look(opened, viewer, now),
        may_reject=may_reject(document.requirement, document.parties, viewer.person, viewer.groups),
        may_withdraw=own, may_close=own or viewer.admin, challenge=challenge, away=away, closed=closed,
        code_counts=code_counts(opened.subject, part, viewer.groups), restored_at=_restored(house, action),
        decoy=telling.was_decoy(house, opened),
        runs_at=(runs_at := _runs_at(opened, now)), runs_in=math.ceil((runs_at - now).total_seconds()) if runs_at else 0,
    )


def _runs_at(opened: Opened, now: datetime) -> datetime | None:
    """By the signed decisions; the row only where it says later (the keeper's clock is behind ours)."""
    at = opened.resolution(now).runs_at if opened.action.state == "approved" else None
    if at is not None and opened.action.runs_at is not None:
        at = max(at, opened.action.runs_at)
    return at if at is not None and now < at else None


def _restored(house: House, action: Action) -> datetime | None:
    with house.database.read() as session:
        return afresh.restored_since(session, action.created_at)


def _challenge(house: House, opened: Opened, viewer: Viewer, part: Part) -> tuple[Challenge | None, str, bool]:
    """A challenge for the one who decides; why there is none; and whether no code counts now either. A vault that is away now may
    be back when they press the button."""
    if opened.action.state != "held" or opened.resolution(house.clock()).state != "held" or part not in ("confirm", "approve"):
        return None, "", False
    try:
        challenge = house.door.decision_challenge(
            proof=viewer.proof, envelope=opened.document.raw, verdict=part, delegations=viewer.named,
            idp=house.settings.people.idp,
        )
        return challenge, "", False
    except MayNotDecide:  # the rows know a group or a link of theirs otherwise
        return None, KNOWN_OTHERWISE, True
    except (VaultSealed, VaultAway, KeeperAway, Stale) as error:
        return None, error.hint, isinstance(error, Stale)


def _names(house: House, opened: Opened) -> dict[str, str]:
    """The keeper's own word on who decided; the table's on the rest."""
    parties = opened.document.parties
    with house.database.read() as session:
        known = lookup.names(session, {
            parties.principal, parties.owner, parties.agent_owner, parties.server_owner, opened.action.closed_by or "",
        })
    envelope = opened.document.envelope
    return {
        **known, envelope["principal"]["person"]: envelope["principal"]["name"],
        **{one.person: one.name for one in opened.verified.given},
    }


def _deciders(house: House, opened: Opened) -> dict[str, list[str]]:
    parties = opened.document.parties
    with house.database.read() as session:
        return {
            group: [one.name for one in lookup.members(session, group)
                    if not any(parties.excludes(who) for who in (one.id, *one.same_as))]
            for group in sorted(opened.document.groups)
        }


def _records(house: House, opened: Opened) -> Records:
    with house.database.read() as session:
        zone = lookup.zone(session, opened.document.parties.principal)
        return records.gather(session, opened.action, opened.document, zone)


def _out_of_hours(house: House, opened: Opened, viewer: Viewer, remembered: Records) -> tuple[str, ...]:
    """Whose clock said out of hours when this was asked: the viewer's, the requester's, policy's; one that says the same as one
    before it is left out."""
    settings, requester = house.settings.policy, opened.document.parties.principal
    clocks = {settings.zone: "", remembered.zone: requester, viewer.zone: viewer.person}
    return tuple(whose for zone, whose in clocks.items() if page.out_of_hours(opened.document.asked_at, settings, zone))


def _earlier(house: House, opened: Opened, viewer: Viewer) -> Opened | None:
    """The last one of this kind that ran and that this person may see: to the same recipient if there is one, or to the one
    that this recipient looks like."""
    action, person = opened.action, opened.document.parties.principal
    similar = select(Action).filter_by(person=person, server=action.server, tool=action.tool, state="done").where(
        Action.id < action.id, visible_to(viewer)
    ).order_by(Action.id.desc())
    lookalike = opened.document.envelope["facts"]["usage"].get("lookalike_of", "")
    with house.database.read() as session:
        found = session.scalar(similar.where(Action.recipient == action.recipient).limit(1))
        if found is None and lookalike:
            found = session.scalar(similar.where(Action.recipient == lookalike).limit(1))
        found = found or session.scalar(similar.limit(1))
    if found is None:
        return None
    try:
        return open_for(house, found.id, viewer)
    except (Missing, payloads.Tampered, KeeperError):
        return None


def _answer(house: House, opened: Opened) -> Upstream | None:
    with house.database.read() as session:
        stored = payloads.stored(session, opened.action.id, "result")
    if stored is None:
        return None
    return unpack(payloads.open_(house, stored, digest=opened.action.digest))


def waits_now(action: Action, now: datetime) -> bool:
    """Whether a request of the agent waits for the decision at this moment."""
    return action.waiting_until is not None and action.waiting_until > now
