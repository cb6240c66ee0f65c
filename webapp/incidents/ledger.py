"""The revocation ledger as people see it: what providers were asked to end and have not confirmed, and a person's word in place
of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.orm import Session

from vault.providers.catalogue import ProviderFacts
from webapp import audit
from webapp.broker.leases import END
from webapp.broker.ledger import EXPIRED
from webapp.broker.tables import Lease
from webapp.config import Settings
from webapp.connections import lookup, providers, rules, states
from webapp.connections.tables import Connection, Revocation
from webapp.db.count import changed
from webapp.db.due import Due
from webapp.errors import Conflict, Missing, Said, said
from webapp.incidents.opening import FORGET
from webapp.people import lookup as people

PAGE = 50
OPEN: tuple[str, ...] = ("pending", "unsupported")
STILL_ASKED = "This account is suspended, and its provider is still asked. Another administrator can say that it ended there."
KINDS = {"account": states.REVOKE, "tokens": states.END_TOKENS, "server": FORGET, "lease": END}
WHAT = {
    "account": said("the whole account"), "tokens": said("what was handed out"), "server": said("what one server was given"),
    "lease": said("one call’s token"),
}


@dataclass(frozen=True)
class Line:
    """One request to a provider. `next_at` is when it is asked again; None where nothing asks any more."""

    subject: str
    what: str
    state: str
    facts: ProviderFacts
    label: str
    owner: str
    tries: int
    requested_at: datetime
    tried_at: datetime | None
    settled_at: datetime | None
    next_at: datetime | None
    over: bool
    """Whether all that was asked to be ended has ended by its own lifetime, though the provider did not say so."""
    rest: str
    """What goes on although this is settled, as a sentence; empty where nothing does."""

    @property
    def url(self) -> str:
        """Where a person ends it by hand, or empty."""
        return self.facts.manual_revoke_url

    @property
    def open(self) -> bool:
        return self.state in OPEN

    @property
    def words(self) -> Said:
        title = self.facts.title
        if self.over:
            return _by_itself(title, settled=not self.open)
        if self.state == "pending" and self.tries > 1:
            return said("%(provider)s has not confirmed, asked %(tries)s times", provider=title, tries=self.tries)
        return {
            "pending": said("%(provider)s has not confirmed", provider=title),
            "confirmed": said("%(provider)s confirmed", provider=title), "by_hand": said("Ended there by hand"),
            "unsupported": said("%(provider)s cannot be told: end it there by hand", provider=title),
        }[self.state]


def sort(subject: str, connection: str) -> str:
    """What a subject of the ledger stands for."""
    if subject.startswith(f"{connection}@"):
        return "server"
    return {connection: "account", connection + lookup.TOKENS: "tokens"}.get(subject, "lease")


def open_lines(session: Session, settings: Settings, after: str = "", size: int = PAGE) -> list[Line]:
    """What is not confirmed yet. A single call's token whose provider cannot be told is left out: there is nothing to do."""
    asked = _asked().where(or_(
        Revocation.state == "pending",
        (Revocation.state == "unsupported") & Revocation.subject.not_in(select(Lease.id)),
    )).where(Revocation.subject > after).order_by(Revocation.subject).limit(size)
    return _lines(session, settings, asked)


def of(session: Session, settings: Settings, subjects: Sequence[str]) -> list[Line]:
    """These, as they stand now, in their order; those that a later request took the place of are left out."""
    found = [
        line for start in range(0, len(subjects), 500)
        for line in _lines(session, settings, _asked().where(Revocation.subject.in_(subjects[start:start + 500])))
    ]
    return sorted(found, key=lambda line: (not line.open, line.subject))


def outlived(session: Session, settings: Settings, now: datetime) -> list[str]:
    """Titles of the providers at which access may still work that was handed out before an account was ended there: they
    confirmed that the consent has ended, and promise no more (`ProviderFacts.access_outlives`)."""
    latest = session.execute(
        select(Connection.provider, func.max(Revocation.requested_at)).join(Connection, Connection.id == Revocation.subject)
        .where(Revocation.state.not_in(OPEN)).group_by(Connection.provider)
    )
    found = [(providers.find(settings, provider), ended_at) for provider, ended_at in latest]
    return sorted(facts.title for facts, ended_at in found if rules.rest(facts, ended_at, now))


