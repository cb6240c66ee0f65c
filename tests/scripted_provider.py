"""An OAuth token endpoint whose faults are scripted: what it answers, how late, and what it does at the worst moment.

It keeps books as a real one does: refresh tokens rotate, and one that was traded in before is refused (with `grace`, it may be
traded in once more; with `reuse_kills`, all that came of the same consent ends with it, as RFC 9700 section 4.14.2 has it). Every
request is recorded.
"""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

Fault = Callable[["Handler"], bool]
"""Runs before or after the books are kept; True when it has answered, or not answered, in its own way."""


@dataclass
class Scripted:
    """`before` and `after` are faults, taken from the front, one for each refresh: before the provider has done anything, and
    after it has rotated but before it answers."""

    grace: bool = False
    reuse_kills: bool = False
    rotates: bool = True
    expires_in: int | None = 3600
    scopes: str = "accounts:read payees:read payments:send"
    ignores_scope: bool = False
    account: str = "acc-1"
    revocation: int = 200
    speaks: Callable[[dict[str, Any], str], tuple[str, bytes]] | None = None
    """How it puts a token answer: the answer and the grant type to a content type and a body. JSON as RFC 6749 says if None."""
    me: Any = None
    """What it says of the account, where that is not `sub` and `label`."""
    strange: set[str] = field(default_factory=set)
    """Tokens that it answers 400 to when they are to be ended: it does not know them any more."""
    told: int = 200
    secrets: set[str] | None = None
    """The client secrets it knows, where it asks for one."""
    heard: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    """Method, path, headers (lower case) and body of every request."""
    before: list[Fault] = field(default_factory=list)
    after: list[Fault] = field(default_factory=list)
    redeeming: list[Fault] = field(default_factory=list)
    """Faults when a code is traded in, taken from the front."""
    refreshes: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each refresh was heard, by `time.monotonic`."""
    revoked: list[dict[str, str]] = field(default_factory=list)
    codes: list[dict[str, str]] = field(default_factory=list)
    living: set[str] = field(default_factory=set)
    spent: set[str] = field(default_factory=set)
    url: str = ""
    _consents: dict[str, int] = field(default_factory=dict)
    """Which consent each refresh token came of."""
    _count: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, **more: Any) -> dict[str, Any]:
        return {
            "client_id": "counterseal", "client_secret": "scripted-client-secret", "issuer": self.url,
            "authorize_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token", "revoke_url": f"{self.url}/revoke", "userinfo_url": f"{self.url}/userinfo", **more,
        }

    def issue(self, scope: str, *, refresh: str | None = None, of: str = "") -> dict[str, Any]:
        """`of`: the refresh token that these are given for; else it is a new consent."""
        with self._lock:
            self._count += 1
            answer: dict[str, Any] = {"access_token": f"access-secret-{self._count}", "token_type": "Bearer", "scope": scope}
            if self.expires_in is not None:
                answer["expires_in"] = self.expires_in
                answer["refresh_token"] = refresh or f"refresh-secret-{self._count}"
                self.living.add(answer["refresh_token"])
                self._consents[answer["refresh_token"]] = self._consents.get(of, self._count)
            return answer

    def trade(self, token: str) -> bool:
        """Whether this refresh token is good, and if it rotates, no more."""
        with self._lock:
            good = token in self.living
            if not good and self.grace and token in self.spent:
                self.spent.discard(token)
                return True
            if good and self.rotates:
                self.living.discard(token)
                self.spent.add(token)
            if self.reuse_kills and token in self.spent and not good:
                consent = self._consents.get(token)
                self.living = {one for one in self.living if self._consents.get(one) != consent}
            return good

    def shown(self) -> Counter[str]:
        """How often each refresh token was shown here."""
        with self._lock:
            return Counter(form["refresh_token"] for form in self.refreshes)


class Handler(BaseHTTPRequestHandler):
    scripted: Scripted
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: Any) -> None:
        """Quiet."""

    def hear(self) -> str:
        text = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.scripted.heard.append((self.command, self.path, headers, text))
        return text

    def do_DELETE(self) -> None:
        self.hear()
        self.answer(self.scripted.told, {})

    def do_POST(self) -> None:
        text, path = self.hear(), urlsplit(self.path).path
        if path == "/userinfo":
            self.answer(200, self.scripted.me)
            return
        if path == "/told":
            self.answer(self.scripted.told, {"ok": True})
            return
        found = json.loads(text) if "json" in self.headers["Content-Type"] else parse_qs(text)
        form = {key: value if isinstance(value, str) else value[0] for key, value in found.items()}
        if self.stranger(form):
            self.answer(401, {"error": "invalid_client"})
        elif path == "/revoke":
            self.scripted.revoked.append(form)
            if self.scripted.revocation == 200:
                self.scripted.living.discard(form["token"])
            self.answer(400 if form["token"] in self.scripted.strange else self.scripted.revocation, {})
        elif form.get("grant_type") == "authorization_code":
            self.scripted.codes.append(form)
            if self.scripted.redeeming and self.scripted.redeeming.pop(0)(self):
                return
            self.tokens(self.scripted.issue(self.scripted.scopes), "authorization_code")
        else:
            self.refresh(form)

    def stranger(self, form: dict[str, str]) -> bool:
        known = self.scripted.secrets
        basic = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ") or b"").decode()
        return known is not None and (form.get("client_secret") or unquote_plus(basic.partition(":")[2])) not in known

    def refresh(self, form: dict[str, str]) -> None:
        made = self.scripted
        with made._lock:
            made.refreshes.append(form)
            made.times.append(time.monotonic())
            before = made.before.pop(0) if made.before else None
            after = made.after.pop(0) if made.after else None
        if before is not None and before(self):
            return
        if not made.trade(form["refresh_token"]):
            self.answer(400, {"error": "invalid_grant"})
            return
        scope = made.scopes if made.ignores_scope else form.get("scope") or made.scopes
        shown = form["refresh_token"]
        answer = made.issue(scope, refresh=None if made.rotates else shown, of=shown)
        if made.speaks is not None:
            self.tokens(answer, "refresh_token")
            return
        self.body = json.dumps(answer).encode()
        if after is None or not after(self):
            self.send(200, self.body)

    def tokens(self, answer: dict[str, Any], grant: str) -> None:
        if self.scripted.speaks is None:
            self.answer(200, answer)
            return
        kind, body = self.scripted.speaks(answer, grant)
        self.send(200, body, kind)

    def consent(self, query: str) -> None:
        """Whoever comes has consented."""
        asked = {key: value[0] for key, value in parse_qs(query).items()}
        back = {"code": "a-code", "state": asked["state"], "iss": self.scripted.url}
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode(back)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.hear()
        asked = urlsplit(self.path)
        if asked.path == "/authorize":
            self.consent(asked.query)
            return
        account = self.scripted.account
        self.answer(200, self.scripted.me or {"sub": account, "label": f"Account {account}"})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.send(status, json.dumps(body).encode())

    def send(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def error(status: int, code: str = "server_error") -> Fault:
    def fault(handler: Handler) -> bool:
        handler.answer(status, {"error": code})
        return True

    return fault


def hang_up(handler: Handler) -> bool:
    """Close the connection without a word."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
    return True


def cut_off(handler: Handler) -> bool:
    """Half of the answer."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(handler.body)))
    handler.end_headers()
    handler.wfile.write(handler.body[: len(handler.body) // 2])
    handler.wfile.flush()
    return hang_up(handler)


def twice(handler: Handler) -> bool:
    """The answer, and the same once more on the same connection."""
    handler.send(200, handler.body)
    handler.send(200, handler.body)
    return True


def late(seconds: float) -> Fault:
    def fault(_handler: Handler) -> bool:
        time.sleep(seconds)
        return False

    return fault


def then(act: Callable[[], object]) -> Fault:
    """Do something at this moment, then go on as if nothing had happened."""

    def fault(_handler: Handler) -> bool:
        act()
        return False

    return fault


@contextmanager
def serve(**settings: Any) -> Iterator[Scripted]:
    made = Scripted(**settings)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"scripted": made}))
    server.daemon_threads = True
    server.handle_error = lambda *_args: None  # type: ignore[method-assign]
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
