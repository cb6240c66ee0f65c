"""A real OpenBao and a real keeper process on a temporary instance, with the faults that tests inject."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tests.authenticator import Passkey
from tests.processes import ended
from vault import authority, embedded, people, tickets
from vault.client import Vault
from vault.door import Answer, Door, SessionProof
from vault.errors import KeeperError
from vault.evidence import Statement
from vault.login import AppRole
from vault.merkle_verify import EMPTY
from vault.people import Person
from vault.secret import Secret
from vault.settings import Settings, load
from vault.table import Keeper, make, utc_now

ROOT = Path(__file__).resolve().parent.parent
SEALER = "test-sealer"
PUBLIC_URL = "http://localhost:8000"

# `sys/seal` needs sudo, which nothing of ours has; nor does anything of ours make a provider unknown again. The tests add an
# AppRole of their own to the self-initialisation; a vault sealed in this way stays sealed until it is started again.
SEALING = [
    embedded.Request("sealer-policy", f"sys/policies/acl/{SEALER}", {
        "policy": 'path "sys/seal" { capabilities = ["update", "sudo"] }\n'
                  'path "counterseal-kv/metadata/providers/*" { capabilities = ["delete"] }',
    }),
    embedded.Request("sealer", f"auth/approle/role/{SEALER}", {"token_policies": [SEALER], "token_no_default_policy": True}),
    embedded.Request("sealer-id", f"auth/approle/role/{SEALER}/role-id", {"role_id": SEALER}),
    embedded.Request("sealer-secret", f"auth/approle/role/{SEALER}/custom-secret-id", {"secret_id": SEALER + "-secret"}),
]


def until(true: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.03)


@dataclass
class KeeperParts:
    """`door` is a client of the running keeper; `inside()` is a Keeper object of the test's own on the same vault, with a
    clock of its own: for handlers under a moved clock, and for writing what the app never could."""

    instance: Path
    door: Door
    evaluation: bool
    log: Path
    module: str = "vault.keeper"
    """What is run as the keeper: the real one, or the real one made otherwise from outside (`tests.impatient`)."""
    _vault: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _keeper: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _inside: Keeper | None = field(default=None, repr=False)

    def start_vault(self) -> None:
        with self.log.open("ab") as log:
            self._vault = subprocess.Popen(
                embedded.command(self.instance), env=embedded.environment(self.instance), stdout=log, stderr=log
            )
        until(lambda: embedded.ready(self.instance), "the vault is ready")

    def stop_vault(self) -> None:
        self._vault = _stop(self._vault)

    def seal(self) -> None:
        """Truly sealed: it answers 503 until `stop_vault` and `start_vault`."""
        sealer = self._sealer()
        sealer.write("sys/seal", {})
        until(lambda: sealer.state()[0] == "sealed", "the vault is sealed")
        sealer.wire.close()

    def _sealer(self) -> Vault:
        login = AppRole(SEALER, lambda: Secret(SEALER + "-secret"))
        return Vault(Settings(self.instance).address, login=login, timeout=5.0)

    def forget_providers(self, names: Iterable[str]) -> None:
        """Those that nobody but one test knows: all tests of a session share the vault."""
        sealer = self._sealer()
        for name in names:
            sealer.request("DELETE", f"counterseal-kv/metadata/providers/{name}")
        sealer.wire.close()

    def unseal(self) -> None:
        self.stop_vault()
        self.start_vault()

    def mend(self) -> None:
        """Start again what a test stopped or sealed."""
        status = self.door.status()
        if status.vault != "ready":
            self.unseal()
        if status.keeper != "ready":
            self.stop_keeper()
            self.start_keeper()

    def forget_log(self) -> None:
        """Each test has a database and so a log of its own: nothing was published for it yet."""
        keeper = self.inside()
        found = keeper.kv.read("log/head")
        if found is not None:
            keeper.kv.write("log/head", {"size": 0, "root": base64.b64encode(EMPTY).decode(), "note": ""}, found.version)
        keeper.vault.wire.close()

    def start_keeper(self) -> None:
        flags = ["--evaluation"] if self.evaluation else []
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", self.module, "--instance", str(self.instance), *flags],
                env={**os.environ, "COUNTERSEAL_PUBLIC_URL": PUBLIC_URL}, cwd=ROOT, stdout=log, stderr=log,
            )
        until(lambda: self.door.status().keeper == "ready", "the keeper is ready")
        if self.door.status().vault == "ready":
            self.door.log_head()  # the first request says which instance this is

    def stop_keeper(self) -> None:
        self.door.close()  # gunicorn waits 5 s for a kept connection
        self._keeper = _stop(self._keeper)

    def close(self) -> None:
        self.door.close()
        if self._inside:
            self._inside.vault.wire.close()

    @property
    def keeper_pid(self) -> int:
        assert self._keeper
        return self._keeper.pid

    def inside(self, clock: Callable[[], datetime] | None = None) -> Keeper:
        if self._inside is None:
            environ = {"COUNTERSEAL_PUBLIC_URL": PUBLIC_URL}
            self._inside = make(load(self.instance, evaluation=self.evaluation, environ=environ))
        return replace(self._inside, memory={}, clock=clock or utc_now)

    def raw(self, name: str, body: bytes) -> tuple[int, dict[str, str]]:
        """One request as bytes, past the client."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.door.socket))
        try:
            connection.request("POST", f"/{name}", body)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


