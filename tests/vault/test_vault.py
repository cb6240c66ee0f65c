"""The session with Vault, records, keys, and what the keeper may not do; against a real OpenBao."""

from __future__ import annotations

import base64
import signal
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.keeper_parts import KeeperParts
from tests.processes import freeze
from vault.client import Refused, Vault
from vault.errors import BadRequest, KeeperError, VaultAway, VaultSealed
from vault.kv import CasConflict, checked
from vault.login import AppRole
from vault.secret import Secret
from vault.signatures import check
from vault.spent import once, spend
from vault.table import Keeper


@pytest.fixture
def inside(keeper: KeeperParts) -> Keeper:
    return keeper.inside()


def test_a_record_is_written_against_the_version_that_was_read(inside: Keeper):
    first = inside.kv.write("people/cas", {"n": 1}, 0)
    with pytest.raises(CasConflict):
        inside.kv.write("people/cas", {"n": 2}, 0)
    with pytest.raises(CasConflict):
        inside.kv.write("people/cas", {"n": 2}, first + 1)
    inside.kv.write("people/cas", {"n": 2}, first)
    found = inside.kv.read("people/cas")
    assert found
    assert (found.data, found.version) == ({"n": 2}, first + 1)


def test_two_threads_that_change_one_record_both_count(inside: Keeper):
    def add() -> None:
        for _ in range(5):
            inside.kv.update("people/count", lambda old: ({"n": (old or {"n": 0})["n"] + 1}, None))

    threads = [threading.Thread(target=add) for _ in range(2)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    found = inside.kv.read("people/count")
    assert found
    assert found.data == {"n": 10}


def test_of_many_that_make_a_record_one_made_it(inside: Keeper):
    made: list[bool] = []
    threads = [threading.Thread(target=lambda: made.append(once(inside, "test", "x"))) for _ in range(6)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert sorted(made) == [False] * 5 + [True]
    assert not once(inside, "test", "x"), "later, where the policy is asked first"
    assert once(inside, "other", "x")


def test_an_action_is_spent_once(inside: Keeper):
    spend(inside, "act_spent")
    with pytest.raises(Exception, match="spent already"):
        spend(inside, "act_spent")


def test_a_replaced_token_is_kept_nowhere(inside: Keeper):
    """KV keeps ten versions by default; a refresh token that was rotated away would be in the older nine."""
    version = inside.kv.write("connections/rotated", {"refresh_token": "old"}, 0)
    inside.kv.write("connections/rotated", {"refresh_token": "new"}, version)
    assert inside.vault.read(f"counterseal-kv/data/connections/rotated?version={version}") is None
    inside.kv.delete_all("connections/rotated")
    assert inside.kv.read("connections/rotated") is None


def test_what_was_shredded_can_be_written_again(inside: Keeper):
    inside.kv.write("connections/again", {"n": 1}, 0)
    inside.kv.delete_all("connections/again")
    inside.kv.update("connections/again", lambda old: ({"n": 2, "old": old}, None))


@pytest.mark.parametrize(("method", "path", "body"), [
    ("POST", "counterseal-kv/data/people/nocas", {"data": {"n": 1}}),
    ("GET", "counterseal-transit/export/signing-key/authority", None),
    ("POST", "counterseal-transit/sign/payload", {"input": "AA=="}),
    ("POST", "counterseal-transit/keys/authority/config", {"exportable": True}),
    ("POST", "counterseal-kv/config", {"cas_required": "false", "max_versions": "1"}),
    ("POST", "counterseal-kv/config", {"max_versions": "100"}),
    ("POST", "sys/policies/acl/counterseal-keeper", {"policy": ""}), ("POST", "sys/seal", {}), ("GET", "sys/mounts", None),
    ("POST", "auth/approle/role/counterseal-keeper/secret-id", {}), ("POST", "auth/token/create", {}),
    ("DELETE", "counterseal-kv/metadata/instance/mark", None), ("DELETE", "counterseal-kv/metadata/log/head", None),
    ("GET", "sys/storage/raft/snapshot", None), ("POST", "sys/storage/raft/snapshot-force", {}),
    ("DELETE", "counterseal-kv/metadata/app/keys", None), ("GET", "counterseal-kv/data/elsewhere", None),
])
def test_what_even_the_keeper_may_not_do(inside: Keeper, method: str, path: str, body: dict | None):
    """Least privilege: whoever takes over the keeper's token cannot export a key, widen a policy or unmake a record."""
    with pytest.raises(Refused) as raised:
        inside.vault.request(method, path, body)
    assert raised.value.status in (400, 403)


@pytest.mark.parametrize("path", ["instance/mark", "app/keys", "keeper/seal"])
def test_what_was_made_once_cannot_be_changed(keeper: KeeperParts, inside: Keeper, path: str):
    """An evaluation instance is one for ever; and a derived key is the same tomorrow."""
    keeper.door.app_key("cookies")
    inside.seal  # noqa: B018 makes its key
    found = inside.kv.read(path)
    assert found
    with pytest.raises(Refused):
        inside.kv.write(path, {"evaluation": False, "key": ""}, found.version)
    assert inside.kv.read(path) == found


@given(st.text(max_size=60))
def test_a_path_never_leaves_its_place(path: str):
    try:
        checked(path)
    except BadRequest:
        return
    assert ".." not in path.split("/")
    assert not set(path) & set("?#%\\ \n\0")
    assert not path.startswith("/")


@pytest.mark.parametrize("path", [
    "../sys/mounts", "people/../app/keys", "a//b", "a/", "/a", "a?version=1", "a%2fb", "", "é", "a\n",
])
def test_paths_that_climb(path: str):
    with pytest.raises(BadRequest):
        checked(path)


def test_signatures_verify_locally_and_ciphertexts_open(inside: Keeper):
    message = b"what is signed"
    signature = inside.transit.sign("authority", message)
    check(message, signature, inside.transit.public_keys("authority"))
    wrapped, key = inside.transit.data_key("payload")
    assert inside.transit.decrypt("payload", wrapped) == key
    assert len(key.reveal()) == 32
    for bad in ("", "vault:v1:AAAA", "vault:v9:" + base64.b64encode(bytes(60)).decode(), wrapped[:-4]):
        with pytest.raises(BadRequest):
            inside.transit.decrypt("payload", bad)


def test_a_token_that_vault_no_longer_knows_is_replaced(inside: Keeper):
    """Revoked, or lost with a restored snapshot: the next request logs in again."""
    inside.kv.read("instance/mark")
    inside.vault._hvac.token = "s.unknown"
    assert inside.kv.read("instance/mark")


def test_a_denial_is_no_reason_to_log_in_again(inside: Keeper):
    inside.kv.read("instance/mark")
    token = inside.vault._hvac.token
    with pytest.raises(Refused):
        inside.vault.read("sys/mounts")
    assert inside.vault._hvac.token == token


def test_the_token_is_renewed_when_half_its_life_has_gone(inside: Keeper):
    inside.kv.read("instance/mark")
    token = inside.vault._hvac.token
    inside.vault._renew_at = 0.0
    assert inside.kv.read("instance/mark")
    assert inside.vault._renew_at > 0
    assert inside.vault._hvac.token == token


def test_a_token_without_the_default_policy(inside: Keeper):
    """It reads 2.3 times faster, and has no cubbyhole and no wrapping."""
    found = inside.vault.read("auth/token/lookup-self")
    assert found
    assert found["data"]["policies"] == ["counterseal-keeper"]


@pytest.mark.parametrize(("fault", "error"), [("seal", VaultSealed), ("stop_vault", VaultAway)])
def test_sealed_and_away_are_told_apart_and_end_without_a_restart(keeper: KeeperParts, fault: str, error: type[Exception]):
    inside, pid = keeper.inside(), keeper.keeper_pid
    getattr(keeper, fault)()
    for _ in range(2):
        with pytest.raises(error):
            inside.kv.read("instance/mark")
        with pytest.raises(error):
            inside.transit.sign("authority", b"x")
        with pytest.raises(error):
            keeper.door.log_head()
    assert keeper.door.status().vault == {"seal": "sealed", "stop_vault": "away"}[fault]
    keeper.mend()
    assert inside.kv.read("instance/mark")
    assert keeper.door.log_head()
    assert keeper.door.status().vault == "ready"
    assert keeper.keeper_pid == pid


def test_a_frozen_vault_keeps_nobody_waiting_for_the_sum_of_all_timeouts(keeper: KeeperParts):
    """It accepts connections and does not answer. Eight requests without a token wait for one login, and fail with it."""
    assert keeper._vault
    settings = keeper.inside().settings
    vault = Vault(settings.address, login=settings.login(), timeout=0.5)
    errors: list[str] = []

    def read() -> None:
        try:
            vault.read("auth/token/lookup-self")
        except KeeperError as error:
            errors.append(error.code)

    freeze(keeper._vault.pid)
    try:
        threads = [threading.Thread(target=read, daemon=True) for _ in range(8)]
        [one.start() for one in threads]
        [one.join(10) for one in threads]
        assert errors == ["vault_away"] * 8
    finally:
        keeper._vault.send_signal(signal.SIGCONT)
    assert vault.read("auth/token/lookup-self")
    vault.wire.close()


def test_a_wrong_secret_id_is_a_vault_that_is_away_not_a_crash(keeper: KeeperParts):
    vault = Vault(
        keeper.inside().settings.address, login=AppRole("counterseal-keeper", lambda: Secret("wrong")), timeout=5.0
    )
    with pytest.raises(VaultAway):
        vault.read("auth/token/lookup-self")
    vault.wire.close()
