"""The page on which a person lets a token client use one of their accounts: who asks, and what it may do, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from vault.providers.catalogue import EFFECTS, ProviderFacts
from webapp.clients import lookup as clients
from webapp.clients import permissions
from webapp.clients.tables import Client, Permission
from webapp.config import Settings
from webapp.connections import consents, lookup, providers
from webapp.connections.consents import Consent
from webapp.connections.rules import EFFECT_WORDS, Allowed, allowed, missing
from webapp.connections.tables import Connection
from webapp.errors import BadInput, Missing
from webapp.people import lookup as people
from webapp.web.house import House
from webapp.web.viewer import Viewer

Group = tuple[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Asked:
    """As it stands in the page's address, which anybody could have written."""

    client: str
    provider: str = ""
    connection: str = ""
    kind: str = "person"


@dataclass(frozen=True)
class Form:
    """One account. `groups` are the scopes to choose from, mildest first; `whole` is what each token can do where the provider
    cannot narrow it; `before` the consent that this one would take the place of."""

    client: Client
    registered_by: str
    owner: str
    resource: str
    row: Connection
    facts: ProviderFacts
    permission: Permission
    kind: str
    groups: list[Group]
    chosen: frozenset[str]
    whole: list[Allowed]
    before: Consent | None

    @property
    def left(self) -> bool:
        """Whether something was left for the person to tick."""
        return any(scope not in self.chosen for _word, found in self.groups for scope, _words in found)


@dataclass(frozen=True)
class Which:
    """No account was named and there are several, or none: the person chooses first, or connects one."""

    client: Client
    asked: Asked
    accounts: list[tuple[Connection, ProviderFacts]]
    missing: list[ProviderFacts]


def page(house: House, viewer: Viewer, asked: Asked) -> Form | Which:
    """Raises Missing for a client that is no token client in service, or another's account; BadInput."""
    if asked.kind not in consents.KINDS:
        raise BadInput("A server may use an account for its callers, or by itself; nothing else.")
    with house.database.read() as session:
        client = _client(session, asked.client)
        allowed_at = permissions.of(session, client.id)
        rows = _accounts(session, viewer, asked, allowed_at)
        if len(rows) != 1:
            return _which(house.settings, client, asked, rows, allowed_at)
        return _form(session, house.settings, client, rows[0], allowed_at[rows[0].provider], asked.kind)


def _client(session: Session, client_id: str) -> Client:
    found = clients.find(session, client_id)
    if found is None or found.kind != "token" or found.status != "active":
        raise Missing("There is no such server here, or an administrator has paused it.")
    return found


def _accounts(
    session: Session, viewer: Viewer, asked: Asked, allowed_at: Mapping[str, Permission]
) -> Sequence[Connection]:
    rows = [row for row in lookup.of_person(session, viewer.person) if row.provider in allowed_at]
    if asked.connection:
        own = lookup.own(session, asked.connection, viewer.person)
        return [row for row in rows if row.id == own.id]
    return [row for row in rows if asked.provider in ("", row.provider)]


def _which(
    settings: Settings, client: Client, asked: Asked, rows: Sequence[Connection], allowed_at: Mapping[str, Permission]
) -> Which:
    has = {row.provider for row in rows}
    wanted = [name for name in sorted(allowed_at) if name not in has and asked.provider in ("", name)]
    return Which(
        client, asked, [(row, providers.find(settings, row.provider)) for row in rows],
        [providers.find(settings, name) for name in wanted],
    )


def _form(
    session: Session, settings: Settings, client: Client, row: Connection, permission: Permission, kind: str
) -> Form:
    facts, before = providers.find(settings, row.provider), consents.live(session, client.id, row.id)
    scopes = may_have(row, permission)
    own = clients.token_client(session, client.id)
    by = client.registered_by.removeprefix("person:")
    return Form(
        client=client, registered_by=people.names(session, [by])[by] if by != client.registered_by else "an operator",
        owner=people.name_of(session, own.owner) if own and own.owner else "",
        resource=(own.resource if own else None) or "", row=row, facts=facts, permission=permission, kind=kind,
        groups=_groups(facts, scopes), chosen=_ticked(facts, scopes, before, kind),
        whole=[] if facts.narrows else allowed(facts, row.scopes), before=before,
    )


def _ticked(facts: ProviderFacts, scopes: Sequence[str], before: Consent | None, kind: str) -> frozenset[str]:
    """Ticked at first: what the person ticked before, else all that is not grave. Attack: a person who agrees without reading
    gives away money, or what they ticked for calls in their name to a server that asks to act by itself."""
    if before is not None and before.kind == kind:
        return frozenset(before.scopes)
    return frozenset(before.scopes if before is not None else scopes) - facts.grave(scopes)


def may_have(row: Connection, permission: Permission) -> list[str]:
    """What can be allowed at all: what an admin registered and the account itself grants."""
    return sorted(set(permission.scopes) & set(row.scopes))


def _groups(facts: ProviderFacts, scopes: Sequence[str]) -> list[Group]:
    found = [
        (EFFECT_WORDS[effect], [(scope, facts.words(scope)) for scope in scopes if facts.effect(scope) == effect])
        for effect in reversed(EFFECTS)
    ]
    return [group for group in found if group[1]]


def give(house: House, viewer: Viewer, asked: Asked, scopes: Sequence[str]) -> str:
    """The consent's id. Raises as `page` and `consents.give` do, and BadInput for what the page does not offer."""
    now = house.clock()

    def work(session: Session) -> str:
        client, row = _client(session, asked.client), lookup.own(session, asked.connection, viewer.person)
        permission = permissions.of(session, client.id).get(row.provider)
        if permission is None or not scopes or missing(may_have(row, permission), scopes):
            raise BadInput("Choose at least one thing that this server may do, among those on the page.")
        return consents.give(
            session, person=viewer.person, client=client.id, connection=row.id, scopes=scopes, kind=asked.kind, now=now,
        )

    return house.database.write(work)
