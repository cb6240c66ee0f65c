"""OpenBao on one machine: declared, closed to everyone else, quick the second time, and never with a root token of ours."""

from __future__ import annotations

import grp
import http.client
import os
import ssl
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.keeper_parts import KeeperParts, ask
from vault import embedded
from vault.app import application, table
from vault.errors import KeeperError
from vault.keeper import open_to
from vault.mark import WrongComposition, mark
from vault.settings import BadSettings, load
from vault.table import make


def files(folder: Path) -> Iterator[Path]:
    return (one for one in folder.rglob("*") if one.is_file())


def test_a_second_start_keeps_every_record(keeper: KeeperParts):
    before, keys = keeper.door.app_key("cookies"), keeper.door.public_keys()
    keeper.stop_vault()
    embedded.prepare(keeper.instance)
    keeper.start_vault()
    assert keeper.door.app_key("cookies") == before
    assert keeper.door.public_keys() == keys


def test_what_it_keeps_is_its_owners_alone(keeper: KeeperParts):
    for one in files(keeper.instance / "vault"):
        assert one.stat().st_mode & 0o077 == 0, one


def test_no_root_token_or_recovery_key_is_anywhere(keeper: KeeperParts):
    """Self-initialisation revokes its own; it is never printed, written or handed to anybody."""
    said = keeper.log.read_text() + (keeper.instance / "vault" / "config.hcl").read_text()
    for word in ("Initial Root Token", "Recovery Key", "Unseal Key"):
        assert word not in said
    assert not (Path.home() / ".vault-token").exists() or "s." not in said


def test_it_inherits_nothing_of_our_environment(keeper: KeeperParts, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VAULT_TOKEN", "s.somebodys")
    monkeypatch.setenv("BAO_ADDR", "http://evil.example")
    assert set(embedded.environment(keeper.instance)) == {
        "PATH", "HOME", embedded.SECRET_ID, embedded.BACKUP_SECRET_ID, embedded.UNSEAL_SECRET_ID,
    }


def test_the_port_that_raft_insists_on_answers_nobody(keeper: KeeperParts):
    """It asks for a client certificate that was never issued, so that no other user of the machine can talk to the vault."""
    assert keeper._vault
    listening = [one.laddr for one in psutil.Process(keeper._vault.pid).net_connections() if one.status == "LISTEN" and one.laddr]
    ports = {one.port for one in listening if one.ip}
    assert {one.ip for one in listening} <= {"127.0.0.1"}
    assert ports
    for port in ports:
        with pytest.raises((ssl.SSLError, OSError, http.client.HTTPException)):
            _get(http.client.HTTPSConnection("127.0.0.1", port, context=ssl._create_unverified_context(), timeout=30))
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            assert _get(plain) != 200
        except (OSError, http.client.HTTPException):
            pass
        finally:
            plain.close()


def _get(connection: http.client.HTTPConnection) -> int:
    try:
        connection.request("GET", "/v1/sys/health")
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_first_start_that_was_cut_off_is_begun_again(tmp_path: Path):
    """Nothing was ever stored in it: it is set aside, and not deleted."""
    embedded.prepare(tmp_path)
    (tmp_path / "vault" / "data" / "vault.db").write_text("half")
    embedded.prepare(tmp_path)
    assert not (tmp_path / "vault" / "data" / "vault.db").exists()
    assert [one.read_text() for one in tmp_path.glob("vault/unfinished-*/vault.db")] == ["half"]


def test_a_vault_that_was_ever_ready_is_never_set_aside(tmp_path: Path):
    embedded.prepare(tmp_path)
    load(tmp_path, evaluation=False).note_started()
    (tmp_path / "vault" / "data" / "vault.db").write_text("whole")
    keys = [(tmp_path / "vault" / name).read_bytes() for name in ("seal.key", "secret-id")]
    embedded.prepare(tmp_path)
    assert (tmp_path / "vault" / "data" / "vault.db").read_text() == "whole"
    assert [(tmp_path / "vault" / name).read_bytes() for name in ("seal.key", "secret-id")] == keys


def test_a_path_too_long_for_a_socket_is_said_before_anything_starts(tmp_path: Path):
    with pytest.raises(KeeperError) as raised:
        embedded.prepare(tmp_path / ("x" * 100))
    assert "too long" in raised.value.hint


def test_an_evaluation_vault_serves_no_real_keeper_and_the_other_way_round(keeper: KeeperParts, real_keeper: KeeperParts):
    for parts in (keeper, real_keeper):
        assert mark(parts.inside()).evaluation is parts.evaluation
        settings = replace(parts.inside().settings, evaluation=not parts.evaluation)
        other = make(settings)
        with pytest.raises(WrongComposition):
            mark(other)
        other.vault.wire.close()


def test_a_keeper_of_the_wrong_kind_answers_nothing_but_its_status(keeper: KeeperParts):
    settings = replace(keeper.inside().settings, evaluation=False)
    wrong = make(settings)
    assert ask(application(wrong, table()), "status", b"{}")["vault"] == "ready"
    assert "another kind" in ask(application(wrong, table()), "app_key", b'{"purpose": "cookies"}')["hint"]
    wrong.vault.wire.close()


@pytest.mark.parametrize(("file", "evaluation", "environ"), [
    ('public_url = "http://a.example/path"', False, {}), ('surprise = 1', False, {}), ("instance = 'x'", False, {}),
    ("not toml", False, {}), ('public_url = "https://bank.example"', True, {}),
    ("mints_per_minute = 0", False, {}), ('refreshes_per_minute = "60"', False, {}),
    ("", True, {"COUNTERSEAL_PUBLIC_URL": "http://127.0.0.1:8000"}), ("", False, {"COUNTERSEAL_PUBLIC_URL": "localhost:8000"}),
])
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, file: str, evaluation: bool, environ: dict[str, str]):
    (tmp_path / "keeper.toml").write_text(file)
    with pytest.raises(BadSettings):
        load(tmp_path, evaluation=evaluation, environ=environ)


def test_with_a_group_the_door_opens_to_its_members_and_to_nobody_else(tmp_path: Path):
    door = tmp_path / "run" / "door.sock"
    door.parent.mkdir(mode=0o700)
    door.touch(mode=0o600)
    for group, modes in (("", (0o700, 0o600)), (grp.getgrgid(os.getgid()).gr_name, (0o710, 0o660))):
        open_to(door, group)
        assert tuple(stat.S_IMODE(one.stat().st_mode) for one in (door.parent, door)) == modes


def test_the_environment_is_over_the_keepers_file_is_over_the_apps(tmp_path: Path):
    def url(environ: dict[str, str]) -> str:
        return load(tmp_path, evaluation=False, environ=environ).public_url

    assert url({}) == "http://localhost:8000"
    (tmp_path / "counterseal.toml").write_text('public_url = "https://app.example"\n[people]\nidle = 5\n')
    assert url({}) == "https://app.example"
    (tmp_path / "keeper.toml").write_text('public_url = "https://keeper.example"\nuids = [1000]\n')
    assert url({}) == "https://keeper.example"
    assert url({"COUNTERSEAL_PUBLIC_URL": "https://env.example"}) == "https://env.example"
