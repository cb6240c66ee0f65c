"""A machine is lost: from the backup, its key and a checkpoint that were kept elsewhere, another one goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.keeper_parts import ROOT
from tests.real.running import short_folder
from tests.scripted_provider import Scripted
from tests.scripted_provider import serve as serve_provider
from tests.up_parts import COMMAND, PATIENCE, Up, until
from vault.door import Door
from vault.secret import Secret
from webapp.config import Settings
from webapp.connections.health_check import TRY
from webapp.connections.tables import Connection
from webapp.db.due import Due
from webapp.web.house import House, opened

pytestmark = [pytest.mark.real, pytest.mark.long]
BARE = ["env", "-i", f"PYTHONPATH={ROOT}", f"PATH={os.environ['PATH']}"]
"""The program is installed on the other machine, and nothing of the first one is there."""
OWNER, PROVIDER, SCOPES = "per_owner", "quay", ["accounts:read"]


def counterseal(folder: Path, *words: str, instance: Path | None = None) -> str:
    """As typed in `folder`; what it printed."""
    named = [f"COUNTERSEAL_INSTANCE={instance}"] if instance else []
    done = subprocess.run(
        [*BARE, *named, *COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def running(instance: Path) -> Iterator[Up]:
    """`counterseal up`, until it is asked to stop."""
    out = instance.parent / "out"
    words = [*BARE, *COMMAND, "up", "--evaluation", "--port", "0", "--instance", str(instance)]
    with out.open("wb") as file:
        up = Up(instance, subprocess.Popen(words, cwd=instance.parent, stdout=file, stderr=subprocess.STDOUT), out)
    try:
        up.wait()
        until(lambda: up.get("/healthz")[0] == 200, "it is well")
        yield up
    finally:
        if up.process.poll() is None:
            assert up.stop() == 0, out.read_text()


def account(house: House, provider: Scripted, url: str) -> str:
    """Somebody's account at a provider that is on neither machine, as a consent leaves it."""
    connection, door, now = "con_kept", house.door, house.clock()
    folder = house.settings.instance / "providers"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / f"{PROVIDER}.yaml").write_text("extends: harbour\n")
    door.provider_put(PROVIDER, provider.record())
    begun = door.connect_begin(provider=PROVIDER, person=OWNER, redirect_uri=f"{url}/connections/callback", scopes=SCOPES)
    made = door.connect_finish(
        connection=connection, person=OWNER, sealed=begun.sealed, state=begun.state, code=Secret("a-code"), iss=provider.url
    )
    house.database.write(lambda s: s.add(Connection(
        id=connection, person=OWNER, provider=PROVIDER, account=made.account, label=made.label, scopes=list(made.scopes),
        status="active", created_at=now, connected_at=now,
    )))
    return connection


def minted(door: Door, connection: str, receiver: str) -> str:
    return door.mint(connection=connection, person=OWNER, scopes=SCOPES, receiver=receiver, cap=60).token.reveal()


def settings(up: Up) -> Settings:
    return Settings(instance=up.instance, public_url=up.url, evaluation=True)


def test_an_empty_machine_goes_on_from_the_backup_its_key_and_a_checkpoint() -> None:
    """Long: an instance with all its parts is started twice, in folders that have nothing in common. The second one's log holds
    and continues the checkpoint; the account is renewed at its provider, and mints."""
    with serve_provider(expires_in=3600) as provider, short_folder("cs-lost-") as lost, short_folder("cs-new-") as new:
        kept = new / "kept"
        kept.mkdir()
        with running(lost / "i") as first, opened(settings(first)) as house:
            connection = account(house, provider, first.url)
            before = minted(house.door, connection, "bank")
            counterseal(lost, "backup", "keygen", str(kept / "key"))
            recipient = (kept / "key.pub").rename(lost / "key.pub")
            counterseal(lost, "audit", "verify", instance=first.instance)
            (kept / "checkpoint").write_text(counterseal(lost, "audit", "checkpoint", instance=first.instance))
            words = ("--recipient", str(recipient), "--instance", str(first.instance))
            assert "SHA-256 " in counterseal(lost, "backup", "--to", str(kept / "backup.age"), *words)
        asked = len(provider.refreshes)
        shutil.rmtree(lost)
        assert sorted(path.name for path in new.rglob("*")) == ["backup.age", "checkpoint", "kept", "key"]
        said = counterseal(kept, "restore", "backup.age", "--identity", "key", "--checkpoint", "checkpoint", "--instance", "../i")
        assert "is as it was at" in said
        assert "older than your checkpoint" not in said
        with running(new / "i") as second, opened(settings(second)) as house:
            _goes_on(house, provider, connection, before, asked)
            assert "/evaluation/enter#" in second.link()
            told = counterseal(kept, "audit", "verify", "--checkpoint", str(kept / "checkpoint"), instance=second.instance)
            assert told.startswith("The log holds: "), told


def _goes_on(house: House, provider: Scripted, connection: str, before: str, asked: int) -> None:
    """A worker has tried the account, which its provider knows from its refresh token alone; and it mints."""
    def tried() -> bool:
        with house.database.read() as session:
            return session.scalar(select(Due.id).where(Due.kind == TRY, Due.key == connection)) is None

    until(tried, "the account was tried")
    with house.database.read() as session:
        assert session.get_one(Connection, connection).status == "active"
    assert len(provider.refreshes) == asked + 1, "once, by the first start there"
    after = minted(house.door, connection, "desk")
    assert after.startswith("access-secret-")
    assert after != before
    assert len(provider.living) == 1, "of its refresh tokens one is good, and it is the vault's"
