"""How the keeper reaches its Vault or OpenBao, and as whom: addresses, TLS, namespace and login, held to each other before
anything is sent. The environment's names are those of Vault's and OpenBao's own tools
(https://developer.hashicorp.com/vault/docs/commands#configure-environment-variables)."""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vault.addresses import plain
from vault.errors import KeeperError
from vault.secret import Secret

AUTH = {
    "approle": {"auth_mount", "role_id", "secret_id_file"}, "kubernetes": {"auth_mount", "auth_role", "jwt_file"},
    "cert": {"auth_mount", "auth_role"}, "token": {"token_file", "token"},
}
"""The ways to log in, and the settings that belong to each."""
ENVIRONMENT = {
    "ADDR": "vault_address", "NAMESPACE": "namespace", "CACERT": "ca_cert", "CLIENT_CERT": "client_cert",
    "CLIENT_KEY": "client_key", "TOKEN": "token",
}
FILES = ("secret_id_file", "ca_cert", "client_cert", "client_key", "jwt_file", "token_file")
WORDS = ("namespace", "auth", "auth_mount", "auth_role", "role_id", "prefix")
ELSEWHERE = ("namespace", "ca_cert", "client_cert", "client_key", "auth_mount", "auth_role", "jwt_file", "token_file", "token")
"""What means nothing to the instance's own vault."""
PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}){0,9}/?")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class BadSettings(KeeperError):
    """Its words name the setting and never a secret value."""

    hint = "The keeper's settings cannot be used."

    def __init__(self, detail: str) -> None:
        super().__init__(detail, hint=f"The keeper's settings cannot be used: {detail}")


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """What `VAULT_…` (or `BAO_…`, as OpenBao's tools have it) say, by setting. Raises BadSettings where the two differ."""
    found: dict[str, Any] = {}
    for name, setting in ENVIRONMENT.items():
        said = {value for value in (environ.get(f"VAULT_{name}"), environ.get(f"BAO_{name}")) if value}
        if len(said) > 1:
            raise BadSettings(f"VAULT_{name} and BAO_{name} differ")
        for value in said:
            found[setting] = Secret(value.strip()) if setting == "token" else value
    for name in ("VAULT_SKIP_VERIFY", "BAO_SKIP_VERIFY"):
        if environ.get(name, "").lower() not in ("", "0", "false", "f"):
            raise BadSettings(f"{name} is set: the keeper always verifies TLS; name an authority of your own in ca_cert")
    return found


def settled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the keeper uses them. Raises BadSettings for one that is of another kind, unknown, or at odds with another."""
    found = dict(given)
    if isinstance(found.get("vault_address"), list):
        found["vault_address"] = ",".join(str(one) for one in found["vault_address"])
    for name in WORDS:
        if name in found and not (isinstance(found[name], str) and PLAIN.fullmatch(found[name])):
            raise BadSettings(f"{name} is a name: letters, digits, and - _ . /")
    for name in FILES:
        if name in found:
            if not isinstance(found[name], str) or not found[name]:
                raise BadSettings(f"{name} is a file's path")
            found[name] = Path(found[name])
    if "vault_address" in found:
        found["vault_address"] = ",".join(_addresses(found["vault_address"]))
    found["auth"] = _auth(found)
    _agree(found)
    return found


def _auth(found: Mapping[str, Any]) -> str:
    """The way to log in: what was said, or what a token stands for."""
    auth = str(found.get("auth") or ("token" if "token" in found or "token_file" in found else "approle"))
    if auth not in AUTH:
        raise BadSettings(f"auth is one of {', '.join(AUTH)}")
    for other, names in AUTH.items():
        for name in sorted(names - AUTH[auth]):
            if name in found and other != auth:
                why = "" if "auth" in found or "token" not in found else ": VAULT_TOKEN (or BAO_TOKEN) in the environment says so"
                raise BadSettings(f"{_named(name)} is for auth = {other!r}, and auth is {auth!r}{why}")
    return auth


def _agree(found: Mapping[str, Any]) -> None:
    address, auth = str(found.get("vault_address", "")), found["auth"]
    if not address:
        for name in ELSEWHERE:
            if name in found:
                raise BadSettings(f"{_named(name)} needs a vault_address; without one the instance's own vault is used")
        if auth != "approle":
            raise BadSettings("the instance's own vault knows auth = 'approle' alone")
        return
    if ("client_cert" in found) != ("client_key" in found):
        raise BadSettings("client_cert and client_key belong together")
    if any(name in found for name in ("ca_cert", "client_cert")) and not address.startswith("https://"):
        raise BadSettings("ca_cert and client_cert are for an https:// address")
    if auth == "cert" and "client_cert" not in found:
        raise BadSettings("auth = 'cert' needs client_cert and client_key, and an https:// address")
    if auth == "token" and ("token" in found) == ("token_file" in found):
        raise BadSettings("auth = 'token' needs token_file or VAULT_TOKEN, and not both")


def _addresses(given: Any) -> list[str]:
    if not isinstance(given, str) or not given.strip():
        raise BadSettings("vault_address is unix:<path>, http://… or https://…, or a list of those")
    found = [one.strip().rstrip("/") for one in given.split(",")]
    kinds = {one.partition(":")[0] for one in found}
    if len(kinds) > 1 or (kinds == {"unix"} and len(found) > 1) or len(set(found)) < len(found) or len(found) > 16:
        raise BadSettings("the addresses in vault_address are of one kind, each once, at most 16")
    for one in found:
        if not one.startswith("unix:/"):
            check_address(one)
    return found


def check_address(address: str) -> str:
    """An origin that a token may be sent to. Raises BadSettings."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise BadSettings("vault_address holds an address that cannot be read") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.path or port == 0:
        raise BadSettings("vault_address is unix:/path, http://host:port or https://host:port, without a path")
    if not plain(address):
        raise BadSettings("vault_address holds an address with a blank, or a character that no host has")
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise BadSettings(f"vault_address {address} would send tokens in clear: use https://, or this machine alone")
    return address


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _named(setting: str) -> str:
    return "VAULT_TOKEN" if setting == "token" else setting


def tls(ca_cert: Path | None, client_cert: Path | None, client_key: Path | None) -> ssl.SSLContext:
    """Believes `ca_cert` alone where there is one, the machine's authorities otherwise. Raises BadSettings."""
    try:
        context = ssl.create_default_context(cafile=ca_cert)
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"ca_cert {ca_cert}: {_why(error)}") from error
    if client_cert is not None:
        try:
            # Without a password of its own OpenSSL would ask for one on the terminal.
            context.load_cert_chain(client_cert, client_key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise BadSettings(f"client_cert {client_cert} with client_key {client_key}: {_why(error)}") from error
    return context


def read_secret(path: Path) -> Secret[str]:
    """A credential's file, read anew each time. Raises BadSettings where it cannot be read, or is empty."""
    try:
        found = Secret(path.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(f"{path}: {_why(error)}") from error
    if not found:
        raise BadSettings(f"{path} is empty")
    return found


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not a certificate or key that can be used ({error.reason or 'unreadable'})"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "not text"
