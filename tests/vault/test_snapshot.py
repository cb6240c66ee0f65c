"""Who may take a snapshot can do nothing else, and half a snapshot is none."""

from __future__ import annotations

import gzip
import io
import json

import pytest

from tests.keeper_parts import KeeperParts
from vault import embedded, snapshot
from vault.errors import VaultAway
from vault.secret import Secret


def test_the_role_takes_a_snapshot_and_nothing_else(keeper: KeeperParts) -> None:
    keeper.door.app_key("cookies")
    out = io.BytesIO()
    snapshot.take(keeper.instance, out)
    assert b"counterseal-kv" not in gzip.decompress(out.getvalue()), "it is shut without the vault's own keys"
    secret_id = Secret((embedded.home(keeper.instance) / embedded.BACKUP_FILE).read_text())
    with snapshot._asked(keeper.instance) as connection:
        token = snapshot._login(connection, embedded.BACKUP_ROLE, secret_id)
        for method, path, body in (
            ("GET", "counterseal-kv/data/app/keys", None), ("GET", "counterseal-kv/metadata/connections?list=true", None),
            ("POST", "counterseal-transit/sign/authority", {"input": "AA=="}), ("POST", "sys/storage/raft/snapshot-force", {}),
            ("POST", "sys/storage/raft/snapshot", {}), ("GET", "sys/policies/acl/counterseal-keeper", None),
            ("POST", "auth/token/create", {}), ("GET", "sys/storage/raft/configuration", None),
        ):
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None, snapshot._headers(token))
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 403, path


def test_a_snapshot_that_broke_off_or_was_altered_is_none(keeper: KeeperParts) -> None:
    out = io.BytesIO()
    snapshot.take(keeper.instance, out)
    whole = out.getvalue()
    snapshot.verify(io.BytesIO(whole))
    plain = bytearray(gzip.decompress(whole))
    plain[len(plain) // 2] ^= 1
    for content in (b"", whole[:20], whole[:len(whole) // 2], whole[:-40], gzip.compress(bytes(plain)), b"nothing of the kind"):
        with pytest.raises(snapshot.NoSnapshot):
            snapshot.verify(io.BytesIO(content))


def test_a_vault_that_is_away_gives_none_and_says_so(keeper: KeeperParts) -> None:
    keeper.stop_vault()
    with pytest.raises(VaultAway):
        snapshot.take(keeper.instance, io.BytesIO())
    keeper.start_vault()
