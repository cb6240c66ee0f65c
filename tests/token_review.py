"""A Kubernetes API server that knows one request, TokenReview (https://kubernetes.io/docs/reference/kubernetes-api/
authentication-resources/token-review-v1/), and the service account tokens that it believes."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

AUDIENCE = "openbao"
PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


@dataclass
class Kubernetes:
    """`reviewed`: the tokens it was asked about; `alive`: those that it says are good."""

    address: str
    alive: set[str] = field(default_factory=set)
    reviewed: list[str] = field(default_factory=list)

    def token(self, name: str, namespace: str = "apps", *, nonce: int = 0) -> str:
        """A projected service account token, of the shape Kubernetes gives it; only this server's word makes it good."""
        claims = {
            "aud": [AUDIENCE], "exp": 4102444800, "iat": 1700000000, "iss": "https://kubernetes.default.svc", "jti": str(nonce),
            "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": f"uid-{name}"}},
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        parts = [{"alg": "RS256", "typ": "JWT"}, claims, "signature"]
        made = ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in parts)
        self.alive.add(made)
        return made


@contextmanager
def serving(certificate: Path, key: Path) -> Iterator[Kubernetes]:
    kubernetes = Kubernetes("")

    class Review(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]
            status = answer(asked) if self.path == PATH else {"authenticated": False}
            body = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status}).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        token = asked["token"]
        kubernetes.reviewed.append(token)
        if token not in kubernetes.alive:
            return {"authenticated": False, "error": "unknown"}
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        who = claims["kubernetes.io"]
        user = {
            "username": claims["sub"], "uid": who["serviceaccount"]["uid"],
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{who['namespace']}"],
        }
        return {"authenticated": True, "user": user, "audiences": asked.get("audiences") or [AUDIENCE]}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Review)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    kubernetes.address = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield kubernetes
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