def by_hand(session: Session, subject: str, *, person: str, admin: bool, actor: str, now: datetime) -> str:
    """Somebody says that they ended it at the provider: nobody asks there again. The account's id. Raises Missing for what is not
    theirs (the owner's, or any for an admin), Conflict for what is settled.

    Attack: an account is suspended, and whoever sits in its owner's browser has the provider asked no more. While it is suspended
    an owner's word settles only what no provider is asked any more; another admin's settles the rest."""
    row = session.get(Revocation, subject, populate_existing=True)
    connection = session.get(Connection, row.connection) if row is not None else None
    if row is None or not (admin or (connection is not None and connection.person == person)):
        raise Missing("There is no such request, or it is not yours.")
    waits = OPEN
    if connection is not None and connection.suspended and connection.person == person:
        if row.state == "pending":
            raise Conflict(STILL_ASKED)
        waits = ("unsupported",)
    done = session.execute(
        update(Revocation).where(Revocation.subject == subject, Revocation.state.in_(waits))
        .values(state="by_hand", settled_at=now), execution_options={"synchronize_session": "fetch"},
    )
    if changed(done) != 1:
        raise Conflict("This was settled already.")
    states.told(session, row.connection)
    detail = {"connection": row.connection, "before": row.detail}
    audit.append(session, kind="revocation.by_hand", actor=actor, subject=subject, detail=detail, at=now)
    return row.connection


def _asked() -> Select[Revocation, Connection]:
    return select(Revocation, Connection).join(Connection, Connection.id == Revocation.connection)


def _lines(session: Session, settings: Settings, asked: Select[Revocation, Connection]) -> list[Line]:
    rows = session.execute(asked).all()
    owners = people.names(session, {connection.person for _row, connection in rows})
    due = session.execute(select(Due.kind, Due.key, Due.run_at).where(
        Due.key.in_({row.subject.removesuffix(lookup.TOKENS) for row, _connection in rows}), Due.kind.in_(KINDS.values())
    ))
    times = {(kind, key): run_at for kind, key, run_at in due}
    return [_line(settings, row, connection, owners, times) for row, connection in rows]


def _line(
    settings: Settings, row: Revocation, connection: Connection, owners: dict[str, str], times: dict[tuple[str, str], datetime]
) -> Line:
    what, facts = sort(row.subject, connection.id), providers.find(settings, connection.provider)
    return Line(
        subject=row.subject, what=WHAT[what], state=row.state, facts=facts, rest=_rest(facts, what, row),
        over=row.detail == EXPIRED and row.state in ("pending", "by_hand"),
        label=connection.label, owner=owners[connection.person], tries=row.tries, requested_at=row.requested_at,
        tried_at=row.tried_at, settled_at=row.settled_at,
        next_at=times.get((KINDS[what], row.subject.removesuffix(lookup.TOKENS))) if row.state == "pending" else None,
    )


def _by_itself(title: str, *, settled: bool) -> Said:
    if settled:
        return said("Ended by itself, as somebody said")
    return said("%(provider)s has not confirmed; what it was asked to end has ended by itself", provider=title)


def _rest(facts: ProviderFacts, what: str, row: Revocation) -> str:
    """Nothing was handed out after it was asked for."""
    if what != "account" or row.state in OPEN or not facts.access_outlives:
        return ""
    if facts.access_lifetime is None:
        return said("Access handed out before may still work at %(provider)s; until when is not known.", provider=facts.title)
    until = row.requested_at + timedelta(seconds=facts.access_lifetime)
    return said("Access handed out before ends by itself, at %(when)s UTC at the latest.", when=f"{until:%Y-%m-%d %H:%M}")
