"""What is publicly known about one provider, as values that were checked. Holds no credential."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from vault.addresses import plain

Effect = Literal["read", "write", "send", "money", "destroy"]
Category = Literal["", "Code", "Mail and files", "Messages", "Planning", "Customers", "Money", "Media", "AI and data"]
EFFECTS: tuple[Effect, ...] = ("money", "destroy", "send", "write", "read")
"""Gravest first: the order in which a person is shown them."""
GRAVE: frozenset[str] = frozenset({"money", "destroy"})
URLS = (
    "issuer", "authorize_url", "token_url", "refresh_url", "revoke_url", "userinfo_url", "jwks_url", "manual_revoke_url",
    "create_url",
)
HOLE = re.compile(r"\{([^{}]*)\}")


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ScopeFacts(Strict):
    """What one scope allows, in words a person understands, and the gravest thing that can be done with it."""

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
UNREADABLE = "counterseal:unreadable"
"""Stands in a list of granted scopes for all that are not kept by name: too many, too long, or with characters that none has."""
MARKS = {UNREADABLE: ScopeFacts(words="More, under names that are not shown here", effect=UNKNOWN_EFFECT)}


def _compiles(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return value


class Placeholder(Strict):
    """A part of the addresses that only the operator knows: a tenant, a shop, a region. `pattern` is matched whole."""

    words: str = Field(min_length=3, max_length=160)
    pattern: Annotated[str, AfterValidator(_compiles)] = Field(min_length=1, max_length=200)
    default: str = ""


class Quirks(Strict):
    """Where a provider's wire differs from RFC 6749; each default is what the RFC says.

    `token_in`: the key of the answer under which the tokens stand, where they stand there. `token_types`: the kinds of token that
    are taken (section 7.1). `scope_in`: the key that names the granted scopes, a text or a list. `scope_parameter`: the one that
    asks for them; empty where the provider knows no scopes and the app's own settings there decide. `shows_token`: the header
    that shows a token to the provider's own API. `userinfo_body`: sent by POST to ask whose account it is. `revoke_auth`: how the
    client shows itself where a token is revoked, if otherwise than for tokens. `revoke_field`: what the token is called there, if
    not `token`, or also in the body where `bearer` shows it.
    `revoke_shows`: `access` where that endpoint knows access tokens alone and answers an error to a refresh token.
    """

    request_body: Literal["form", "json"] = "form"
    token_in: str = ""
    token_types: tuple[str, ...] = Field(default=("bearer",), min_length=1)
    token_params: dict[str, str] = {}
    refresh_params: dict[str, str] = {}
    scope_in: str = "scope"
    scope_parameter: str = "scope"
    scope_aliases: dict[str, str] = {}
    """What the answer calls a scope, and what it was asked for as."""
    headers: dict[str, str] = {}
    shows_token: str = Field(default="Authorization: Bearer {token}", pattern=r"^[A-Za-z0-9-]+: [^\r\n{}]*\{token\}$")
    userinfo_method: Literal["GET", "POST"] = "GET"
    userinfo_body: str = ""
    revoke_body: Literal["form", "json"] = "form"
    revoke_method: Literal["POST", "DELETE"] = "POST"
    revoke_auth: Literal["", "basic", "post"] = ""
    revoke_field: str = Field(default="", pattern=r"^[A-Za-z_]{0,40}$")
    revoke_shows: Literal["any", "access"] = "any"
    over: tuple[str, ...] = ()
    """The provider's own names for a grant that is over, where it does not say `invalid_grant`."""


