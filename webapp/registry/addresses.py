"""Which addresses a listing may be fetched from.

An admin names servers, often in their own network, so private addresses are fine; what no MCP server has (cloud metadata,
multicast, unspecified) is refused, and the address that was checked is the one connected to.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from webapp.config import HOST
from webapp.errors import BadInput, said


class AddressRefused(BadInput):
    default = "address_refused"


def split(url: str) -> SplitResult:
    """The parts of a server's URL. Raises AddressRefused on one that is not plain `http(s)://host[:port]/path[?query]`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("The server's URL cannot be read.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise AddressRefused("A server's URL begins with http:// or https:// and names a host.")
    plain = all("!" <= char <= "~" for char in url) and HOST.fullmatch(parts.hostname)
    if parts.username is not None or parts.fragment or not plain:
        raise AddressRefused("A server's URL has no user, no fragment, and no spaces or control characters.")
    if parts.scheme == "http" and not _loopback(parts.hostname):
        raise AddressRefused("A server on another machine is reached by https:// only: its tokens would be readable on the way.")
    return parts


def resolve(parts: SplitResult) -> tuple[str, int]:
    """An address of the host, and the port. Attack: a name that resolves to an address of the inside when it is connected to, and
    to a harmless one when it is checked (DNS rebinding): so it is resolved once, here. Raises AddressRefused."""
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise AddressRefused(said("The host %(host)s has no address.", host=host)) from error
    if not all(_permitted(address, parts) for address in found):
        raise AddressRefused(said("The host %(host)s is at an address that no server can have.", host=host))
    return min(found, key=lambda address: (":" in address, address)), port


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _permitted(address: str, parts: SplitResult) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if parts.scheme == "http":
        return ip.is_loopback
    return not (ip.is_link_local or ip.is_multicast or ip.is_unspecified or (ip.is_reserved and not ip.is_loopback))
