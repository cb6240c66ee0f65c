"""What the accounts pages show, gathered in one reading session and, where it must be, one question to the keeper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from vault.door import ConnectionState
from vault.errors import KeeperError
from vault.providers.catalogue import ProviderFacts
from webapp.connections import lookup, providers
from webapp.connections.rules import HEALTH, Allowed, Health, allowed, offered
from webapp.connections.tables import Connection, Revocation
from webapp.connections.uses import Summary, Use, reader
from webapp.errors import BadInput
from webapp.web.house import House
from webapp.web.viewer import Viewer

ENDED_SHOWN = timedelta(days=7)
USES_SHOWN = 50


@dataclass(frozen=True)
class Card:
    """One account as its owner sees it."""

    row: Connection
    facts: ProviderFacts
    health: Health
    allowed: list[Allowed]
    summary: Summary


@dataclass(frozen=True)
class Ended:
    """A disconnected account, and where its provider's revocation stands."""

    row: Connection
    facts: ProviderFacts
    revocation: Revocation | None


@dataclass(frozen=True)
class Accounts:
    cards: list[Card]
    ended: list[Ended]
    offered: list[ProviderFacts]
    away: str
    """Why the providers cannot be listed at the moment, or empty."""


@dataclass(frozen=True)
class Detail:
    card: Card
    uses: Sequence[Use]
    state: ConnectionState | None
    revocation: Revocation | None


@dataclass(frozen=True)
class Form:
    """The page that asks for a connection. `origin` is where its form will lead."""

    facts: ProviderFacts
    connection: str
    groups: list[tuple[str, list[tuple[str, str]]]]
    chosen: frozenset[str]
    origin: str


def accounts(house: House, viewer: Viewer) -> Accounts:
    """The accounts themselves are shown even when the keeper is away."""
    with house.database.read() as session:
        rows = lookup.of_person(session, viewer.person)
        summaries = reader().summaries(session, [row.id for row in rows])
        ended = lookup.ended_lately(session, viewer.person, house.clock() - ENDED_SHOWN)
    try:
        available, away = providers.offered(house), ""
    except KeeperError as error:
        available, away = [], error.hint
    cards = [_card(house, row, summaries[row.id]) for row in rows]
    gone = [Ended(row, providers.find(house.settings, row.provider), revocation) for row, revocation in ended]
    return Accounts(cards, gone, available, away)


def _card(house: House, row: Connection, summary: Summary) -> Card:
    facts = providers.find(house.settings, row.provider)
    return Card(row, facts, HEALTH[row.status], allowed(facts, row.scopes), summary)


def detail(house: House, viewer: Viewer, connection: str) -> Detail:
    """Raises Missing. What the keeper knows of renewals is left out while it is away."""
    with house.database.read() as session:
        row = lookup.own(session, connection, viewer.person)
        summary = reader().summaries(session, [row.id])[row.id]
        uses = reader().latest(session, row.id, USES_SHOWN)
        revocation = session.get(Revocation, row.id)
    try:
        state = house.door.connection(row.id)
    except KeeperError:
        state = None
    return Detail(_card(house, row, summary), uses, state, revocation)


def form(house: House, viewer: Viewer, *, provider: str, connection: str) -> Form:
    """Raises BadInput, Missing, and the keeper's errors: it alone knows where the provider's form is."""
    chosen: frozenset[str] = frozenset()
    if connection:
        with house.database.read() as session:
            row = lookup.own(session, connection, viewer.person)
        if row.status == "disconnected":
            raise BadInput("This account was disconnected. Connect it anew.")
        provider, chosen = row.provider, frozenset(row.scopes)
    if provider not in house.door.providers():
        raise BadInput("This provider is not set up here.")
    facts = providers.find(house.settings, provider)
    chosen = chosen or frozenset(facts.default_scopes)
    return Form(facts, connection, offered(facts), chosen, _origin(house, viewer, facts))


def _origin(house: House, viewer: Viewer, facts: ProviderFacts) -> str:
    """The origin that the browser will be sent to, for this page's `form-action` and nothing wider."""
    url = facts.authorize_url or house.door.connect_begin(
        provider=facts.name, person=viewer.person, redirect_uri=house.settings.public_url + providers.callback(facts),
        scopes=list(facts.default_scopes),
    ).url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
