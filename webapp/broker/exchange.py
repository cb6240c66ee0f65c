"""What a token client may have: exactly what its registration, the person's consent and the account itself all allow.

Everything here refuses by default, and is asked twice: when the token is asked for, and again where people had to decide first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from vault.providers.catalogue import EFFECTS, Effect, ProviderFacts
from webapp.canonical import canonical, digest
from webapp.clients import lookup as clients
from webapp.clients import permissions
from webapp.clients.tables import Client, Permission
from webapp.config import Settings
from webapp.connections import consents, lookup, providers
from webapp.connections.consents import Consent
from webapp.connections.rules import missing
from webapp.connections.tables import Connection
from webapp.db.direct import Where, session_of
from webapp.errors import Said, said
from webapp.oauth.handed import NotGiven, ToolCall
from webapp.people import lookup as people


@dataclass(frozen=True)
class Subject:
    """In whose name, through which client of ours, by which grant. `grant` is a consent's id where a client asks for itself."""

    person: str
    name: str
    client: str
    client_name: str
    grant: str
    verified: bool
    """An admin's word on this client. The one that asks may be vouched for and be called by one that is not."""


@dataclass(frozen=True)
class Wanted:
    """`subject` None: for the client's own use."""

    client: Client
    subject: Subject | None
    provider: str
    connection: str
    scopes: tuple[str, ...]
    call: ToolCall | None


@dataclass(frozen=True)
class Entitled:
    """A request that everything allows but policy, which has not been asked yet. `reach` is what the token will be able to do:
    the scopes, or all of the account's where its provider cannot narrow a token; `registration` is a digest of what an admin
    registered; `mtls`: the client proves itself by certificate; `owner`: whose the client is, as an admin said, or nobody."""

    wanted: Wanted
    subject: Subject
    connection: Connection
    facts: ProviderFacts
    consent: Consent
    reach: tuple[str, ...]
    mtls: bool
    resource: str
    owner: str
    registration: str

    @property
    def cls(self) -> Effect:
        """By the gravest thing that the token can do, whatever is said of the call."""
        return gravest(self.facts, self.reach)

    @property
    def actors(self) -> tuple[str, ...]:
        """RFC 8693 section 4.1: the current actor first."""
        return tuple(dict.fromkeys((self.wanted.client.id, self.subject.client)))

    @property
    def resources(self) -> tuple[str, ...]:
        return self.wanted.call.resources if self.wanted.call else ()


def gravest(facts: ProviderFacts, scopes: Iterable[str]) -> Effect:
    found = {facts.effect(scope) for scope in scopes if scope not in facts.base_scopes}
    return next((effect for effect in EFFECTS if effect in found), "read")


WIDER = said("The provider answered a token that can do more than was asked for.")


def wider(facts: ProviderFacts, scopes: Sequence[str], cls: str, reach: Iterable[str]) -> bool:
    """Whether a token can do graver things than was judged, or anything besides `reach` where the provider is said to narrow
    tokens: the person was told that this client gets no more. What a provider really answered is known only then."""
    if facts.narrows and missing({*reach, *facts.base_scopes}, scopes):
        return True
    return EFFECTS.index(gravest(facts, scopes)) < [str(effect) for effect in EFFECTS].index(cls)


def entitled(session: Where, settings: Settings, wanted: Wanted) -> Entitled:
    """The steps; each refuses with NotGiven, or raises NeedsSession where a refusal has to name an account.

    1. an admin registered the client for this provider, 2. these scopes, and this tool and these resource ids;
    3. there is such an account, of the person in whose name it asks, and the person lets the client use it, 4. for these scopes;
    5. the account is in order and grants them.
    """
    row = _named(session, wanted)
    provider = row.provider if row is not None else wanted.provider
    allowed = permissions.of(session, wanted.client.id).get(provider)
    if allowed is None:  # 1
        raise NotGiven("This client is not registered for that provider.", code="invalid_target")
    _registered(allowed, wanted)  # 2
    connection, consent = _account(session, settings, wanted, provider, row)  # 3
    if missing(consent.scopes, wanted.scopes):  # 4
        raise _asks(settings, wanted, connection, said("The person has not allowed this client that much."))
    _in_order(settings, connection, wanted.scopes)  # 5
    facts = providers.find(settings, provider)
    own = clients.registered(session, wanted.client.id)
    method, resource, owner = own[1:] if own else ("", "", "")
    return Entitled(
        wanted=wanted, subject=wanted.subject or _owner(session, wanted, consent), connection=connection, facts=facts,
        consent=consent, reach=wanted.scopes if facts.narrows else tuple(sorted({*connection.scopes, *wanted.scopes})),
        mtls=method == "tls_client_auth", resource=resource, owner=owner,
        registration=_registration(wanted.client, resource, owner, allowed),
    )


def _named(session: Where, wanted: Wanted) -> Connection | None:
    """The account that was named. One that is gone, another's, or of another provider than the one named: all look alike."""
    if not wanted.connection:
        return None
    row = lookup.by_id(session, wanted.connection)
    own = row is not None and (wanted.subject is None or row.person == wanted.subject.person)
    if row is None or not own or row.status == "disconnected" or wanted.provider not in ("", row.provider):
        raise NotGiven("There is no such account.", code="invalid_target")
    return row


