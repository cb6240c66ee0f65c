"""Settings, from `COUNTERSEAL_*` in the environment over `counterseal.toml` in the instance folder. Every limit has a name here.

Times are seconds unless the name says otherwise; sizes are bytes.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from webapp.config_approvals import Approvals, Undo
from webapp.config_notices import Notices

HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)
"""As `urlsplit` gives it: a name, or the number of an address."""


class People(BaseModel):
    """Signing in, and sessions."""

    idp: str = "main"
    idp_title: str = "single sign-on"
    """What the sign-in button calls the identity provider: "Continue with …"."""
    idle: int = 8 * 3600
    absolute: int = 24 * 3600
    seen_every: int = 60
    """How often a session's last use is written at most."""
    attempts: int = 5
    """Wrong codes within `attempts_window` before a person has to wait."""
    attempts_window: int = 300
    attempt_lifetime: int = 600
    """A sign-in or connection that was begun and not finished."""
    admin_groups: list[str] = ["admin"]
    auditor_groups: list[str] = ["audit"]


class OAuth(BaseModel):
    """Our authorization server."""

    access_lifetime: int = 600
    refresh_lifetime: int = 30 * 86400
    code_lifetime: int = 60
    registrations_per_hour: int = 60
    registrations_per_source: int = 20
    """Of one IPv4 address or IPv6 /64, in one hour."""
    registration_bytes: int = 16_000
    redirect_uris: int = 10
    unused_client: int = 30 * 86400
    """A client that registered itself and that nobody ever allowed anything is forgotten after this."""


class Clients(BaseModel):
    """Token clients."""

    certificate_lifetime: int = Field(default=24 * 3600, ge=300, le=24 * 3600)
    """A certificate lives this long, a day at most; its client renews it by itself."""
    renewals_per_hour: int = 12
    """Of one client's certificate."""
    authority_look: int = Field(default=60, ge=1, le=1800)
    """A web process that ends TLS looks so often which authorities for client certificates are believed."""
    requests_per_minute: int = Field(default=600, ge=1)
    """Of one client at the token endpoint, in each web process. Beyond it nothing is judged and nothing written."""


class Gateway(BaseModel):
    """MCP in front of the servers."""

    wait_leg: int = 45
    wait_legacy: int = 50
    ping_every: int = 10
    rounds: int = 9
    poll_interval_ms: int = 2000
    waiting_per_person: int = 20
    waiting_total: int = 400
    request_bytes: int = 1_000_000
    response_bytes: int = 8_000_000
    depth: int = 32
    values: int = 20_000
    upstream_timeout: int = 30
    upstream_connections: int = 64
    session_idle: int = 24 * 3600
    origins_kept: int = Field(default=3600, ge=60, le=24 * 3600)
    """For how long it can be told in which earlier result a held call's values were."""
    origins_values: int = Field(default=2000, ge=0, le=100_000)
    """Of one agent of one person: more are forgotten, the oldest results first. 0: none is kept."""
    tainted: int = Field(default=3600, ge=60, le=30 * 86400)
    """For how long an agent counts as tainted, at every server, after calling a tool that brings in what strangers can write."""
    url_elicitation_required: list[str] = []
    """Client ids that get -32042 on 2025-11-25."""


class Broker(BaseModel):
    cap: int = 300
    """The longest lease."""
    history: int = Field(default=400 * 86400, ge=86400)
    """How long it is kept which agent or server used which account, for the person's pages. The log keeps it for ever."""
    revoke_backoff_max: int = 3600


class Rotation(BaseModel):
    """Keys in the vault, and refresh tokens that would end unused, are replaced by themselves."""

    keys_days: int = Field(default=90, ge=1, le=3650)
    """How old a version of a key gets."""
    ca_days: int = Field(default=365, ge=1, le=3000)
    """How old the authority for client certificates gets before the next one is made. Each lives for ten years."""
    client_secret_days: int = Field(default=365, ge=1, le=3650)
    """How old a client secret at a provider or identity provider gets before admins are reminded to replace it."""
    renewals_per_minute: int = Field(default=30, ge=1, le=1000)
    """Of accounts at one provider, in each worker: what was due while no worker ran is not asked for all at once."""


class Incidents(BaseModel):
    """Suspected compromise."""

    look_back_days: int = Field(default=30, ge=1, le=400)
    """How far back a report says what was used."""


