"""Where a request came from, when a reverse proxy stands in front: believed of the proxies that the settings name, and of nobody
else. Scheme and host come from `public_url` alone, so no header has a say in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from webapp.web.peer import FORWARDED

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
UNIX = "unix"
TRACES = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
"""Headers by which a request shows that a proxy handed it on."""


class Proxies:
    """WSGI middleware. `certificate_header` is the header that holds the client certificate; empty for none. Raises ValueError
    for a setting that is neither a network nor `unix`."""

    def __init__(self, app: Wsgi, trusted: Iterable[str], certificate_header: str = "") -> None:
        self._app = app
        names = list(trusted)
        self._unix = UNIX in names
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(name) for name in names if name != UNIX]
        self._header = "HTTP_" + certificate_header.upper().replace("-", "_") if certificate_header else ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR") or ""
        if self._header:
            self._certificate(environ, peer)
        environ["REMOTE_ADDR"] = self.source(peer, environ.get("HTTP_X_FORWARDED_FOR") or "")
        return self._app(environ, start_response)

    def _certificate(self, environ: dict[str, Any], peer: str) -> None:
        """Attack: a client sends the header itself, around the proxy. A certificate is no secret, so whoever has seen one could
        be its owner then: the header is taken off every request, and read only where the next hop is a proxy of ours."""
        sent = environ.pop(self._header, "")
        if self._believed(peer):
            environ[FORWARDED] = sent

    def source(self, peer: str, forwarded: str) -> str:
        """From the right, which the nearest proxy wrote: the first address that is no proxy of ours. What stands left of it was
        written by strangers. Attack: a header that makes each request look like another person's."""
        for hop in reversed(forwarded.split(",")):
            if not self._believed(peer) or not _is_address(hop.strip()):
                return peer
            peer = hop.strip()
        return peer

    def _believed(self, peer: str) -> bool:
        if not _is_address(peer):
            return self._unix and not peer
        address = ip_address(peer)
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks if network.version == mapped.version)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
