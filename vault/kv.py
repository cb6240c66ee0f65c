"""Records in KV v2, written by check-and-set alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from vault.client import Refused, Vault
from vault.errors import BadRequest, KeeperError, TooMany

Data = dict[str, Any]
T = TypeVar("T")
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}){0,4}")
TRIES = 12


class CasConflict(KeeperError):
    """Someone else wrote first. Read again and decide again."""

    hint = "Something else changed this at the same moment. Try again."


@dataclass(frozen=True)
class Record:
    data: Data
    version: int
    """0 where there is no record: the value to give `write` to be the one that makes it."""


class Kv:
    def __init__(self, vault: Vault, mount: str = "counterseal-kv") -> None:
        self._vault = vault
        self._mount = mount

    def read(self, path: str) -> Record | None:
        """None where there is no record, or a deleted one."""
        found = self._vault.read(f"{self._mount}/data/{checked(path)}")
        data = (found or {}).get("data") or {}
        if not data.get("data"):
            return None
        return Record(dict(data["data"]), int(data["metadata"]["version"]))

    def write(self, path: str, data: Mapping[str, Any], cas: int) -> int:
        """The new version. `cas` is the version that was read, 0 for a record that must not exist yet. Raises CasConflict."""
        body = {"data": dict(data), "options": {"cas": cas}}
        try:
            answer = self._vault.write(f"{self._mount}/data/{checked(path)}", body)
        except Refused as error:
            if error.status == 400 and any("check-and-set" in line for line in error.errors):
                raise CasConflict(path) from error
            raise
        return int(answer["data"]["version"])

    def create(self, path: str, data: Mapping[str, Any]) -> bool:
        """Whether we were the one who made it: a record that can be made once. Where our policy allows no change, Vault answers
        403 and not a conflict; that is told from any other denial by looking."""
        try:
            self.write(path, data, 0)
        except CasConflict:
            return False
        except Refused as error:
            if error.status == 403 and self.read(path) is not None:
                return False
            raise
        return True

    def update(self, path: str, change: Callable[[Data | None], tuple[Data, T]]) -> T:
        """Read, change, write; again from the start when someone else was first. `change` gets the record (None where there
        is none) and returns the new one and what to answer; it must have no effects of its own. Raises what `change` raises."""
        for _ in range(TRIES):
            found = self.read(path)
            data, answer = change(found.data if found else None)
            try:
                self.write(path, data, found.version if found else self._version(path))
            except CasConflict:
                continue
            return answer
        raise TooMany(f"{path} changes too fast")

    def list(self, path: str) -> tuple[str, ...]:
        found = self._vault.read(f"{self._mount}/metadata/{checked(path)}?list=true")
        return tuple(((found or {}).get("data") or {}).get("keys") or ())

    def delete_all(self, path: str) -> None:
        """Every version, and that there ever was one."""
        self._vault.request("DELETE", f"{self._mount}/metadata/{checked(path)}")

    def _version(self, path: str) -> int:
        """0, or the version of a record whose latest version was deleted."""
        found = self._vault.read(f"{self._mount}/metadata/{checked(path)}")
        return int(((found or {}).get("data") or {}).get("current_version") or 0)


def checked(path: str) -> str:
    """A path of plain segments: what came through the door must not climb out of its place. Raises BadRequest."""
    if not PATH.fullmatch(path):
        raise BadRequest("not a path of ours")
    return path
