"""An operator names the identity provider; what the keeper does not accept is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.keeper_parts import KeeperParts
from webapp.cli import main


@pytest.fixture
def environment(keeper: KeeperParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(tmp_path))
    monkeypatch.setenv("COUNTERSEAL_DOOR_SOCKET", str(keeper.door.socket))
    monkeypatch.setenv("COUNTERSEAL_PEOPLE__IDP", "by-command")
    secret = tmp_path / "secret"
    secret.write_text("s3cret-of-the-client\n")
    return secret


def test_the_identity_provider_is_kept_by_the_keeper_with_its_secret(environment: Path, keeper: KeeperParts) -> None:
    done = CliRunner().invoke(main, [
        "idp", "add", "http://127.0.0.1:9/idp/", "--client-id", "counterseal", "--client-secret-file", str(environment),
        "--acr", "urn:mfa", "--amr", "hwk", "--amr", "otp", "--max-age", "3600", "--groups-claim", "roles",
    ])
    assert done.exit_code == 0, done.output
    assert "/sign-in/callback" in done.output
    assert "s3cret" not in done.output
    inside = keeper.inside()
    kept = inside.kv.read("idps/by-command")
    inside.vault.wire.close()
    assert kept is not None
    assert kept.data == {
        "issuer": "http://127.0.0.1:9/idp", "client_id": "counterseal", "client_secret": "s3cret-of-the-client",
        "groups_claim": "roles", "acr_values": ["urn:mfa"], "amr_values": ["hwk", "otp"], "max_age": 3600,
    }


def test_an_issuer_without_tls_elsewhere_is_refused_in_words(environment: Path) -> None:
    done = CliRunner().invoke(main, ["idp", "add", "http://idp.example", "--client-id", "x"])
    assert done.exit_code == 1
    assert "counterseal:" in done.output
    assert "Traceback" not in done.output
