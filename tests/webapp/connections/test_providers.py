"""`counterseal provider`: by discovery from a real issuer, with values, by hand; and every document that must not be believed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.app_parts import People
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import CLIENT, SECRET, Provider
from tests.webapp.connections.parts import back, only, own_file, rows
from vault.door import Door
from vault.providers.catalogue import load
from webapp.cli import main
from webapp.connections import discovery
from webapp.connections.discovery import DiscoveryFailed
from webapp.registry.addresses import AddressRefused
from webapp.web.house import House

Run = Callable[..., Result]


@pytest.fixture
def run(keeper: KeeperParts) -> Iterator[Run]:
    """The command, on the shared evaluation instance; the files that it writes are gone afterwards."""
    environment = {"COUNTERSEAL_INSTANCE": str(keeper.instance), "COUNTERSEAL_EVALUATION": "true"}
    yield lambda *words: CliRunner(env=environment).invoke(main, ["provider", *words])
    for path in (keeper.instance / "providers").glob("*.yaml"):
        path.unlink()


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return str(path)


def test_an_account_is_connected_at_an_issuer_that_only_its_address_was_known_of(
    run: Run, secret: str, real_bank: Provider, signed_in: People, house: House, keeper: KeeperParts
) -> None:
    """npm `oidc-provider`: endpoints, `iss` and PKCE from its own metadata."""
    done = run("add", "acme-books", "--issuer", real_bank.issuer, "--client-id", CLIENT, "--client-secret-file", secret)
    assert done.exit_code == 0, done.output
    assert "/connections/callback\n" in done.output
    facts = load(keeper.instance, local=True)["acme-books"]
    assert (facts.issuer, facts.token_url) == (real_bank.issuer, f"{real_bank.issuer}/token")
    assert (facts.iss, facts.pkce, facts.callback, facts.discovery) == (True, True, "shared", False)
    written = (keeper.instance / "providers" / "acme-books.yaml").read_text()
    assert "#   payments:send" in written
    assert SECRET not in written
    ada = signed_in("ada")
    house.settings.instance, house.settings.evaluation = keeper.instance, True  # the web reads the file that the keeper reads
    sent = ada.send("/connections/new", provider="acme-books", scope=["profile"])
    assert back(ada, real_bank.consent(sent.headers["Location"])).status_code == 303
    [row] = [one for one in rows(house, ada.person) if one.provider == "acme-books"]
    assert (row.account, row.status) == ("alice", "active")
    again = run("add", "acme-books", "--issuer", real_bank.issuer, "--client-id", CLIENT)
    assert again.exit_code == 1
    assert "exists" in again.output


def test_a_tenant_is_filled_in_by_the_operator_and_checked(run: Run, keeper: KeeperParts) -> None:
    missing = run("add", "zendesk", "--client-id", "c")
    assert missing.exit_code == 1
    assert "--set subdomain=…   your Zendesk's name, as in NAME.zendesk.com" in missing.output
    for value in ("evil.example/", "a.b", "A", ""):
        wrong = run("add", "zendesk", "--client-id", "c", "--set", f"subdomain={value}")
        assert wrong.exit_code == 1, value
        assert not (keeper.instance / "providers" / "zendesk.yaml").exists() or value == ""
        (keeper.instance / "providers" / "zendesk.yaml").unlink(missing_ok=True)
    assert run("add", "zendesk", "--client-id", "c", "--set", "subdomain").exit_code == 1
    run("add", "our-desk", "--from", "zendesk", "--client-id", "c", "--set", "subdomain=acme")
    assert load(keeper.instance, local=True)["our-desk"].token_url == "https://acme.zendesk.com/oauth/tokens"


def test_nobody_takes_a_shipped_name_for_another_issuer(run: Run, real_bank: Provider, keeper: KeeperParts) -> None:
    done = run("add", "github", "--issuer", real_bank.issuer, "--client-id", "c")
    assert done.exit_code == 1
    assert "is shipped" in done.output
    assert not (keeper.instance / "providers" / "github.yaml").exists()


def test_a_service_of_keys_needs_no_client(run: Run, keeper: KeeperParts) -> None:
    done = run("add", "tavily")
    assert done.exit_code == 0, done.output
    assert "paste a key" in done.output
    assert "tavily" in keeper.door.providers()
    assert run("add", "github").exit_code == 1


def test_the_list_says_what_there_is_and_how_it_is_connected(
    run: Run, keeper: KeeperParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, keeper, "harbour", "tavily")
    run("add", "tavily")
    shown = run("list").output
    before, after = shown.split("In the catalogue")
    assert "tavily" in before
    assert "people paste an API key" in before
    assert "notion" in after
    assert "tavily" not in after
    assert "harbour" not in after
    assert "linear" not in run("list", "google").output.split("In the catalogue")[1]


def test_an_entry_is_shown_with_what_to_register_and_where_it_is_documented(run: Run) -> None:
    shown = run("show", "notion").output
    for words in ("/connections/callback/notion", "pages that you choose", "https://developers.notion.com/"):
        assert words in shown
    assert "PKCE S256: sent\n" in shown
    assert "PKCE S256: sent where the client has no secret" in run("show", "slack").output
    assert "https://docs.slack.dev/authentication/using-pkce" in run("show", "slack").output
    assert "--set shop=…" in run("show", "shopify").output
    assert "platform.openai.com/api-keys" in run("show", "openai").output
    assert run("show", "nobody").exit_code == 1


def test_check_points_at_the_line(run: Run, keeper: KeeperParts) -> None:
    assert "No files of your own" in run("check").output
    own_file(keeper, "erp", "title: ERP\nkind: oauth\nscopes:\n  pay:\n    words: Pay bills\n    effect: lethal\n")
    own_file(keeper, "github", "overrides: github\nscopes: {repo: {words: Change code, effect: read}}")
    done = run("check")
    assert done.exit_code == 1
    assert "providers/erp.yaml:6: scopes.pay.effect: one of read, write, send, money or destroy is expected" in done.output
    assert "repo.effect: send becomes read, which is milder" in done.output
    assert "2 files of your own, 1 of them with errors" in done.output
    refused = run("add", "erp", "--client-id", "c")
    assert refused.exit_code == 1
    assert "erp.yaml:6" in refused.output


def test_check_works_without_the_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(tmp_path))
    done = CliRunner().invoke(main, ["provider", "check"])
    assert done.exit_code == 0
    assert "keeper does not answer" in done.output
    assert isinstance(Door(tmp_path / "none"), Door)


# -- what must not be believed ---------------------------------------------------------------------------------------


class Issuer(BaseHTTPRequestHandler):
    documents: dict[str, Any]

    def do_GET(self) -> None:
        found = self.documents.get(self.path)
        body = found if isinstance(found, bytes) else json.dumps(found).encode()
        self.send_response(302 if found == "elsewhere" else 200 if found is not None else 404)
        if found == "elsewhere":
            self.send_header("Location", "/other")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


@pytest.fixture
def issuer() -> Iterator[tuple[str, dict[str, Any]]]:
    documents: dict[str, Any] = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Issuer,), {"documents": documents}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", documents
    server.shutdown()
    server.server_close()
    thread.join()


OIDC, OAUTH = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"


def metadata(issuer: str, **more: Any) -> dict[str, Any]:
    return {
        "issuer": issuer, "authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token",
        "response_types_supported": ["code"], **more,
    }


def test_an_rfc_8414_issuer_with_a_path_is_found_where_the_rfc_says(issuer: tuple[str, dict[str, Any]]) -> None:
    where, documents = issuer
    tenant = f"{where}/tenant/one"
    documents[f"{OAUTH}/tenant/one"] = metadata(tenant, token_endpoint_auth_methods_supported=["client_secret_post"])
    found = discovery.discover(tenant, local=True)
    assert found.facts["extends"] == "oauth"
    assert (found.facts["client_auth"], found.facts["iss"], found.facts["revoke_style"]) == ("post", False, "none")
    assert len(found.notes) == 3


def test_what_it_advertises_is_written_down(issuer: tuple[str, dict[str, Any]]) -> None:
    where, documents = issuer
    documents[OIDC] = metadata(
        where, code_challenge_methods_supported=["plain"], authorization_response_iss_parameter_supported=True,
        revocation_endpoint=f"{where}/revoke", scopes_supported=["a", "b\nc: d", 7, "x" * 200],
    )
    found = discovery.discover(where, local=True)
    assert (found.facts["pkce"], found.facts["iss"], found.facts["revoke_url"]) == (False, True, f"{where}/revoke")
    assert found.scopes == ("a",)


LIES: dict[str, Any] = {
    "another issuer": {"issuer": "https://accounts.google.com"},
    "another issuer by one stroke": {"issuer": "{}/"},
    "no issuer": {"issuer": None},
    "no token endpoint": {"token_endpoint": None},
    "a token endpoint without TLS elsewhere": {"token_endpoint": "http://192.0.2.1/token"},
    "an endpoint that is a cloud's metadata": {"token_endpoint": "https://169.254.169.254/token"},
    "an endpoint that is none": {"token_endpoint": ["a"]},
    "an endpoint with a user": {"authorization_endpoint": "https://user:pass@127.0.0.1/"},
    "no code flow": {"response_types_supported": ["token"]},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_a_document_that_lies_sets_up_nothing(issuer: tuple[str, dict[str, Any]], lie: dict[str, Any]) -> None:
    where, documents = issuer
    told = {key: value.format(where) if isinstance(value, str) else value for key, value in lie.items()}
    documents[OIDC] = {**metadata(where), **told}
    with pytest.raises((DiscoveryFailed, AddressRefused)):
        discovery.discover(where, local=True)


NO_DOCUMENTS = {"huge": b"x" * 300_000, "list": b"[]", "half": b"{", "text": b"elsewhere", "deep": b"[" * 100_000}


@pytest.mark.parametrize("body", NO_DOCUMENTS.values(), ids=NO_DOCUMENTS.keys())
def test_a_document_that_is_none_sets_up_nothing(issuer: tuple[str, dict[str, Any]], body: bytes) -> None:
    where, documents = issuer
    documents[OIDC] = body
    with pytest.raises(DiscoveryFailed):
        discovery.discover(where, local=True)


def test_no_redirect_is_followed(issuer: tuple[str, dict[str, Any]]) -> None:
    where, documents = issuer
    documents[OIDC] = "elsewhere"
    documents["/other"] = metadata(where)
    with pytest.raises(DiscoveryFailed):
        discovery.discover(where, local=True)


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:1", "http://idp.example", "https://idp.example/?a=b", "https://a@idp.example", "https://idp.example/#f",
    "idp", "https://169.254.169.254", "https://[fe80::1]", "file:///etc/passwd", "https://idp.example/a b",
])
def test_what_is_no_issuer_outside_an_evaluation_is_not_asked(url: str) -> None:
    with pytest.raises((DiscoveryFailed, AddressRefused)):
        discovery.discover(url, local=False)
