"""The keys that the instance's own OpenBao unseals itself with (its static seal), and a new one in place of an old one
(https://openbao.org/docs/configuration/seal/static/#key-rotation).

A key is a file, and its number its name for OpenBao: `seal.key` is the first, then `seal-2.key`, `seal-3.key`. Where there are
two, the higher seals and the one before it still opens. So the folder alone says how far a rotation came, and whatever dies in
the middle of one leaves a vault that opens:

1. `begin`: the next key is written. From the next start on, it seals, and either opens.
2. That start.
3. `renew`: the vault makes itself another root key, which is sealed with the new one. OpenBao does not seal the old root key
   again by itself where nobody has recovery keys.
4. `try_alone`, and a start with the new key alone. It opens, or the start after it has both again.
5. `finish`: the old key is removed. A backup made before carries the key that it needs.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vault.client import Refused, Vault
from vault.errors import KeeperError, TooMany
from vault.files import put
from vault.login import AppRole
from vault.secret import Secret
from vault.settings import Settings

ROLE = "counterseal-unseal"
ROLE_FILE = "unseal-secret-id"
TRIAL = "seal.alone"
"""The next start, and no other, has the newest key alone."""
NAMED = re.compile(r"seal(?:-([2-9]|[1-9][0-9]{1,5}))?\.key")
SELDOM = timedelta(hours=1)
"""Between two rotations: the vault is away for some seconds in each."""
OLD_VAULT = "This instance's vault was made before its unseal key could be replaced. Everything else goes on."


def keys(folder: Path) -> list[tuple[int, Path]]:
    """Those in the vault's folder, the oldest first, with their numbers."""
    named = [(NAMED.fullmatch(path.name), path) for path in folder.glob("seal*.key")]
    return sorted((int(match[1] or 1), path) for match, path in named if match)


def first(folder: Path) -> None:
    """Made once, where there is none: without the key it was sealed with, a vault stays shut."""
    if not keys(folder):
        put(folder / "seal.key", secrets.token_bytes(32))


def block(folder: Path) -> str:
    """The seal as OpenBao's configuration has it at the next start."""
    alone = (folder / TRIAL).exists()
    (folder / TRIAL).unlink(missing_ok=True)
    found = keys(folder)[-1:] if alone else keys(folder)[-2:]
    lines = [
        f'  {which}_key_id = "{number}"\n  {which}_key = {json.dumps("file://" + str(path))}\n'
        for which, (number, path) in zip(("current", "previous"), reversed(found), strict=False)
    ]
    return 'seal "static" {\n' + "".join(lines) + "}"


def unfinished(folder: Path) -> bool:
    return len(keys(folder)) > 1


def begin(folder: Path, now: datetime) -> None:
    """Step 1; nothing where a rotation is to be gone on with. Raises TooMany within an hour of the last."""
    number, path = keys(folder)[-1]
    if unfinished(folder):
        return
    if number > 1 and datetime.fromtimestamp(path.stat().st_mtime, UTC) + SELDOM > now:
        raise TooMany("the unseal key is new", hint="unseal was rotated within the last hour.")
    put(folder / f"seal-{number + 1}.key", secrets.token_bytes(32))


def able(instance: Path) -> None:
    """Before step 1: a rotation that could not come to step 3 is not begun. Raises as `renew` does."""
    _ask(instance, lambda vault, role: vault.enter(role))


def renew(instance: Path) -> None:
    """Step 3, of a vault that was started with both. Raises KeeperError, with words, where its own roles do not have this one."""
    _ask(instance, lambda vault, _role: vault.write("sys/rotate/root", {}))


def _ask(instance: Path, ask: Callable[[Vault, AppRole], object]) -> None:
    settings, role = Settings(instance.resolve()), AppRole(ROLE, lambda: _secret_id(instance))
    vault = Vault(settings.address, login=role, timeout=30.0)
    try:
        ask(vault, role)
    except (Refused, FileNotFoundError) as error:
        raise KeeperError(str(error), hint=OLD_VAULT) from error
    finally:
        vault.wire.close()


def try_alone(folder: Path) -> None:
    """Step 4."""
    put(folder / TRIAL, b"")


def alone(folder: Path) -> bool:
    """Whether the last start was one with the newest key alone."""
    return "previous_key" not in (folder / "config.hcl").read_text()


def finish(folder: Path) -> None:
    """Step 5, when the start with the newest key alone has opened the vault."""
    for _, path in keys(folder)[:-1]:
        path.unlink()


def _secret_id(instance: Path) -> Secret[str]:
    return Secret((instance / "vault" / ROLE_FILE).read_text().strip())
