"""What the keeper's login may do, held to its policy: no more and no less. `counterseal vault doctor` asks it as the keeper.

The vault itself lists each grant of the login, whichever policy it comes from (`sys/internal/ui/resultant-acl`), but those with
a `+` in their path. For those, and where the keeper may not look, it is asked for a sample of paths that must be denied."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vault import declared
from vault.client import Refused, Vault
from vault.findings import POLICY, Finding, sources
from vault.settings import ROLE, Settings

LISTING = "sys/internal/ui/resultant-acl"
COMPARE = f"{{cli}} policy read {ROLE} | diff - <({{policy}} --hcl)"
EVERYWHERE = (
    "sys/mounts", "sys/mounts/x", "sys/auth", "sys/auth/x", "sys/policies/acl", f"sys/policies/acl/{ROLE}", "sys/seal",
    "sys/step-down", "sys/audit", "sys/storage/raft/snapshot", "sys/raw/core", "sys/rotate", "sys/remount", "sys/namespaces/x",
    "sys/wrapping/wrap", "sys/leases/lookup", "cubbyhole/x", "identity/entity", "auth/token/create", "auth/token/create-orphan",
    "auth/token/lookup", "auth/token/accessors", "secret/data/x", "x/y",
)
OF_ROLES = (
    f"{ROLE}/custom-secret-id", f"{ROLE}/secret-id-accessor/lookup", f"{ROLE}/secret-id-accessor/destroy", f"{ROLE}/role-id",
    f"{ROLE}/policies", "x/secret-id", "x/secret-id/destroy",
)
OF_MOUNTS = {
    "kv": (
        "data/x", "metadata/instance/mark", "metadata/app/keys", "metadata/keeper/seal", "metadata/log/head", "metadata/spent/x",
        "delete/connections/x", "destroy/connections/x", "undelete/connections/x",
    ),
    "transit": (
        "keys", "keys/x", "keys/x/rotate", "keys/authority/config", "keys/audit/config", "keys/payload/trim", "keys/audit/trim",
        "export/signing-key/authority",
        "export/signing-key/audit", "export/encryption-key/payload", "backup/authority", "backup/payload", "restore",
        "encrypt/payload", "sign/payload", "sign/x", "hmac/authority",
    ),
    "pki": (
        "root", "root/generate/internal", "root/generate/exported", "issue/client", "sign/x", "sign-verbatim",
        "sign-verbatim/client", "sign-self-issued", "config/ca", "config/urls", "issuers/import/bundle",
        "intermediate/generate/exported", "tidy", "roles/x", "root/rotate/exported", "root/rotate/existing", "root/replace",
        "issuers/generate/root/internal", "issuer/x", "issuer/x/issue/client", "issuer/x/sign-verbatim", "issuer/x/sign/x",
        "config/issuers", "keys", "key/x",
    ),
}
"""Of what must be denied: what would let a stolen token read on, export a key, widen itself or unmake a record."""


@dataclass(frozen=True)
class Grant:
    """What one path, or all that begin with it, is granted."""

    path: str
    prefix: bool
    capabilities: frozenset[str]
    parameters: Mapping[str, frozenset[str]]
    """The only ones that may be given, and their values (none: any); empty: all may."""
    narrowed: bool = False
    """By something that our policy does not use: parameters denied or required, wrapped answers."""

    def __str__(self) -> str:
        return f"{self.path}*" if self.prefix else self.path

    def covers(self, other: str) -> bool:
        return other.startswith(self.path) if self.prefix else other == self.path


class Everything(Exception):
    """The login has the root policy: nothing is refused it."""


def capabilities(vault: Vault, settings: Settings) -> Iterator[Finding]:
    """Exactly what the policy grants. Raises VaultAway, VaultSealed."""
    try:
        listed = _listed(vault, settings)
    except Everything:
        yield Finding("capabilities", "wrong", "The keeper's token is a root one: it may do all.", _taken(vault, settings))
        return
    found = [*(_beyond(listed, settings) if listed is not None else ()), *_sampled(vault, settings, listed or [])]
    more = _taken(vault, settings) if any(besides for _, _, besides in found) else POLICY
    for path, words, besides in found:
        yield Finding("capabilities", "wrong", f"{path}: the keeper {words}.", more if besides else POLICY)
    if not found:
        asked = f"{len(listed)} grants listed" if listed is not None else f"{len(expected(settings))} paths asked"
        yield Finding("capabilities", "good", f"The keeper may do what its policy says, no more and no less ({asked}).")


def _taken(vault: Vault, settings: Settings) -> str:
    """How to take away what is granted besides: where other policies are attached, those first."""
    return next((one.mend for one in sources(vault, settings) if one.state == "wrong"), POLICY)


def unlisted(vault: Vault, settings: Settings) -> Finding:
    """What is left to a person, or to the doctor with an operator's token (`vault.operated`)."""
    words = "The vault lists neither grants with a + in their path nor their parameters: compare the policy."
    try:
        vault.read(LISTING)
    except Refused:
        words = f"The keeper may not read {LISTING}: of what must be denied only a sample was asked. Compare the policy."
    return Finding("parameters", "look", words, COMPARE)


