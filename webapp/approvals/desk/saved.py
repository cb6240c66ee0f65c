"""Views that a person keeps: a list and what it is narrowed to, under a name. Each is its person's alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp import audit
from webapp.approvals.desk.filters import Filter
from webapp.approvals.desk.tables import SavedView
from webapp.approvals.queue import Tab
from webapp.db.count import changed
from webapp.errors import BadInput, Conflict, LimitReached, Missing, said
from webapp.ids import new_id

MOST, NAME = 20, 40
TAKEN = "You have a view of this name already."


def of(session: Session, person: str) -> Sequence[SavedView]:
    return session.scalars(select(SavedView).where(SavedView.person == person).order_by(SavedView.name).limit(MOST)).all()


def add(session: Session, person: str, name: str, tab: Tab, asked: Filter, now: datetime) -> SavedView:
    """Raises BadInput for a name that none can have, LimitReached beyond MOST, Conflict for a name that is taken."""
    name = named(name)
    if (session.scalar(select(func.count()).where(SavedView.person == person)) or 0) >= MOST:
        raise LimitReached(said("You keep %(most)s views already. Delete one first.", most=MOST))
    view = SavedView(id=new_id("viw"), person=person, name=name, tab=tab, query=asked.query(), created_at=now)
    try:
        with session.begin_nested():
            session.add(view)
    except IntegrityError as error:
        raise Conflict(TAKEN) from error
    _log(session, "view.saved", view.id, person, now, {"name": name, "tab": tab, "query": view.query})
    return view


def rename(session: Session, person: str, view: str, name: str, now: datetime) -> None:
    """Raises Missing for what is not theirs, Conflict for a name that is taken."""
    name = named(name)
    theirs = update(SavedView).where(SavedView.id == view, SavedView.person == person).values(name=name)
    try:
        with session.begin_nested():
            done = changed(session.execute(theirs))
    except IntegrityError as error:
        raise Conflict(TAKEN) from error
    if done != 1:
        raise Missing("There is no such view.")
    _log(session, "view.renamed", view, person, now, {"name": name})


def remove(session: Session, person: str, view: str, now: datetime) -> None:
    """Raises Missing for what is not theirs."""
    if changed(session.execute(delete(SavedView).where(SavedView.id == view, SavedView.person == person))) != 1:
        raise Missing("There is no such view.")
    _log(session, "view.deleted", view, person, now, {})


def address(tab: str, query: str) -> str:
    """Where a list is, narrowed so."""
    if tab == "all":
        return "/history" + (f"?{query}" if query else "")
    parts = "&".join(part for part in ("" if tab == "me" else f"tab={tab}", query) if part)
    return "/actions" + (f"?{parts}" if parts else "")


def named(text: str) -> str:
    name = " ".join(text.split())
    if not name or len(name) > NAME:
        raise BadInput(said("Give the view a name of at most %(most)s characters.", most=NAME))
    return name


def _log(session: Session, kind: str, view: str, person: str, now: datetime, detail: dict[str, str]) -> None:
    audit.append(session, kind=kind, actor=f"person:{person}", subject=view, at=now, detail=detail)
