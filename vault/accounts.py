"""The providers that can be connected, and connected accounts: looking at one, taking it back. The tokens stay in the vault."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vault.connecting import stored
from vault.errors import BadRequest, NotKnown
from vault.kv import CasConflict
from vault.record import Record
from vault.renewal import load, rescue, save, waits_for_volume
from vault.table import Body, Keeper, mapping, segment, strings
from vault.telling import end_all
from vault.upstreams import checked_record, upstreams

log = logging.getLogger("counterseal.keeper.accounts")


def provider_put(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.provider_put`."""
    name, path = segment(body, "name"), f"providers/{segment(body, 'name')}"
    record = checked_record(keeper, name, mapping(body, "record"))
    keeper.kv.update(path, lambda _before: (record, None))
    log.info("provider %s was stored", name)
    return {}


def providers(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    return {"providers": sorted(keeper.kv.list("providers"))}


def connection(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.connection`: no token."""
    return _shown(load(keeper, segment(body, "connection"))[0])


def connections(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.connections`: those that are there, by id."""
    names = [segment({"connection": name}, "connection") for name in strings(body, "connections")]
    found = {name: stored(keeper, name)[0] for name in names}
    return {"connections": {name: _shown(record) for name, record in found.items() if record is not None}}


def _shown(record: Record) -> dict[str, Any]:
    ends = [live.expires_at for live in record.live if live.expires_at is not None]
    return {
        "status": record.status, "account": record.account, "label": record.label, "scopes": list(record.scopes),
        "renewed_at": record.renewed_at.isoformat() if record.renewed_at else None, "renewals": record.renewals,
        "expires_at": max(ends).isoformat() if ends else None, "paused": record.paused, "ending": len(record.ending),
        "renewable": record.renewable, "events": [one.split() for one in reversed(record.events)],
    }


def disconnect(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.disconnect`. Safe to repeat; the tokens are kept until the provider has been told (`revoke`)."""
    name, person = segment(body, "connection"), segment(body, "person")
    while True:
        record, version = load(keeper, name)
        if record.person != person:
            raise NotKnown("another person's connection")
        if record.status == "disconnected":
            return {}
        try:
            save(keeper, name, replace(record, status="disconnected", revocation="pending"), version)
        except CasConflict:
            continue
        log.info("disconnected connection=%s", name)
        return {}


def revoke_connection(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.revoke`. While a refresh is under way the answer is `pending`: its new tokens have to be ended as well."""
    name = segment(body, "connection")
    rescue(keeper, name)
    record, version = load(keeper, name)
    if record.status != "disconnected":
        raise BadRequest("disconnect it first")
    if record.revocation in ("confirmed", "unsupported"):
        return {"outcome": record.revocation, "detail": ""}
    if record.claim is not None and record.claim.until > keeper.clock():
        return {"outcome": "pending", "detail": "a renewal has not ended"}
    if waits_for_volume(keeper, record, upstreams(keeper).facts(record.provider, record.entry), keeper.clock()):
        return {"outcome": "pending", "detail": "the answer to a renewal is waited for"}
    outcome, version, detail = end_all(keeper, name, record, version)
    if outcome != "pending":
        _shred(keeper, name, record, version, outcome)
    return {"outcome": outcome, "detail": detail}


def _shred(keeper: Keeper, name: str, record: Record, version: int, outcome: str) -> None:
    """Every version of the record goes, and a stone without tokens stands in its place. If something changed it meanwhile, the
    next call looks again."""
    stone = replace(record, refresh=None, live=(), ending=(), claim=None, revocation=outcome)
    try:
        save(keeper, name, stone, version)
    except CasConflict:
        return
    keeper.kv.delete_all(f"connections/{name}")
    keeper.kv.create(f"connections/{name}", stone.to_json())


HANDLERS = {
    "provider_put": provider_put, "providers": providers, "connection": connection, "connections": connections,
    "disconnect": disconnect, "revoke": revoke_connection,
}
