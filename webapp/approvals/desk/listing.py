"""A list as a page has it: narrowed, and, where the page is open already, with every row where it was."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.approvals import queue
from webapp.approvals.desk import filters, snoozing
from webapp.approvals.desk.filters import Filter
from webapp.approvals.queue import Listing, Only, Tab
from webapp.approvals.seeing import visible_to
from webapp.approvals.tables import Action
from webapp.web.viewer import Viewer

ID = re.compile(r"act_[0-9a-z]{1,40}")


@dataclass(frozen=True)
class Shown:
    """`ended` are rows that an open page still shows though they left the list; `fresh` is how many came that it does not."""

    listing: Listing
    ended: frozenset[str] = frozenset()
    fresh: int = 0
    until: dict[str, datetime] = field(default_factory=dict)
    """When those that were put off come back."""

    @property
    def ids(self) -> str:
        return ",".join(row.id for row in self.listing.rows)


@dataclass(frozen=True)
class Counts:
    """Waiting for this person now, and put off by them; COUNTED of `queue` at most."""

    waiting: int
    snoozed: int


def ids_of(text: str, most: int) -> tuple[str, ...]:
    """Ids of actions as an open page sends them; what is none is left out."""
    return tuple(dict.fromkeys(one for one in text.split(",")[:most] if ID.fullmatch(one)))


def listed(
    session: Session, viewer: Viewer, tab: Tab, asked: Filter, now: datetime, *, limit: int, after: str | None = None,
    before: Sequence[str] = (),
) -> Shown:
    """`before` are the rows that the page shows already: they keep their order, those that left the list are greyed, and those
    that came are counted and not shown. A page that shows none gets all."""
    only = filters.conditions(asked, now)
    found = _find(session, viewer, tab, now, limit, after, only)
    shown = Shown(found)
    if before:
        shown = _kept(session, viewer, tab, now, found, before, only)
    if tab == "snoozed":
        until = snoozing.until(session, viewer.person, [row.id for row in shown.listing.rows], now)
        shown = replace(shown, until=until)
    return shown


def counts(session: Session, viewer: Viewer, now: datetime, shown: Listing | None = None) -> Counts:
    """`shown` is the whole of what waits, unnarrowed, where that was read already: then it is not counted once more."""
    waiting = len(shown.rows) if shown is not None and not shown.cut else queue.count(session, viewer, now)
    return Counts(waiting, queue.count_snoozed(session, viewer, now))


def _find(
    session: Session, viewer: Viewer, tab: Tab, now: datetime, limit: int, after: str | None, only: Only
) -> Listing:
    if tab == "me":
        return queue.waiting(session, viewer, now, limit, only)
    if tab == "snoozed":
        return queue.snoozed(session, viewer, now, limit, only)
    if tab == "others":
        return queue.others(session, viewer, now, limit, only)
    if tab == "mine":
        return queue.mine(session, viewer, limit, after, only)
    return queue.history(session, viewer, limit, after, only)


def _kept(
    session: Session, viewer: Viewer, tab: Tab, now: datetime, found: Listing, before: Sequence[str], only: Only
) -> Shown:
    here = {row.id: row for row in found.rows}
    missing = [one for one in before if one not in here]
    gone = dict[str, Action]()
    if missing:
        # Pushed off the page by others, or gone from the list: only the second is grey.
        still = _find(session, viewer, tab, now, len(missing), None, [Action.id.in_(missing), *only]).rows
        here |= {row.id: row for row in still}
        left = [one for one in missing if one not in here]
        gone = {row.id: row for row in session.scalars(select(Action).where(Action.id.in_(left), visible_to(viewer)))}
    rows = [{**here, **gone}[one] for one in before if one in here or one in gone]
    if not rows:  # nothing that anybody could be pointing at; an empty list beside "2 new" would say that nothing waits
        return Shown(found)
    fresh = sum(row.id not in before for row in found.rows)
    return Shown(replace(found, rows=rows), frozenset(gone), fresh)
