"""TLS ended by a real nginx, with the very configuration that docs/operating.md shows: who comes in through it, and around it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.csr import authority, csr, issue, new_key, write_pair
from tests.keeper_parts import ROOT, KeeperParts
from tests.real.running import short_folder
from tests.real.tls import Web, answers, furnish, server_certificate, serving
from tests.token_client import TokenClientParts, with_certificate
from webapp import authority as authority_file
from webapp.clients import certificates

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
HEADER = "X-Client-Certificate"


def documented() -> str:
    """The server block that the documentation shows."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "docs" / "operating.md").read_text(), re.DOTALL)
    assert found
    return found.group(1)


def configuration(folder: Path) -> str:
    """It, with this machine's paths, and a socket in place of the port."""
    block = documented()
    for shown, here in (
        ("listen 443 ssl", f"listen unix:{folder}/front.sock ssl"), ("/etc/counterseal/tls.pem", f"{folder}/server.pem"),
        ("/etc/counterseal/tls.key", f"{folder}/server.key"), ("/run/counterseal/web.sock", f"{folder}/web.sock"),
        ("/etc/counterseal/client-ca.pem", f"{folder}/run/client-ca.pem"), ("seal.example", "localhost"),
    ):
        assert shown in block, shown
        block = block.replace(shown, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;\n" if os.getuid() == 0 else ""
    return (
        f"{user}daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log info;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{folders}\n{block}\n}}\n"
    )


@pytest.fixture(scope="module")
def behind(tls_keeper: KeeperParts) -> Iterator[Web]:
    """The web process itself, on the socket that nginx uses (its `address`) and on a port that anybody on the machine reaches."""
    with short_folder("cs-ngx-") as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        (folder / "counterseal.toml").write_text(
            f'[web]\ntrusted_proxies = ["unix"]\nclient_certificate_header = "{HEADER}"\n'
        )
        house = furnish(folder, tls_keeper, "https://localhost:8443")
        server_certificate(folder)
        authority_file.write(house.settings)
        with socket.socket(socket.AF_UNIX) as proxied:
            proxied.bind(str(folder / "web.sock"))
            proxied.listen()
            words = ["--bind", f"fd://{proxied.fileno()}", "--bind", f"fd://{listening.fileno()}"]
            with serving(house, words, [proxied, listening]) as process:
                made = Web(house, folder, ("127.0.0.1", listening.getsockname()[1]), tls=False)
                answers(made, process)
                yield made


@pytest.fixture(scope="module")
def web(behind: Web) -> Iterator[Web]:
    """Through nginx."""
    assert NGINX, "nginx is missing: .ci/programs installs it"
    folder = behind.folder
    (folder / "nginx.conf").write_text(configuration(folder))
    words = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    made = replace(behind, address=folder / "front.sock", tls=True)
    try:
        answers(made, process, log="nginx.log")
        yield made
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def client(web: Web) -> TokenClientParts:
    return with_certificate(web.house)


def test_a_browser_without_a_certificate_sees_the_pages(web: Web) -> None:
    assert web.send("GET", "/sign-in", Accept="text/html").status == 200


def test_a_client_comes_in_through_nginx_and_not_without_its_certificate(web: Web, client: TokenClientParts) -> None:
    assert web.ask(context=web.context(client)).json == {"active": False}
    assert web.ask({"client_id": client.id}).status == 401


def test_a_header_of_the_clients_own_is_not_passed_on(web: Web, client: TokenClientParts) -> None:
    """Through the proxy, with another's certificate, in each spelling: nginx says what it saw, and that was nothing."""
    for name in (HEADER, HEADER.lower(), "X_Client_Certificate".replace("_", "-").upper()):
        assert web.ask({"client_id": client.id}, **{name: quote(client.pem)}).status == 401
    thief = with_certificate(web.house, "Thief")
    answer = web.ask({"client_id": client.id}, context=web.context(thief), **{HEADER: quote(client.pem)})
    assert answer.status == 401
    assert "not the client that the proof is for" in answer.json["error_description"]


def test_around_the_proxy_the_header_counts_for_nothing(behind: Web, web: Web, client: TokenClientParts) -> None:
    """The port that is no proxy's: the same header, the same escaping, also with the proxy's other headers."""
    for more in ({}, {"X_Forwarded_For": "127.0.0.1"}, {"X_Real_IP": "127.0.0.1", "Forwarded": "for=unix"}):
        assert behind.ask({"client_id": client.id}, **{HEADER: quote(client.pem)}, **more).status == 401
    spoofed = replace(behind, address=behind.folder / "web.sock")
    assert spoofed.ask({"client_id": client.id}, **{HEADER: quote(client.pem)}).status == 200  # so the port alone makes it 401


def test_what_nginx_hands_on_is_verified_again(behind: Web, web: Web, client: TokenClientParts) -> None:
    """An nginx without the authority's file, or with another's, would hand on anything: as the socket behind it shows."""
    ca, key = authority(), new_key()
    foreign = issue(ca, key, f"spiffe://localhost/client/{client.id}").public_bytes(Encoding.PEM).decode()
    as_proxy = replace(behind, address=behind.folder / "web.sock")
    answer = as_proxy.ask(**{HEADER: quote(foreign)})
    assert answer.status == 401
    assert "not given by this server's authority" in answer.json["error_description"]
    for junk in ("junk", quote(client.pem + client.pem), quote(client.pem) + "," + quote(client.pem), "%ff%fe"):
        assert as_proxy.ask(**{HEADER: junk}).status == 400, junk
    pair = write_pair(web.folder, "foreign", key, foreign)
    assert web.ask(context=web.context(pair=pair)).status == 400  # nginx's own word


def test_a_revoked_certificate_is_refused_behind_nginx_too(web: Web, client: TokenClientParts) -> None:
    serial, now = client.certified.serial if client.certified else "", web.house.clock()
    web.house.database.write(lambda s: certificates.revoke(s, serial, actor="cli", now=now))
    answer = web.ask(context=web.context(client))
    assert answer.status == 401
    assert "revoked" in answer.json["error_description"]


def test_it_renews_itself_through_nginx(web: Web, client: TokenClientParts) -> None:
    key, kind = new_key(), "application/pkcs10"
    given = web.send("POST", "/clients/certificate", csr(key).encode(), context=web.context(client), Content_Type=kind)
    assert given.status == 200, given.body
    pair = write_pair(web.folder, "renewed", key, given.body.decode())
    assert web.ask({"client_id": client.id}, context=web.context(pair=pair)).status == 200


def test_a_bound_token_needs_its_certificate_behind_nginx_too(web: Web, client: TokenClientParts) -> None:
    raw = web.bound(client)
    assert web.initialize(raw, context=web.context(client)).status == 200
    assert web.initialize(raw, context=web.context(with_certificate(web.house, "Thief"))).status == 401
    assert web.initialize(raw, **{HEADER: quote(client.pem)}).status == 401