class Insights(BaseModel):
    """What is counted of decisions, and what is kept of calls so that other rules can be tried on them."""

    few: int = Field(default=5, ge=1, le=1000)
    """A median or a 95th percentile of fewer cases says nothing, and is not shown."""
    cases: int = Field(default=20, ge=1, le=10_000)
    """A rule whose holds were approved at least as often, and never refused, is shown as one to look at."""
    requests_days: int = Field(default=30, ge=1, le=90)
    """How long it is kept what rules were asked about a call: facts in their typed form, no arguments."""
    requests_most: int = Field(default=200_000, ge=100, le=5_000_000)
    """How many of them; beyond it the oldest go first."""
    replay_seconds: int = Field(default=90, ge=1, le=100)
    """How long one trial that was begun on a page may take. What it did not reach is said."""


class Policy(BaseModel):
    zone: str = "UTC"
    business_days: list[int] = [0, 1, 2, 3, 4]
    business_from: int = 8
    business_to: int = 18
    base_currency: str = "EUR"
    rates: dict[str, str] = {}
    """Units of the base currency for one unit of another, as decimals in text."""


class Web(BaseModel):
    languages: list[str] = Field(default=[], max_length=20)
    """Of the languages that pages are whole in, those to offer (`["en", "de"]`). Empty: all."""
    streams_per_person: int = 10
    streams_total: int = 500
    form_bytes: int = 64_000
    sign_ins_per_minute: int = 60
    """Begun from one IPv4 address or IPv6 /64, in each web process: a coarse limit on what needs no sign-in."""
    logout_tokens_per_minute: int = 600
    """The same, of logout tokens: an identity provider sends those of all its people from one address."""
    trusted_proxies: list[str] = []
    """Networks (`10.0.0.0/8`) of reverse proxies whose `X-Forwarded-For` is believed; `unix` for one that comes by a socket."""
    client_certificate_header: str = ""
    """The header in which such a proxy hands on the client certificate, as URL-escaped PEM; it must set it on every request."""
    certfile: Path | None = None
    keyfile: Path | None = None
    """TLS in the web process itself (PEM). Needs an https `public_url`."""

    @model_validator(mode="after")
    def _together(self) -> Self:
        """A header that nobody may send would be a setting without effect; a half of TLS would be none."""
        if self.client_certificate_header and not self.trusted_proxies:
            raise ValueError("client_certificate_header needs trusted_proxies: it is believed of nobody else")
        if (self.certfile is None) != (self.keyfile is None):
            raise ValueError("certfile and keyfile belong together")
        return self


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="COUNTERSEAL_", env_nested_delimiter="__", extra="forbid")

    instance: Path = Path("instance")
    public_url: str = "http://localhost:8000"
    database_url: str = ""
    door_socket: Path | None = None
    door_timeout: float = 5.0
    evaluation: bool = False
    only: Literal["", "pages", "gateway"] = ""
    people: People = Field(default_factory=People)
    oauth: OAuth = Field(default_factory=OAuth)
    clients: Clients = Field(default_factory=Clients)
    gateway: Gateway = Field(default_factory=Gateway)
    approvals: Approvals = Field(default_factory=Approvals)
    broker: Broker = Field(default_factory=Broker)
    rotation: Rotation = Field(default_factory=Rotation)
    incidents: Incidents = Field(default_factory=Incidents)
    notices: Notices = Field(default_factory=Notices)
    insights: Insights = Field(default_factory=Insights)
    policy: Policy = Field(default_factory=Policy)
    web: Web = Field(default_factory=Web)

    @field_validator("instance")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.resolve()

    @field_validator("public_url")
    @classmethod
    def _origin_only(cls, value: str) -> str:
        """The one source of issuer, rpId, origin, scheme and resource: so it is an origin and nothing else."""
        parts = urlsplit(value)
        beyond = parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None
        usual = all("!" <= char <= "~" for char in value) and HOST.fullmatch(parts.hostname or "")
        if parts.scheme not in ("http", "https") or beyond or not usual:
            raise ValueError("public_url is scheme://host[:port], without a path, blanks or unusual characters")
        return f"{parts.scheme}://{parts.netloc}"

    @model_validator(mode="after")
    def _brisk(self) -> Self:
        """A demonstration shows the undo window and does not make people wait long for it, where nobody said otherwise."""
        if self.evaluation and "undo" not in self.approvals.model_fields_set:
            self.approvals = self.approvals.model_copy(update={"undo": Undo(send=10, money=10, destroy=10)})
        return self

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.instance / 'counterseal.sqlite'}"

    @property
    def socket(self) -> Path:
        return self.door_socket or self.instance / "run" / "keeper" / "door.sock"

    @property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def host(self) -> str:
        return urlsplit(self.public_url).hostname or ""

    @property
    def netloc(self) -> str:
        return urlsplit(self.public_url).netloc

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        folder = Path(os.environ.get("COUNTERSEAL_INSTANCE", "instance"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, folder / "counterseal.toml")
