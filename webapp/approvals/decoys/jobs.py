"""The one due row of decoys: every minute it is told what ended, and, seldom and at no known time, one is put before people."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random, SystemRandom

from sqlalchemy.orm import Session

from webapp.approvals.decoys import seeding, telling
from webapp.approvals.outcome import Handed
from webapp.db.due import Due, enqueue
from webapp.web.house import House

KIND = "approvals.decoys"
EVERY = timedelta(minutes=1)
WEEK = timedelta(days=7)


def plan(house: House) -> None:
    """Called by each worker as it starts."""

    def rows(session: Session) -> None:
        if house.settings.approvals.decoys.on or telling.any_sealed(session):
            enqueue(session, KIND, "all", house.clock())

    house.database.write(rows)


def work(house: House, _row: Due, handed: Handed, chosen: Random | None = None) -> datetime | None:
    """Goes on for as long as any is wanted, or any action waits of which nothing was told."""
    chosen, settings = chosen or SystemRandom(), house.settings.approvals.decoys
    telling.reveal(house)
    if settings.on and handed.editor is not None and chosen.random() < settings.per_week * (EVERY / WEEK):
        seeding.seed(house, handed.editor, chosen)
    with house.database.read() as session:
        goes_on = settings.on or telling.any_sealed(session)
    return house.clock() + EVERY if goes_on else None
