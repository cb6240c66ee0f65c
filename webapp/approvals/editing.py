"""Edit is not approve: an approver proposes other arguments, and that is a new action, with a document and decisions of its own.

The one who proposed it approves nothing of it; the account's owner confirms it, for it is not what their agent asked for; policy
judges it anew. The agent's waiting call, and its next identical one, lead to the new action until its outcome was delivered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import update
from sqlalchemy.orm import Session

from vault.errors import MayNotDecide
from vault.evidence import Need, editors
from webapp import audit
from webapp.approvals import edit_form, holding, page, since, usage
from webapp.approvals.deciding import CHANGED, still
from webapp.approvals.decoys import telling
from webapp.approvals.drift import EDITED, NOT_THERE, Drift, bounded
from webapp.approvals.drift import Change as Changed
from webapp.approvals.edit_form import Field
from webapp.approvals.envelope import Document, Draft, Runs
from webapp.approvals.outcome import Editor, Handed
from webapp.approvals.payloads import Sealer, for_holding
from webapp.approvals.same_call import EDITS, same
from webapp.approvals.seeing import Opened, open_, open_for
from webapp.approvals.since import Seen
from webapp.approvals.tables import Action
from webapp.approvals.transitions import move
from webapp.canonical import canonical, parse
from webapp.errors import BadInput, Conflict, Forbidden, Missing, one_of_ours, psaid, said
from webapp.people import suspension
from webapp.policy.calls import Deny, Hold, Reason, Verdict
from webapp.web.house import House
from webapp.web.viewer import Viewer

WHY = str(psaid(
    "rule", "An approver changed what the agent asked for; whose account it is confirms what was not asked"
))


@dataclass(frozen=True)
class Form:
    """What the page of an edit shows."""

    opened: Opened
    fields: tuple[Field, ...]
    seen: Seen


def may_edit(opened: Opened, viewer: Viewer) -> bool:
    """Somebody who may approve it, while it is held. What a token client reported cannot be changed here: it does it itself."""
    document = opened.document
    asked = bool(document.groups & set(viewer.groups)) and not any(document.parties.excludes(one) for one in viewer.selves)
    return opened.action.state == "held" and document.enforced and asked


def form(house: House, action_id: str, viewer: Viewer, handed: Handed) -> Form:
    """Raises Missing, Conflict, MayNotDecide, ToolRefused."""
    opened = open_for(house, action_id, viewer)
    if opened.action.state != "held":
        raise Conflict(CHANGED)
    now = house.clock()
    seen = since.look(opened, opened.speaker(viewer, now), now)
    return Form(opened, _fields(house, opened, viewer, _editor(handed)), seen)


def _editor(handed: Handed) -> Editor:
    if handed.editor is None:
        raise Missing("Calls cannot be changed here.")
    return handed.editor


def _fields(house: House, opened: Opened, viewer: Viewer, editor: Editor) -> tuple[Field, ...]:
    if not may_edit(opened, viewer):
        raise MayNotDecide
    with house.database.read() as session:
        schema = editor.schema(session, opened.document.envelope)
    return edit_form.fields(schema, arguments_of(opened))


def arguments_of(opened: Opened) -> Mapping[str, Any]:
    """With the numbers as they were written."""
    found = parse(canonical(opened.document.envelope["arguments"]))
    return cast("Mapping[str, Any]", found)


def propose(
    house: House, action_id: str, viewer: Viewer, handed: Handed, *, shown: str, typed: Mapping[str, str], why: str
) -> str:
    """The new action's id. The old one is void from then on, in the same transaction. Of a decoy nothing is made: its own id, and
    its page tells.

    Raises Conflict when it is not what the page showed, MayNotDecide, BadInput for arguments that are not read, are the same as
    before, or that policy refuses."""
    why, longest = why.strip(), house.settings.approvals.reason_length
    if not why or len(why) > longest:
        raise BadInput(said("Say why, in at most %(most)s characters: the others and the agent read it.", most=longest))
    opened, editor = still(house, action_id, viewer, shown, handed.recheck), _editor(handed)
    arguments = edit_form.read(_fields(house, opened, viewer, editor), typed)
    if canonical(arguments) == canonical(opened.document.envelope["arguments"]):
        raise BadInput("Nothing was changed. To let it run as it was asked, approve it.")
    if telling.ended(house, opened):
        return action_id
    proposed = _Proposed(viewer, arguments, why, _first(house, opened), for_holding(house))
    return house.database.write(lambda s: _replace(s, house, opened, proposed, editor))


@dataclass(frozen=True)
class _Proposed:
    by: Viewer
    arguments: Mapping[str, Any]
    why: str
    first: Document
    """What the agent asked for."""
    sealer: Sealer


def _first(house: House, opened: Opened) -> Document:
    """Of a change of a change: the call before any. Attack: an approver changes the payee, another corrects a word of that, and
    the page shows to those who decide the corrected word alone, beside a payee that the agent is said to have asked for."""
    document = opened.document
    for _ in range(EDITS):
        edit = document.envelope["facts"].get("edit")
        if not edit:
            return document
        document = open_(house, edit["of"]).document
    raise Conflict("This was changed too often. Reject it with a reason instead.")


def _replace(session: Session, house: House, opened: Opened, proposed: _Proposed, editor: Editor) -> str:
    """1. the old action still waits as it was shown, and who proposes is not suspended; 2. policy, without what the old one
    counts as; 3. the old one is void; 4. the new one is held, and both are linked."""
    now, settings = house.clock(), house.settings.approvals
    usage.one_at_a_time(session, opened.document.parties.principal)  # before the row, as everybody who locks both
    old = session.get(Action, opened.action.id, with_for_update=True)
    if old is None or old.state != "held" or old.digest != opened.document.digest:  # 1
        raise Conflict(CHANGED)
    if suspension.among(session, [proposed.by.person]):
        raise Forbidden(suspension.KEPT_OUT, code="suspended")
    verdict, draft = editor.judged(session, opened.document.envelope, proposed.arguments, now)  # 2
    draft = _linked(draft, opened, proposed)
    if same(session, holding.key_of(draft), now, settings) is not None:
        raise Conflict("The agent asked for the very same already, and that is waiting or was just decided. Look there.")
    replaced = Drift(f"{proposed.by.name} proposed other arguments, and that waits in its place. {proposed.why}")
    move(session, old, "void", now, actor=f"person:{proposed.by.person}", reason=replaced.why)  # 3
    held = holding.hold(  # 4
        session, draft=draft, verdict=_asked(verdict, settings.within), sealer=proposed.sealer, settings=settings, now=now,
        evaluation=house.settings.evaluation,
    )
    _link(session, opened.action.id, held.action_id, proposed.by.person)
    audit.append(
        session, kind="action.edited", actor=f"person:{proposed.by.person}", subject=held.action_id, at=now,
        detail={"of": opened.action.id, "digest": opened.document.digest},
    )
    return held.action_id


def _link(session: Session, old: str, new: str, by: str) -> None:
    quiet = {"synchronize_session": False}
    session.execute(update(Action).where(Action.id == old).values(replaced_by=new), execution_options=quiet)
    session.execute(update(Action).where(Action.id == new).values(edit_of=old, edited_by=by), execution_options=quiet)


def _linked(draft: Draft, opened: Opened, proposed: _Proposed) -> Draft:
    """Who changed what is part of the document that is decided on; and all of it is of documents, none of rows."""
    before, now = dict(page.flat(proposed.first.envelope["arguments"])), dict(page.flat(draft.arguments))
    rows = [
        Changed(page.label(where), before.get(where, NOT_THERE), now.get(where, NOT_THERE))
        for where in {**before, **now} if before.get(where) != now.get(where)
    ]
    edit: dict[str, Any] = {
        "of": opened.action.id, "by": proposed.by.person, "name": proposed.by.name, "why": proposed.why,
        "changes": [{"what": one.what, "before": one.before, "now": one.now} for one in bounded(rows)],
    }
    earlier = sorted(editors(opened.document.envelope) - {proposed.by.person})
    if proposed.first is not opened.document:
        edit |= {"earlier": earlier, "first": proposed.first.envelope["action"]}
    return replace(
        draft, facts={**draft.facts, "edit": edit}, server_title=opened.document.server_title, runs=cast(Runs, opened.action.runs)
    )


def _asked(verdict: Verdict, within: int) -> Hold:
    """What policy asks of the changed call, and the owner's confirmation besides. Raises BadInput where policy refuses it."""
    if isinstance(verdict, Deny):
        raise BadInput(said("Policy refuses the changed call: %(reason)s", reason=one_of_ours(verdict.reason, "rule")))
    asked, reasons = (verdict.needs, verdict.reasons) if isinstance(verdict, Hold) else ((), ())
    confirm: Need = {"kind": "confirm", "group": "", "quorum": 1, "factor": "", "rule": EDITED}
    needs = asked if any(need["kind"] == "confirm" for need in asked) else (*asked, confirm)
    hold = verdict if isinstance(verdict, Hold) else Hold((), within, (), verdict.digest)
    return replace(hold, needs=tuple(needs), reasons=(*reasons, Reason(EDITED, WHY)))
