"""What `counterseal vault doctor` looks at, as the keeper and with no more rights than it: reads and pure comparisons.

Nothing here writes, signs or changes anything in the vault, but for renewing the keeper's own token and making one data key."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from cryptography import x509

from vault import declared, issuers, secret_ids
from vault.client import Refused, Vault
from vault.errors import KeeperError, NoAuthority
from vault.kv import Kv
from vault.mark import CONFIG, PATH
from vault.settings import ROLE, Settings
from vault.transit import Transit

State = Literal["good", "wrong", "look"]
SOON = timedelta(days=30)
GIVEN = f"{{cli}} token create -orphan -no-default-policy -policy={ROLE} -period=72h"
POLICY = f"{{policy}} --hcl | {{cli}} policy write {ROLE} -"


@dataclass(frozen=True)
class Finding:
    """`look`: the keeper may not see it, so a person has to. `mend` says how, with the command where there is one. `{cli}` and
    `{root}` stand for the vault's command, in the keeper's namespace and in the root one, and `{policy}` for ours."""

    check: str
    state: State
    words: str
    mend: str = ""

    def typed(self, settings: Settings, cli: str) -> Finding:
        """With commands that can be typed as they stand, under the keeper's settings."""
        inside = f"{'BAO' if cli == 'bao' else 'VAULT'}_NAMESPACE={shlex.quote(settings.namespace)} {cli}"
        ours = f"counterseal vault policy --instance {shlex.quote(str(settings.instance))}"
        names = {"{cli}": inside if settings.namespace else cli, "{root}": cli, "{policy} --hcl": f"{ours} --hcl",
                 "{policy}": f"{ours} --cli {cli}"}
        words, mend = self.words, self.mend
        for name, command in names.items():
            words, mend = words.replace(name, command), mend.replace(name, command)
        return replace(self, words=words, mend=mend)


def files(settings: Settings) -> Iterator[Finding]:
    """Credentials that others on this machine could read. What Kubernetes mounts is Kubernetes' own affair."""
    named = {
        "approle": settings.secret_id_file or settings.instance / "vault" / "secret-id", "token": settings.token_file,
        "cert": settings.client_key, "kubernetes": None,
    }
    for path in {named[settings.auth], settings.client_key} - {None}:
        if path is not None and path.exists() and path.stat().st_mode & 0o077:
            mend = f"chmod 600 {shlex.quote(str(path))}"
            yield Finding("files", "wrong", f"{path} can be read or written by others.", mend)
    why = secret_ids.why_not(settings) if settings.auth == "approle" and settings.vault_address else ""
    if why and secret_ids.path(settings).exists():
        yield Finding("files", "look", f"{secret_ids.path(settings)} is replaced {why}.", "Replace it at least once a year.")
    believed = settings.ca_cert
    if believed is not None and believed.exists() and believed.stat().st_mode & 0o022:
        words = f"{believed} can be written by others, who could have the keeper log in to a vault of theirs."
        yield Finding("files", "wrong", words, f"chmod go-w {shlex.quote(str(believed))}")


def token(vault: Vault, settings: Settings) -> Iterator[Finding]:
    """What the keeper's own token brings, and how long it lives."""
    data = _own(vault)
    yield from _attached(settings, data)
    yield _life(vault, settings, data)


def sources(vault: Vault, settings: Settings) -> Iterator[Finding]:
    """Where the keeper's login has its policies from, and whether there is more than ours."""
    yield from _attached(settings, _own(vault))


def _own(vault: Vault) -> Mapping[str, Any]:
    return ((vault.read("auth/token/lookup-self") or {}).get("data")) or {}


