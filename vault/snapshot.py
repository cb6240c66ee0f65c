"""Snapshots of an instance's own OpenBao, over its unix socket: taken from one that runs, and put into one that was just made.

A snapshot is a gzipped tar with digests of its parts (https://openbao.org/api-docs/system/storage/raft/). Its content is
encrypted by the vault's own keys: with the static seal's key it can be opened, and without it by nobody.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import shutil
import socket
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vault import embedded
from vault.client import Vault
from vault.errors import KeeperError, VaultAway
from vault.merkle_verify import EMPTY
from vault.secret import Secret
from vault.settings import Settings

TIMEOUT = 120.0
"""Seconds for each wait: the server reads or writes all it has."""
RESTORE_ROLE = "counterseal-restore"
SUMS = "SHA256SUMS"
PARTS = frozenset({"meta.json", "state.bin"})
LARGEST_SUMS = 10_000
CHUNK = 1 << 20
TOO_OLD = "This instance's vault was made before backups could be taken of it. Stop it, and copy its folder."


class NoSnapshot(KeeperError):
    code = "no_snapshot"
    hint = "The vault did not give a snapshot of itself."


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(str(self._path))


def take(instance: Path, out: BinaryIO) -> None:
    """Write a snapshot of the running vault to `out`, verified. Raises NoSnapshot, VaultAway."""
    try:
        secret_id = Secret((embedded.home(instance) / embedded.BACKUP_FILE).read_text().strip())
    except FileNotFoundError as error:
        raise NoSnapshot("no secret-id", hint=TOO_OLD) from error
    with _asked(instance) as connection:
        token = _login(connection, embedded.BACKUP_ROLE, secret_id)
        connection.request("GET", "/v1/sys/storage/raft/snapshot", headers=_headers(token))
        answer = connection.getresponse()
        if answer.status != 200:
            raise NoSnapshot(f"{answer.status}: {answer.read(300)!r}")
        shutil.copyfileobj(answer, out)
    out.flush()
    out.seek(0)
    verify(out)


def restore_role(variable: str) -> Sequence[embedded.Request]:
    """For the self-initialisation of a vault that a snapshot is put into at once. It is gone with all that vault had."""
    policy = 'path "sys/storage/raft/snapshot-force" { capabilities = ["update"] }'
    return embedded.short_role(RESTORE_ROLE, variable, policy)


def put_back(instance: Path, snapshot: BinaryIO, size: int, secret_id: Secret[str]) -> None:
    """Replace all that a new vault has by the snapshot. Both have the same seal key. It opens again some seconds later. Raises
    NoSnapshot, VaultAway."""
    verify(snapshot)
    snapshot.seek(0)
    with _asked(instance) as connection:
        token = _login(connection, RESTORE_ROLE, secret_id)
        headers = {**_headers(token), "Content-Length": str(size)}
        connection.request("POST", "/v1/sys/storage/raft/snapshot-force", body=snapshot, headers=headers)
        answer = connection.getresponse()
        said = answer.read(300)
        if answer.status != 204:
            raise NoSnapshot(f"{answer.status}: {said!r}", hint="The vault does not take this snapshot back.")


def arrived(instance: Path, secret_id: Secret[str]) -> bool:
    """Whether what `put_back` brought is what the vault has now: the role that brought it is gone. Until then it may still answer
    as the one it was."""
    try:
        with _asked(instance) as connection:
            _login(connection, RESTORE_ROLE, secret_id)
    except NoSnapshot:
        return True
    except VaultAway:
        return False
    return False


def verify(snapshot: BinaryIO) -> None:
    """Raise NoSnapshot unless its parts are those that its own list of digests names. An answer that broke off is none."""
    try:
        with gzip.GzipFile(fileobj=snapshot) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
            found, sums = _digests(archive)
            while plain.read(CHUNK):  # to the end, where its length and checksum are
                pass
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise NoSnapshot(f"not a snapshot: {type(error).__name__}", hint="The vault's snapshot is damaged.") from error
    listed = {tuple(line.split()) for line in sums.splitlines()}
    if set(found) != PARTS or not listed.issuperset((digest, name) for name, digest in found.items()):
        raise NoSnapshot("the digests differ", hint="The vault's snapshot is damaged.")


def _digests(archive: tarfile.TarFile) -> tuple[dict[str, str], str]:
    found: dict[str, str] = {}
    sums = ""
    for member in archive:
        content = archive.extractfile(member)
        if content is None or member.name not in (*PARTS, SUMS):
            continue
        if member.name == SUMS:
            sums = content.read(LARGEST_SUMS).decode()
        else:
            found[member.name] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    return found, sums


def log_head(instance: Path) -> tuple[int, bytes]:
    """The head of the audit log that this vault has published: entries and root; none and the empty root before the first."""
    settings = Settings(instance.resolve())
    vault = Vault(settings.address, login=settings.login())
    try:
        found = vault.read(f"{settings.prefix}kv/data/log/head")
    finally:
        vault.wire.close()
    data = found["data"]["data"] if found else None
    return (int(data["size"]), base64.b64decode(data["root"])) if data else (0, EMPTY)


@contextmanager
def _asked(instance: Path) -> Iterator[http.client.HTTPConnection]:
    connection = _Unix(embedded.socket_path(instance))
    try:
        yield connection
    except (OSError, http.client.HTTPException) as error:
        raise VaultAway(f"{type(error).__name__}") from error
    finally:
        connection.close()


def _headers(token: Secret[str]) -> dict[str, str]:
    return {"X-Vault-Request": "true", "X-Vault-Token": token.reveal()}


def _login(connection: http.client.HTTPConnection, role: str, secret_id: Secret[str]) -> Secret[str]:
    body = json.dumps({"role_id": role, "secret_id": secret_id.reveal()})
    connection.request("POST", "/v1/auth/approle/login", body=body, headers={"X-Vault-Request": "true"})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status == 400:
        raise NoSnapshot(f"no role {role}", hint=TOO_OLD)
    if answer.status != 200:
        raise VaultAway(f"{answer.status} at the login of {role}")
    return Secret(str(json.loads(said)["auth"]["client_token"]))
