"""Where a request came from, when a reverse proxy stands in front: believed of the proxies that the settings name, and of nobody
else. Scheme and host come from `public_url` alone, so no header has a say in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
UNIX = "unix"


class Proxies:
    """WSGI middleware. Raises ValueError for a setting that is neither a network nor `unix`."""

    def __init__(self, app: Wsgi, trusted: Iterable[str]) -> None:
        self._app = app
        names = list(trusted)
        self._unix = UNIX in names
        self._networks: list[IPv4Network | IPv6Network] = [ip_network(name) for name in names if name != UNIX]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = self.source(environ.get("REMOTE_ADDR") or "", environ.get("HTTP_X_FORWARDED_FOR") or "")
        return self._app(environ, start_response)

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
