"""How old each secret is, when it is replaced next and by whom, and what came of the last time: one way for command and page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from vault.door import Age
from vault.providers.catalogue import Catalogue, ProviderFacts, load
from webapp.audit.tables import Entry
from webapp.clients.tables import Certificate, Client, ClientKey
from webapp.config import Rotation
from webapp.connections import idle
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.errors import Said, one_of_ours, said
from webapp.rotating import CA, KEYS
from webapp.secrets.turning import SECRET_ID, SPOOL, UNSEAL
from webapp.web.house import House

AT_USE = said("by itself, at the next use after its access token ended")
BY_HAND = said("by hand")
CLIENT_SECRETS = ("provider", "idp")
"""Nobody but a person can make another: they are reminded here."""
AT_ONCE = 200
"""Accounts that the keeper is asked about in one request."""
MOST = 2000
"""Of accounts, certificates and client keys each: so many are read in all, those of the oldest consent or making. The page asks
for fewer."""
CONNECTED = select(Connection).where(Connection.status != "disconnected").order_by(Connection.connected_at, Connection.id)
OF_KEEPER: dict[str, tuple[Callable[[str], Said], str]] = {
    "key": (lambda name: said("Vault key %(name)s", name=name), said("by the worker, or counterseal rotate")),
    "provider": (lambda name: said("Client secret at provider %(name)s", name=name), BY_HAND),
    "idp": (lambda name: said("Client secret at identity provider %(name)s", name=name), BY_HAND),
    "spool": (lambda name: said("Key of the spool on %(name)s", name=one_of_ours(name)), ""),
    "secret-id": (lambda name: said("AppRole secret-id of %(name)s", name=name), ""),
    "own-secret-id": (lambda name: said("AppRole secret-id of %(name)s", name=name), ""),
    "ca": (lambda name: said("Authority for %(name)s", name=one_of_ours(name)), ""),
    "unseal": (lambda name: said("Unseal key of %(name)s", name=one_of_ours(name)), ""),
}
"""What each is called, and how it is replaced where the keeper says nothing."""
RESULTS = ("key.rotating", "key.rotated", "secret.replacing", "secret.replaced", "secret.overlap_ending")
RESULTS_READ = 500
UNFINISHED = ("key.rotating", "secret.replacing")


@dataclass(frozen=True)
class Result:
    """What came of the last time that somebody, or the schedule, had it replaced."""

    at: datetime
    finished: bool
    actor: str


@dataclass(frozen=True)
class Row:
    """One secret. `next` is a time where there is one, else `how` alone says it. `kind`: of which kind it is, `name` its own;
    `turned`: its name among those that are replaced on demand, or empty; `last`: what came of the last time, where that is in
    the log."""

    what: str
    since: datetime
    how: str
    next: datetime | None = None
    kind: str = ""
    name: str = ""
    turned: str = ""
    last: Result | None = None

    def late(self, now: datetime) -> bool:
        """Whether it is a person's to replace, and time to."""
        return self.kind in CLIENT_SECRETS and self.next is not None and self.next <= now

    @property
    def when(self) -> str:
        return f"{self.next:%Y-%m-%d %H:%M} UTC, {self.how}" if self.next is not None else self.how


def rows(
    ages: Iterable[Age], renewed: Mapping[str, datetime], session: Session, catalogue: Catalogue, now: datetime, limits: Rotation,
    most: int = MOST,
) -> list[Row]:
    """The oldest first; of those of which there may be any number, `most` of each. `renewed`: when accounts were, by connection.
    `limits`: how old a key of the vault gets."""
    last = _results(session)
    of_keeper = [_of_keeper(one, limits, last) for one in ages]
    found = [*of_keeper, *_accounts(session, renewed, catalogue, most), *_clients(session, now, most)]
    return sorted(found, key=lambda row: (row.since, row.what))


def _of_keeper(one: Age, limits: Rotation, last: Mapping[str, Result]) -> Row:
    called, how = OF_KEEPER[one.kind]
    turned = _turned(one)
    due = _due(one, turned, limits)
    subject = turned or f"{one.kind} {one.name}"
    return Row(called(one.name), one.since, one.how or how, due, one.kind, one.name, turned, last.get(subject))


def _due(one: Age, turned: str, limits: Rotation) -> datetime | None:
    """By the settings, where the keeper does not know it."""
    days = limits.client_secret_days if one.kind in CLIENT_SECRETS else limits.ca_days if turned == CA else limits.keys_days
    return one.since + timedelta(days=days) if turned in KEYS or one.kind in CLIENT_SECRETS else one.next


def _turned(one: Age) -> str:
    """Under which name it is replaced on demand; nothing where that is an operator's."""
    if one.kind == "key":
        return one.name
    if one.kind == CA and one.next is None:
        return CA
    if one.kind in (UNSEAL, SPOOL):
        return one.kind
    return SECRET_ID if one.kind == SECRET_ID and one.next is not None else ""


