"""The door's wire format: one POST per request over the keeper's socket, JSON both ways, errors by their code."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from vault.errors import KeeperAway, named
from vault.wire import Unheard, Unreached, Wire


class Line:
    def __init__(self, socket: Path, timeout: float) -> None:
        self._wire = Wire(f"unix:{socket}", timeout=timeout)

    def close(self) -> None:
        self._wire.close()

    def ask(self, name: str, timeout: float | None = None, /, *, again: bool = False, **body: Any) -> dict[str, Any]:
        """Raises KeeperAway when no answer came, else the error that the keeper names. `again`: asking twice does no harm."""
        try:
            heard = self._wire.request(
                "POST", f"/{name}", body=json.dumps(body).encode(), headers={"Content-Type": "application/json"},
                timeout=timeout, again=again,
            )
        except (Unreached, Unheard) as error:
            raise KeeperAway(f"{name}: {type(error).__name__}: {error}") from error
        try:
            found = json.loads(heard.body)
        except ValueError as error:
            raise KeeperAway(f"{name}: answered {heard.status} without JSON") from error
        if heard.status == 200 and isinstance(found, dict):
            return found
        raise named(name, found if isinstance(found, dict) else {})


def answered(name: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    """One answer of several, or the error that the keeper names in its place."""
    if "error" in found:
        raise named(name, found)
    return found


def b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def unb64(value: str) -> bytes:
    return base64.b64decode(value)


def moment(value: str) -> datetime:
    return datetime.fromisoformat(value)


def moment_or_none(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
