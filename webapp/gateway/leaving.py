"""Whether the client of a waiting call is still there: asked of its connection, since a write would tell a ping too late."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any


def watch(environ: Mapping[str, Any]) -> Callable[[], bool]:
    """A question to ask while waiting: has the client closed its end? Where the server gives no socket, or TLS hides it, the
    answer is no, and the failing write says so later."""
    connection = environ.get("gunicorn.socket")
    return (lambda: _closed(connection)) if isinstance(connection, socket.socket) else lambda: False


def _closed(connection: socket.socket) -> bool:
    """Look at what is there without taking it, without waiting. Only the greenlet that answers this client asks."""
    before = connection.gettimeout()
    try:
        connection.settimeout(0)
        return connection.recv(1, socket.MSG_PEEK) == b""
    except (BlockingIOError, ValueError):
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(before)
