"""Backups and the vault's unseal key: what was taken before it was replaced comes back, and what was taken after."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.keeper_parts import KeeperParts, serve
from tests.real.running import short_folder
from tests.webapp.backup.test_round import counterseal
from vault import embedded, unseal_keys
from vault.table import random_once
from webapp.audit import sequence
from webapp.backup.alone import started
from webapp.config import Settings
from webapp.db import Database
from webapp.db.migrate import upgrade
from webapp.supervisor import lock
from webapp.web.house import House

pytestmark = pytest.mark.real


def again(parts: KeeperParts) -> None:
    parts.stop_vault()
    embedded.prepare(parts.instance)
    parts.start_vault()


def taken(parts: KeeperParts, room: Path, name: str) -> None:
    words = ("backup", "--to", str(room / name), "--recipient", f"{room / 'key'}.pub", "--instance", str(parts.instance))
    held = lock.take(parts.instance)
    try:
        status, said = counterseal(*words)
    finally:
        os.close(held)
    assert status == 0, said


@pytest.mark.long
def test_backups_of_before_during_and_after_are_restored_with_the_key_that_each_needs() -> None:
    """Half a minute and more: a vault is started eight times."""
    with serve(evaluation=True) as parts, short_folder("cs-") as room:
        database = Database(f"sqlite:///{parts.instance / 'counterseal.sqlite'}")
        upgrade(database)
        settings = Settings(instance=parts.instance, public_url="http://localhost:8000", evaluation=True)
        kept, folder = random_once(parts.inside(), "app/kept").reveal(), embedded.home(parts.instance)
        sequence(House(settings, database, parts.door))
        assert counterseal("backup", "keygen", str(room / "key"))[0] == 0
        taken(parts, room, "before")
        unseal_keys.begin(folder, datetime.now(UTC))
        again(parts)
        taken(parts, room, "during")
        unseal_keys.renew(parts.instance)
        unseal_keys.try_alone(folder)
        again(parts)
        unseal_keys.finish(folder)
        taken(parts, room, "after")
        database.close()
        for name, keys in (("before", {"seal.key"}), ("during", {"seal.key", "seal-2.key"}), ("after", {"seal-2.key"})):
            copy = room / f"i-{name}"
            status, said = counterseal("restore", str(room / name), "--identity", str(room / "key"), "--instance", str(copy))
            assert status == 0, said
            assert {path.name for path in (copy / "vault").glob("seal*.key")} == keys
            with started(copy):
                restored = KeeperParts(copy, parts.door, True, room / "log")
                assert random_once(restored.inside(), "app/kept").reveal() == kept
                unseal_keys.renew(copy)
                restored.inside().vault.wire.close()