def _stop(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        ended(process)


@contextmanager
def serve(
    *, evaluation: bool = False, start: bool = True, extra: Sequence[embedded.Request] = (), module: str = "vault.keeper",
    settings: str = "",
) -> Iterator[KeeperParts]:
    """A fresh instance in a short path (a socket may have 107 bytes), removed at the end; without `start` only prepared. `extra`
    is what an operator of this vault did besides, `settings` its keeper.toml."""
    folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))
    embedded.prepare(folder, [*SEALING, *extra])
    door = Door(folder / "run" / "keeper" / "door.sock")
    parts = KeeperParts(folder, door, evaluation, folder / "log", module)
    if settings:
        (folder / "keeper.toml").write_text(settings)
    try:
        if start:
            parts.start_vault()
            parts.start_keeper()
        yield parts
    except (TimeoutError, KeeperError):
        sys.stderr.write(parts.log.read_text())
        raise
    finally:
        parts.close()
        parts.stop_keeper()
        parts.stop_vault()
        shutil.rmtree(folder, ignore_errors=True)


def ask(app: Any, name: str, body: bytes, *, peer: Any = None) -> dict[str, Any]:
    """One request to the keeper's WSGI app in this process, from a peer with our own uid unless another is given."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    environ = {
        "gunicorn.socket": peer or ours, "REQUEST_METHOD": "POST", "PATH_INFO": f"/{name}", "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    try:
        return dict(json.loads(b"".join(app(environ, lambda _status, _headers: None))))
    finally:
        ours.close()
        theirs.close()


@dataclass(frozen=True)
class SignedPerson:
    """A person the keeper knows, with a session. `proof` has no factor until `passkey` or `code` gave one."""

    id: str
    proof: SessionProof
    passkey: Passkey | None = None


def sign_in(parts: KeeperParts, groups: tuple[str, ...] = (), *, name: str = "Ada", now: datetime | None = None) -> SignedPerson:
    """What a sign-in leaves behind: the keeper's record of the person, and a ticket bound to a new session."""
    keeper = parts.inside((lambda: now) if now else None)
    who = f"per_{secrets.token_hex(10)}"
    people.record(keeper, Person(who, "https://idp.example", who, name, f"{name.lower()}@example.com", groups, keeper.clock()))
    ticket = tickets.new(
        person=who, name=name, email=f"{name.lower()}@example.com", groups=groups, auth_time=keeper.clock(), now=keeper.clock()
    )
    session = Secret(secrets.token_urlsafe(32))
    return SignedPerson(who, SessionProof(authority.issue(keeper, ticket, session), session))


def with_passkey(parts: KeeperParts, person: SignedPerson, *, origin: str = PUBLIC_URL) -> SignedPerson:
    """Enrol a passkey made in software; the new proof records it."""
    passkey = Passkey()
    begun = parts.door.passkey_begin(proof=person.proof, account="ada@example.com")
    assert begun.options is not None
    attestation = passkey.create(begun.options, origin=origin)
    done = parts.door.passkey_finish(proof=person.proof, sealed=begun.sealed, attestation=attestation, name="Laptop")
    return SignedPerson(person.id, SessionProof(done.ticket, person.proof.session), passkey)


def decide(parts: KeeperParts, person: SignedPerson, envelope: bytes, verdict: Literal["approve", "confirm"]) -> Statement:
    """Approve or confirm with the person's passkey, as a browser would."""
    assert person.passkey
    asked = parts.door.decision_challenge(proof=person.proof, envelope=envelope, verdict=verdict)
    assert asked.options is not None
    answer = Answer(sealed=asked.sealed, assertion=person.passkey.get(asked.options, origin=PUBLIC_URL))
    return parts.door.decide(proof=person.proof, envelope=envelope, verdict=verdict, answer=answer)
