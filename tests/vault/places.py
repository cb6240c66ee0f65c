"""A namespace of one test's own in a vault of somebody else's, set up as declared, an instance on it, and the doctor's words."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.keeper_parts import ROOT
from tests.vault_nodes import Nodes, declare, settings
from vault import declared
from vault.doctor import examine
from vault.findings import Finding
from vault.secret import Secret
from vault.settings import load

POLICY = "counterseal-keeper"


class Place:
    """A namespace of one test's own, set up as declared; an instance on it."""

    def __init__(self, nodes: Nodes, folder: Path) -> None:
        self.nodes, self.name, self.folder = nodes, f"n{secrets.token_hex(6)}", folder
        nodes.write(f"sys/namespaces/{self.name}", {})
        declare(nodes, self.name)
        (folder / "secret-id").write_text("its-secret-id")
        (folder / "secret-id").chmod(0o600)
        self.instance = settings(folder, nodes, namespace=self.name, secret_id_file=str(folder / "secret-id"))

    def write(self, path: str, data: dict[str, Any]) -> Any:
        return self.nodes.write(path, data, self.name)

    def delete(self, path: str) -> None:
        assert self.nodes.ask("DELETE", path, namespace=self.name)[0] < 300

    def policy(self, change: Callable[[str], str]) -> None:
        self.write(f"sys/policies/acl/{POLICY}", {"policy": change(declared.policy("counterseal-", "approle"))})

    def again(self, mount: str, data: dict[str, Any]) -> None:
        """The same mount, made in another way."""
        self.delete(f"sys/mounts/{mount}")
        self.write(f"sys/mounts/{mount}", data)

    def token(self, **values: Any) -> None:
        """The keeper logs in by this one, and has the policy for it."""
        self.write(f"sys/policies/acl/{POLICY}", {"policy": declared.policy("counterseal-")})
        made = self.write("auth/token/create-orphan", {"policies": [POLICY], "no_default_policy": True, **values})
        (self.folder / "token").write_text(made["auth"]["client_token"])
        (self.folder / "token").chmod(0o600)
        settings(self.folder, self.nodes, namespace=self.name, token_file=str(self.folder / "token"))

    def started(self) -> None:
        self.write("counterseal-kv/data/instance/mark", {"data": {"id": "x", "evaluation": False}, "options": {"cas": 0}})


def seen(instance: Path, now: datetime | None = None, operator: str = "") -> list[Finding]:
    token = Secret(operator) if operator else None
    return list(examine(load(instance, evaluation=False, environ={}), now or datetime.now(UTC), token))


def wrong(found: list[Finding]) -> list[tuple[str, str]]:
    assert all(one.mend for one in found if one.state == "wrong"), "each says how to mend it"
    return [(one.check, one.words) for one in found if one.state == "wrong"]


OURS = f"counterseal() {{ {sys.executable} -c 'from webapp.cli import main; main()' \"$@\"; }}\ncd {ROOT}\n"


def mended(place: Place) -> None:
    """As it stands, by an operator whose shell names no namespace; what prints commands prints those of this very instance."""
    for _ in range(3):  # a mount first, then what is in it
        for mend in dict.fromkeys(one.mend for one in seen(place.instance) if one.state == "wrong"):
            if "| grep" in mend:
                printed = place.nodes.shell(OURS + mend)
                place.nodes.shell(printed, namespace=place.name)
            else:
                place.nodes.shell(OURS + mend.partition(", and restart")[0])
    assert wrong(seen(place.instance)) == []
