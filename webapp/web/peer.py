"""The client certificate that a request came with: from our own TLS, or from a proxy that the settings name.

Whoever ended TLS made sure that the sender has the certificate's key. Who gave it, and whether it is still good, is checked where
it is used: nothing here says that a certificate is to be believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from webapp.errors import BadInput

FORWARDED = "counterseal.client_certificate"
"""In the WSGI environ: what a believed proxy said, empty for no certificate. No header can have this name."""
LARGEST = 16_384


def certificate(environ: Mapping[str, Any]) -> bytes | None:
    """Its DER; None without one. Where a believed proxy sent the request, what the proxy says counts alone: the socket's own
    certificate is the proxy's. Raises BadInput for a header that holds no certificate."""
    forwarded = environ.get(FORWARDED)
    if forwarded is not None:
        return read(str(forwarded)) if forwarded else None
    # Under gevent a TLS socket has `getpeercert`, a plain one does not (gunicorn keeps it in the environ).
    peer = getattr(environ.get("gunicorn.socket"), "getpeercert", None)
    found: bytes | None = peer(True) if peer is not None else None
    return found or None


def read(header: str) -> bytes:
    """A PEM, URL-escaped as nginx's `$ssl_client_escaped_cert` and Envoy have it. A header that was sent twice arrives joined
    by a comma, and is two certificates or none: refused."""
    try:
        found = x509.load_pem_x509_certificates(unquote(header, errors="strict").encode()) if len(header) <= LARGEST else []
    except (ValueError, UnicodeError) as error:
        raise BadInput("The proxy's header holds no client certificate.") from error
    if len(found) != 1:
        raise BadInput("The proxy's header holds no client certificate, or several.")
    return found[0].public_bytes(Encoding.DER)
