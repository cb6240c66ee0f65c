"""What the keeper's settings say of its vault: the environment over the file, nothing unknown, nothing at odds with another."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.keeper_parts import ROOT
from vault.login import AppRole, Cert, Kubernetes, Token
from vault.settings import BadSettings, Settings, load

AT = 'vault_address = "https://vault.example:8200"\n'
PAIR = 'client_cert = "c.pem"\nclient_key = "c.key"\n'


def read(folder: Path, file: str = "", environ: dict[str, str] | None = None, *, evaluation: bool = False) -> Settings:
    (folder / "keeper.toml").write_text(file)
    return load(folder, evaluation=evaluation, environ=environ or {})


@pytest.mark.parametrize(("file", "login"), [
    ("", AppRole), (AT, AppRole), (AT + 'auth = "kubernetes"', Kubernetes), (AT + 'auth = "cert"\n' + PAIR, Cert),
    (AT + 'auth = "token"\ntoken_file = "t"', Token), (AT + 'token_file = "t"', Token),
])
def test_each_way_to_log_in(tmp_path: Path, file: str, login: type) -> None:
    assert isinstance(read(tmp_path, file).login(), login)


def test_the_names_of_vaults_own_tools_are_over_the_file(tmp_path: Path) -> None:
    environ = {
        "VAULT_ADDR": "https://a:8200, https://b:8200/", "VAULT_NAMESPACE": "team/sub", "BAO_CACERT": "/ca.pem",
        "VAULT_CLIENT_CERT": "/c.pem", "BAO_CLIENT_CERT": "/c.pem", "VAULT_CLIENT_KEY": "/c.key", "VAULT_TOKEN": "s.secret",
    }
    found = read(tmp_path, AT + 'namespace = "other"', environ)
    assert found.vault_address == "https://a:8200,https://b:8200"
    assert (found.namespace, found.ca_cert, found.client_cert, found.client_key) == (
        "team/sub", Path("/ca.pem"), Path("/c.pem"), Path("/c.key"),
    )
    assert found.auth == "token"
    assert found.token
    assert found.token.reveal() == "s.secret"
    assert "s.secret" not in repr(found)


def test_mounts_and_roles_have_names_of_their_own(tmp_path: Path) -> None:
    login = read(tmp_path, AT + 'auth = "kubernetes"\nauth_mount = "clusters/one"\nauth_role = "seal"\njwt_file = "/jwt"').login()
    assert login == Kubernetes("seal", Path("/jwt"), "clusters/one")
    assert read(tmp_path, AT + 'auth_mount = "apps/"').login().path == "auth/apps/login"


@pytest.mark.parametrize(("file", "environ", "said"), [
    ("uids = 5", {}, "uids is a list"), ('operators = ["root"]', {}, "operators is a list"), ("uids = [-1]", {}, "uids is"),
    ('timeout = "4"', {}, "timeout is"), ("timeout = 0", {}, "timeout is"), ("timeout = inf", {}, "timeout is"),
    ("workers = 0", {}, "workers is"), ("group = 3", {}, "group is"), ('widen = {harbour = "payments:send"}', {}, "widen is"),
    (AT + 'auth = "ldap"', {}, "auth is one of"), (AT + 'auth = "cert"', {}, "needs client_cert"),
    (AT + 'auth = "cert"\nclient_cert = "c"', {}, "belong together"), (AT + 'auth = "token"', {}, "needs token_file"),
    (AT + 'auth = "token"\ntoken_file = "t"', {"VAULT_TOKEN": "x"}, "not both"), (AT + 'token = "s.x"', {}, "file of its own"),
    (AT + 'auth = "approle"', {"VAULT_TOKEN": "x"}, "VAULT_TOKEN is for auth = 'token'"),
    (AT + 'auth = "kubernetes"\nsecret_id_file = "s"', {}, "secret_id_file is for"),
    (AT + 'jwt_file = "j"', {}, "jwt_file is for auth = 'kubernetes'"), (AT + 'auth_role = "r"', {}, "auth_role is for"),
    (AT, {"VAULT_ADDR": "https://a", "BAO_ADDR": "https://b"}, "differ"), (AT, {"VAULT_SKIP_VERIFY": "1"}, "always verifies"),
    ("", {"VAULT_TOKEN": "x"}, "needs a vault_address"), ("", {"VAULT_NAMESPACE": "x"}, "needs a vault_address"),
    ('ca_cert = "x"', {}, "needs a vault_address"), ('vault_address = ""', {}, "vault_address is"),
    ('vault_address = 5', {}, "vault_address is"), ('vault_address = "https://a/v1"', {}, "without a path"),
    ('vault_address = "https://user:pass@a"', {}, "without a path"), ('vault_address = "ftp://a"', {}, "vault_address is"),
    ('vault_address = "unix:relative"', {}, "vault_address is"), ('vault_address = "https://a:x"', {}, "cannot be read"),
    ('vault_address = "http://vault.example:8200"', {}, "in clear"),
    ('vault_address = ["https://a", "http://127.0.0.1"]', {}, "kind"),
    ('vault_address = ["https://a", "https://a/"]', {}, "once"), ('vault_address = "http://127.0.0.1"\nca_cert = "x"', {}, "https://"),
    (AT + 'namespace = "a b"', {}, "namespace is a name"), (AT + 'auth_mount = "../sys"', {}, "auth_mount is a name"),
    (AT + 'prefix = "a\\"b"', {}, "prefix is a name"), (AT + "role_id = 5", {}, "role_id is a name"),
    (AT + "jwt_file = 5\nauth = 'kubernetes'", {}, "is a file's path"), (AT + 'client_secret = "x"', {}, "unknown client_secret"),
])
def test_what_cannot_be_meant_is_refused_in_words(tmp_path: Path, file: str, environ: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettings) as raised:
        read(tmp_path, file, environ)
    assert said in raised.value.hint


def test_an_evaluation_instance_keeps_to_its_own_vault(tmp_path: Path) -> None:
    """Whatever the shell names that it was started from."""
    found = read(tmp_path, "", {"VAULT_ADDR": "https://a", "VAULT_TOKEN": "x", "BAO_NAMESPACE": "y"}, evaluation=True)
    assert (found.vault_address, found.token, found.namespace) == ("", None, "")
    with pytest.raises(BadSettings, match="own vault"):
        read(tmp_path, AT, evaluation=True)


def test_the_keeper_says_so_at_its_start_and_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "keeper.toml").write_text(AT + 'auth = "cert"')
    command = [sys.executable, "-m", "vault.keeper", "--instance", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "counterseal keeper: The keeper's settings cannot be used: auth = 'cert' needs client_cert and client_key, "
        "and an https:// address\n"
    )


def test_certificates_that_cannot_be_used_are_said_before_anything_is_sent(tmp_path: Path) -> None:
    file = f'{AT}ca_cert = "{tmp_path}/ca.pem"\n'
    with pytest.raises(BadSettings, match=r"ca\.pem: No such file"):
        read(tmp_path, file).tls()
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(BadSettings, match=r"ca\.pem: not a certificate"):
        read(tmp_path, file).tls()
