"""What a person or group wants to be told and when: read and set. The zone is the person's own; a group's is the policy's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp import audit
from webapp.db.once import insert_once
from webapp.errors import BadInput
from webapp.notices.listening import GROUP
from webapp.notices.rules import DAY, DIGESTS, GROUPS, KINDS, USUAL, Digest, Kind, Preferences, Quiet
from webapp.notices.tables import Notice, Preference
from webapp.people.tables import Person

SNOOZES = {"1h": timedelta(hours=1), "4h": timedelta(hours=4), "1d": timedelta(days=1), "7d": timedelta(days=7)}
STEP = 15


def of(session: Session, whom: str, zone: str) -> Preferences:
    """As set, or the usual ones. `zone` is the policy's: a group's, and of whoever never chose one."""
    row = session.get(Preference, whom)
    zone = session.scalar(select(Person.zone).where(Person.id == whom)) or zone
    usual = frozenset(GROUPS) if whom.startswith(GROUP) else USUAL
    if row is None:
        return Preferences(kinds=usual, zone=zone)
    quiet = Quiet(row.quiet_first, row.quiet_last) if row.quiet_first is not None and row.quiet_last is not None else None
    kinds = frozenset(cast("list[Kind]", row.kinds))
    return Preferences(kinds, zone, cast("Digest", row.digest), row.daily_at, quiet, row.through, row.snoozed_until)


def read(form: Mapping[str, str], kinds: Sequence[str], *, group: bool) -> dict[str, Any]:
    """The columns that a form sets. Raises BadInput."""
    allowed: Sequence[str] = GROUPS if group else KINDS
    digest = form.get("digest", "now")
    if not set(kinds) <= set(allowed) or digest not in DIGESTS:
        raise BadInput("Choose from the list.")
    quiet = _minute(form.get("quiet_first", "")), _minute(form.get("quiet_last", ""))
    if form.get("quiet") != "on":
        quiet = (None, None)
    elif quiet[0] is None or quiet[1] is None or quiet[0] == quiet[1]:
        raise BadInput("Quiet hours are from one time to another, on quarters of an hour.")
    daily_at = _minute(form.get("daily_at", "08:00"))
    if daily_at is None:
        raise BadInput("The daily digest comes at a time on a quarter of an hour.")
    return {
        "kinds": sorted(set(kinds)), "digest": digest, "daily_at": daily_at, "quiet_first": quiet[0], "quiet_last": quiet[1],
        "through": form.get("through") == "on",
    }


def _minute(given: str) -> int | None:
    """Minutes since midnight of `07:15`; None for what is no quarter of an hour."""
    hour, _, minute = given[:5].partition(":")
    if not (hour.isascii() and hour.isdecimal() and minute.isascii() and minute.isdecimal()):
        return None
    at = int(hour) * 60 + int(minute)
    return at if 0 <= at < DAY and at % STEP == 0 and int(minute) < 60 else None


def store(session: Session, whom: str, values: Mapping[str, Any], actor: str, now: datetime) -> None:
    _there(session, whom)
    session.execute(update(Preference).where(Preference.whom == whom).values(**values))
    _anew(session, whom, now)
    audit.append(session, kind="notices.preferred", actor=actor, subject=whom, at=now,
                 detail={key: value for key, value in values.items() if key != "snoozed_until"})


def snooze(session: Session, whom: str, choice: str, actor: str, now: datetime) -> datetime | None:
    """Until when nothing is told; None: from now on as usual. Raises BadInput."""
    if choice and choice not in SNOOZES:
        raise BadInput("Say for how long: 1 hour, 4 hours, a day or a week.")
    until = now + SNOOZES[choice] if choice else None
    _there(session, whom)
    session.execute(update(Preference).where(Preference.whom == whom).values(snoozed_until=until))
    _anew(session, whom, now)
    audit.append(session, kind="notices.snoozed", actor=actor, subject=whom, at=now,
                 detail={"until": until.isoformat(timespec="seconds") if until else ""})
    return until


def _anew(session: Session, whom: str, now: datetime) -> None:
    """What waits to be told is looked at again by the new preferences."""
    session.execute(update(Notice).where(Notice.whom == whom, Notice.ended_at.is_(None)).values(due_at=now))


def _there(session: Session, whom: str) -> None:
    usual = GROUPS if whom.startswith(GROUP) else USUAL
    insert_once(session, Preference, whom=whom, kinds=sorted(usual), digest="now", daily_at=8 * 60, quiet_first=None,
                quiet_last=None, through=True, snoozed_until=None)
    session.expire_all()
