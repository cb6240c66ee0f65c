"""API keys: a connection of a service that has no OAuth. A person pastes the key once; from then on it is handed out by lease,
as a token is, and never shown."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from vault.connecting import GONE, stored
from vault.errors import BadRequest, NotKnown, Stale
from vault.kv import CasConflict
from vault.providers.catalogue import ProviderFacts
from vault.record import Live, Record, event, noted
from vault.renewal import save
from vault.secret import Secret
from vault.table import Body, Keeper, secret, segment, text
from vault.upstreams import upstreams

log = logging.getLogger("counterseal.keeper.accounts")

ENTRY = "key"
SHAPE = re.compile(r"[\x21-\x7e]{8,4096}")
"""One word of visible ASCII: what can stand in a header, and nothing that could begin a second one."""
LONGEST = timedelta(days=3660)


def key_put(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.key_put`.

    1. the service is set up here, and is one of keys; 2. the key has the shape of one; 3. the connection, if it exists, is
    theirs, at this service, and not taken back; 4. the key is stored by check-and-set, and the one before is gone. What it can do
    is what the catalogue says, all of it: nobody can narrow a key.
    """
    name, person, provider = (segment(body, one) for one in ("connection", "person", "provider"))
    facts = _service(keeper, provider)  # 1
    key, label = secret(body, "key", limit=8192), text(body, "label", limit=120)
    if SHAPE.fullmatch(key.reveal()) is None:  # 2
        raise BadRequest("not a key", hint="That is not a key: it is one word of 8 to 4,096 letters, digits and signs.")
    now = keeper.clock()
    made = _record(facts, person, key, label, _ends(body, now), now)
    before, version = stored(keeper, name)  # 3
    if before is not None:
        made = _over(before, made, now)
    try:
        save(keeper, name, made, version)  # 4
    except CasConflict as error:
        raise Stale("the connection changed meanwhile") from error
    log.info("key stored connection=%s provider=%s", name, provider)
    return {"account": made.account, "label": label, "scopes": list(made.scopes)}


def _service(keeper: Keeper, provider: str) -> ProviderFacts:
    if keeper.kv.read(f"providers/{provider}") is None:
        raise NotKnown(f"provider {provider}", hint="This service is not set up here.")
    facts = upstreams(keeper).facts(provider, "")
    if facts.kind != "key" or facts.name == ENTRY:
        raise BadRequest(f"{provider} is no service of keys", hint="This provider is connected by signing in there.")
    return facts


def _ends(body: Body, now: datetime) -> datetime | None:
    given = text(body, "expires_at", limit=40, optional=True)
    if not given:
        return None
    try:
        ends = datetime.fromisoformat(given)
    except ValueError as error:
        raise BadRequest("expires_at") from error
    if ends.tzinfo is None or not now < ends < now + LONGEST:
        raise BadRequest("expires_at", hint="The key's last day is in the future, within ten years.")
    return ends


def _record(
    facts: ProviderFacts, person: str, key: Secret[str], label: str, ends: datetime | None, now: datetime
) -> Record:
    """The account is a new name for each key: whose it is at the service is not known, so what was approved for one key is not
    for the next."""
    scopes = tuple(sorted(facts.scopes))
    live = Live("tok_key", key, "", scopes, scopes, ends)
    return Record(
        person=person, provider=facts.name, entry=ENTRY, account=f"key_{secrets.token_hex(8)}", label=label, scopes=scopes,
        status="active", refresh=None, print="", live=(live,), renewed_at=now, events=(event("key", now),),
    )


def _over(before: Record, made: Record, now: datetime) -> Record:
    if (before.person, before.provider) != (made.person, made.provider):
        raise NotKnown("another person's or service's connection")
    if before.status == "disconnected":
        raise Stale("disconnected meanwhile", hint=GONE)
    return replace(made, renewals=before.renewals + 1, fence=before.fence + 1, events=noted(before, "key", now))


HANDLERS = {"key_put": key_put}
