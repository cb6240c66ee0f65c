"""Listening sockets, bound by the supervisor and handed down: a taken port is known at once, and a restart of a part
loses neither its address nor who waits there."""

from __future__ import annotations

import json
import random
import socket
from pathlib import Path

from webapp.errors import Conflict

BUNDLED = ("identity", "bank", "mcp")
BELOW_EPHEMERAL = range(20_000, 32_000)
"""Where the system gives no port to outgoing connections: a port kept in an instance is free at its next start."""
TRIES = 200


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


def pages(port: int) -> list[socket.socket]:
    """127.0.0.1 and ::1 on one port; 0 takes a free one. A machine without IPv6 has the first alone. Raises Conflict."""
    try:
        first = _listen("127.0.0.1", port)
    except OSError as error:
        raise Conflict(
            f"Port {port} is taken by another program. Choose another one: make run PORT={port + 1}", code="port_taken"
        ) from error
    try:
        return [first, _listen("::1", first.getsockname()[1])]
    except OSError as error:
        if isinstance(error, PermissionError) or _has_loopback6():
            first.close()
            raise Conflict(f"Port {port} is taken on ::1 by another program.", code="port_taken") from error
        return [first]


def _has_loopback6() -> bool:
    try:
        _listen("::1", 0).close()
    except OSError:
        return False
    return True


def bundled(instance: Path) -> dict[str, socket.socket]:
    """The sockets of the bundled parts. Their ports stay the same for ever: persons are known by their issuer's address, and
    the bank's server is pinned by its URL. Raises Conflict when another program has taken one."""
    path = instance / "evaluation" / "ports.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.exists():
        return {name: _kept(name, port) for name, port in json.loads(path.read_text()).items()}
    found = {name: _any() for name in BUNDLED}
    path.write_text(json.dumps({name: sock.getsockname()[1] for name, sock in found.items()}))
    return found


def _kept(name: str, port: int) -> socket.socket:
    try:
        return _listen("127.0.0.1", port)
    except OSError as error:
        raise Conflict(
            f"Port {port}, which belongs to this instance's {name} part, is taken by another program. Stop that program first.",
            code="port_taken",
        ) from error


def _any() -> socket.socket:
    for port in random.sample(BELOW_EPHEMERAL, TRIES):
        try:
            return _listen("127.0.0.1", port)
        except OSError:
            continue
    raise Conflict("No free port was found for the bundled parts.", code="port_taken")
