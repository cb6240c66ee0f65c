"""A client registers itself. Anyone may, so everything is bounded, and what it says of itself is only ever shown as that."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from webapp import audit
from webapp.clients.rules import clean_name, read_redirect_uri
from webapp.clients.tables import Client, RegistrationCount
from webapp.config import OAuth
from webapp.db.count import changed
from webapp.errors import BadInput, LimitReached, said
from webapp.ids import new_id

EVERYONE = "everyone"


def register(
    session: Session, *, name: str | None, redirect_uris: list[str], source: str, limits: OAuth, public_url: str, now: datetime
) -> Client:
    """Write down a new public agent. Raises BadInput (`invalid_redirect_uri`) or LimitReached; nothing is written then."""
    if not redirect_uris or len(redirect_uris) > limits.redirect_uris or len(set(redirect_uris)) != len(redirect_uris):
        raise BadInput(
            said("Register between 1 and %(most)s different redirect URIs.", most=limits.redirect_uris),
            code="invalid_redirect_uri",
        )
    for uri in redirect_uris:
        read_redirect_uri(uri, public_url)
    count(session, source, limits.registrations_per_source, now)
    count(session, EVERYONE, limits.registrations_per_hour, now)
    client = Client(id=new_id("client"), kind="agent", name=clean_name(name), redirect_uris=redirect_uris, created_at=now)
    session.add(client)
    session.flush()
    audit.append(session, kind="client.registered", actor=f"client:{client.id}", subject=client.id, at=now,
                 detail={"name": client.name, "redirect_uris": redirect_uris})
    return client


def count(session: Session, source: str, limit: int, now: datetime) -> None:
    """Take one of the hour's registrations or renewals, in the database: two at once cannot both take the last one. Raises
    LimitReached."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    counts = RegistrationCount
    taken = session.execute(
        insert(counts).values(bucket=f"{hour:%Y%m%d%H} {source}", count=1, hour=hour).on_conflict_do_update(
            index_elements=[counts.bucket], set_={"count": counts.count + 1}, where=counts.count < limit,
        ).returning(counts.count)
    ).first()
    if limit < 1 or taken is None:
        raise LimitReached("That is too many within the hour. Try again later.", detail=source)


def seconds_left(now: datetime) -> int:
    """Until the next hour's are counted: 1 to 3600."""
    return 3600 - (now.minute * 60 + now.second)


def clean(session: Session, now: datetime) -> int:
    """Forget counts of hours that are over."""
    old = session.execute(delete(RegistrationCount).where(RegistrationCount.hour < now - timedelta(hours=2)))
    return changed(old)
