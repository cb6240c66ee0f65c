"""OpenBao servers as somebody else runs them: over TLS under an authority of their own, one or several with raft, set up by an
operator who has the root token and types what `counterseal vault policy` prints."""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cables import Cables
from tests.csr import private_pem
from tests.keeper_parts import PUBLIC_URL, ROOT, until
from tests.processes import ended, free_port
from vault import embedded
from vault.declared import policy
from vault.door import Door
from vault.settings import ROLE


@dataclass(frozen=True)
class Authority:
    """A certificate authority; what it issues is for 127.0.0.1 and localhost, and for clients too."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str, days: float = 90.0) -> tuple[Path, Path]:
        """(certificate, key), PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = (
            _begun(name, self.certificate.subject, key, days)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(private_pem(key))
        return files


def _begun(name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey, days: float) -> x509.CertificateBuilder:
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )


def authority(folder: Path, name: str = "Somebody's authority") -> Authority:
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )
    made = (
        _begun(name, None, key, 365.0).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, key, made)


@dataclass
class Node:
    """One server, and its process."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(embedded.binary()), "server", f"-config={self.folder / 'config.hcl'}"],
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder)}, stdout=log, stderr=log,
            )

    def kill(self) -> None:
        """As a machine that loses power: not told, and not asked."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class Nodes:
    """Servers of one cluster. `root` is the operator's token; nothing of ours gets it."""

    folder: Path
    authority: Authority
    nodes: list[Node]
    root: str = field(default="", repr=False)
    cables: Cables = field(default_factory=Cables, repr=False)
    """Between the nodes, where there are any."""

    def cut(self, node: Node) -> None:
        """From the others; who is not of the cluster reaches it still."""
        owners = {one.process.pid: number for number, one in enumerate(self.nodes) if one.process}
        self.cables.cut(self.nodes.index(node), owners)

    @property
    def address(self) -> str:
        return ",".join(node.address for node in self.nodes)

    def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, node: Node | None = None, namespace: str = ""
    ) -> tuple[int, Any]:
        """One request with the operator's token."""
        node = node or self.nodes[0]
        context = ssl.create_default_context(cafile=self.authority.pem)
        connection = http.client.HTTPSConnection("127.0.0.1", node.port, context=context, timeout=30)
        headers = {"X-Vault-Token": self.root, "X-Vault-Namespace": namespace}
        try:
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            content = response.read()
            return response.status, json.loads(content) if content else None
        finally:
            connection.close()

    def write(self, path: str, body: Mapping[str, Any], namespace: str = "") -> Any:
        # A standby forwards it, and does not know at once what came of it.
        leader = self.active() if len(self.nodes) > 1 else None
        status, answer = self.ask("POST", path, body, node=leader, namespace=namespace)
        assert status < 300, (status, answer)
        return answer

    def health(self, node: Node) -> int:
        """200 active, 429 standby, 503 sealed, 501 not initialised, 0 away."""
        try:
            return self.ask("GET", "sys/health", node=node)[0]
        except (OSError, http.client.HTTPException):
            return 0

    def active(self) -> Node | None:
        return next((node for node in self.nodes if node.process and self.health(node) == 200), None)

    def complete(self) -> None:
        """Wait until all of them are there, and have a vote."""
        there = [200, *[429] * (len(self.nodes) - 1)]
        until(lambda: sorted(map(self.health, self.nodes)) == there, "all nodes are there")
        until(lambda: self._voters() == len(self.nodes), "all nodes have a vote")

    def _voters(self) -> int:
        leader = self.active()
        if leader is None:
            return 0
        found = self.ask("GET", "sys/storage/raft/configuration", node=leader)[1]
        return sum(bool(one["voter"]) for one in found["data"]["config"]["servers"])

    def shell(self, script: str, namespace: str = "", **variables: str) -> str:
        """What an operator pastes into a shell; the names of the tool are `bao`'s."""
        environment = {
            "PATH": f"{embedded.binary().parent}:{os.environ['PATH']}", "HOME": str(self.folder), "BAO_TOKEN": self.root,
            "BAO_ADDR": self.nodes[0].address, "BAO_CACERT": str(self.authority.pem), "BAO_NAMESPACE": namespace, **variables,
        }
        done = subprocess.run(["sh"], input=script, env=environment, text=True, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@contextmanager
def running(count: int = 1, *, cables: bool = False) -> Iterator[Nodes]:
    """Initialised and unsealed, by a key file that all of them have. With `cables`, they reach each other through those."""
    folder = Path(tempfile.mkdtemp(prefix="cs-nodes-", dir="/tmp"))
    made = Nodes(folder, authority(folder / "tls"), [])
    (folder / "seal.key").write_bytes(secrets.token_bytes(32))
    made.authority.issue("server")
    ports: list[int] = []
    while len(ports) < 2 * count:
        ports += {free_port()} - {*ports}
    for number in range(count):
        port, cluster = ports[2 * number:2 * number + 2]
        made.nodes.append(_node(made, number, port, cluster, made.cables.before(number, cluster) if cables else cluster))
    try:
        made.nodes[0].start()
        until(lambda: made.health(made.nodes[0]) == 501, "the first node answers")
        made.root = made.ask("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})[1]["root_token"]
        until(lambda: made.health(made.nodes[0]) == 200, "the first node leads")
        if count > 1:  # by default a node has no vote until it was there for ten seconds
            made.write("sys/storage/raft/autopilot/configuration", {"server_stabilization_time": "100ms"})
        for node in made.nodes[1:]:
            node.start()
        made.complete()
        yield made
    except (TimeoutError, AssertionError):
        for node in made.nodes:
            sys.stderr.write((node.folder / "log").read_text()[-4000:])
        raise
    finally:
        for node in made.nodes:
            node.kill()
        made.cables.close()
        shutil.rmtree(folder, ignore_errors=True)


def _node(nodes: Nodes, number: int, port: int, cluster: int, reached: int) -> Node:
    folder, tls = nodes.folder / f"node{number}", nodes.authority.folder
    (folder / "data").mkdir(parents=True)
    first = nodes.nodes[0].address if number else ""
    leader = f'leader_api_addr = "{first}"\n    leader_ca_cert_file = "{tls / "ca.pem"}"'
    join = f"  retry_join {{\n    {leader}\n  }}\n"
    (folder / "config.hcl").write_text(
        f'storage "raft" {{\n  path = "{folder / "data"}"\n  node_id = "node{number}"\n  performance_multiplier = 1\n'
        f'  autopilot_reconcile_interval = "500ms"\n  autopilot_update_interval = "500ms"\n'
        f'{join if number else ""}}}\n'
        f'listener "tcp" {{\n  address = "127.0.0.1:{port}"\n  cluster_address = "127.0.0.1:{cluster}"\n'
        f'  tls_cert_file = "{tls / "server.pem"}"\n  tls_key_file = "{tls / "server.key"}"\n}}\n'
        f'api_addr = "https://127.0.0.1:{port}"\ncluster_addr = "https://127.0.0.1:{reached}"\nlog_level = "warn"\nui = false\n'
        f'seal "static" {{\n  current_key_id = "1"\n  current_key = "file://{nodes.folder / "seal.key"}"\n}}\n'
    )
    return Node(folder, port)


def declare(nodes: Nodes, namespace: str = "") -> None:
    """Set up as the embedded one is, its keeper's secret-id among it."""
    for one in embedded.declared():
        data = {"secret_id": "its-secret-id"} if one.name == "secret-id" else dict(one.data)
        nodes.write(one.path, data, namespace)
    nodes.write(f"sys/policies/acl/{ROLE}", {"policy": policy("counterseal-", "approle")}, namespace)


def settings(folder: Path, nodes: Nodes, **values: Any) -> Path:
    """An instance whose `keeper.toml` names these nodes."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {"vault_address": nodes.address, "ca_cert": str(nodes.authority.pem), **values}
    (folder / "keeper.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items()))
    return folder


def printed(instance: Path, *words: str) -> str:
    """What `counterseal vault …` prints."""
    command = [sys.executable, "-m", *words, "--instance", str(instance)]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def keeper_on(instance: Path, module: str = "vault.keeper") -> Iterator[Door]:
    """A keeper process on such an instance; `module`: the real one, or the real one made otherwise from outside."""
    door = Door(instance / "run" / "keeper" / "door.sock")
    with (instance / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--instance", str(instance)],
            env={**os.environ, "COUNTERSEAL_PUBLIC_URL": PUBLIC_URL}, cwd=ROOT, stdout=log, stderr=log,
        )
    try:
        until(lambda: door.status().vault == "ready", "the keeper reaches its vault")
        yield door
    except TimeoutError:
        sys.stderr.write((instance / "log").read_text())
        raise
    finally:
        door.close()
        ended(process)
