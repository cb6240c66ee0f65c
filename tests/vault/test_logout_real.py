"""npm `oidc-provider` tells of a logout, and has somebody sign in again: what it says is what we understand."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pytest

from tests.keeper_parts import KeeperParts, SignedPerson, until, with_passkey
from tests.oidc_provider import Provider, serve
from tests.vault.samples import approvers
from tests.vault.test_decisions import envelope
from vault.door import Answer, SessionProof, SignedAgain, SignedIn
from vault.evidence import parse_statement
from vault.secret import Secret

pytestmark = pytest.mark.real
CALLBACK = "http://localhost:8000/sign-in/callback"
BACK = "http://localhost:8000/actions/sign-in-again/back"
STRONG = "urn:example:strong"


class Told:
    """Where the provider posts its logout tokens."""

    def __init__(self) -> None:
        self.url, self.tokens, self.came = "", list[str](), threading.Event()


@contextmanager
def listening() -> Iterator[Told]:
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            told.tokens += form["logout_token"]
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            told.came.set()

        def log_message(self, *_args: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/sign-in/backchannel-logout"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    with listening() as one:
        yield one


@pytest.fixture(scope="module")
def provider(told: Told) -> Iterator[Provider]:
    """Its people's addresses are their names: it takes `login_hint` for who signs in."""
    people = {"alice": {"groups": ["finance"], "email": "alice"}}
    with serve([CALLBACK, BACK], people=people, acr=STRONG, backchannel=told.url) as made:
        yield made


def signed_in(keeper: KeeperParts, provider: Provider) -> tuple[str, SignedIn, Secret[str]]:
    name, session = f"idp_{secrets.token_hex(6)}", Secret(secrets.token_urlsafe(32))
    keeper.door.idp_put(name, provider.record(groups_claim="groups", step_up_acr={STRONG: "totp"}))
    begun = keeper.door.sign_in_begin(idp=name, redirect_uri=CALLBACK, login_hint="alice")
    came = provider.consent(begun.url)
    done = keeper.door.sign_in_finish(
        sealed=begun.sealed, state=came["state"], code=Secret(came["code"]), iss=came.get("iss"), session=session
    )
    return name, done, session


def test_its_logout_token_names_who_signed_in_and_which_session(keeper: KeeperParts, provider: Provider, told: Told) -> None:
    name, done, _session = signed_in(keeper, provider)
    assert done.claims["sid"]
    provider.log_out("alice", done.claims["sid"])
    assert told.came.wait(60)
    said = keeper.door.logout_token(idp=name, token=Secret(told.tokens[-1]))
    assert (said.person, said.sid, said.issuer) == (done.person, done.claims["sid"], provider.issuer)
    assert said.jti


def test_it_has_somebody_sign_in_again_as_we_ask(keeper: KeeperParts, provider: Provider) -> None:
    name, done, session = signed_in(keeper, provider)
    alice = with_passkey(keeper, SignedPerson(done.person, SessionProof(done.ticket, session)))
    raw, came_in = envelope(approvers("finance")), int(time.time())
    until(lambda: int(time.time()) > came_in, "a later second: the provider tells whole ones")
    begun = keeper.door.step_up_begin(proof=alice.proof, envelope=raw, verdict="approve", idp=name, redirect_uri=BACK)
    came = provider.consent(begun.url)
    again = SignedAgain(came["state"], Secret(came["code"]), came.get("iss"))
    made = keeper.door.decide(proof=alice.proof, envelope=raw, verdict="approve", answer=Answer(sealed=begun.sealed, again=again))
    factor = parse_statement(made, keeper.door.public_keys().authority)["factor"]
    assert (factor["kind"], factor["acr"], factor["strength"]) == ("idp", STRONG, "totp")
