"""Taking a backup of an instance that is stopped, and what is refused, in words, before there is a file."""

from __future__ import annotations

import os
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from tests.keeper_parts import KeeperParts
from vault.merkle_verify import EMPTY
from webapp.backup import restored, sealed, taking
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.due import Due
from webapp.db.migrate import upgrade
from webapp.errors import BadInput, Unavailable
from webapp.jobs import Worker
from webapp.processes import worker_command
from webapp.supervisor import lock
from webapp.web.house import House, utc_now

pytestmark = pytest.mark.real


def settings_of(own: KeeperParts, database: Database) -> Settings:
    assert database.url == Settings(instance=own.instance).database
    return Settings(instance=own.instance)


def test_a_stopped_instance_is_backed_up_too_and_a_file_says_what_it_holds(
    stopped: KeeperParts, database: Database, tmp_path: Path
) -> None:
    """Its own OpenBao is started for it, and stopped; nothing that lies in the folder by chance goes with it."""
    sealed.make_identity(tmp_path / "key")
    (stopped.instance / "notes.txt").write_text("by chance")
    (stopped.instance / "providers").mkdir(exist_ok=True)
    (stopped.instance / "providers" / "mine.yaml").write_text("extends: github\n")
    keys = sealed.identities(tmp_path / "key")
    settings = settings_of(stopped, database)
    taken = taking.take(settings, to=tmp_path / "file", recipients=[keys[0].to_public()], clock=utc_now)
    with (tmp_path / "file").open("rb") as file:
        names = sealed.unseal(file, keys, _names)
    assert names == ["manifest.json", *taken.manifest.files]
    assert {"counterseal.sqlite", "vault.snapshot", "vault/seal.key", "providers/mine.yaml"} <= set(names)
    assert not {"notes.txt", "vault/audit.log"} & set(names)
    os.close(lock.take(stopped.instance))  # nobody holds it any more


def _names(stream: BinaryIO) -> list[str]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        return archive.getnames()


def test_what_is_not_all_in_the_folder_is_refused_in_words(
    stopped: KeeperParts, database: Database, tmp_path: Path
) -> None:
    """PostgreSQL, a vault elsewhere, a provider's file that is a link, a target that is one; and no file is left."""
    sealed.make_identity(tmp_path / "key")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    to, settings = [sealed.identities(tmp_path / "key")[0].to_public()], settings_of(stopped, database)

    def refused(match: str, settings: Settings = settings, name: str = "file") -> None:
        with pytest.raises(BadInput, match=match):
            taking.take(settings, to=tmp_path / name, recipients=to, clock=utc_now)
        assert {path.name for path in tmp_path.iterdir()} == {"key", "link"}

    refused("never written over", name="link")
    refused("leave it empty", settings.model_copy(update={"database_url": database.url}))
    refused("pg_dump", settings.model_copy(update={"database_url": "postgresql+psycopg://x@localhost/x"}))
    toml, strange = stopped.instance / "keeper.toml", stopped.instance / "providers" / "theirs.yaml"
    toml.write_text('vault_address = "https://vault.example:8200"\n')
    refused(r"vault\.example")
    toml.unlink()
    toml.symlink_to("/dev/null")
    refused("is a link")
    toml.unlink()
    strange.parent.mkdir(exist_ok=True)
    strange.symlink_to("/etc/hostname")
    refused("is a link")
    strange.unlink()


def test_a_database_that_does_not_continue_the_vaults_log_is_no_backup(tmp_path: Path) -> None:
    """It could be restored, and would never run."""
    database = Database(f"sqlite:///{tmp_path / 'other.sqlite'}")
    upgrade(database)
    database.close()
    assert taking.log_of(tmp_path / "other.sqlite", (0, EMPTY)) == (0, "")
    with pytest.raises(BadInput, match="not this vault's"):
        taking.log_of(tmp_path / "other.sqlite", (7, b"r" * 32))


def test_a_restore_whose_consequences_are_not_known_serves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a worker of its own begin."""
    house = House(Settings(instance=tmp_path), cast(Any, None), cast(Any, None))
    restored.settle(house)  # nothing was restored
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(tmp_path))
    monkeypatch.setattr(Worker, "run", lambda _worker: pytest.fail("what is due in the copy was worked off"))
    for text in ("", "{}", '{"id": "rst_1"}'):
        (tmp_path / restored.FILE).write_text(text)
        with pytest.raises(Unavailable, match="nothing is served"):
            restored.settle(house)
        assert isinstance(CliRunner().invoke(worker_command).exception, Unavailable)
        assert (tmp_path / restored.FILE).exists()


def test_the_keeper_of_a_copy_is_told_again_what_ended_while_the_backup_was_taken(tmp_path: Path) -> None:
    """Its vault is older than its database: it may hold for usable what was paused or disconnected in between."""
    now, database = utc_now(), Database(f"sqlite:///{tmp_path / 'own.sqlite'}")
    upgrade(database)
    rows = [("con_p", "paused", None), ("con_d", "disconnected", now), ("con_o", "disconnected", now - timedelta(days=9))]
    with_rows = [
        Connection(
            id=name, person="per_a", provider="harbour", account="a", label="A", scopes=[], status=status, created_at=now,
            connected_at=now, ended_at=ended, last_used_at=None,
        ) for name, status, ended in rows
    ]
    database.write(lambda s: s.add_all(with_rows))
    restored.write(tmp_path, restored.Mark("rst_1", "bak_1", now, now, 0, None))
    restored.settle(House(Settings(instance=tmp_path), database, cast(Any, None)))
    with database.read() as session:
        due = {(row.kind, row.key) for row in session.scalars(select(Due))}
    database.close()
    assert due >= {("broker.end_tokens", "con_p"), ("broker.revoke", "con_d")}
    assert "con_o" not in {key for _kind, key in due}
