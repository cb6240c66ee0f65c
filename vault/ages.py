"""How old the secrets are that the keeper uses. Names and times; never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography import x509

from vault import issuers, secret_ids, spool_keys, unseal_keys
from vault.client_secrets import before
from vault.errors import NoAuthority
from vault.issuers import CA
from vault.roots import PUSH
from vault.rotating import ROOTS
from vault.said import Said, carried, said
from vault.shapes import Age
from vault.table import Body, Keeper
from vault.transit import made_at
from vault.upstreams import upstreams

KEYS = ("payload", "authority", "audit")
CLIENTS = (("providers", "provider"), ("idps", "idp"))
MOST = 1000
PUSH_ENDS = said("by hand alone: counterseal rotate push; every browser that is told by push has to be asked again")


def ages(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    found = [*_keys(keeper), *_clients(keeper), *_login(keeper), *_authority(keeper), *_unseal(keeper)]
    return {"secrets": [{
        "kind": one.kind, "name": one.name, "since": one.since.isoformat(), "next": one.next.isoformat() if one.next else None,
        "how": one.how, "unfinished": one.unfinished, **carried(one.how),
    } for one in found]}


def _keys(keeper: Keeper) -> Iterator[Age]:
    """Of each transit key the newest version, and of what the web process signs with and the keeper seals with."""
    for name in KEYS:
        made = keeper.transit.versions(name).made
        if made:
            yield Age("key", name, made[max(made)])
    for roots in ROOTS:
        yield Age("key", roots.name, roots.all(keeper)[-1].made, None, PUSH_ENDS if roots is PUSH else "")
    made_spool = upstreams(keeper).spool.key_made
    yield Age("spool", said("this keeper's volume"), made_spool, made_spool + spool_keys.AGE, said("by the keeper itself"))


def _clients(keeper: Keeper) -> Iterator[Age]:
    """Client secrets at providers and identity providers: when each was last stored."""
    mount = f"{keeper.settings.prefix}kv/metadata"
    for folder, kind in CLIENTS:
        for name in keeper.kv.list(folder)[:MOST]:
            found = keeper.kv.read(f"{folder}/{name}")
            if found is None or not found.data.get("client_secret"):
                continue
            data = (keeper.vault.read(f"{mount}/{folder}/{name}") or {}).get("data") or {}
            at = found.data.get("secret_at")
            since = datetime.fromisoformat(at) if at else made_at(data["updated_time"])
            overlap = before(found.data, keeper.clock())
            yield Age(kind, name, since, None, _by_hand(kind, name, overlap[0].until if overlap else None))


def _by_hand(kind: str, name: str, until: datetime | None) -> Said:
    command = f"counterseal {kind} secret{f' {name}' if kind == 'provider' else ''} --next"
    if until is None:
        return said("by hand: %(command)s", command=command)
    when = f"{until:%Y-%m-%d %H:%M}"
    return said("by hand: %(command)s; until %(when)s UTC the one before is tried too", command=command, when=when)


def _login(keeper: Keeper) -> Iterator[Age]:
    """What the keeper logs in with, where it is an AppRole's."""
    settings, found = keeper.settings, secret_ids.standing(keeper)
    if found is not None:
        kind = "secret-id" if settings.vault_address else "own-secret-id"
        yield Age(kind, settings.role_id, found.since, found.next, found.how)


def _authority(keeper: Keeper) -> Iterator[Age]:
    """For client certificates, where the vault has one: since when there is the newest; of an operator's own, its end."""
    try:
        found = issuers.of(keeper)
    except NoAuthority:
        return
    name, newest, now, lead = said("client certificates"), found[-1], keeper.clock(), issuers.lead(keeper)
    if not newest.own:
        ends = min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates("\n".join(newest.chain).encode()))
        yield Age(CA, name, newest.made, ends, said("by an operator: counterseal vault doctor says when and how"))
        return
    how = said("by the worker, or counterseal rotate ca")
    if issuers.signing(found, now, lead) != newest:
        when = f"{issuers.signs_from(found, len(found) - 1, lead):%Y-%m-%d %H:%M}"
        how = said("by the worker, or counterseal rotate ca; the newest signs from %(when)s UTC", when=when)
    elif len(issuers.believed(found, now, lead)) > 1:
        how = said("by the worker, or counterseal rotate ca; the one before is believed until all that it signed has ended")
    yield Age(CA, name, newest.made, None, how)


def _unseal(keeper: Keeper) -> Iterator[Age]:
    """What the instance's own vault opens itself with."""
    folder = keeper.settings.instance / "vault"
    found = [] if keeper.settings.vault_address else unseal_keys.keys(folder)
    if found:
        how = said("by hand: counterseal rotate unseal; the vault is away for some seconds")
        if unfinished := unseal_keys.unfinished(folder):
            how = said(
                "by hand: counterseal rotate unseal; the vault is away for some seconds; this was begun and not finished, and "
                "goes on when it is typed again"
            )
        since = datetime.fromtimestamp(found[-1][1].stat().st_mtime, UTC)
        yield Age("unseal", said("this instance's own OpenBao"), since, None, how, unfinished)


HANDLERS = {"ages": ages}
