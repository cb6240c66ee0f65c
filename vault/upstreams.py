"""What one keeper process knows of the providers: catalogue, stored clients, metadata and keys; and its spool and bounds."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from vault.client_secrets import before
from vault.errors import BadRequest, NotKnown, ProviderRefused, TooMany
from vault.id_token import Keys
from vault.providers.catalogue import GENERIC, Catalogue, ProviderFacts, facts, load
from vault.record import Claim
from vault.spool import Spool
from vault.table import Keeper
from vault.transport import Transport, document
from vault.upstream import Discovery, Endpoints, resolve

NAME = "upstreams"
UNASKED_KEPT = 4096
UNREADABLE = "This provider's settings cannot be read. An operator has to correct them: `counterseal provider check` says where."
RECORD_KEYS = frozenset({
    "client_id", "client_secret", "client_auth", "entry", "issuer", "authorize_url", "token_url", "revoke_url", "userinfo_url",
    "jwks_url", "refresh_url", "discovery", "iss",
})


@dataclass(frozen=True)
class Timing:
    """Seconds. A claim outlives the longest exchange with a provider, so that who takes it over knows that nobody is asking."""

    claim: timedelta = timedelta(seconds=30)
    wait: float = 14.0
    """How long one mint waits for somebody else's refresh: less than the door's `provider_timeout`."""
    poll: float = 0.03
    again: timedelta = timedelta(seconds=5)
    """After a provider's 5xx, nobody asks it for this connection for so long."""


@dataclass
class Bounds:
    """Mints and refreshes per connection and minute, in this process (`Settings.mints_per_minute`, `refreshes_per_minute`)."""

    mints: int
    refreshes: int
    _counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str, connection: str, now: datetime, limit: int) -> None:
        """Raises TooMany."""
        minute = int(now.timestamp()) // 60
        with self._lock:
            at, count = self._counts.get((kind, connection), (minute, 0))
            count = count + 1 if at == minute else 1
            if len(self._counts) > 50_000:
                self._counts = {key: found for key, found in self._counts.items() if found[0] == minute}
            self._counts[kind, connection] = (minute, count)
        if count > limit:
            raise TooMany(f"{kind} of {connection}", hint="This account is being used too often. Wait a minute and try again.")


@dataclass
class Unasked:
    """Claims of this process with which no provider was asked, nor will be: writing them failed, and whoever wrote them has given
    up. The vault may have taken them all the same, as when its leader dies before it answers.

    A claim is known by its holder, which no two attempts have in common. So one that stands here is nobody's: it may be replaced
    at once, by check-and-set as any other, instead of being waited for."""

    _holders: dict[str, None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, claim: Claim | None) -> None:
        """Only by whoever made the claim, and only when they will not ask any more."""
        if claim is None:
            return
        with self._lock:
            if len(self._holders) >= UNASKED_KEPT:  # the oldest goes: it is waited for, as a stranger's claim is
                del self._holders[next(iter(self._holders))]
            self._holders[claim.holder] = None

    def has(self, claim: Claim | None) -> bool:
        return claim is not None and claim.holder in self._holders


@dataclass
class Upstreams:
    catalogue: Callable[[], Catalogue]
    transport: Transport
    discovery: Discovery
    keys: Keys
    spool: Spool
    bounds: Bounds
    timing: Timing = field(default_factory=Timing)
    unasked: Unasked = field(default_factory=Unasked)
    _name: str = field(default_factory=lambda: f"keeper-{secrets.token_hex(8)}")

    def holder(self) -> str:
        """A new one for each claim: a claim is known again by it."""
        return f"{self._name}.{secrets.token_hex(4)}"

    def facts(self, name: str, entry: str) -> ProviderFacts:
        """Raises ProviderRefused for a provider whose own file cannot be read: what it would have said is not known."""
        found = self.catalogue()
        if name in found.problems:
            raise ProviderRefused(f"{name}: its file is wrong", hint=UNREADABLE)
        return facts(found, name, entry)


def upstreams(keeper: Keeper) -> Upstreams:
    found: Upstreams | None = keeper.memory.get(NAME)
    return found if found is not None else keeper.memory.setdefault(NAME, make(keeper))


def make(keeper: Keeper) -> Upstreams:
    settings, instance, local = keeper.settings, keeper.settings.instance, keeper.settings.evaluation
    transport = Transport(loopback=local)
    return Upstreams(
        catalogue=lambda: load(instance, local=local, writers=settings.operators), transport=transport, discovery=Discovery(),
        keys=Keys(lambda url: document(transport, url)), spool=Spool(instance / "keeper" / "spool"),
        bounds=Bounds(settings.mints_per_minute, settings.refreshes_per_minute),
    )


def endpoints(keeper: Keeper, provider: str) -> Endpoints:
    """The provider as it was stored. Raises NotKnown, ProviderAway, ProviderRefused."""
    record = keeper.kv.read(f"providers/{provider}")
    if record is None:
        raise NotKnown(f"provider {provider}", hint="This provider is not set up here.")
    ours = upstreams(keeper)
    facts_ = ours.facts(provider, str(record.data.get("entry", "")))
    tried = [one.value for one in before(record.data, keeper.clock())]
    return resolve(facts_, record.data, ours.transport, ours.discovery, tried)


def freely(keeper: Keeper, provider: str) -> frozenset[str]:
    """The money or destructive scopes that the operator's own configuration lets be minted without evidence."""
    return frozenset(keeper.settings.widen.get(provider, ()))


def _no_client(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    if set(record) - {"entry"} or name == "key":
        hint = "A service of keys has no client; `key` itself is for files of your own to extend."
        raise BadRequest(f"provider {name}: {sorted(record)}", hint=hint)
    return {"entry": "key"}


def checked_record(keeper: Keeper, name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A provider's record as it may be stored. Raises BadRequest naming what is wrong."""
    if upstreams(keeper).facts(name, "").kind == "key":
        return _no_client(name, record)
    unknown = set(record) - RECORD_KEYS
    if unknown or not isinstance(record.get("client_id"), str) or not record["client_id"]:
        raise BadRequest(
            f"provider {name}: {sorted(unknown)}", hint="A provider needs a client id, and its known settings alone."
        )
    if record.get("entry", "oauth") not in GENERIC:
        raise BadRequest(f"provider {name}: entry", hint="A provider is added by its catalogue name, or as `oidc` or `oauth`.")
    ours = upstreams(keeper)
    for key in RECORD_KEYS:
        if (key.endswith("_url") or key == "issuer") and record.get(key):
            ours.transport.check(str(record[key]))
    known = ours.facts(name, str(record.get("entry", "")))
    has = bool(record.get("authorize_url") or known.authorize_url) and bool(record.get("token_url") or known.token_url)
    if not has and not (known.discovery and record.get("issuer")):
        raise BadRequest(
            f"provider {name}: endpoints", hint="This provider needs its issuer, or its authorization and token addresses."
        )
    return dict(record)