def _results(session: Session) -> dict[str, Result]:
    """By what the log calls it."""
    query = select(Entry.subject, Entry.kind, Entry.at, Entry.actor).where(Entry.kind.in_(RESULTS))
    found: dict[str, Result] = {}
    for row in session.execute(query.order_by(Entry.id.desc()).limit(RESULTS_READ)):
        found.setdefault(row.subject, Result(row.at, row.kind not in UNFINISHED, row.actor))
    return found


def _accounts(session: Session, renewed: Mapping[str, datetime], catalogue: Catalogue, most: int) -> Iterator[Row]:
    """Tokens of accounts, since the last renewal or else the consent; and API keys."""
    waiting = {row.key: row.run_at for row in session.execute(select(Due.key, Due.run_at).where(Due.kind == idle.ASKED))}
    for one in session.scalars(CONNECTED.limit(most)):
        facts = catalogue.get(one.provider)
        if facts is None or facts.kind != "key":
            yield _account(one, facts, renewed.get(one.id, one.connected_at), waiting.get(one.id))
            continue
        due = one.connected_at + timedelta(days=facts.rotate_days)
        due = min(due, one.key_until) if one.key_until is not None else due
        what = said("API key %(id)s at %(provider)s", id=one.id, provider=one.provider)
        yield Row(what, one.connected_at, said("by its person, who is reminded"), due, "api-key")


def _account(one: Connection, facts: ProviderFacts | None, renewed: datetime, asked: datetime | None) -> Row:
    """`asked`: when it is renewed because somebody said so."""
    if asked is not None and one.status == "active":
        what = said("Account %(id)s at %(provider)s", id=one.id, provider=one.provider)
        return Row(what, renewed, said("by the worker, for somebody asked for it"), asked, "account")
    due = idle.renew_at(facts, one.id, max(renewed, one.connected_at)) if facts is not None and one.status == "active" else None
    how = AT_USE if due is None else said("at the latest, or by itself, at the next use after its access token ended")
    what = said("Account %(id)s at %(provider)s", id=one.id, provider=one.provider)
    return Row(what, renewed, how, due, "account")


def live(now: datetime) -> Select[Certificate]:
    return select(Certificate).where(Certificate.revoked_at.is_(None), Certificate.not_after > now)


KEYS_IN_USE = (
    select(ClientKey).join(Client, Client.id == ClientKey.client).where(ClientKey.ended_at.is_(None), Client.status != "revoked")
)


def counts(house: House) -> dict[str, int]:
    """How many there are in all of those of which `status` may have left some out, by kind (`webapp.secrets.page.MANY`)."""
    keys = [one.name for one in load(house.settings.instance, local=house.settings.evaluation).values() if one.kind == "key"]
    with house.database.read() as session:
        def count(query: Select[Any]) -> int:
            return session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0

        pasted = CONNECTED.where(Connection.provider.in_(keys))
        return {
            "accounts": count(CONNECTED) - count(pasted), "api": count(pasted),
            "token": count(live(house.clock())) + count(KEYS_IN_USE),
        }


def _clients(session: Session, now: datetime, most: int) -> Iterator[Row]:
    for one in session.scalars(live(now).order_by(Certificate.issued_at, Certificate.serial).limit(most)):
        what = said("Certificate %(serial)s of %(client)s", serial=one.serial, client=one.client)
        yield Row(what, one.issued_at, said("by its client, before it ends"), one.not_after, "certificate")
    for key in session.scalars(KEYS_IN_USE.order_by(ClientKey.added_at, ClientKey.id).limit(most)):
        how = said("by hand: counterseal client add-key, then end-key")
        yield Row(said("Key %(id)s of %(client)s", id=key.id, client=key.client), key.added_at, how, None, "client-key")


def table(found: list[Row], now: datetime) -> str:
    lines = [(row.what, age(now - row.since), f"DUE {row.when}" if row.late(now) else row.when) for row in found]
    widths = [max(len(line[column]) for line in [("secret", "age", ""), *lines]) for column in (0, 1)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c}" for a, b, c in [("secret", "age", "next"), *lines])


def age(since: timedelta) -> str:
    if since < timedelta(hours=1):
        return f"{max(0, int(since.total_seconds() // 60))} min"
    return f"{int(since.total_seconds() // 3600)} h" if since < timedelta(days=2) else f"{since.days} days"


def status(house: House, most: int = MOST) -> list[Row]:
    """Raises the keeper's errors, Unavailable."""
    ages, catalogue = house.door.ages(), load(house.settings.instance, local=house.settings.evaluation)
    with house.database.read() as session:
        ids = list(session.scalars(CONNECTED.with_only_columns(Connection.id).limit(most)))
    renewed: dict[str, datetime] = {}
    for start in range(0, len(ids), AT_ONCE):
        found = house.door.connections(ids[start:start + AT_ONCE])
        renewed |= {name: one.renewed_at for name, one in found.items() if one.renewed_at is not None}
    with house.database.read() as session:
        return rows(ages, renewed, session, catalogue, house.clock(), house.settings.rotation, most)