def _attached(settings: Settings, data: Mapping[str, Any]) -> Iterator[Finding]:
    """Policies of the token, and of the identity that stands behind it, in whichever namespace."""
    of_token, elsewhere = {*(data.get("policies") or ())}, (data.get("external_namespace_policies") or {}).values()
    of_identity = {*(data.get("identity_policies") or ()), *(name for names in elsewhere for name in names)}
    right = of_token <= {ROLE} and ROLE in of_token | of_identity
    if not right:
        mend = f"{{cli}} write {_role(settings)} token_policies={ROLE} token_no_default_policy=true, and restart the keeper."
        if settings.auth == "token":
            mend = f"Make another: {GIVEN}"
        yield Finding("policies", "wrong", f"The token has not {ROLE} alone but: {', '.join(sorted(of_token)) or 'none'}.", mend)
    if of_identity - {ROLE}:
        entity = f"identity/entity/id/{data.get('entity_id')}"
        words = f"Its identity, or a group there ({{cli}} read {entity}), brings: {', '.join(sorted(of_identity - {ROLE}))}."
        yield Finding("policies", "wrong", words, f"{{cli}} write {entity} policies=")
    elif right:
        yield Finding("policies", "good", f"The token has the policy {ROLE} alone, without the default policy.")


def _role(settings: Settings) -> str:
    """Where the vault keeps what the keeper's token is to be."""
    kind, name = ("certs" if settings.auth == "cert" else "role"), (ROLE if settings.auth == "approle" else settings.auth_role)
    return f"auth/{settings.mount}/{kind}/{name}"


def _life(vault: Vault, settings: Settings, data: Mapping[str, Any]) -> Finding:
    mend = f"{{cli}} write {_role(settings)} token_period=1h token_max_ttl=0"
    if settings.auth == "token":
        mend = f"Make one that renewal keeps alive: {GIVEN}"
    if not data.get("ttl"):
        return Finding("token", "wrong", "The token never ends: one that is stolen is good for ever.", mend)
    if not data.get("renewable"):
        if settings.auth == "token":
            return Finding("token", "wrong", f"The token cannot be renewed and ends in {data['ttl']} s.", mend)
        return Finding("token", "good", f"The token is not renewable: before its {data['ttl']} s end, the keeper logs in again.")
    if settings.auth == "token" and (data.get("explicit_max_ttl") or not data.get("period")):
        return Finding("token", "wrong", "The token has no period: it ends, however often it is renewed.", mend)
    try:
        vault.write("auth/token/renew-self", {})
    except Refused as error:
        return Finding("token", "wrong", f"The token could not be renewed: {error.detail}", POLICY)
    return Finding("token", "good", f"The token lives {data.get('period') or data['ttl']} s and was renewed.")


def mounts(vault: Vault, prefix: str) -> Iterator[Finding]:
    """Each engine, of the right type and version. What `sys/internal/ui/mounts` tells of what one may use."""
    for name, version in (("kv", "2"), ("transit", ""), ("pki", "")):
        mount = prefix + name
        options = {"kv": " -version=2", "pki": f" -max-lease-ttl={declared.CA_LIFETIME}"}.get(name, "")
        enable = f"{{cli}} secrets enable -path={mount}{options} {name}"
        try:
            data = ((vault.read(f"sys/internal/ui/mounts/{mount}") or {}).get("data")) or {}
        except Refused:
            data = {}
        found = str((data.get("options") or {}).get("version") or ("1" if version else ""))
        if not data:
            yield Finding("mounts", "wrong", f"{mount}: no such mount, or the keeper may not use it.", enable)
        elif data.get("type") != name:
            yield Finding("mounts", "wrong", f"{mount} is of type {data.get('type')} and not {name}.", enable)
        elif found != version:
            mend = f"{{cli}} kv enable-versioning {mount}/"
            yield Finding("mounts", "wrong", f"{mount} is version {found} of kv and not 2.", mend)
        else:
            yield Finding("mounts", "good", f"{mount}: {name}{' version 2' if version else ''}.")


def records(vault: Vault, prefix: str) -> Finding:
    """Check-and-set is the lock that keeps a refresh token from being used twice, and one version that a replaced one is gone."""
    mount = prefix + "kv"
    try:
        config = ((vault.read(f"{mount}/config") or {}).get("data")) or {}
        started = Kv(vault, mount).read(PATH) is not None
    except KeeperError as error:
        return Finding("records", "wrong", f"{mount}: its configuration cannot be read: {error.detail}", POLICY)
    right = config.get("cas_required") is True and config.get("max_versions") == 1
    if right or not started:
        words = "check-and-set, one version" if right else "the keeper sets check-and-set and one version at its first start"
        return Finding("records", "good", f"{mount}: {words}.")
    fields = " ".join(f"{name}={value}" for name, value in CONFIG.items())
    return Finding("records", "wrong", f"{mount} takes writes without check-and-set, or keeps replaced secrets.",
                   f"{{cli}} write {mount}/config {fields}")


