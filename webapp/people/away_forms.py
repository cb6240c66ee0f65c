"""What the forms about being away send, read strictly."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision
from werkzeug.datastructures import MultiDict

from vault.door import Delegation
from webapp.errors import BadInput, said
from webapp.web.viewer import Viewer

AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,3})?")
NAMES = re.compile(r"[\s,]+")
CLASSES = ("read", "write", "send", "money", "destroy")
SERVERS = 50
LONGEST = timedelta(days=30)


def day_end(text: str, viewer: Viewer) -> datetime:
    """The end of a day that the person named, in their zone. Raises BadInput."""
    try:
        following = date.fromisoformat(text) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise BadInput("Say until which day.") from error
    return datetime.combine(following, time(), ZoneInfo(viewer.zone))


def away(form: MultiDict[str, str], viewer: Viewer, now: datetime) -> datetime | None:
    """Until when; None where they are back. Raises BadInput."""
    if form.get("back"):
        return None
    until = day_end(form.get("until", ""), viewer)
    if not now < until <= now + timedelta(days=400):
        raise BadInput("Say a day that is still to come, within a year.")
    return until


def delegation(form: MultiDict[str, str], viewer: Viewer, currency: str, now: datetime) -> Delegation:
    """What is to be lent, to whom, from now on. Raises BadInput; the keeper judges it again."""
    until = day_end(form.get("until", ""), viewer)
    if not now < until <= now + LONGEST:
        raise BadInput(said("A delegation ends within %(days)s days, and on a day that is still to come.", days=LONGEST.days))
    group, to = form.get("group", ""), form.get("to", "")
    if group not in viewer.groups:
        raise BadInput("Choose a group that you are in.")
    if not to or len(to) > 128:
        raise BadInput("Choose to whom.")
    servers = tuple(sorted({one for one in NAMES.split(form.get("servers", "")) if one}))
    classes = tuple(sorted({one for one in form.getlist("classes") if one in CLASSES}))
    if len(servers) > SERVERS:
        raise BadInput(said("Name at most %(most)s servers.", most=SERVERS))
    return Delegation(viewer.person, to, group, servers, classes, _minor(form.get("up_to", ""), currency), _whole(now), until)


def signed(form: MultiDict[str, str], viewer: Viewer, currency: str) -> Delegation:
    """The same, as the page to sign it carries it: every field as it was shown."""
    try:
        since = datetime.fromisoformat(form.get("since", ""))
        if since.tzinfo is None:
            raise BadInput("Fill in the form again.")
        return delegation(form, viewer, currency, since)
    except (ValueError, OverflowError) as error:
        raise BadInput("Fill in the form again.") from error


def _whole(now: datetime) -> datetime:
    return now.replace(microsecond=0)


def _minor(text: str, currency: str) -> int | None:
    """In minor units; None where no bound was given. Raises BadInput."""
    text = text.strip()
    if not text:
        return None
    places = get_currency_precision(currency)
    if not AMOUNT.fullmatch(text) or len(text.partition(".")[2]) > places:
        raise BadInput(said("Write the amount as digits, in %(currency)s, for example 500 or 500.00.", currency=currency))
    return int(Decimal(text).scaleb(places))