def _registered(allowed: Permission, wanted: Wanted) -> None:
    """A list that names something is a bound, and an empty one names nothing: it never means everything."""
    if missing(allowed.scopes, wanted.scopes):
        raise NotGiven("This client is not registered for all of these scopes.", code="invalid_scope")
    call = wanted.call
    if (call is None and (allowed.tools or allowed.resources)) or (call is not None and call.tool not in allowed.tools):
        raise NotGiven(
            "This client is registered for certain tools. Name one of them in authorization_details."
            if allowed.tools else "This client is registered for no tool, so authorization_details may name none.",
            code="invalid_authorization_details",
        )
    named = call.resources if call else ()
    if missing(allowed.resources, named) or (allowed.resources and not named):
        raise NotGiven(
            "This client is registered for certain resources. Name those that the call is about, and no others.",
            code="invalid_authorization_details",
        )


def _account(
    session: Where, settings: Settings, wanted: Wanted, provider: str, row: Connection | None
) -> tuple[Connection, Consent]:
    """The account that was named; else of those that the person let this client use their default one, or without that the one
    they allowed last. The default is never stepped around: where its consent is too narrow, the person is asked for more."""
    if row is not None:
        consent = consents.live(session, wanted.client.id, row.id)
        if consent is not None and _serves(consent, row, wanted):
            return row, consent
        raise _asks(settings, wanted, row, said("The person has not allowed this client to use that account."))
    if wanted.subject is None:
        return _own_account(session, wanted, provider)
    person = wanted.subject.person
    if (served := _served(session, wanted, provider, person)) is not None:
        return served
    own = [one for one in lookup.of_person(session_of(session), person) if one.provider == provider]
    if not own:
        page = f"{settings.public_url}/connections/new?{urlencode({'provider': provider})}"
        raise NotGiven("The person has connected no account there.", code="interaction_required", url=page)
    why = said("The person has not allowed this client to use such an account.")
    raise _asks(settings, wanted, own[0], why, several=len(own) > 1)


def _served(session: Where, wanted: Wanted, provider: str, person: str) -> tuple[Connection, Consent] | None:
    """Consents come the newest first."""
    latest = None
    for consent in consents.at_provider(session, wanted.client.id, provider, person=person):
        found = lookup.by_id(session, consent.connection)
        if found is None or not _serves(consent, found, wanted):
            continue
        if found.preferred:
            return found, consent
        latest = latest or (found, consent)
    return latest


def _own_account(session: Where, wanted: Wanted, provider: str) -> tuple[Connection, Consent]:
    """Attack: somebody gives the client an account of their own after everyone else did, and from then on it puts what it keeps
    for others into that one. Of several accounts the client has to say which."""
    given = consents.of_kind(session, wanted.client.id, provider, "service")
    if len(given) > 1:
        raise NotGiven("Several accounts there were given to this client: name one as resource.", code="invalid_target")
    found = lookup.by_id(session, given[0].connection) if given else None
    if found is None or not _serves(given[0], found, wanted):
        raise NotGiven("Nobody gave this client an account there for its own use.", code="invalid_target")
    return found, given[0]


def _serves(consent: Consent, row: Connection, wanted: Wanted) -> bool:
    """The consent is of the account's own person; for its own use a client needs one that says so."""
    if consent.person != row.person:
        return False
    return consent.kind == "service" if wanted.subject is None else consent.person == wanted.subject.person


def _asks(settings: Settings, wanted: Wanted, row: Connection, why: Said, *, several: bool = False) -> NotGiven:
    """RFC 6749 section 5.2: `error_uri` is the page for the person. A client that asks for itself has nobody in front of it, and
    is told no more than that."""
    if wanted.subject is None:
        return NotGiven("Nobody gave this client that account for its own use.", code="invalid_target")
    where = {"client": wanted.client.id, **({"provider": row.provider} if several else {"connection": row.id})}
    page = f"{settings.public_url}/connections/consents/new?{urlencode(where)}"
    words = said("%(why)s Show them this page: %(page)s", why=why, page=page)
    return NotGiven(words, code="interaction_required", url=page)


def _in_order(settings: Settings, row: Connection, scopes: Sequence[str]) -> None:
    page = f"{settings.public_url}/connections"
    if row.suspended:
        raise NotGiven("The account is suspended. An administrator can lift that.", code="access_denied", url=page)
    if row.status == "paused":
        raise NotGiven("The account is paused by its owner.", code="access_denied", url=page)
    if row.status != "active":
        page += f"/new?{urlencode({'connection': row.id})}"
        raise NotGiven("The provider no longer accepts this connection.", code="interaction_required", url=page)
    lacking = missing(row.scopes, scopes)
    if lacking:
        page += f"/new?{urlencode([('connection', row.id), *(('add', scope) for scope in lacking)])}"
        raise NotGiven("The account does not grant this yet.", code="interaction_required", url=page)


def _owner(session: Where, wanted: Wanted, consent: Consent) -> Subject:
    """A client that asks for itself does so in the name of who gave it the account."""
    name = people.name_of(session, consent.person)
    return Subject(consent.person, name, wanted.client.id, wanted.client.name, consent.id, wanted.client.verified)


def _registration(client: Client, resource: str, owner: str, allowed: Permission) -> str:
    found: dict[str, Any] = {
        "client": client.id, "name": client.name, "resource": resource, "owner": owner, "provider": allowed.provider,
        "scopes": sorted(allowed.scopes), "tools": sorted(allowed.tools), "resources": sorted(allowed.resources),
    }
    return digest(canonical(found))
