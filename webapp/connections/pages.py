"""What the accounts pages show, gathered in one reading session and, where it must be, one question to the keeper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from vault.door import ConnectionState
from vault.errors import KeeperError
from vault.providers.catalogue import ProviderFacts
from webapp.connections import consents, idle, lookup, providers
from webapp.connections.agents import Agent, may_use
from webapp.connections.health import Health, health
from webapp.connections.rules import Allowed, Rest, allowed, listed, missing, rest, sentence
from webapp.connections.tables import Connection, Revocation
from webapp.connections.uses import Summary, Use, reader
from webapp.web.house import House
from webapp.web.viewer import Viewer

ENDED_SHOWN = timedelta(days=7)
LATELY = timedelta(days=30)
"""What the pages call "in the last 30 days"."""
USES_SHOWN = 50
TILES = 9
"""With more providers than these the page leads to a list of its own."""


@dataclass(frozen=True)
class Card:
    """One account as its owner sees it. `agents` may use it by the person's grants, `servers` by a consent for this account;
    `instead` is the default account, where it is another: agents use that one."""

    row: Connection
    facts: ProviderFacts
    health: Health
    allowed: list[Allowed]
    summary: Summary
    state: ConnectionState | None
    agents: list[Agent]
    servers: list[consents.Allowed]
    siblings: int
    instead: Connection | None

    @property
    def called(self) -> str:
        return self.row.name or self.row.label

    @property
    def default(self) -> bool:
        return self.siblings > 0 and self.row.preferred

    def short(self, agent: Agent) -> tuple[str, ...]:
        """The scopes that the agent's server may need and the account does not grant."""
        return missing(self.row.scopes, agent.scopes)


@dataclass(frozen=True)
class Ended:
    """A disconnected account, where its provider's revocation stands, and what that leaves."""

    row: Connection
    facts: ProviderFacts
    revocation: Revocation | None
    rest: Rest | None


@dataclass(frozen=True)
class Accounts:
    """`undecided`: providers of which several accounts are connected and none is the default."""

    cards: list[Card]
    ended: list[Ended]
    offered: list[ProviderFacts]
    undecided: list[str]
    away: str
    """Why the providers cannot be listed at the moment, or empty."""


@dataclass(frozen=True)
class Detail:
    """`older`: there are uses that `uses` leaves out; `tokens` is the ledger on what a pause or a new consent left behind; `rest`
    is what may still work after a disconnect; `more` are scopes in words that could be asked for."""

    card: Card
    uses: Sequence[Use]
    older: bool
    revocation: Revocation | None
    tokens: Revocation | None
    rest: Rest | None
    more: list[Allowed]

    @property
    def more_words(self) -> str:
        """`See balances, send payments`: all of `more` in one sentence."""
        return sentence([words for one in self.more for words in one.words])


@dataclass(frozen=True)
class Offers:
    """The list of providers. `listed` under their headings; `wanted` is what was searched for."""

    wanted: str
    listed: list[tuple[str, list[ProviderFacts]]]
    total: int
    connected: Mapping[str, int]


@dataclass(frozen=True)
class _Seen:
    """What all cards of a person are made of."""

    rows: list[Connection]
    summaries: Mapping[str, Summary]
    agents: Mapping[str, list[Agent]]
    servers: list[consents.Allowed]
    states: Mapping[str, ConnectionState] | None
    """None while the keeper is away."""


def accounts(house: House, viewer: Viewer) -> Accounts:
    """The accounts themselves are shown even when the keeper is away."""
    with house.database.read() as session:
        rows = lookup.of_person(session, viewer.person)
        seen = _seen(session, house, viewer, rows, [row.id for row in rows])
        ended = lookup.ended_lately(session, viewer.person, house.clock() - ENDED_SHOWN)
    try:
        available, away = providers.offered(house), ""
    except KeeperError as error:
        available, away = [], error.hint
    cards = [_card(house, row, seen) for row in rows]
    gone = [_ended(house, row, revocation) for row, revocation in ended]
    undecided = {card.facts.title for card in cards if card.siblings and card.instead is None and not card.row.preferred}
    return Accounts(cards, gone, available, sorted(undecided), away)


def _ended(house: House, row: Connection, revocation: Revocation | None) -> Ended:
    facts = providers.find(house.settings, row.provider)
    return Ended(row, facts, revocation, rest(facts, row.ended_at, house.clock()))


def _seen(session: Session, house: House, viewer: Viewer, rows: list[Connection], shown: Sequence[str]) -> _Seen:
    summaries = reader().summaries(session, shown, house.clock() - LATELY)
    agents = may_use(session, house.settings, viewer.person)
    servers = consents.of_person(session, viewer.person)
    try:
        return _Seen(rows, summaries, agents, servers, house.door.connections(shown))
    except KeeperError:
        return _Seen(rows, summaries, agents, servers, None)


def _card(house: House, row: Connection, seen: _Seen) -> Card:
    facts, state = providers.find(house.settings, row.provider), (seen.states or {}).get(row.id)
    there = [other for other in seen.rows if other.provider == row.provider]
    default = lookup.chosen(there)
    used_by_agents = row.status != "disconnected" and default is not None and default.id == row.id
    return Card(
        row=row, facts=facts, health=health(
            row, state, facts.title, house.clock(), away=seen.states is None, ends=idle.ends_at(facts, row.connected_at)
        ),
        allowed=allowed(facts, row.scopes),
        summary=seen.summaries[row.id], state=state, agents=seen.agents.get(row.provider, []) if used_by_agents else [],
        servers=[one for one in seen.servers if one.connection == row.id],
        siblings=sum(other.id != row.id for other in there),
        instead=default if default is not None and default.id != row.id else None,
    )


def detail(house: House, viewer: Viewer, connection: str) -> Detail:
    """Raises Missing. What the keeper knows of renewals is left out while it is away."""
    with house.database.read() as session:
        row = lookup.own(session, connection, viewer.person)
        rows = lookup.at_provider(session, viewer.person, row.provider)
        seen = _seen(session, house, viewer, rows, [row.id])
        uses = reader().latest(session, [row.id], USES_SHOWN + 1)
        revocation = session.get(Revocation, row.id)
        tokens = session.get(Revocation, row.id + lookup.TOKENS)
    card = _card(house, row, seen)
    own = set(card.facts.scopes) - set(card.facts.base_scopes)
    more = allowed(card.facts, missing(row.scopes, own))
    left = rest(card.facts, row.ended_at, house.clock())
    return Detail(card, uses[:USES_SHOWN], len(uses) > USES_SHOWN, revocation, tokens, left, more)


def own_rows(house: House, viewer: Viewer, connection: str = "") -> list[Connection]:
    """The person's own accounts, or one of them, disconnected ones too. Raises Missing."""
    with house.database.read() as session:
        return [lookup.own(session, connection, viewer.person)] if connection else lookup.ever(session, viewer.person)


def offers(house: House, viewer: Viewer, wanted: str) -> Offers:
    """Raises the keeper's errors: it alone knows which providers can be connected."""
    available = providers.offered(house)
    with house.database.read() as session:
        rows = lookup.of_person(session, viewer.person)
    connected = {one.name: sum(row.provider == one.name for row in rows) for one in available}
    return Offers(wanted, listed(available, wanted), len(available), connected)
