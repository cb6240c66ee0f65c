"""What a client may say of itself: its redirect URIs and its name. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address, ip_network

from webapp.errors import BadInput, said

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
NAMELESS = "An agent without a name"
NAME_LENGTH = 80
QUOTES = '"„‚‟＂〝〞〟'
URI_LENGTH = 500
DEFAULT_PORTS = {"https": "443", "http": "80"}
SHAPE = (
    "A redirect URI is https, or http on localhost, 127.0.0.1 or [::1], or has the reverse-domain scheme of an app; "
    f"it has no fragment and no user name, a host in lower case, and at most {URI_LENGTH} characters."
)

# RFC 3986 section 3, and no more of it than a redirect needs. What is not here (userinfo, fragments, backslashes, Unicode,
# blanks, percent signs in a host, capitals, trailing dots) is how one URI is made to look like another.
TAIL = r"(?P<tail>(?:[/?](?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]]|%[0-9A-Fa-f]{2})*)?)"
PORT = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
LABEL = r"[a-z0-9](?:[a-z0-9\-_]{0,61}[a-z0-9])?"
HTTPS = re.compile(rf"(?P<scheme>https)://(?P<host>{LABEL}(?:\.{LABEL})*){PORT}{TAIL}")
HTTP = re.compile(rf"(?P<scheme>http)://(?P<host>localhost|127\.0\.0\.1|\[::1\]){PORT}{TAIL}")
# RFC 8252 section 7.1: a private-use scheme is a domain name in reverse, so it has a dot; no authority follows it.
PRIVATE = re.compile(rf"(?P<scheme>[a-z][a-z0-9\-]*(?:\.[a-z0-9][a-z0-9\-]*)+):(?!//){TAIL}")


@dataclass(frozen=True)
class RedirectUri:
    """A redirect URI in its parts. `host` and `port` are empty for a private-use scheme."""

    scheme: str
    host: str
    port: str
    tail: str

    @property
    def loopback(self) -> bool:
        return self.scheme == "http"

    @property
    def private(self) -> bool:
        return not self.host

    @property
    def origin(self) -> str:
        """As CSP names it: scheme, host and port, or a private-use scheme alone."""
        return f"{self.scheme}:" if self.private else f"{self.scheme}://{self.host}" + (f":{self.port}" if self.port else "")

    def same_place(self, origin: str) -> bool:
        """Whether it leads to this origin, also where it spells out the port that goes without saying (RFC 6454 section 4)."""
        usual = DEFAULT_PORTS.get(self.scheme, "")
        return origin in (self.origin, f"{self.scheme}://{self.host}:{self.port or usual}") or (
            self.port == usual and not self.private and origin == f"{self.scheme}://{self.host}"
        )

    @property
    def form_action(self) -> bool:
        """Whether CSP's `form-action` can name the origin, and the browser follow a form there. It has no IPv6 addresses (CSP 3
        section 2.3.1), and an app that opens leaves the form standing."""
        return not self.private and not self.host.startswith("[")

    @property
    def shown(self) -> str:
        """Where the answer goes, for a person to read."""
        if self.private:
            return said("an app on your device (%(scheme)s)", scheme=self.scheme)
        return said("this computer (%(host)s)", host=self.host) if self.loopback else self.host


def read_redirect_uri(text: str, public_url: str = "") -> RedirectUri:
    """Take a redirect URI apart; raises BadInput unless it is https, http on loopback, or of a private-use scheme.

    One that leads to this very server is refused too: an authorization code has nothing to do in our own pages.
    """
    found = len(text) <= URI_LENGTH and (HTTPS.fullmatch(text) or HTTP.fullmatch(text) or PRIVATE.fullmatch(text))
    if not found:
        raise BadInput(SHAPE, code="invalid_redirect_uri")
    parts = found.groupdict()
    uri = RedirectUri(parts["scheme"], parts.get("host") or "", parts.get("port") or "", parts["tail"])
    if int(uri.port or 0) > 65535 or _disguised(uri.host) or (public_url and uri.same_place(public_url)):
        raise BadInput("That redirect URI is not one that a client may use.", code="invalid_redirect_uri")
    return uri


def _disguised(host: str) -> bool:
    """`0x7f.1` and `2130706433` are addresses to a browser (WHATWG URL, section 3.5): only a dotted quad is taken as one."""
    last = host.rpartition(".")[2]
    if not (last.isdigit() or re.fullmatch("0x[0-9a-f]*", last)):
        return False
    try:
        IPv4Address(host)
    except ValueError:
        return True
    return False


def matches(registered: list[str], asked: str) -> bool:
    """Whether `asked` is one of the registered redirect URIs: the same string (RFC 9700 section 2.1), except that the port of
    a loopback redirect may differ, because the client gets it from its system when it starts (RFC 8252 section 7.3)."""
    if asked in registered:
        return True
    wanted = HTTP.fullmatch(asked)
    if not wanted or len(asked) > URI_LENGTH or int(wanted["port"] or 0) > 65535:
        return False
    return any(
        (known := HTTP.fullmatch(uri)) is not None and (known["host"], known["tail"]) == (wanted["host"], wanted["tail"])
        for uri in registered
    )


def clean_name(text: str | None) -> str:
    """A self-reported name made safe to show: no controls, no invisible or direction-changing characters (a name must not
    rearrange the sentence it stands in), no quotation marks (nor leave the ones it stands between), blanks collapsed, marks
    not stacked, at most 80 characters."""
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", (text or "")[: NAME_LENGTH * 8]):
        category = unicodedata.category(char)
        marks = marks + 1 if category.startswith("M") else 0
        if category in ("Zs", "Zl", "Zp", "Cc"):
            kept.append(" ")
        elif not category.startswith("C") and marks <= 2:
            kept.append("'" if category in ("Pi", "Pf") or char in QUOTES else char)
    return " ".join("".join(kept).split())[:NAME_LENGTH].strip() or NAMELESS


def source_of(address: str | None) -> str:
    """Who registrations are counted for: an IPv4 address, or the /64 that one IPv6 customer has."""
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return "unknown"
    mapped = getattr(parsed, "ipv4_mapped", None)
    if parsed.version == 4 or mapped:
        return str(mapped or parsed)
    return str(ip_network(f"{parsed}/64", strict=False))
