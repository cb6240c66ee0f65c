"""Putting a decoy before people: a call that ran before, with one fact changed, judged by policy as if it were asked now.

Its document names the people and the account of the call that it is made after, so that it looks as that one did and is void as
soon as that one would be. Its row is nobody's: it is in no list, limit or cap of theirs, and none of them sees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random, SystemRandom
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.evidence import steps_of
from webapp.approvals import edit_form, holding
from webapp.approvals.decoys import telling, varying
from webapp.approvals.editing import arguments_of
from webapp.approvals.envelope import Draft, Runs
from webapp.approvals.outcome import Editor
from webapp.approvals.payloads import Sealer, for_holding
from webapp.approvals.seeing import Opened, open_
from webapp.approvals.tables import Action
from webapp.config import Settings
from webapp.errors import CountersealError, Unavailable
from webapp.ids import new_id
from webapp.people import linking
from webapp.people.tables import Person
from webapp.policy.calls import Hold, Verdict
from webapp.web.house import House

LOOK_BACK = timedelta(days=60)
LATEST, TRIED = 200, 10


class Unfit(CountersealError):
    """Nothing is held: this call would give itself away, or would be put before others than it may."""

    default = "unfit"

    def __init__(self) -> None:
        super().__init__("No decoy can be made after this call.")


@dataclass(frozen=True)
class _Planned:
    opened: Opened
    arguments: Mapping[str, Any]
    sealer: Sealer


def seed(house: House, editor: Editor, chosen: Random | None = None) -> str | None:
    """The id of the decoy that is held now; None where none of the calls tried is one to be made after. Raises KeeperError,
    Unavailable."""
    chosen = chosen or SystemRandom()
    found = _done(house)
    for action_id in chosen.sample(found, min(TRIED, len(found))):
        try:
            return _after(house, action_id, editor, chosen)
        except Unavailable:
            raise
        except CountersealError:  # its tool, agent or account is no longer what it was; or `Unfit`
            continue
    return None


def _done(house: House) -> Sequence[str]:
    lately = house.clock() - LOOK_BACK
    with house.database.read() as session:
        return session.scalars(
            select(Action.id)
            .where(Action.state == "done", telling.asked_for(), Action.edit_of.is_(None), Action.created_at > lately)
            .order_by(Action.id.desc()).limit(LATEST)
        ).all()


def _after(house: House, action_id: str, editor: Editor, chosen: Random) -> str:
    opened, now = open_(house, action_id), house.clock()
    if not opened.document.enforced:
        raise Unfit
    with house.database.read() as session:
        _strangers(session, house.settings, opened, now)
        schema = editor.schema(session, opened.document.envelope)
    fields = edit_form.fields(schema, arguments_of(opened))
    form = varying.typed(fields, opened.document.envelope["facts"], chosen)
    if form is None:
        raise Unfit
    planned = _Planned(opened, edit_form.read(fields, form), for_holding(house, decoy=True))
    return house.database.write(lambda s: _hold(s, house, planned, editor, now))


def _strangers(session: Session, settings: Settings, opened: Opened, now: datetime) -> None:
    """Raises Unfit where somebody whose call it seems to be could come to see it: they would know, and rightly be alarmed."""
    parties = opened.document.parties
    whose = {parties.principal, parties.owner, parties.agent_owner}
    whose |= {other for others in linking.others(session, whose).values() for other in others}
    known = session.scalars(select(Person).where(Person.id.in_(whose))).all()
    seeing = {*settings.approvals.decoys.groups, *settings.people.admin_groups, *settings.people.auditor_groups}
    for one in known:
        if one.suspended or seeing & set(one.groups) or (one.lent_until is not None and one.lent_until > now):
            raise Unfit
    if {one.id for one in known} != whose:
        raise Unfit


def _hold(session: Session, house: House, planned: _Planned, editor: Editor, now: datetime) -> str:
    """1. policy judges it; 2. only the groups that the settings name are asked; 3. it is held under nobody's name; 4. enough are
    there who could decide it."""
    settings, opened = house.settings.approvals, planned.opened
    verdict, draft = editor.judged(session, opened.document.envelope, planned.arguments, now)  # 1
    draft = replace(
        draft, facts=_facts(draft.facts, opened.document.envelope["facts"].get("origins")),
        server_title=opened.document.server_title, runs=cast(Runs, opened.action.runs),
    )
    held = holding.hold(  # 2, 3
        session, draft=_nobodys(draft), document=draft, verdict=_asking(verdict, settings.decoys.groups), sealer=planned.sealer,
        settings=settings, now=now, evaluation=house.settings.evaluation,
    )
    if session.get_one(Action, held.action_id).short:  # 4
        raise Unfit
    return held.action_id


def _asking(verdict: Verdict, groups: Sequence[str]) -> Hold:
    """Also those who are asked only after a while (`escalate`) are to be named."""
    needs = [need for need in verdict.needs if need["kind"] == "approvers"] if isinstance(verdict, Hold) else []
    asked = {need["group"] for need in needs} | {step["group"] for need in needs for step in steps_of(need)}
    if not isinstance(verdict, Hold) or not asked or not asked <= set(groups):
        raise Unfit
    return verdict


def _facts(facts: Mapping[str, Any], origins: Mapping[str, Any] | None) -> dict[str, Any]:
    """Its values were in no result: those of the call that it is made after may have been (`origins`), at another time."""
    if origins is None:
        return dict(facts)
    unknown = {name: {"found": False} for name in origins if name != "within"}
    return {**facts, "origins": {"within": origins["within"], **unknown}}


def _nobodys(draft: Draft) -> Draft:
    """For the row: ids that are nobody's, the same for the same."""
    made: dict[str, str] = {}

    def other(known: str) -> str:
        return made.setdefault(known, new_id(known.partition("_")[0]))

    client, account = draft.client, draft.connection
    return replace(
        draft, principal={**draft.principal, "person": other(draft.principal["person"])},
        client={**client, "id": other(client["id"]), "grant": other(client["grant"]), "owner": other(client["owner"])},
        connection={**account, "id": other(account["id"]), "owner": other(account["owner"])} if account else None,
    )
