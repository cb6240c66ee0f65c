"""Which processes an instance on one machine consists of, and what each is given. Nothing secret is on a command line."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vault import embedded
from vault.door import Door
from webapp import modules, serving
from webapp.evaluation.run import Run
from webapp.supervisor.part import Part

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class House:
    """One instance as it is about to run. `run` is None when it is not an evaluation instance."""

    instance: Path
    public_url: str
    pages: tuple[socket.socket, ...]
    run: Run | None
    bundled: Mapping[str, socket.socket]

    @property
    def environment(self) -> dict[str, str]:
        own = {"COUNTERSEAL_INSTANCE": str(self.instance), "COUNTERSEAL_PUBLIC_URL": self.public_url, "PYTHONUNBUFFERED": "1"}
        own["COUNTERSEAL_EVALUATION"] = "true" if self.run is not None else "false"
        # `up` brings a vault of its own: what the shell names is another, and its token is nothing for the web process.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("VAULT_", "BAO_"))}
        return {**inherited, **own}


def answers(port: int, path: str, host: str) -> Callable[[], bool]:
    """Whether a GET on loopback is answered with 200 or 204."""

    def ready() -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
        try:
            connection.request("GET", path, headers={"Host": host})
            return connection.getresponse().status in (200, 204)
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ready


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def _vault(house: House) -> Part:
    instance = house.instance
    return Part(
        "vault", "Vault (OpenBao)", embedded.command(instance), embedded.environment(instance),
        ready=lambda: embedded.ready(instance), before=lambda: embedded.prepare(instance),
    )


def _keeper(house: House) -> Part:
    command = modules.command("vault.keeper", "--instance", str(house.instance))
    door = Door(house.instance / "run" / "keeper" / "door.sock", timeout=2.0)

    def ready() -> bool:
        try:
            return door.status().vault == "ready"
        finally:
            door.close()

    return Part(
        "keeper", "Keeper", [*command, *(["--evaluation"] if house.run else [])], house.environment,
        ready=ready,
    )


def _web(house: House) -> Part:
    fds = tuple(sock.fileno() for sock in house.pages)
    path = "/evaluation/ready" if house.run else "/healthz"
    return Part(
        "web", "Web server", serving.command([f"fd://{fd}" for fd in fds]),
        {**house.environment, serving.WORKER_LOOP: "1"}, fds=fds,
        ready=answers(_port(house.pages[0]), path, urlsplit(house.public_url).netloc),
    )


def _bundled(house: House) -> list[Part]:
    identity, bank, mcp = (house.bundled[name] for name in ("identity", "bank", "mcp"))
    environment = {name: value for name, value in house.environment.items() if not name.startswith("COUNTERSEAL_")}
    two = (identity.fileno(), bank.fileno())
    return [
        Part(
            "bank", "Bank and identity provider",
            modules.command("webapp.evaluation.parts", str(house.instance), *map(str, two)), environment, fds=two,
            ready=answers(_port(bank), "/", f"{LOOPBACK}:{_port(bank)}"),
        ),
        Part(
            "bank-mcp", "Bank's MCP server",
            modules.command("webapp.evaluation.bank_mcp", str(house.instance), str(mcp.fileno())), environment,
            fds=(mcp.fileno(),), ready=answers(_port(mcp), "/health", f"{LOOPBACK}:{_port(mcp)}"),
        ),
    ]


def parts(house: House) -> list[Part]:
    """In the order they are started; they are stopped in the reverse."""
    return [_vault(house), *(_bundled(house) if house.run else []), _keeper(house), _web(house)]