class ProviderFacts(Strict):
    """One provider. URLs that are empty come from the provider's stored record or from discovery.

    `callback`: a provider that names itself in its answer (RFC 9207) returns to the shared callback; any other to one of its own,
    so that a code of one provider is never taken to another (RFC 9700 section 4.4.2.2).
    `revoke_effect`: what revoking an access token kills: that token, the whole grant, or nothing because it cannot be revoked.
    `ends_access`: it is documented that with the whole grant also the access tokens end that were handed out before. False where
    nothing promises it: then the page says that they may live on.
    `refresh_kills_previous`: a refresh ends the access tokens handed out before it.
    `narrows`: a refresh with fewer scopes answers a token with fewer scopes.
    `grants_apart`: each consent is a grant of its own, so that ending the one before leaves the new one. False where nothing
    promises it: then a reconnect ends no refresh token.
    `category`: under which heading the list of providers shows it; empty for none.
    `picker`: `prompt=select_account` makes it ask which account (OpenID Connect Core section 3.1.2.1).
    `kind: key`: there is no OAuth; the person pastes a key, made at `create_url` and ended at `manual_revoke_url`.
    `account`, `label`: where the provider's own account id, and what a person recognises, stand in the user information or the
    token answer: the first found counts; `a.b` reaches inside, `a+b` joins two.
    Lifetimes are seconds; None where the provider's documents promise none for each app. `endless`: an access token is documented
    to have no end of its own. `assumed_lifetime`: after so long a token is renewed whose end neither the answer nor a document
    names; no page says it. `docs`: the pages that these facts rest on.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    title: str = Field(min_length=1, max_length=60)
    kind: Literal["oidc", "oauth", "key"]
    issuer: str = ""
    discovery: bool = False
    placeholders: dict[Annotated[str, Field(pattern=r"^[a-z]{1,20}$")], Placeholder] = {}
    values: dict[str, str] = {}
    authorize_url: str = ""
    token_url: str = ""
    refresh_url: str = ""
    revoke_url: str = ""
    userinfo_url: str = ""
    jwks_url: str = ""
    authorize_params: dict[str, str] = {}
    base_scopes: tuple[str, ...] = ()
    scope_separator: str = Field(default=" ", pattern=r"^[ ,]$")
    scopes: dict[str, ScopeFacts] = {}
    default_scopes: tuple[str, ...] = ()
    account: tuple[str, ...] = ("sub",)
    label: tuple[str, ...] = ("email", "preferred_username", "name")
    pkce: Literal[True, False, "public"] = True
    """Whether the S256 challenge is sent (RFC 7636). `public`: by an app without a secret alone, because the provider refuses it
    from one that has a secret; false: by none, because the provider takes another method alone."""
    pkce_docs: str = ""
    """Where the provider says so, if not to everybody."""
    iss: bool = False
    client_auth: Literal["basic", "post"] = "basic"
    rotates: bool = True
    narrows: bool = False
    access_lifetime: int | None = Field(default=None, gt=0)
    endless: bool = False
    assumed_lifetime: int | None = Field(default=None, gt=0)
    refresh_lifetime: int | None = Field(default=None, gt=0)
    refresh_idle_days: int | None = Field(default=None, gt=0, le=3650)
    """A refresh token that is not used for so long ends; each use begins it anew."""
    refresh_absolute_days: int | None = Field(default=None, gt=0, le=3650)
    """So long after the consent all refresh tokens of it end, however often they were used."""
    revoke_style: Literal["rfc7009", "github", "slack", "bearer", "stripe", "none"] = "rfc7009"
    revoke_effect: Literal["token", "grant", "none"] = "grant"
    ends_access: bool = False
    refresh_kills_previous: bool = True
    grants_apart: bool = False
    picker: bool = False
    category: Category = ""
    manual_revoke_url: str = ""
    quirks: Quirks = Quirks()
    create_url: str = ""
    """Where a key is made."""
    key_words: str = Field(default="", max_length=200)
    """What to paste."""
    placement: str = Field(default="authorization", pattern=r"^(authorization|header:[A-Za-z0-9-]{1,64})$")
    placement_words: str = Field(default="", max_length=200)
    rotate_days: int = Field(default=90, gt=0, le=3650)
    """After so many days the person is reminded to replace the key."""
    notes: tuple[Annotated[str, Field(max_length=300)], ...] = ()
    docs: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, found: Any) -> Any:
        """Put the operator's values in their places. Each is matched whole against its pattern, so that none reaches past its own
        part of the address."""
        if not isinstance(found, Mapping) or not isinstance(found.get("placeholders"), Mapping):
            return found
        values = {name: _value(name, one, found.get("values")) for name, one in found["placeholders"].items()}
        return {**found, **{
            key: HOLE.sub(lambda hole: values.get(hole[1]) or hole[0], str(found[key])) for key in URLS if found.get(key)
        }}

    @field_validator(*URLS)
    @classmethod
    def _url(cls, value: str, info: ValidationInfo) -> str:
        check_url(HOLE.sub("hole", value), local=bool((info.context or {}).get("local")))
        return value

    @field_validator("docs", "pkce_docs")
    @classmethod
    def _docs(cls, value: tuple[str, ...] | str) -> tuple[str, ...] | str:
        for one in (value,) if isinstance(value, str) else value:
            check_url(one.partition("#")[0])
        return value

    @model_validator(mode="after")
    def _agrees(self) -> ProviderFacts:
        """An entry does not contradict itself."""
        declared = set(self.placeholders)
        used = {name for key in URLS for name in HOLE.findall(getattr(self, key))}
        if unknown := (used - declared) | (set(self.values) - declared):
            raise ValueError(f"no placeholder is declared for {', '.join(sorted(unknown))}")
        if self.kind == "key" and (self.authorize_url or self.token_url or not self.scopes):
            raise ValueError("a key has scopes that say what it can do, and no authorization or token address")
        if unknown := set(self.default_scopes) - set(self.scopes):
            raise ValueError(f"default_scopes: no words for {', '.join(sorted(unknown))}")
        if grave := sorted(scope for scope in self.base_scopes if self.effect(scope) in GRAVE):
            raise ValueError(f"base_scopes: {', '.join(grave)} is granted without asking, so it needs words and a mild effect")
        if self.kind != "key" and not self.quirks.scope_parameter and len(self.scopes) != 1:
            raise ValueError("where no scope is asked for, exactly one scope says what a token can do")
        if (self.access_lifetime is not None) + self.endless + (self.assumed_lifetime is not None) > 1:
            raise ValueError("access_lifetime: of this, `endless` and `assumed_lifetime` one at most is true")
        if (self.revoke_style == "none") != (self.revoke_effect == "none") and self.kind != "key":
            raise ValueError("revoke_style and revoke_effect are both `none`, or neither is")
        return self

    @property
    def needs(self) -> dict[str, Placeholder]:
        """The placeholders that the operator has to fill before accounts can be connected."""
        open_ = {name for key in URLS for name in HOLE.findall(getattr(self, key))}
        return {name: one for name, one in self.placeholders.items() if name in open_}

    @property
    def renewed_after(self) -> int | None:
        """Seconds after which a token is renewed whose answer named no end (RFC 6749 section 5.1)."""
        return self.access_lifetime or self.assumed_lifetime

    @property
    def access_outlives(self) -> bool:
        """Whether access that was handed out may go on after the provider confirmed that the grant has ended. Where it can end a
        token alone, each one is ended by itself."""
        return self.revoke_effect != "token" and not self.ends_access

    def known(self, scope: str) -> ScopeFacts | None:
        return self.scopes.get(scope) or STANDARD.get(scope) or MARKS.get(scope)

    def effect(self, scope: str) -> Effect:
        """A scope that nobody described counts as destructive."""
        found = self.known(scope)
        return found.effect if found is not None else UNKNOWN_EFFECT

    def words(self, scope: str) -> str:
        """Empty for a scope that nobody described: its name is a stranger's, and stands in no sentence of ours."""
        found = self.known(scope)
        return found.words if found is not None else ""

    def grave(self, scopes: Iterable[str]) -> set[str]:
        """Those of the scopes that are minted only with evidence."""
        return {scope for scope in scopes if scope not in self.base_scopes and self.effect(scope) in GRAVE}

    @property
    def callback(self) -> Literal["shared", "own"]:
        return "shared" if self.iss else "own"


def check_url(value: str, *, local: bool = False) -> None:
    """Raises ValueError. `local`: an evaluation instance's own file may name this machine without TLS."""
    if value and not _address(value, local=local):
        raise ValueError("a provider's address is https://host/…, without user or fragment")


def _address(value: str, *, local: bool) -> bool:
    try:
        parts = urlsplit(value)
        usual = parts.port != 0 and plain(value)
    except ValueError:
        return False
    loopback = local and parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")
    secure = parts.scheme == "https" or loopback
    return usual and secure and bool(parts.hostname) and parts.username is None and not parts.fragment


def _value(name: str, placeholder: Any, values: Any) -> str:
    """The value of one placeholder, or nothing where it is still to be given."""
    given = values.get(name) if isinstance(values, Mapping) else None
    found = placeholder if isinstance(placeholder, Mapping) else {}
    value = str(given if given is not None else found.get("default") or "")
    try:
        fits = re.fullmatch(str(found.get("pattern", "")), value) is not None
    except re.error:
        return ""
    if value and not fits:
        raise ValueError(f"values.{name}: {value[:40]!r} is not {found.get('words', 'what is expected')}")
    return value
