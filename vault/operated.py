"""What the keeper may not see and so cannot vouch for: audit devices, its policy's text. `counterseal vault doctor` reads both
with an operator's token, which it keeps nowhere; without one it says what a person has to look at."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from vault import declared
from vault.allowed import COMPARE, unlisted
from vault.client import Refused, Vault
from vault.errors import KeeperError
from vault.findings import POLICY, Finding
from vault.operators import AUDIT_FILE
from vault.secret import Secret
from vault.settings import ROLE, Settings
from vault.table import session

LIST = "{root} audit list -detailed"
CONFIGURED = f"echo {shlex.quote(AUDIT_FILE)} >> /etc/openbao/openbao.hcl && systemctl reload openbao"
"""On each server, under the names that OpenBao's own packages use."""
ENABLED = "{root} audit enable file file_path=/var/log/vault/audit.log"
NOWHERE = {"discard", "/dev/null"}
SEGMENTS = re.compile(r'"((?:[^"]*/)?\+(?:/[^"]*|\*)?)"')
"""Paths in a policy with a `+` for one of their segments."""


def audit(settings: Settings, operator: Secret[str] | None, openbao: bool) -> Iterator[Finding]:
    """Devices belong to the vault as a whole: they are asked for in the root namespace."""
    if operator is None:
        yield _unseen(settings, openbao)
        return
    with _as(operator, replace(settings, namespace="")) as vault:
        try:
            devices = ((vault.read("sys/audit") or {}).get("data")) or {}
            found = [_device(vault, path, one, openbao) for path, one in devices.items() if isinstance(one, dict)]
        except KeeperError as error:
            yield Finding("audit", "look", f"The operator's token does not open the audit devices: {error.detail}", LIST)
            return
    yield from found
    good = sum(one.state == "good" for one in found)
    if not good:
        words = "The vault records nothing: it has no audit device" + (" that is right." if found else ".")
        yield Finding("audit", "wrong", words, CONFIGURED if openbao else ENABLED)
    elif good == 1:
        yield Finding("audit", "look", "One audit device alone: when it cannot be written, the vault answers nothing.",
                      "Add a second one that writes elsewhere.")


def _unseen(settings: Settings, openbao: bool) -> Finding:
    """The instance's own vault is declared to have one, and nobody holds a token that could ask it."""
    if not settings.vault_address:
        log = settings.instance / "vault" / "audit.log"
        if log.is_file() and log.stat().st_size:
            return Finding("audit", "good", f"The vault records into {log}.")
        return Finding("audit", "wrong", f"{log} is empty or not there.", "Restart counterseal up: its vault is declared anew.")
    again = "or run this with --operator and an operator's token"
    where = "; devices are declared in the configuration of each server" if openbao else ""
    return Finding("audit", "look", f"The keeper may not read the audit devices: there should be one, better two{where}.",
                   f"{LIST} (in the root namespace), {again}.")


def _device(vault: Vault, path: str, device: Mapping[str, Any], openbao: bool) -> Finding:
    """One device: whether it runs, and what it writes."""
    options = device.get("options") or {}
    again = f"Declare one of another name without that in the configuration of each server, and this one no more: {CONFIGURED}"
    if not openbao:
        again = f"{{root}} audit disable {path} && {ENABLED}"
    try:
        vault.write(f"sys/audit-hash/{path.rstrip('/')}", {"input": "doctor"})
    except Refused as error:
        if error.status != 403:
            return Finding("audit", "wrong", f"{path} is listed and does not run: {error.detail}", again)
    if str(options.get("log_raw", "")).lower() in ("true", "1", "t"):
        return Finding("audit", "wrong", f"{path} records values in clear (log_raw), so tokens and keys too.", again)
    if str(options.get("file_path", "")).lower() in NOWHERE:
        return Finding("audit", "wrong", f"{path} writes to {options['file_path']}: nothing is kept.", again)
    return Finding("audit", "good", f"{path} ({device.get('type')}) records.")


def policy(vault: Vault, settings: Settings, operator: Secret[str] | None) -> Iterator[Finding]:
    """What the vault does not list to the keeper itself: grants with a `+`, and parameters there. `vault`: the keeper's."""
    if operator is None:
        yield unlisted(vault, settings)
        return
    ours = declared.policy(settings.prefix, declared.of(settings))
    with _as(operator, settings) as asked:
        try:
            text = str((((asked.read(f"sys/policies/acl/{ROLE}") or {}).get("data")) or {}).get("policy", ""))
        except KeeperError as error:
            yield Finding("parameters", "look", f"The operator's token does not open the policy {ROLE}: {error.detail}", COMPARE)
            return
    if _bare(text) == _bare(ours):
        yield Finding("parameters", "good", f"The policy {ROLE} in the vault is the printed one.")
        return
    besides = sorted({*SEGMENTS.findall(text)} - {*SEGMENTS.findall(ours)})
    for path in besides:
        yield Finding("capabilities", "wrong", f"{path}: the policy {ROLE} has it besides.", POLICY)
    yield Finding("parameters", "look", f"The policy {ROLE} in the vault is not the printed one, word for word.", COMPARE)


def _bare(text: str) -> list[str]:
    """Its words, without comments."""
    return re.sub(r"(?m)^\s*(#|//).*$", "", text).split()


@contextmanager
def _as(operator: Secret[str], settings: Settings) -> Iterator[Vault]:
    vault = session(replace(settings, auth="token", token=operator, token_file=None))
    try:
        yield vault
    finally:
        vault.wire.close()
