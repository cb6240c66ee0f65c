"""TLS ended in the web process: who comes in with which certificate, by real handshakes and a real authority."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.csr import authority, csr, issue, new_key, write_pair
from tests.keeper_parts import KeeperParts, until
from tests.real.running import command, short_folder
from tests.real.tls import Web, answers, furnish, server_certificate, serving
from tests.token_client import with_certificate, with_key
from vault.errors import KeeperAway
from webapp import authority as authority_file
from webapp.clients import certificates
from webapp.config import Settings


@pytest.fixture(scope="module")
def web(tls_keeper: KeeperParts) -> Iterator[Web]:
    with short_folder("cs-tls-") as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        house = furnish(folder, tls_keeper, f"https://localhost:{port}")
        certificate, key = server_certificate(folder)
        words = ["--bind", f"fd://{listening.fileno()}", "--certfile", str(certificate), "--keyfile", str(key)]
        with serving(house, words, [listening]) as process:
            made = Web(house, folder, ("localhost", port))
            answers(made, process)
            yield made


ENDED = (ssl.SSLError, ConnectionError, BrokenPipeError)


def test_a_browser_without_a_certificate_sees_the_pages_and_is_asked_for_none(web: Web) -> None:
    page = web.send("GET", "/sign-in", Accept="text/html")
    assert page.status == 200
    assert b"Sign in" in page.body


def test_a_client_comes_in_by_its_handshake_and_not_without(web: Web) -> None:
    client = with_certificate(web.house)
    assert web.ask(context=web.context(client)).json == {"active": False}
    assert web.ask({"client_id": client.id}).status == 401


def test_a_client_with_a_key_needs_no_certificate(web: Web) -> None:
    assert web.ask(with_key(web.house).proof()).json == {"active": False}


def test_a_foreign_certificate_ends_the_handshake(web: Web) -> None:
    client, ca, key = with_certificate(web.house), authority(), new_key()
    foreign = issue(ca, key, f"spiffe://localhost/client/{client.id}")
    pair = write_pair(web.folder, "foreign", key, foreign.public_bytes(Encoding.PEM).decode())
    with pytest.raises(ENDED):
        web.ask(context=web.context(pair=pair))


def test_an_expired_certificate_ends_the_handshake(web: Web) -> None:
    client = with_certificate(web.house, lifetime=2)
    assert client.certified
    ends = client.certified.not_after
    until(lambda: datetime.now(UTC) > ends, "the certificate has run out")
    with pytest.raises(ENDED):
        web.ask(context=web.context(client))


def test_anothers_certificate_without_its_key_is_no_handshake(web: Web) -> None:
    """A certificate is no secret: what counts is the key."""
    client = with_certificate(web.house)
    pair = write_pair(web.folder, "stolen", new_key(), client.pem)
    with pytest.raises(ssl.SSLError, match="KEY_VALUES_MISMATCH"):
        web.context(pair=pair)


def test_a_revoked_certificate_is_refused_with_the_next_request(web: Web) -> None:
    client = with_certificate(web.house)
    context = web.context(client)
    assert web.ask(context=context).status == 200
    serial, now = client.certified.serial if client.certified else "", web.house.clock()
    web.house.database.write(lambda s: certificates.revoke(s, serial, actor="cli", now=now))
    refused = web.ask(context=context)
    assert refused.status == 401
    assert "revoked" in refused.json["error_description"]


def test_a_header_is_not_a_certificate(web: Web) -> None:
    """No proxy is named here: whatever a client calls its header, it is a stranger."""
    client = with_certificate(web.house)
    for name in ("X_Client_Certificate", "X_SSL_Client_Cert", "X_Forwarded_Client_Cert", "Client_Cert"):
        assert web.ask({"client_id": client.id}, **{name: quote(client.pem)}).status == 401


def test_it_renews_itself_over_the_wire_and_goes_on_with_the_new_one(web: Web) -> None:
    client, key = with_certificate(web.house), new_key()
    sent, kind = csr(key).encode(), "application/pkcs10"
    given = web.send("POST", "/clients/certificate", sent, context=web.context(client), Content_Type=kind)
    assert given.status == 200, given.body
    pair = write_pair(web.folder, "renewed", key, given.body.decode())
    assert web.ask({"client_id": client.id}, context=web.context(pair=pair)).status == 200
    assert web.send("POST", "/clients/certificate", sent, Content_Type=kind).status == 401


def test_a_bound_token_is_worth_nothing_on_another_connection(web: Web) -> None:
    client, thief = with_certificate(web.house), with_certificate(web.house, "Thief")
    raw = web.bound(client)
    assert web.initialize(raw, context=web.context(client)).status == 200
    assert web.initialize(raw, context=web.context(thief)).status == 401
    assert web.initialize(raw).status == 401


def test_tls_without_https_as_the_address_is_refused_in_words(tmp_path: Path) -> None:
    certificate, key = server_certificate(tmp_path)
    environment = {"COUNTERSEAL_INSTANCE": str(tmp_path), "COUNTERSEAL_PUBLIC_URL": "http://localhost:8000"}
    for words, said in (
        (("--certfile", str(certificate), "--keyfile", str(key)), "it has to be https"),
        (("--certfile", str(certificate)), "belong together"),
    ):
        done = command("serve", *words, environment=environment, check=False)
        assert done.returncode != 0
        assert said in done.stderr


def test_where_the_keeper_is_away_the_authority_of_the_last_start_is_kept(tmp_path: Path, tls_keeper: KeeperParts) -> None:
    here = Settings(instance=tmp_path, door_socket=tls_keeper.door.socket)
    away = Settings(instance=tmp_path, door_socket=tmp_path / "nobody.sock")
    with pytest.raises(KeeperAway):
        authority_file.write(away)
    written = authority_file.write(here)
    assert written.read_text() == tls_keeper.door.client_ca()
    assert authority_file.write(away) == written
