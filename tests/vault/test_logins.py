"""A vault of somebody else's, over TLS under their own authority, in a namespace: each way to log in, as an operator set it up
with what `counterseal vault policy` printed; and what happens when a credential ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import token_review
from tests.vault_nodes import Nodes, authority, keeper_on, printed, settings
from vault.errors import KeeperError, VaultAway
from vault.settings import load
from vault.table import Keeper, make

POLICY = "counterseal-keeper"


@contextmanager
def keeper_of(instance: Path, **environ: str) -> Iterator[Keeper]:
    """A keeper object on those settings."""
    made = make(load(instance, evaluation=False, environ=environ))
    try:
        yield made
    finally:
        made.vault.wire.close()


@pytest.fixture(scope="module")
def team(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A namespace that an operator set up whole; an instance on it that logs in by AppRole."""
    folder = tmp_path_factory.mktemp("team")
    instance = settings(folder, nodes, namespace="team", prefix="ours-", secret_id_file=str(folder / "secret-id"))
    nodes.shell("bao namespace create team")
    nodes.shell(printed(instance, "vault.operators"))
    return instance


def on_team(nodes: Nodes, folder: Path, values: dict[str, Any], **variables: str) -> Path:
    """Another instance there, and another way to log in: of what is printed for it, all but what is there already."""
    instance = settings(folder, nodes, namespace="team", prefix="ours-", **values)
    script = printed(instance, "vault.operators")
    before, _, after = script.partition("# What the keeper may do.")
    nodes.shell(before + after[after.index("# How it logs in"):], **variables)
    return instance


def works(keeper: Keeper) -> dict[str, Any]:
    """It reads, writes, signs and opens; the facts of its token."""
    keeper.kv.update("people/one", lambda old: ({"n": (old or {"n": 0})["n"] + 1}, None))
    assert keeper.kv.read("people/one")
    wrapped, key = keeper.transit.data_key("payload")
    assert keeper.transit.decrypt("payload", wrapped) == key
    assert keeper.transit.sign("authority", b"x")
    found = keeper.vault.read("auth/token/lookup-self")
    assert found
    assert found["data"]["policies"] == [POLICY]
    return dict(found["data"])


def test_approle_in_a_namespace(nodes: Nodes, team: Path) -> None:
    """And a whole keeper process on it: the first request marks the instance."""
    assert (team / "secret-id").stat().st_mode & 0o077 == 0
    with keeper_of(team) as keeper:
        assert works(keeper)["namespace_path"] == "team/"
        with keeper_on(team) as door:
            assert door.app_key("cookies") == door.app_key("cookies")
        nodes.shell(f"bao write -f -field=secret_id auth/approle/role/{POLICY}/secret-id > {team}/secret-id", "team")
        nodes.write("auth/token/revoke", {"token": keeper.vault._hvac.token}, "team")
        assert works(keeper), "a token that was revoked, and a secret-id that was rotated"


@pytest.mark.usefixtures("team")
def test_a_client_certificate(nodes: Nodes, tmp_path: Path) -> None:
    """The role binds a name; another certificate of the same authority does not get in."""
    ours, theirs = nodes.authority.issue("keeper-one"), nodes.authority.issue("somebody")
    values = {"auth": "cert", "client_cert": str(ours[0]), "client_key": str(ours[1])}
    instance = on_team(nodes, tmp_path, values, CLIENT_CA=str(nodes.authority.pem), COMMON_NAME="keeper-one")
    with keeper_of(instance) as keeper:
        works(keeper)
    with keeper_of(instance, VAULT_CLIENT_CERT=str(theirs[0]), VAULT_CLIENT_KEY=str(theirs[1])) as other, \
            pytest.raises(VaultAway, match="client certificate") as raised:
        other.kv.read("people/one")
    assert "does not let the keeper in" in raised.value.hint


@pytest.mark.usefixtures("team")
def test_a_renewed_certificate_is_used_at_the_next_login(nodes: Nodes, tmp_path: Path) -> None:
    first, second = nodes.authority.issue("expiring", days=-0.01), nodes.authority.issue("good")
    files = {"client_cert": str(tmp_path / "c.pem"), "client_key": str(tmp_path / "c.key")}

    def put(pair: tuple[Path, Path]) -> None:
        (tmp_path / "c.pem").write_bytes(pair[0].read_bytes())
        (tmp_path / "c.key").write_bytes(pair[1].read_bytes())

    variables = {"CLIENT_CA": str(nodes.authority.pem), "COMMON_NAME": "good,expiring"}
    instance = on_team(nodes, tmp_path, {"auth": "cert", "auth_mount": "cert-2", **files}, **variables)
    put(first)
    with keeper_of(instance) as keeper:
        with pytest.raises(VaultAway):
            keeper.kv.read("people/one")
        put(second)
        works(keeper)


