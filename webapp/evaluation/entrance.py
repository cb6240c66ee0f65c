"""The entrance of an evaluation instance: a one-time link opens it for one browser, which may then choose whom to sign in as."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from vault.secret import Secret
from webapp import audit
from webapp.errors import Conflict, Forbidden
from webapp.evaluation import links, signed
from webapp.evaluation.identity import login_hint
from webapp.evaluation.persons import by_subject
from webapp.evaluation.run import Run
from webapp.evaluation.tables import SpentLink
from webapp.people import sign_in
from webapp.web.house import House

COOKIE = "counterseal_entrance"
PURPOSE = "entrance"
LIFETIME = 12 * 3600
KEEP = timedelta(seconds=2 * links.LIFETIME)


def spend(house: House, run: Run, link: str) -> Secret[str]:
    """Spend a link, once; the cookie that it opens the entrance with. Raises Forbidden (forged, old) and Conflict (used)."""
    now = house.clock()
    body = signed.unseal(run.key(links.PURPOSE), links.PURPOSE, link.strip().rpartition("#")[2], now=now.timestamp())
    house.database.write(lambda s: _spend(s, body["id"], datetime.fromtimestamp(body["exp"], UTC), now))
    return Secret(signed.seal(run.key(PURPOSE), PURPOSE, {}, now=now.timestamp(), lifetime=LIFETIME))


def _spend(session: Session, link: str, expires_at: datetime, now: datetime) -> None:
    """Of two that come at once, one insert fails. A row is kept for longer than its link can be valid."""
    session.execute(delete(SpentLink).where(SpentLink.expires_at < now - KEEP))
    session.add(SpentLink(id=link, spent_at=now, expires_at=expires_at))
    try:
        session.flush()
    except IntegrityError as error:
        raise Conflict("This sign-in link was used already.", code="link_used") from error
    audit.append(session, kind="evaluation.entered", actor="evaluation", subject="entrance", detail={}, at=now)


def require(run: Run, cookie: str, now: datetime) -> None:
    """Raises Forbidden unless this browser came through the entrance during this run."""
    if not cookie:
        raise Forbidden("Open this instance with a sign-in link first.", code="not_entered")
    signed.unseal(run.key(PURPOSE), PURPOSE, cookie, now=now.timestamp())


def sign_in_as(house: House, run: Run, subject: str, next_url: str) -> str:
    """The identity provider's address, with a hint that signs this person in, once. Raises Forbidden for nobody we know."""
    if by_subject(subject) is None:
        raise Forbidden("There is no such person here.", code="no_person")
    return sign_in.begin(house, next_url=next_url, login_hint=login_hint(run, subject, house.clock().timestamp()))
