"""The blast radius: what an incident reaches, ends and suspends, and what was used. The dry run shows it; the real thing acts on
what it names, in the same transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.approvals.tables import Action, ActionGroup
from webapp.broker.tables import Lease
from webapp.clients import certificates, keys
from webapp.clients import lookup as clients
from webapp.config import Settings
from webapp.connections import providers
from webapp.connections.rules import Allowed, allowed
from webapp.connections.tables import Connection, ConnectionConsent
from webapp.errors import Said, carried, nsaid, psaid, said
from webapp.incidents import reach
from webapp.incidents.rules import Target, disconnects, rotation
from webapp.oauth.metadata import server_of
from webapp.oauth.tables import Grant
from webapp.people import lookup as people
from webapp.people.tables import Person
from webapp.people.tables import Session as Browser
from webapp.registry.tables import Server, Tool

SHOWN = 50
"""Names that a report keeps of one kind; the count is of all."""


STATES = {
    "held": psaid("state of a call", "held"), "approved": psaid("state of a call", "approved"),
    "rejected": psaid("state of a call", "rejected"), "executing": psaid("state of a call", "executing"),
    "done": psaid("state of a call", "done"), "failed": psaid("state of a call", "failed"),
    "uncertain": psaid("state of a call", "uncertain"), "expired": psaid("state of a call", "expired"),
    "withdrawn": psaid("state of a call", "withdrawn"), "void": psaid("state of a call", "void"),
}
DOES: dict[str, Callable[[str], Said]] = {
    "read": lambda server: said("at %(server)s: only reads", server=server),
    "write": lambda server: said("at %(server)s: changes one’s own data; can be undone", server=server),
    "send": lambda server: said("at %(server)s: reaches somebody else, or the outside", server=server),
    "money": lambda server: said("at %(server)s: moves money", server=server),
    "destroy": lambda server: said("at %(server)s: destroys, or nobody knows what it does", server=server),
}
"""What an approved tool does, by its class."""


@dataclass(frozen=True)
class Item:
    """`name` may be somebody else's word (an account's label, what an agent calls itself); `text` is ours. Of an account what it
    may do is said in English here, and by its scopes anew to whoever reads it (`retold`)."""

    name: str
    text: str = ""
    account: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Part:
    """One kind of thing: how many, and the first of them."""

    key: str
    title: str
    count: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Radius:
    """`connections` are suspended; `actions` are calls that wait. The rows and ids are what the real thing acts on; `parts` is
    what people read."""

    connections: tuple[Connection, ...]
    grants: tuple[str, ...]
    consents: tuple[str, ...]
    leases: tuple[str, ...]
    actions: tuple[str, ...]
    receivers: tuple[Connection, ...]
    """Of a server or token client: accounts whose tokens it was given lately."""
    concerned: tuple[str, ...]
    parts: tuple[Part, ...]
    by_hand: tuple[str, ...]
    days: int


def of(session: Session, settings: Settings, target: Target, now: datetime) -> Radius:
    days = settings.incidents.look_back_days
    since = now - timedelta(days=days)
    connections = session.scalars(select(Connection).where(reach.connections(target)).order_by(Connection.id)).all()
    live = tuple(row for row in connections if row.status != "disconnected")
    grants = session.scalars(select(Grant).where(reach.grants(target)).order_by(Grant.id)).all()
    consents = session.scalars(select(ConnectionConsent).where(reach.consents(target)).order_by(ConnectionConsent.id)).all()
    leases = session.scalars(select(Lease.id).where(reach.leases(target), Lease.state == "planned").order_by(Lease.id)).all()
    actions = session.scalars(select(Action).where(reach.waiting(target)).order_by(Action.id)).all()
    reached = session.scalars(select(Connection).where(reach.reachable(session, settings, target)).order_by(Connection.id)).all()
    there = session.scalars(select(Grant).where(reach.allowed_there(session, settings, target))).all()
    receivers = _receivers(session, target, since)
    concerned = _concerned(target, (*live, *reached, *receivers, *grants, *consents, *there), actions)
    parts = (
        *_ended(session, settings, target, live, grants, consents),
        _proofs(session, target, now), _count("leases", said("Tokens that are out now and end"), leases),
        *_actions(session, target, actions), *_reachable(session, settings, target, reached, actions),
        *_used(session, settings, target, since, days), _concerned_part(session, concerned),
    )
    return Radius(
        live, tuple(row.id for row in grants), tuple(row.id for row in consents), tuple(leases), tuple(row.id for row in actions),
        receivers, concerned, tuple(part for part in parts if part.count), rotation(target.kind), days,
    )


def written(radius: Radius) -> dict[str, Any]:
    """As a report keeps it."""
    return {"days": radius.days, "by_hand": list(radius.by_hand), "parts": [
        {"key": part.key, "title": part.title, "count": part.count, **carried(part.title),
         "items": [_written(item) for item in part.items]} for part in radius.parts
    ]}


def _written(item: Item) -> dict[str, Any]:
    found = {"name": item.name, "text": item.text, **carried(item.text)}
    if named := carried(item.name):
        found["named"] = named["said"]
    return found if item.account is None else {**found, "account": dict(item.account)}


def _part(key: str, title: str, items: Sequence[Item], count: int | None = None) -> Part:
    return Part(key, title, len(items) if count is None else count, tuple(items[:SHOWN]))


def _count(key: str, title: str, rows: Sequence[object]) -> Part:
    return Part(key, title, len(rows), ())


def _concerned(
    target: Target, rows: Iterable[Connection | Grant | ConnectionConsent], actions: Iterable[Action]
) -> tuple[str, ...]:
    """Whose accounts and grants these are, and in whose name, or with whose account, a call would have run that is withdrawn."""
    found = {target.person, *(row.person for row in rows), *(one for row in actions for one in (row.person, row.owner))}
    return tuple(sorted(found - {""}))


def _concerned_part(session: Session, concerned: Sequence[str]) -> Part:
    names = people.names(session, concerned[:SHOWN])
    return _part("concerned", said("People who are told"), [Item(names[one]) for one in concerned[:SHOWN]], len(concerned))


def _ended(
    session: Session, settings: Settings, target: Target, live: Sequence[Connection], grants: Sequence[Grant],
    consents: Sequence[ConnectionConsent],
) -> list[Part]:
    """What is suspended, and what ends here at once."""
    owners = people.names(session, {row.person for row in live[:SHOWN]})
    ends = [row for row in live if disconnects(target.kind, providers.find(settings, row.provider))]
    pauses = [] if ends else list(live)
    browsers = session.scalars(select(Browser.browser).where(reach.sessions(target)).order_by(Browser.id)).all()
    names = clients.names(session, {*(row.client for row in grants[:SHOWN]), *(row.client for row in consents[:SHOWN])})
    return [
        _accounts("pauses", said("Accounts that are paused"), settings, pauses, owners),
        _accounts("disconnects", said("Accounts that are disconnected"), settings, ends, owners),
        _part("sessions", said("Browsers that are signed out"), [Item(each) for each in browsers]),
        _part("grants", said("What people allowed agents, and ends"), [
            Item(names.get(row.client, row.client), _at(server_of(settings, row.resource) or row.resource))
            for row in grants[:SHOWN]
        ], len(grants)),
        _part("consents", said("What people let servers do with their accounts, and ends"), [
            Item(names.get(row.client, row.client)) for row in consents[:SHOWN]
        ], len(consents)),
    ]


def _proofs(session: Session, target: Target, now: datetime) -> Part:
    """By what a token client proves who it is."""
    mine = target.kind == "client"
    shown = [
        Item(one.serial, said("a certificate, until %(when)s UTC", when=f"{one.not_after:%Y-%m-%d %H:%M}"))
        for one in (certificates.live(session, target.id, now) if mine else ())
    ] + [
        Item(one.id, said("a key, since %(when)s UTC", when=f"{one.added_at:%Y-%m-%d %H:%M}"))
        for one in (keys.live(session, target.id) if mine else ())
    ]
    return _part("proofs", said("Certificates and keys of its own, which end"), shown)


def _accounts(key: str, title: str, settings: Settings, rows: Sequence[Connection], owners: dict[str, str]) -> Part:
    return _part(key, title, [_account(settings, row, owners) for row in rows[:SHOWN]], len(rows))


def _account(settings: Settings, row: Connection, owners: dict[str, str]) -> Item:
    facts, owner = providers.find(settings, row.provider), owners.get(row.person, row.person)
    can = "; ".join(f"{group.word}: {_english(group)}" for group in allowed(facts, row.scopes))
    told = {"provider": row.provider, "owner": owner, "scopes": sorted(row.scopes)}
    return Item(row.label, account(facts.title, owner, can), told)


def account(title: str, owner: str, can: str) -> Said:
    """`can`: what may be done with it, as text; or nothing."""
    if can:
        return said("%(provider)s, of %(owner)s. %(can)s.", provider=title, owner=owner, can=can)
    return said("%(provider)s, of %(owner)s. Only to know which account it is.", provider=title, owner=owner)


def _english(group: Allowed) -> str:
    """Whoever opens the incident: a report is read by others, and by programs."""
    first, *more = (str(one) for one in group.words)
    return ", ".join([first, *(one[:1].lower() + one[1:] for one in more)])


def _at(server: str) -> Said:
    return said("at %(server)s", server=server)


def _actions(session: Session, target: Target, actions: Sequence[Action]) -> list[Part]:
    running = session.scalars(select(Action).where(reach.actions(target), Action.state == "executing").limit(SHOWN)).all()
    return [
        _part("actions", said("Held or approved calls that are withdrawn and will not run"), [_call(row) for row in actions]),
        _part("running", said("Calls that are running now: these cannot be stopped any more"), [_call(row) for row in running]),
    ]


def _call(row: Action) -> Item:
    where = row.server_title or row.server
    return Item(row.tool_title or row.tool, said("at %(server)s, %(state)s", server=where, state=STATES[row.state]))


def _reachable(
    session: Session, settings: Settings, target: Target, reached: Sequence[Connection], actions: Sequence[Action]
) -> list[Part]:
    owners = people.names(session, {row.person for row in reached[:SHOWN]})
    rows = session.execute(
        select(Server.title, Tool.name, Tool.cls).join(Tool, Tool.server_id == Server.id)
        .where(Server.name.in_(reach.servers(session, settings, target)), Tool.status == "approved")
        .order_by(Server.title, Tool.name)
    ).all()
    groups = set(session.scalars(select(ActionGroup.name).where(ActionGroup.action.in_([row.id for row in actions[:500]]))))
    if target.kind == "person":
        groups |= set(session.scalar(select(Person.groups).where(Person.id == target.id)) or ())
    return [
        _accounts("accounts", said("Accounts in reach"), settings, reached, owners),
        _part("tools", said("Tools in reach"), [Item(name, DOES[cls](title)) for title, name, cls in rows]),
        _part("groups", said("Groups concerned, approvers among them"), [Item(name) for name in sorted(groups)]),
    ]


def _used(session: Session, settings: Settings, target: Target, since: datetime, days: int) -> list[Part]:
    lately = (reach.leases(target), Lease.planned_at >= since)
    rows = session.execute(
        select(Connection.provider, Connection.label, Lease.server, Lease.tool, func.count(), func.max(Lease.planned_at))
        .join(Connection, Connection.id == Lease.connection).where(*lately)
        .group_by(Connection.provider, Connection.label, Lease.server, Lease.tool).order_by(func.count().desc()).limit(SHOWN)
    ).all()
    total = session.scalar(select(func.count()).select_from(Lease).where(*lately)) or 0
    calls = session.execute(
        select(Action.state, func.count()).where(reach.actions(target), Action.created_at >= since).group_by(Action.state)
    ).all()
    names = clients.names(session, {row[2] for row in rows})
    return [
        _part("used", said("Uses of accounts in the last %(days)s days", days=days), [
            Item(label, nsaid(
                "%(provider)s: once %(tool)s at %(server)s, last %(when)s UTC",
                "%(provider)s: %(num)s times %(tool)s at %(server)s, last %(when)s UTC", count, tool=tool,
                provider=providers.find(settings, provider).title, server=names.get(server, server),
                when=f"{last:%Y-%m-%d %H:%M}",
            )) for provider, label, server, tool, count, last in rows
        ], total),
        _part("held", said("Held calls of the last %(days)s days", days=days), [
            Item(said("%(count)s %(state)s", count=count, state=STATES[state])) for state, count in sorted(calls)
        ], sum(count for _state, count in calls)),
    ]


def _receivers(session: Session, target: Target, since: datetime) -> tuple[Connection, ...]:
    """Whoever was given a shared token lately may still have it. An agent is given none: the gateway keeps them."""
    given = (Lease.server == target.id, Lease.planned_at >= since)
    if target.kind not in ("server", "client"):
        return ()
    accounts = Connection.id.in_(select(Lease.connection).where(*given))
    found = select(Connection).where(Connection.status != "disconnected", accounts).order_by(Connection.id)
    return tuple(session.scalars(found))
