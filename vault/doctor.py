"""`counterseal vault doctor`: looks at the vault as the keeper and under its settings, and says what is wrong and how to mend it.

Each address first, then the login, then what the login opens; what cannot be reached is not guessed at."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vault import allowed, findings, operated
from vault.client import NO_LOGIN
from vault.errors import KeeperError
from vault.findings import Finding, State
from vault.operators import TOKENS, settings_of
from vault.reach import from_environment, read_secret
from vault.secret import Secret
from vault.settings import ROLE, BadSettings, Settings, load
from vault.table import session
from vault.wire import Heard, Unheard, Unreached, Wire

SKEW = timedelta(seconds=30)
"""More than this, and one-time codes, certificates and leases are judged by different times."""
SOON = timedelta(days=7)
NO_ANSWER = "Look at {root} operator raft list-peers: one node is the leader, and its api_addr is reachable from here."
OLDEST = {"OpenBao": (2, 5), "Vault": (1, 15)}
MARK = {"good": "ok   ", "wrong": "WRONG", "look": "look "}


def examine(settings: Settings, now: datetime, operator: Secret[str] | None = None) -> Iterator[Finding]:
    """Everything, as far as it can be reached; with an operator's token also what the keeper may not see. Raises BadSettings for
    certificates that cannot be used."""
    yield from findings.files(settings)
    nodes = [_Node(address, settings, now) for address in settings.address.split(",")]
    for node in nodes:
        yield from node.findings()
    if not any(node.open for node in nodes):
        return
    openbao = all(node.openbao for node in nodes)
    for one in (*_inside(settings, now, operator), *operated.audit(settings, operator, openbao)):
        yield one.typed(settings, "bao" if openbao else "vault")


def _inside(settings: Settings, now: datetime, operator: Secret[str] | None) -> Iterator[Finding]:
    vault = session(settings)
    try:
        vault.read("auth/token/lookup-self")
    except KeeperError as error:
        mend = _let_in(settings) if error.hint == NO_LOGIN else NO_ANSWER
        yield Finding("login", "wrong", f"The keeper cannot log in by {settings.auth}: {error.detail}", mend)
        vault.wire.close()
        return
    try:
        yield Finding("login", "good", f"The keeper logs in by {settings.auth}.")
        yield from findings.token(vault, settings)
        yield from findings.mounts(vault, settings.prefix)
        yield findings.records(vault, settings.prefix)
        yield from findings.keys(vault, settings.prefix)
        yield from findings.client_authority(vault, settings.prefix, now)
        yield from allowed.capabilities(vault, settings)
        yield from operated.policy(vault, settings, operator)
    except KeeperError as error:
        yield Finding("login", "wrong", f"The vault stopped answering: {error.detail}", "Run the doctor again.")
    finally:
        vault.wire.close()


def _let_in(settings: Settings) -> str:
    at = f"auth/{settings.mount}"
    return {
        "approle": f"Make another secret-id: {{cli}} write -f -field=secret_id {at}/role/{ROLE}/secret-id",
        "kubernetes": f"Look at {{cli}} read {at}/role/{settings.auth_role}: service account, namespace and audience.",
        "cert": f"Look at {{cli}} read {at}/certs/{settings.auth_role}: its certificate and allowed names.",
        "token": "Make another token: {policy} shows how.",
    }[settings.auth] + " A namespace that is not there, or a wrong auth_mount, is answered the same way."


class _Node:
    """One address."""

    def __init__(self, address: str, settings: Settings, now: datetime) -> None:
        self.address = address
        self.open = False
        """Unsealed, and so worth logging in to."""
        self.openbao = True
        self._settings = settings
        self._now = now

    def findings(self) -> Iterator[Finding]:
        wire = Wire(self.address, timeout=self._settings.timeout, tls=self._settings.tls())
        with closing(wire):
            try:
                heard = wire.request("GET", "/v1/sys/health", again=True)
                said = json.loads(heard.body)
            except (Unreached, Unheard) as error:
                yield self._unreached(error.__cause__)
                return
            except ValueError:
                said = None
        if not isinstance(said, dict) or "sealed" not in said:
            yield Finding("address", "wrong", f"{self.address} answers, but it is no Vault or OpenBao.", "Look at vault_address.")
            return
        # Vault says it from some release on; no OpenBao has had a 1 before the point.
        self.openbao = "enterprise" not in said and not str(said.get("version", "")).startswith("1.")
        yield self._state(heard, said)
        yield self._version(str(said.get("version", "")))
        yield self._clock(heard)
        yield from self._tls()

    def _unreached(self, cause: BaseException | None) -> Finding:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Finding(
                "tls", "wrong", f"{self.address}: its certificate is not believed: {cause.verify_message}",
                "Name the authority that signed it in ca_cert (VAULT_CACERT). The certificate must name the host of the address.",
            )
        if isinstance(cause, ssl.SSLError):
            return Finding("tls", "wrong", f"{self.address}: no TLS: {cause.reason}", "Look at the address and at client_cert.")
        why = getattr(cause, "strerror", None) or type(cause).__name__
        return Finding("address", "wrong", f"{self.address} does not answer: {why}", "Start it, or correct vault_address.")

    def _state(self, heard: Heard, said: dict[str, Any]) -> Finding:
        if not said.get("initialized", True):
            return Finding("address", "wrong", f"{self.address} is not initialised.", f"{self._cli} operator init")
        if said["sealed"]:
            return Finding("address", "wrong", f"{self.address} is sealed.", f"{self._cli} operator unseal")
        if heard.status in (472, 473):
            return Finding(
                "address", "wrong", f"{self.address} is a performance or recovery standby: what it reads may be old.",
                "Name the active node's address, or set disable_performance_standby = true on the servers.",
            )
        if heard.status == 530:
            return Finding("address", "wrong", f"{self.address} was taken out of its cluster.",
                           "Take it out of vault_address, or let it join anew with an empty data folder.")
        if heard.status == 474:
            words = f"{self.address} is a standby that does not reach the active node."
            return Finding("address", "wrong", words, NO_ANSWER)
        self.open = True
        return Finding("address", "good", f"{self.address} is {'a standby' if said.get('standby') else 'active'}.")

    def _version(self, version: str) -> Finding:
        name = "OpenBao" if self.openbao else "Vault"
        oldest = ".".join(map(str, OLDEST[name]))
        numbers = tuple(int(one) for one in version.split("+")[0].split("-")[0].split(".") if one.isdigit())
        if not numbers:  # a listener can be told to hide it (redact_version)
            words = f"{self.address} does not tell its version: is it {name} {oldest} or later?"
            return Finding("version", "look", words, f"{self._cli} version")
        if numbers < OLDEST[name]:
            return Finding("version", "wrong", f"{self.address} is {name} {version}.", f"Use {oldest} or later.")
        return Finding("version", "good", f"{self.address} is {name} {version}.")

    def _clock(self, heard: Heard) -> Finding:
        try:
            theirs = parsedate_to_datetime(heard.header("Date"))
        except ValueError:
            return Finding("clock", "look", f"{self.address} does not tell its time.", "Compare the clocks by hand.")
        apart = theirs.replace(tzinfo=theirs.tzinfo or UTC) - self._now
        if abs(apart) > SKEW:
            return Finding(
                "clock", "wrong", f"The clock of {self.address} differs from ours by {apart.total_seconds():+.0f} s.",
                "Set both by NTP (chronyc tracking, timedatectl).",
            )
        return Finding("clock", "good", f"The clock of {self.address} agrees with ours.")

    def _tls(self) -> Iterator[Finding]:
        context = self._settings.tls()
        if context is None:
            yield Finding("tls", "good", f"{self.address} stays on this machine.")
            return
        parts = urlsplit(self.address)
        host = parts.hostname or ""
        try:
            with socket.create_connection((host, parts.port or 443), self._settings.timeout) as plain, \
                    context.wrap_socket(plain, server_hostname=host) as sock:
                ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str((sock.getpeercert() or {})["notAfter"])), UTC)
                version = sock.version()
        except OSError as error:
            yield self._unreached(error)
            return
        state: State = "good" if ends > self._now + SOON else "look"
        yield Finding("tls", state, f"{self.address}: {version}, a certificate that we believe, until {ends:%Y-%m-%d}.",
                      "" if state == "good" else "Replace it in time.")

    @property
    def _cli(self) -> str:
        return "bao" if self.openbao else "vault"


def say(found: list[Finding]) -> str:
    lines = []
    for one in found:
        lines.append(f"{MARK[one.state]} {one.check}: {one.words}")
        if one.mend:
            lines.append(f"        -> {one.mend}")
    wrong = sum(one.state == "wrong" for one in found)
    looks = sum(one.state == "look" for one in found)
    lines.append(f"{wrong or 'Nothing'} wrong; {looks or 'nothing'} to look at yourself.")
    return "\n".join(lines) + "\n"


def _operator(file: Path | None) -> Secret[str]:
    """The operator's token: from a file, from the environment, or typed without an echo. Raises BadSettings."""
    if file is not None:
        return read_secret(file)
    given = from_environment({name: os.environ[name] for name in TOKENS if name in os.environ}).get("token")
    found = given or Secret((getpass.getpass("Operator's token: ") if sys.stdin.isatty() else sys.stdin.readline()).strip())
    if not found:
        raise BadSettings("no operator's token was given")
    return found


def _seen(instance: Path, ask: bool, file: Path | None) -> list[Finding]:
    """Raises BadSettings."""
    if not ask and file is None:
        return list(examine(load(instance, evaluation=(instance / "evaluation").is_dir()), datetime.now(UTC)))
    return list(examine(settings_of(instance), datetime.now(UTC), _operator(file)))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="counterseal vault doctor", description="Look at the vault as the keeper.")
    parser.add_argument("--instance", type=Path, required=True)
    parser.add_argument("--operator", action="store_true")
    parser.add_argument("--operator-file", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    try:
        found = _seen(given.instance, given.operator, given.operator_file)
    except BadSettings as error:
        found = [Finding("settings", "wrong", error.detail, "Look at keeper.toml and at VAULT_… in the environment.")]
    wrong = any(one.state == "wrong" for one in found)
    if given.json:
        sys.stdout.write(json.dumps({"ok": not wrong, "findings": [asdict(one) for one in found]}, indent=2) + "\n")
    else:
        sys.stdout.write(say(found))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