def _listed(vault: Vault, settings: Settings) -> list[Grant] | None:
    """All grants of the login but those with a `+`; None where it may not look. Raises Everything."""
    try:
        data = ((vault.read(LISTING) or {}).get("data")) or {}
    except Refused:
        return None
    if data.get("root"):
        raise Everything
    if not isinstance(data.get("exact_paths"), dict):
        return None
    within = _within(data, settings)
    return [
        _grant(path.removeprefix(within), prefix, given)
        for name, prefix in (("exact_paths", False), ("glob_paths", True)) for path, given in (data.get(name) or {}).items()
    ]


def _within(data: Mapping[str, Any], settings: Settings) -> str:
    """Paths are listed from the root namespace on, so with more before them than we say behind a listener that has a namespace of
    its own (`chroot_namespace`). How much, our own grant tells that is among them."""
    own = f"{settings.namespace.strip('/')}/".lstrip("/")
    found = [path.removesuffix(LISTING) for path in data["exact_paths"] if path.endswith(LISTING)]
    return next((one for one in found if one.endswith(own)), own)


def _grant(path: str, prefix: bool, given: Mapping[str, Any]) -> Grant:
    parameters = {name: frozenset(map(str, values or ())) for name, values in (given.get("allowed_parameters") or {}).items()}
    others = {"denied_parameters", "required_parameters", "min_wrapping_ttl", "max_wrapping_ttl"}
    return Grant(path, prefix, frozenset(given.get("capabilities") or ()) - {"deny"}, parameters, bool(others & given.keys()))


def _beyond(listed: list[Grant], settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """(path, in what it differs, whether that is more than it should be)."""
    policy = declared.granted(settings.prefix, declared.of(settings))
    parameters = declared.parameters(settings.prefix, declared.of(settings))
    for one in listed:
        rule = _ruling(policy, one)
        should = policy.get(rule, frozenset[str]())
        if one.capabilities - should:
            yield str(one), f"has besides {', '.join(sorted(one.capabilities - should))}", True
        # A rule of one's own below a wider one takes the wider one's place there.
        elif rule != str(one) and should - one.capabilities:
            yield str(one), f"lacks {', '.join(sorted(should - one.capabilities))}", False
        elif should and "+" not in rule and (one.parameters != parameters.get(rule, {}) or one.narrowed):
            yield str(one), "may give other parameters than its policy says", one.parameters != parameters.get(rule, {})


def _ruling(policy: Mapping[str, frozenset[str]], grant: Grant) -> str:
    """Which rule of ours speaks of that path, or of all that begin with it: the longest. Empty: none."""
    if str(grant) in policy:
        return str(grant)
    return max((rule for rule in policy if _speaks(rule, grant)), key=len, default="")


def _speaks(rule: str, grant: Grant) -> bool:
    pattern = re.escape(rule.removesuffix("*")).replace(r"\+", "[^/]+")
    if rule.endswith("*"):
        return re.match(pattern, grant.path) is not None
    return not grant.prefix and re.fullmatch(pattern, grant.path) is not None


def _sampled(vault: Vault, settings: Settings, listed: list[Grant]) -> Iterator[tuple[str, str, bool]]:
    """The vault is asked for each path of the policy, and for those that must be denied; what was told of one by the list is not
    told again."""
    wanted = expected(settings)
    try:
        answer = vault.write("sys/capabilities-self", {"paths": [*wanted]})
    except Refused as error:
        yield "sys/capabilities-self", f"may not ask what it may do: {error.detail}", False
        return
    said = answer.get("data") or {}
    for path, should in wanted.items():
        has = frozenset(said.get(path) or ()) - {"deny"}
        told = max((one for one in listed if one.covers(path)), key=lambda one: (not one.prefix, len(one.path)), default=None)
        besides = has - should - (told.capabilities if told else frozenset())
        if should - has:
            yield path, f"lacks {', '.join(sorted(should - has))}", False
        if besides:
            yield path, f"has besides {', '.join(sorted(besides))}", True


def expected(settings: Settings) -> dict[str, frozenset[str]]:
    """Capabilities by path: the granted ones, and none."""
    granted = declared.granted(settings.prefix, declared.of(settings))
    denied = [
        *EVERYWHERE, *(f"{settings.prefix}{name}/{path}" for name, paths in OF_MOUNTS.items() for path in paths),
        *(f"auth/{settings.mount}/{path}" for path in ("config", f"role/{ROLE}", f"role/{ROLE}/secret-id", f"certs/{ROLE}")),
        *(f"auth/{settings.mount}/role/{path}" for path in OF_ROLES),
    ]
    found = {path: frozenset[str]() for path in denied}
    return {**found, **{path.replace("*", "doctor").replace("+", "doctor"): allowed for path, allowed in granted.items()}}
