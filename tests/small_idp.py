"""A small OpenID provider on loopback: real HTTP, real signatures, no pages. It says of a person what the test tells it to.

The keeper talks to it as to any other. PKCE, the client's secret, the redirect URI and the code's single use are checked; the
whole protocol is tried against npm `oidc-provider` elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

CLIENT = "counterseal"
SECRET = "a-secret-of-the-test"
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


@dataclass
class SmallIdp:
    issuer: str = ""
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "one", "use": "sig", "alg": "ES256"}))
    codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=lambda: {SECRET})
    """The client secrets it knows."""
    again: dict[str, int] = field(default_factory=dict)
    """When each person last signed in afresh: in whole seconds, and later each time, as with people."""

    @property
    def record(self) -> dict[str, Any]:
        """What `Door.idp_put` is given."""
        return {
            "issuer": self.issuer, "client_id": CLIENT, "client_secret": SECRET, "scopes": ["profile", "email"],
            "groups_claim": "groups",
        }

    def authorize(self, url: str, *, subject: str, **claims: Any) -> dict[str, str]:
        """The person of these claims agrees: what the browser brings back to the redirect URI."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        if asked.get("prompt") == "login":
            self.again[subject] = max(int(time.time()), self.again.get(subject, 0)) + 1
            claims = {"auth_time": self.again[subject], **claims}
        self.codes[code] = (asked, {"sub": subject, **claims})
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def token(self, form: Mapping[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        if authorization not in {"Basic " + base64.b64encode(f"{CLIENT}:{one}".encode()).decode() for one in self.secrets}:
            return 401, {"error": "invalid_client"}
        asked, claims = self.codes.pop(form.get("code", ""), ({}, {}))
        hashed = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).decode().rstrip("=")
        if not asked or challenge != asked["code_challenge"] or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        body = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"], "auth_time": now, **claims,
        }
        id_token = jwt.encode({"alg": "ES256", "kid": "one"}, body, self.key, algorithms=["ES256"])
        return 200, {"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "expires_in": 300, "id_token": id_token}

    def logout_token(self, **changes: Any) -> str:
        """What it posts when somebody signs out there (Back-Channel Logout 1.0 section 2.4). None leaves a claim out."""
        now = int(time.time())
        body = {
            "iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 120, "jti": secrets.token_urlsafe(12),
            "events": {LOGOUT: {}}, **changes,
        }
        header = {"alg": "ES256", "kid": "one", "typ": "logout+jwt"}
        told = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(header, told, self.key, algorithms=["ES256"])

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer, "authorization_endpoint": self.issuer + "/authorize", "token_endpoint": self.issuer + "/token",
            "jwks_uri": self.issuer + "/jwks", "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"], "authorization_response_iss_parameter_supported": True,
            "token_endpoint_auth_methods_supported": ["client_secret_basic"], "code_challenge_methods_supported": ["S256"],
            "backchannel_logout_supported": True, "backchannel_logout_session_supported": True,
        }


def _handler(idp: SmallIdp) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            idp.asked.append(self.path)
            if self.path == "/.well-known/openid-configuration":
                self._answer(200, idp.metadata())
            elif self.path == "/jwks":
                self._answer(200, {"keys": [idp.key.as_dict(private=False)]})
            else:
                self._answer(404, {})

        def do_POST(self) -> None:
            idp.asked.append(self.path)
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(text).items()}
            self._answer(*idp.token(form, self.headers.get("Authorization", "")))

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args: object) -> None:
            return

    return Handler


@contextmanager
def serve() -> Iterator[SmallIdp]:
    """One provider on a free port of 127.0.0.1."""
    idp = SmallIdp()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(idp))
    idp.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield idp
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
