"""The page that asks for an account: a new one, one that is connected anew, or one more thing that an account may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from vault.providers.catalogue import ProviderFacts
from webapp.connections import lookup, providers
from webapp.connections.rules import Allowed, allowed, may_ask, missing, offered
from webapp.connections.tables import Connection
from webapp.errors import BadInput, said
from webapp.web.house import House
from webapp.web.viewer import Viewer


@dataclass(frozen=True)
class Asked:
    """What the address of the page says. `add` are scopes that are missing, `scopes` those that are to be ticked."""

    provider: str
    connection: str
    add: tuple[str, ...]
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """`origin` is where the form will lead. With `more` it asks for what is new and shows what `stays`; else for a choice. `left`
    are scopes that the page's address alone names, and that are for the person to tick: `add` is without them. `others` are the
    person's accounts there already."""

    facts: ProviderFacts
    row: Connection | None
    groups: list[tuple[str, list[tuple[str, str]]]]
    chosen: frozenset[str]
    more: bool
    add: tuple[str, ...]
    added: list[Allowed]
    left: tuple[str, ...]
    stays: list[Allowed]
    others: list[Connection]
    origin: str


def form(house: House, viewer: Viewer, asked: Asked) -> Form:
    """Raises BadInput, Missing, and the keeper's errors: it alone knows where the provider's form is."""
    row, provider = None, asked.provider
    with house.database.read() as session:
        if asked.connection:
            row = lookup.own(session, asked.connection, viewer.person)
            provider = row.provider
        others = lookup.at_provider(session, viewer.person, provider)
    if row is not None and row.status == "disconnected":
        raise BadInput("This account was disconnected. Connect it anew.")
    if provider not in house.door.providers():
        raise BadInput("This provider is not set up here.")
    facts = providers.find(house.settings, provider)
    if not may_ask(facts, asked.add) and asked.add:
        raise BadInput(said("That is not among what %(title)s is known to offer here.", title=facts.title))
    new = missing(row.scopes, asked.add) if row is not None else ()
    left = _left(facts, row, asked)
    add = tuple(scope for scope in new if scope not in left)
    return Form(
        facts=facts, row=row, groups=offered(facts), chosen=_chosen(facts, row, asked) - left, more=bool(new), add=add,
        added=allowed(facts, add), left=tuple(scope for scope in facts.scopes if scope in left),
        stays=allowed(facts, row.scopes if row is not None else ()), others=others, origin=_origin(house, viewer, facts),
    )


def _left(facts: ProviderFacts, row: Connection | None, asked: Asked) -> frozenset[str]:
    """Named by the address, grave, and neither granted nor suggested by the catalogue. Attack: an agent sends the person to a
    page of ours that asks for money, one button away from the provider. Anybody can write such an address."""
    known = row.scopes if row is not None else facts.default_scopes
    return frozenset(facts.grave({*asked.scopes, *asked.add}) - set(known))


def _chosen(facts: ProviderFacts, row: Connection | None, asked: Asked) -> frozenset[str]:
    """Ticked at first: what is granted, else what the catalogue suggests; with what a tool asked for."""
    first: Sequence[str] = asked.scopes or (row.scopes if row is not None else ()) or asked.add or facts.default_scopes
    return frozenset(first) | frozenset(asked.add)


def _origin(house: House, viewer: Viewer, facts: ProviderFacts) -> str:
    """The origin that the browser will be sent to, for this page's `form-action` and nothing wider."""
    url = facts.authorize_url or house.door.connect_begin(
        provider=facts.name, person=viewer.person, redirect_uri=house.settings.public_url + providers.callback(facts),
        scopes=list(facts.default_scopes),
    ).url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
