"""Pure: who may come in, which addresses are ours, how long a session lives."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

from webapp.errors import nsaid, said
from webapp.web.viewer import Viewer

Admission = Literal["in", "sign_in", "second_step", "forbidden"]

START = "/"
PLAIN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
LONGEST_PATH = 3000
"""An agent's authorization request, with its redirect URI, state, challenge and resource, is longer than 1,000 characters."""


def fingerprint(secret: str) -> str:
    """Hex SHA-256: what is stored of a value that only the browser keeps."""
    return hashlib.sha256(secret.encode()).hexdigest()


def own_path(wanted: str | None) -> str:
    """`wanted` if it is a path of ours, else the start page.

    Attack: an open redirect after sign-in. Browsers read `//evil`, `/\\evil` and a tab or newline between the slashes as
    another host, so only printable ASCII without a backslash passes, and the second character is not a slash.
    """
    if not wanted or len(wanted) > LONGEST_PATH or not PLAIN_PATH.fullmatch(wanted):
        return START
    parts = urlsplit(wanted)
    return START if parts.scheme or parts.netloc or parts.path.startswith("/sign-in") else wanted


def admit(mark: str, viewer: Viewer | None) -> Admission:
    """Whether this viewer may see a page with this mark. What is not known is forbidden."""
    if mark in ("public", "machine"):
        return "in"
    if viewer is None:
        return "sign_in"
    if mark == "signing_in":
        return "in"
    if viewer.factor_at is None:
        return "second_step"
    allowed = {"person": True, "admin": viewer.admin, "auditor": viewer.auditor}
    return "in" if allowed.get(mark, False) else "forbidden"


def any_of(groups: Collection[str], configured: Collection[str]) -> bool:
    """Whether one of the person's groups is configured. Nothing configured is nobody, not everybody."""
    return not set(groups).isdisjoint(configured)


def same_host(host: str, netloc: str, scheme: str) -> bool:
    """Whether a Host header names `public_url`. A default port may be written or left out (RFC 9110 section 4.2.3)."""
    port = DEFAULT_PORTS[scheme]
    return host.lower().removesuffix(port) == netloc.lower().removesuffix(port)


def loopback_twin(host: str, netloc: str) -> bool:
    """Whether this is `127.0.0.1` on the port of a `localhost` address: the same evaluation instance by its number."""
    name, _, port = netloc.partition(":")
    return name == "localhost" and host == f"127.0.0.1:{port}"


def from_our_page(method: str, origin: str | None, fetch_site: str | None, public_url: str) -> bool:
    """Whether a request that changes something was made by a page of ours.

    Attack: another site posts a form at us (CSRF). Browsers say where a request comes from in `Sec-Fetch-Site` and `Origin`; a
    page cannot change either. A request with neither is no browser's; the CSRF token decides about it alone.
    """
    if method in SAFE_METHODS:
        return True
    if fetch_site is not None and fetch_site != "same-origin":
        return False
    return origin is None or _same_origin(origin, public_url)


def _same_origin(origin: str, public_url: str) -> bool:
    theirs, ours = urlsplit(origin), urlsplit(public_url)
    return theirs.scheme == ours.scheme and same_host(theirs.netloc, ours.netloc, ours.scheme)


def alive(*, idle_until: datetime, expires_at: datetime, ended_at: datetime | None, now: datetime) -> bool:
    """Whether a session still counts: not ended, not idle for too long, not too old."""
    return ended_at is None and now < idle_until and now < expires_at


def wait_words(left: timedelta) -> str:
    """`in 3 minutes`, rounded up: never sooner than it is true."""
    seconds = max(1, math.ceil(left.total_seconds()))
    if seconds < 60:
        return nsaid("in a second", "in %(num)s seconds", seconds)
    return nsaid("in a minute", "in %(num)s minutes", math.ceil(seconds / 60))


BROWSERS = (
    ("Edg/", "Edge"), ("OPR/", "Opera"), ("SamsungBrowser/", "Samsung Internet"), ("Firefox/", "Firefox"), ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS X", "Mac"),
    ("CrOS", "ChromeOS"), ("Linux", "Linux"),
)


ANY = "A browser"


def browser_words(user_agent: str) -> str:
    """`Firefox on Linux`, so that a person recognises their own sessions. Never a reason to let anybody in."""
    browser = next((name for mark, name in BROWSERS if mark in user_agent), ANY)
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser


def browser_said(words: str) -> str:
    """What `browser_words` found when a session began, for a page in its reader's language."""
    name, _, system = words.partition(" on ")
    browser = said("A browser") if name == ANY else name
    return said("%(browser)s on %(system)s", browser=browser, system=system) if system else browser
