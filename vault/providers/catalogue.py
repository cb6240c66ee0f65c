"""The catalogue's loader: public facts about providers, validated when they are read. Holds no credential."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

SHIPPED = Path(__file__).with_name("catalogue.yaml")

Effect = Literal["read", "write", "send", "money", "destroy"]
Category = Literal["", "Code", "Mail and files", "Messages", "Planning", "Customers", "Money", "Media", "AI and data"]
EFFECTS: tuple[Effect, ...] = ("money", "destroy", "send", "write", "read")
"""Gravest first: the order in which a person is shown them."""
GRAVE: frozenset[str] = frozenset({"money", "destroy"})


class ScopeFacts(BaseModel):
    """What one scope allows, in words a person understands, and the gravest thing that can be done with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: str = Field(min_length=3, max_length=120)
    effect: Effect


UNKNOWN_EFFECT: Effect = "destroy"
STANDARD = {
    "openid": ScopeFacts(words="Know which account this is", effect="read"),
    "profile": ScopeFacts(words="See your name and picture", effect="read"),
    "email": ScopeFacts(words="See your e-mail address", effect="read"),
    "offline_access": ScopeFacts(words="Keep the access until you take it back", effect="read"),
}
"""Of OpenID Connect Core sections 5.4 and 11: the same at every provider."""


class ProviderFacts(BaseModel):
    """One provider. URLs that are empty come from the provider's stored record or from discovery.

    `callback`: a provider that names itself in its answer (RFC 9207) returns to the shared callback; any other to one of its own,
    so that a code of one provider is never taken to another (RFC 9700 section 4.4.2.2).
    `revoke_effect`: what revoking an access token kills: that token, the whole grant, or nothing because it cannot be revoked.
    `refresh_kills_previous`: a refresh ends the access tokens handed out before it.
    `narrows`: a refresh with fewer scopes answers a token with fewer scopes.
    `grants_apart`: each consent is a grant of its own, so that ending the one before leaves the new one. False where nothing
    promises it: then a reconnect ends no refresh token.
    `category`: under which heading the list of providers shows it; empty for none.
    `picker`: `prompt=select_account` makes it ask which account (OpenID Connect Core section 3.1.2.1).
    Lifetimes are seconds; None where the provider does not promise one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    title: str = Field(min_length=1, max_length=60)
    kind: Literal["oidc", "oauth"]
    issuer: str = ""
    discovery: bool = False
    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    userinfo_url: str = ""
    jwks_url: str = ""
    authorize_params: dict[str, str] = {}
    base_scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    scopes: dict[str, ScopeFacts] = {}
    default_scopes: tuple[str, ...] = ()
    account: tuple[str, ...] = ("sub",)
    """Keys of the user information that hold the provider's own account id, first found counts."""
    label: tuple[str, ...] = ("email", "preferred_username", "name")
    pkce: bool = True
    iss: bool = False
    client_auth: Literal["basic", "post"] = "basic"
    rotates: bool = True
    narrows: bool = False
    access_lifetime: int | None = None
    refresh_lifetime: int | None = None
    revoke_style: Literal["rfc7009", "github", "slack", "none"] = "rfc7009"
    revoke_effect: Literal["token", "grant", "none"] = "grant"
    refresh_kills_previous: bool = True
    grants_apart: bool = False
    picker: bool = False
    manual_revoke_url: str = ""
    docs: str = ""
    category: Category = ""

    @field_validator(
        "issuer", "authorize_url", "token_url", "revoke_url", "userinfo_url", "jwks_url", "manual_revoke_url", "docs"
    )
    @classmethod
    def _https(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme != "https" or not parts.hostname or parts.username or parts.fragment):
            raise ValueError("a catalogue URL is https://host/…, without user or fragment")
        return value

    def known(self, scope: str) -> ScopeFacts | None:
        return self.scopes.get(scope) or STANDARD.get(scope)

    def effect(self, scope: str) -> Effect:
        """A scope that nobody described counts as destructive."""
        found = self.known(scope)
        return found.effect if found is not None else UNKNOWN_EFFECT

    def words(self, scope: str) -> str:
        found = self.known(scope)
        return found.words if found is not None else f"“{scope}” (not described in the catalogue)"

    def grave(self, scopes: Iterable[str]) -> set[str]:
        """Those of the scopes that are minted only with evidence."""
        return {scope for scope in scopes if scope not in self.base_scopes and self.effect(scope) in GRAVE}

    @property
    def callback(self) -> Literal["shared", "own"]:
        return "shared" if self.iss else "own"


def load(extra: Path | None = None) -> dict[str, ProviderFacts]:
    """The shipped catalogue, with the operator's own file over it: there an entry may say `extends: <shipped name>`.

    Raises ValueError (pydantic's) on an unknown key, a bad URL or a scope without words.
    """
    return dict(_load(extra, extra.stat().st_mtime_ns if extra is not None and extra.exists() else 0))


@lru_cache(maxsize=8)
def _load(extra: Path | None, _changed: int) -> dict[str, ProviderFacts]:
    entries = _read(SHIPPED)
    for name, entry in (_read(extra) if extra is not None and extra.exists() else {}).items():
        base = entries.get(entry.pop("extends", name), {})
        scopes = {**base.get("scopes", {}), **entry.get("scopes", {})}
        entries[name] = {**base, **entry, "scopes": scopes}
    return {name: ProviderFacts(**{**entry, "name": name}) for name, entry in entries.items()}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    found = yaml.safe_load(path.read_text("utf-8")) or {}
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise ValueError(f"{path.name}: a mapping of provider names to their facts is expected")
    return found


GENERIC = ("oidc", "oauth")


def facts(catalogue: dict[str, ProviderFacts], name: str, entry: str = "") -> ProviderFacts:
    """The facts of a provider: its own entry, else the generic one it was added as, under its own name."""
    found = catalogue.get(name) or catalogue[entry if entry in GENERIC else "oauth"]
    return found if found.name == name else found.model_copy(update={"name": name, "title": name.replace("-", " ").title()})
