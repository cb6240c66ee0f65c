"""The keeper's own settings: the environment over `keeper.toml`, which the web process need not be able to write.

`public_url` alone is also taken from `counterseal.toml`, where both processes read one folder.
"""

from __future__ import annotations

import math
import os
import ssl
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vault import reach
from vault.addresses import plain
from vault.login import AppRole, Cert, Kubernetes, Login, Token
from vault.reach import BadSettings as BadSettings
from vault.secret import Secret

STARTED = "started"
"""File in the instance's vault folder, written when its vault was first ready."""
RESTORED = "restored"
"""File in the instance's vault folder with the time at which it was restored from a backup, where it was."""
LOCAL = "http://localhost:8000"
ROLE = "counterseal-keeper"
SPANS = {"secret_id_days": ("days", 3650), "ca_lead_hours": ("hours", 2160), "lost_volume_minutes": ("minutes", 10_080)}
"""Whole numbers from 1 to so many."""


@dataclass(frozen=True)
class Settings:
    """`evaluation` is the composition asked for; whether the vault agrees is read from its mark (`vault.mark`)."""

    instance: Path
    evaluation: bool = False
    public_url: str = LOCAL
    vault_address: str = ""
    """`unix:<path>`, `http://…` or `https://…`, or several with commas between; empty: the instance's own OpenBao."""
    namespace: str = ""
    ca_cert: Path | None = None
    """PEM: the only authority believed, where it is given."""
    client_cert: Path | None = None
    client_key: Path | None = None
    auth: str = "approle"
    """One of `vault.reach.AUTH`."""
    auth_mount: str = ""
    """Empty: named as the method is."""
    auth_role: str = ROLE
    """Of Kubernetes and certificate login."""
    role_id: str = ROLE
    secret_id_file: Path | None = None
    jwt_file: Path = reach.SERVICE_ACCOUNT
    token_file: Path | None = None
    token: Secret[str] | None = None
    """From the environment alone."""
    prefix: str = "counterseal-"
    """Of the mounts' names."""
    uids: frozenset[int] = field(default_factory=lambda: frozenset({os.getuid()}))
    """Users that may use the door."""
    operators: frozenset[int] = field(default_factory=lambda: frozenset({os.getuid(), 0}))
    """Users that may set up identity providers and providers through it."""
    group: str = ""
    """Group whose members reach the socket, where the web process has a user of its own. Empty: the keeper's own user alone."""
    timeout: float = 4.0
    """Seconds to wait for Vault: less than the door's callers wait for us, so that they hear which of the two is away."""
    secret_id_days: int = 30
    """How old the keeper lets its secret-id get (`vault.secret_ids`)."""
    ca_lead_hours: int = 168
    """How long a new authority for client certificates is believed before it signs (`vault.issuers`): whoever copies its
    certificate to a proxy has that long."""
    lost_volume_minutes: int = 30
    """How long a spool volume is waited for on which the answer to a renewal may lie (`vault.volumes`): longer than a machine of
    yours takes to come back."""
    workers: int = 1
    mints_per_minute: int = 60_000
    """Of one connection, in each keeper process: what a web process that was taken over could get at most."""
    refreshes_per_minute: int = 60
    """The same, of those mints that ask the provider."""
    break_glass: frozenset[str] = frozenset()
    """Persons who may pass an action alone, by person id, or by issuer and subject with a blank between. Nobody, unless named."""
    recovery_groups: frozenset[str] = frozenset()
    """Groups, as the identity provider names them: two people of them together may let somebody set up a new second step
    (`vault.readmission`). Nobody, unless named; in an evaluation instance, whose groups are fixed, its administrators."""
    widen: Mapping[str, Any] = field(default_factory=dict)
    """By provider: scopes minted without evidence although the catalogue marks them as money or destructive."""

    @property
    def recoverers(self) -> frozenset[str]:
        return self.recovery_groups or (frozenset({"admin"}) if self.evaluation else frozenset())

    @property
    def address(self) -> str:
        return self.vault_address or f"unix:{self.instance / 'run' / 'vault' / 'vault.sock'}"

    @property
    def mount(self) -> str:
        """Where the way to log in is mounted, under `auth/`."""
        return self.auth_mount.rstrip("/") or self.auth

    def login(self) -> Login:
        if self.auth == "kubernetes":
            return Kubernetes(self.auth_role, self.jwt_file, self.mount)
        if self.auth == "cert":
            return Cert(self.auth_role, self.mount)
        if self.auth == "token":
            return Token(self._given_token)
        return AppRole(self.role_id, self.secret_id, self.mount)

    def tls(self) -> ssl.SSLContext | None:
        """Made anew from the files each time. Raises BadSettings."""
        if not self.address.startswith("https://"):
            return None
        return reach.tls(self.ca_cert, self.client_cert, self.client_key)

    @property
    def socket(self) -> Path:
        return self.instance / "run" / "keeper" / "door.sock"

    @property
    def origin(self) -> str:
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def host(self) -> str:
        return urlsplit(self.public_url).hostname or ""

    @cached_property
    def restored_at(self) -> datetime | None:
        """When the instance's own vault was restored from a backup; None if never. Raises BadSettings."""
        try:
            found = datetime.fromisoformat((self.instance / "vault" / RESTORED).read_text().strip())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise BadSettings(f"{RESTORED}: {error}") from error
        if found.tzinfo is None:
            raise BadSettings(f"{RESTORED}: a time without a zone")
        return found

    def note_started(self) -> None:
        """From now on the instance's own vault may hold something: `vault.embedded` must never again set it aside."""
        if not self.vault_address:
            (self.instance / "vault" / STARTED).touch(mode=0o600)

    def secret_id(self) -> Secret[str]:
        """Raises BadSettings where the file cannot be read."""
        return reach.read_secret(self.secret_id_file or self.instance / "vault" / "secret-id")

    def _given_token(self) -> Secret[str]:
        if self.token is not None:
            return self.token
        return reach.read_secret(self.token_file or self.instance / "vault" / "token")


