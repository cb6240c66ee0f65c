"""Who asks: the address that counts for limits, behind a proxy and without one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError

from tests.csr import authority, issue, new_key
from tests.token_client import Peer
from webapp.config import Web
from webapp.errors import BadInput
from webapp.web import peer
from webapp.web.proxies import Proxies


def seen(trusted: list[str], peer: str, forwarded: str | None) -> str:
    found: dict[str, Any] = {}

    def app(environ: dict[str, Any], _start: Any) -> list[bytes]:
        found.update(environ)
        return []

    environ = {"REMOTE_ADDR": peer, **({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded is not None else {})}
    Proxies(app, trusted)(environ, None)
    return str(found["REMOTE_ADDR"])


@pytest.mark.parametrize(("trusted", "peer", "forwarded", "expected"), [
    (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9", "203.0.113.9"),
    (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
    (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
    (["10.0.0.0/8"], "203.0.113.9", "6.6.6.6", "203.0.113.9"),
    (["10.0.0.0/8"], "10.0.0.1", "not an address", "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", None, "10.0.0.1"),
    (["10.0.0.0/8"], "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
    (["::1/128"], "::1", "2001:db8::7", "2001:db8::7"),
    (["10.0.0.0/8"], "", "6.6.6.6", ""),
    (["unix"], "", "203.0.113.9", "203.0.113.9"),
])
def test_only_what_a_named_proxy_wrote_counts(trusted: list[str], peer: str, forwarded: str | None, expected: str) -> None:
    """What a stranger wrote into the header stands left of what our proxy added, and is not read."""
    assert seen(trusted, peer, forwarded) == expected


def test_a_proxy_that_is_no_network_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Proxies(lambda _environ, _start: [], ["proxy.example"])


CERTIFICATE = issue(authority(), new_key(), "spiffe://localhost/client/x")
PEM, DER = CERTIFICATE.public_bytes(Encoding.PEM).decode(), CERTIFICATE.public_bytes(Encoding.DER)
HEADER = "HTTP_X_CLIENT_CERTIFICATE"


def presented(trusted: list[str], environ: dict[str, Any]) -> tuple[bytes | None, dict[str, Any]]:
    found: dict[str, Any] = {}

    def app(inner: dict[str, Any], _start: Any) -> list[bytes]:
        found.update(inner)
        return []

    Proxies(app, trusted, "X-Client-Certificate")(environ, None)
    return peer.certificate(found), found


@pytest.mark.parametrize(("trusted", "address", "header", "socket", "expected"), [
    (["10.0.0.0/8"], "10.0.0.1", quote(PEM), None, DER),
    (["unix"], "", quote(PEM), None, DER),
    (["10.0.0.0/8"], "203.0.113.9", quote(PEM), None, None),
    (["10.0.0.0/8"], "", quote(PEM), None, None),
    (["unix"], "127.0.0.1", quote(PEM), None, None),
    (["10.0.0.0/8"], "10.0.0.1", None, DER, None),
    (["10.0.0.0/8"], "10.0.0.1", "", DER, None),
    (["10.0.0.0/8"], "203.0.113.9", quote("junk"), DER, DER),
])
def test_a_certificate_is_the_sockets_or_what_a_named_proxy_says(
    trusted: list[str], address: str, header: str | None, socket: bytes | None, expected: bytes | None
) -> None:
    """A proxy may have a certificate of its own on its connection to us: that is not its client's."""
    environ: dict[str, Any] = {"REMOTE_ADDR": address, "gunicorn.socket": Peer(socket)}
    environ |= {HEADER: header} if header is not None else {}
    found, inner = presented(trusted, environ)
    assert found == expected
    assert HEADER not in inner


def test_a_forwarded_address_of_a_proxy_makes_no_proxy() -> None:
    """Attack: the nearest hop is what counts, not who it says that it forwards for."""
    environ = {"REMOTE_ADDR": "203.0.113.9", "HTTP_X_FORWARDED_FOR": "10.0.0.1", HEADER: quote(PEM)}
    assert presented(["10.0.0.0/8"], environ)[0] is None


@pytest.mark.parametrize("header", ["junk", quote(PEM + PEM), f"{quote(PEM)},{quote(PEM)}", "%ff", quote("x" * 20_000)])
def test_a_header_that_holds_no_one_certificate_is_refused(header: str) -> None:
    with pytest.raises(BadInput):
        peer.read(header)


def test_without_tls_there_is_no_certificate() -> None:
    assert peer.certificate({"gunicorn.socket": object()}) is None
    assert peer.certificate({"gunicorn.socket": Peer(b"")}) is None
    assert peer.certificate({}) is None


def test_half_a_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="believed of nobody else"):
        Web(client_certificate_header="X-Client-Certificate")
    with pytest.raises(ValidationError, match="belong together"):
        Web(certfile="tls.pem")  # type: ignore[arg-type]