def keys(vault: Vault, prefix: str) -> Iterator[Finding]:
    for name, kind in declared.KEYS.items():
        path = f"{prefix}transit/keys/{name}"
        try:
            data = (vault.read(path) or {}).get("data") or {}
        except Refused as error:
            yield Finding("keys", "wrong", f"{path} cannot be read: {error.detail}", POLICY)
            continue
        if not data:
            yield Finding("keys", "wrong", f"{path} is not there.", f"{{cli}} write {path} type={kind}")
        elif data.get("type") != kind:
            yield Finding("keys", "wrong", f"{path} is of type {data.get('type')} and not {kind}.",
                          "Nothing it made can be read with another: before the first start, delete it and make it anew.")
        else:
            yield _held(path, data)
    try:
        transit = Transit(vault, prefix + "transit")
        wrapped, key = transit.data_key("payload")
        opened = transit.decrypt("payload", wrapped) == key
    except KeeperError as error:
        yield Finding("keys", "wrong", f"{prefix}transit/keys/payload wraps nothing: {error.detail}", POLICY)
    else:
        yield Finding("keys", "good" if opened else "wrong", f"{prefix}transit/keys/payload wraps and opens a data key.")


def _held(path: str, data: Mapping[str, Any]) -> Finding:
    """Whether the key can leave the vault, or be lost."""
    if data.get("exportable") or data.get("allow_plaintext_backup"):
        return Finding("keys", "wrong", f"{path} can be exported, and Vault never takes that back.",
                       "Before the first start, delete it and make it anew; later, rotate it and let what it signed expire.")
    if data.get("deletion_allowed"):
        return Finding("keys", "wrong", f"{path} can be deleted, and all it encrypted with it.",
                       f"{{cli}} write {path}/config deletion_allowed=false")
    if data.get("imported_key"):
        return Finding("keys", "look", f"{path} was imported: whoever made it may have a copy.")
    return Finding("keys", "good", f"{path}: {data['type']}, cannot be exported or deleted.")


def client_authority(vault: Vault, prefix: str, now: datetime) -> Iterator[Finding]:
    """The role gives what `vault.pki` asks for and nothing else; the authority lives."""
    path = f"{prefix}pki/roles/client"
    mend = f"{{policy}} | grep '{path}'"
    try:
        data = (vault.read(path) or {}).get("data") or {}
    except Refused as error:
        yield Finding("certificates", "wrong", f"{path} cannot be read: {error.detail}", POLICY)
        return
    differ = [name for name, value in declared.CLIENT_ROLE.items() if not _same(data.get(name), value)]
    if differ:
        words = f"{path} differs in {', '.join(differ)}." if data else f"{path} is not there."
        yield Finding("certificates", "wrong", words, mend)
    else:
        yield Finding("certificates", "good", f"{path} gives client certificates for a day, and nothing else.")
    yield _authority(vault, prefix, now)


def _authority(vault: Vault, prefix: str, now: datetime) -> Finding:
    try:
        newest = issuers.all_of(vault, prefix)[-1]
    except NoAuthority:
        return Finding("certificates", "wrong", f"{prefix}pki has no authority.", "{policy} | grep root/generate")
    ends = min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates("\n".join(newest.chain).encode()))
    mend = "counterseal rotate ca" if newest.own else "Make another issuer in this mount and set it as the default one."
    state: State = "good" if ends > now + SOON else "wrong" if ends <= now else "look"
    return Finding("certificates", state, f"The authority for client certificates ends on {ends:%Y-%m-%d}.",
                   "" if state == "good" else mend)


def _same(found: Any, wanted: Any) -> bool:
    """A duration may be shorter than wanted, never longer, and 0 is no bound."""
    if isinstance(wanted, str) and wanted.endswith("h"):
        return isinstance(found, int) and 0 < found <= int(wanted[:-1]) * 3600
    return bool(found == wanted) or (wanted == ["disabled"] and found is None)