def load(instance: Path, *, evaluation: bool, environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises BadSettings for an unknown name, values that contradict each other, a `public_url` that is no origin, or an
    evaluation instance that is not local. Such a one keeps to its own vault, whatever the environment names."""
    found = Settings(instance=instance.resolve(), evaluation=evaluation)
    shared = _toml(instance / "counterseal.toml").get("public_url")
    own = _toml(instance / "keeper.toml")
    unknown = set(own) - {one.name for one in fields(Settings)} | set(own) & {"instance", "evaluation"}
    if unknown:
        raise BadSettings(f"keeper.toml: unknown {', '.join(sorted(unknown))}")
    if "token" in own:
        raise BadSettings("a token does not belong into keeper.toml: put it into a file of its own and name that in token_file")
    if evaluation and "vault_address" in own:
        raise BadSettings("an evaluation instance keeps to its own vault: take vault_address out of keeper.toml")
    own = reach.settled({**own, **({} if evaluation else reach.from_environment(environ))})
    own |= _checked(own)
    url = environ.get("COUNTERSEAL_PUBLIC_URL") or own.get("public_url") or shared or LOCAL
    found = replace(found, **{**own, "public_url": str(url).rstrip("/")})
    parts = urlsplit(found.public_url)
    beyond = parts.path or parts.query or parts.fragment or parts.username is not None
    if parts.scheme not in ("http", "https") or beyond or not plain(found.public_url):
        raise BadSettings("public_url is scheme://host[:port], without a path, blanks or unusual characters")
    if evaluation and parts.hostname != "localhost":
        raise BadSettings("an evaluation instance is on localhost")
    return found


def _checked(own: Mapping[str, Any]) -> dict[str, frozenset[Any]]:
    """The sets of users. Raises BadSettings for what is of another kind than its setting."""
    _check_numbers(own)
    if not isinstance(own.get("group", ""), str):
        raise BadSettings("keeper.toml: group is a group's name")
    widen = own.get("widen", {})
    if not isinstance(widen, dict) or not all(isinstance(one, list) and _texts(one) for one in widen.values()):
        raise BadSettings("keeper.toml: widen is a table: a list of scopes for each provider")
    users = {name: own[name] for name in ("uids", "operators") if name in own}
    for name, found in users.items():
        if not isinstance(found, list) or not all(type(uid) is int and uid >= 0 for uid in found):
            raise BadSettings(f"keeper.toml: {name} is a list of user ids, numbers")
    sets: dict[str, frozenset[Any]] = {name: frozenset(found) for name, found in users.items()}
    return {**sets, **_named(own)}


def _named(own: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    """Who may do what is by names. Raises BadSettings."""
    words = {
        "break_glass": "a list of person ids, or of issuer and subject with a blank between",
        "recovery_groups": "a list of groups, as the identity provider names them",
    }
    for name, meant in words.items():
        found = own.get(name, [])
        if not isinstance(found, list) or not _texts(found) or not all(found):
            raise BadSettings(f"keeper.toml: {name} is {meant}")
    return {name: frozenset(own.get(name, ())) for name in words}


def _check_numbers(own: Mapping[str, Any]) -> None:
    for name in ("mints_per_minute", "refreshes_per_minute", "workers"):
        if name in own and (type(own[name]) is not int or own[name] < 1):
            raise BadSettings(f"keeper.toml: {name} is a number of at least 1")
    for name, (unit, most) in SPANS.items():
        if type(own.get(name, 1)) is not int or not 1 <= own.get(name, 1) <= most:
            raise BadSettings(f"keeper.toml: {name} is a number of {unit} from 1 to {most}")
    if "timeout" in own and (type(own["timeout"]) not in (int, float) or not 0 < own["timeout"] < math.inf):
        raise BadSettings("keeper.toml: timeout is a number of seconds above 0")


def _texts(found: Sequence[Any]) -> bool:
    return all(isinstance(one, str) for one in found)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path.name}: {error}") from error