@pytest.mark.usefixtures("team")
def test_a_kubernetes_service_account(nodes: Nodes, tmp_path: Path) -> None:
    """Its token's file is read anew at each login: Kubernetes replaces it."""
    file = tmp_path / "jwt"
    values = {"auth": "kubernetes", "auth_mount": "k8s", "jwt_file": str(file)}
    with token_review.serving(*nodes.authority.issue("kubernetes")) as kubernetes:
        instance = on_team(
            nodes, tmp_path, values, KUBERNETES_HOST=kubernetes.address, KUBERNETES_CA=str(nodes.authority.pem),
            SERVICE_ACCOUNT="keeper", SERVICE_ACCOUNT_NAMESPACE="apps", AUDIENCE=token_review.AUDIENCE,
        )
        with keeper_of(instance) as keeper:
            with pytest.raises(VaultAway, match="jwt"):
                keeper.kv.read("people/one")
            file.write_text(kubernetes.token("keeper"))
            works(keeper)
            kubernetes.alive.clear()
            file.write_text(kubernetes.token("keeper", nonce=1))
            nodes.write("auth/token/revoke", {"token": keeper.vault._hvac.token}, "team")
            works(keeper)
            assert kubernetes.reviewed[-1] == file.read_text()
        for stranger in (kubernetes.token("somebody"), kubernetes.token("keeper", "elsewhere")):
            file.write_text(stranger)
            with keeper_of(instance) as other, pytest.raises(VaultAway, match="service account"):
                other.kv.read("people/one")


@pytest.mark.usefixtures("team")
def test_a_token_from_a_file_and_from_the_environment(nodes: Nodes, tmp_path: Path) -> None:
    """It is renewed like any other; when it has ended, the words say so, and a new one in the file is enough."""
    file = tmp_path / "token"
    instance = on_team(nodes, tmp_path, {"token_file": str(file)})
    assert file.stat().st_mode & 0o077 == 0
    bare = settings(tmp_path / "bare", nodes, prefix="ours-")
    with keeper_of(bare, VAULT_TOKEN=file.read_text(), VAULT_NAMESPACE="team") as other:
        assert works(other)["orphan"]
    with keeper_of(instance) as keeper:
        assert works(keeper)["period"] == 72 * 3600
        keeper.vault._renew_at = 0.0
        works(keeper)
        assert keeper.vault._renew_at > 0, "it was renewed"
        nodes.write("auth/token/revoke", {"token": file.read_text().strip()}, "team")
        for _ in range(2):
            with pytest.raises(VaultAway, match="token it was given") as raised:
                keeper.kv.read("people/one")
            assert "operator" in raised.value.hint
        made = nodes.write("auth/token/create-orphan", {"policies": [POLICY], "no_default_policy": True, "ttl": "1h"}, "team")
        file.write_text(made["auth"]["client_token"] + "\n")
        works(keeper)


@pytest.mark.usefixtures("team")
def test_a_token_that_cannot_be_renewed_is_replaced_in_time(nodes: Nodes, tmp_path: Path) -> None:
    """At half its life, and while the new one cannot be had the old one goes on."""
    secret = tmp_path / "secret-id"
    values = {"secret_id_file": str(secret), "auth_mount": "apps", "role_id": "another-keeper"}
    instance = on_team(nodes, tmp_path, values)
    nodes.write(f"auth/apps/role/{POLICY}", {"token_type": "batch", "token_period": 0, "token_ttl": "1h"}, "team")
    with keeper_of(instance) as keeper:
        assert works(keeper)["type"] == "batch"
        first, good = keeper.vault._hvac.token, secret.read_text()
        secret.write_text("wrong")
        keeper.vault._renew_at = 0.0
        works(keeper)
        assert keeper.vault._hvac.token == first
        secret.write_text(good)
        keeper.vault._renew_at = 0.0
        works(keeper)
        assert keeper.vault._hvac.token != first


def test_another_authority_is_not_believed(nodes: Nodes, tmp_path: Path) -> None:
    """Neither by default nor when another is named: no token is sent."""
    other = authority(tmp_path / "other")
    for ca in ({"ca_cert": str(other.pem)}, {}):
        instance = settings(tmp_path, nodes, **ca)
        if not ca:
            (instance / "keeper.toml").write_text(f'vault_address = "{nodes.address}"\n')
        with keeper_of(instance, VAULT_TOKEN="s.anything") as keeper:
            assert keeper.vault.state() == ("away", "")
            with pytest.raises(KeeperError):
                keeper.kv.read("people/one")


def test_a_replaced_authority_is_believed_without_a_restart(nodes: Nodes, tmp_path: Path) -> None:
    """After a handshake that failed, at most once in ten seconds."""
    file = tmp_path / "ca.pem"
    file.write_bytes(authority(tmp_path / "other").pem.read_bytes())
    with keeper_of(settings(tmp_path, nodes, ca_cert=str(file)), VAULT_TOKEN="s.anything") as keeper:
        assert keeper.vault.state()[0] == "away"
        file.write_bytes(nodes.authority.pem.read_bytes())
        assert keeper.vault.state()[0] == "away", "not yet"
        keeper.vault.wire._renewed -= 60
        assert keeper.vault.state()[0] == "ready"
