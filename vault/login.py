"""The ways to a token of the keeper's own. Each reads its credential when it is asked, so that a rotated file is picked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vault.reach import read_secret
from vault.secret import Secret


class Login(Protocol):
    """Either `given` answers the token itself, or `path` and `body` are a request that is answered with one."""

    @property
    def words(self) -> str:
        """What it logs in with, for people."""

    def given(self) -> Secret[str] | None: ...

    @property
    def path(self) -> str: ...

    def body(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class AppRole:
    role_id: str
    secret_id: Callable[[], Secret[str]]
    mount: str = "approle"
    words: str = "its AppRole's secret id"

    def given(self) -> None:
        return None

    @property
    def path(self) -> str:
        return f"auth/{self.mount}/login"

    def body(self) -> Mapping[str, str]:
        return {"role_id": self.role_id, "secret_id": self.secret_id().reveal()}


@dataclass(frozen=True)
class Kubernetes:
    """A service account's token; Kubernetes replaces the file before it ends."""

    role: str
    jwt_file: Path
    mount: str = "kubernetes"
    words: str = "its Kubernetes service account"

    def given(self) -> None:
        return None

    @property
    def path(self) -> str:
        return f"auth/{self.mount}/login"

    def body(self) -> Mapping[str, str]:
        return {"role": self.role, "jwt": read_secret(self.jwt_file).reveal()}


@dataclass(frozen=True)
class Cert:
    """The certificate itself is in the TLS handshake."""

    role: str
    mount: str = "cert"
    words: str = "its client certificate"

    def given(self) -> None:
        return None

    @property
    def path(self) -> str:
        return f"auth/{self.mount}/login"

    def body(self) -> Mapping[str, str]:
        return {"name": self.role}


@dataclass(frozen=True)
class Token:
    """A token that somebody else made: an operator, or an agent that writes it to a file."""

    token: Callable[[], Secret[str]]
    words: str = "the token it was given"

    def given(self) -> Secret[str]:
        return self.token()

    @property
    def path(self) -> str:
        return "auth/token/lookup-self"

    def body(self) -> Mapping[str, str]:
        return {}
