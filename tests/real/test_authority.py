"""The authority for client certificates is replaced under a web process that ends TLS itself, is asked all the while, and is not
started anew."""

from __future__ import annotations

import socket
import ssl
import time

import pytest

from tests.asking import Asking
from tests.clock import Clock
from tests.csr import csr, new_key, write_pair
from tests.figures import Figures
from tests.keeper_parts import serve, until
from tests.real.running import short_folder
from tests.real.tls import Web, answers, furnish, server_certificate, serving
from tests.token_client import TokenClientParts, with_certificate
from vault import pki
from vault.door import Certified
from vault.lines import moment
from webapp.clients import certificates


def asks(web: Web, context: ssl.SSLContext) -> None:
    answer = web.ask(context=context)
    assert answer.status == 200, answer


def renews(web: Web, client: TokenClientParts) -> None:
    """A certificate of this moment, from the keeper that runs, and a request with it."""
    key = new_key()
    given = web.house.door.certify(client=client.id, csr=csr(key), lifetime=600)
    web.house.database.write(lambda s: certificates.record(s, client.id, given, actor="cli", now=web.house.clock()))
    asks(web, web.context(pair=write_pair(web.folder, given.serial, key, given.pem)))


def later(web: Web, client: TokenClientParts, keeper: object, name: str) -> ssl.SSLContext:
    """What the client's renewal would bring when the new one signs."""
    key = new_key()
    found = pki.certify(keeper, {"client": client.id, "csr": csr(key), "lifetime": 600})  # type: ignore[arg-type]
    given = Certified(found["pem"], found["serial"], moment(found["not_after"]))
    web.house.database.write(lambda s: certificates.record(s, client.id, given, actor="cli", now=web.house.clock()))
    return web.context(pair=write_pair(web.folder, name, key, given.pem))


def test_a_server_that_runs_believes_the_next_authority_before_it_signs(
    monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    """Nobody who had a certificate is refused meanwhile, and who has one of the next authority comes in without a restart."""
    monkeypatch.setenv("COUNTERSEAL_CLIENTS__AUTHORITY_LOOK", "1")
    with serve(evaluation=True) as parts, short_folder("cs-tls-") as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        house = furnish(folder, parts, f"https://localhost:{port}")
        certificate, key = server_certificate(folder)
        words = ["--bind", f"fd://{listening.fileno()}", "--certfile", str(certificate), "--keyfile", str(key)]
        with serving(house, words, [listening]) as process:
            web = Web(house, folder, ("localhost", port))
            answers(web, process)
            client, clock = with_certificate(house), Clock()
            before = web.context(client)
            assert web.ask(context=before).status == 200
            asking = Asking({
                "asks": lambda: asks(web, before), "asks too": lambda: asks(web, before), "renews": lambda: renews(web, client),
            }, pause=0.35)
            with asking.running():
                asking.more()
                made = parts.door.rotate("ca")
                clock.forward(days=8)
                assert clock() > made.used_from
                after = later(web, client, parts.inside(clock), "after")
                until(lambda: comes_in(web, after), "the next authority is believed", 60)
                asking.more()
                asks(web, after)
            asking.none_failed(figures, "the authority for client certificates was replaced")
            assert (folder / "run" / "client-ca.pem").read_text() == parts.door.client_ca(fresh=True)
            assert (folder / "run" / "client-ca.pem").read_text().count("BEGIN CERTIFICATE") == 2


def comes_in(web: Web, context: ssl.SSLContext) -> bool:
    try:
        return web.ask(context=context).status == 200
    except (ssl.SSLError, OSError):
        time.sleep(0.2)
        return False
