"""HTTP to providers: bounded in bytes and time, no redirects followed, nothing sent twice, https only.

What comes back is hostile until it was checked: a provider's server may be slow, endless or not the one it was.
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import urllib3

from vault.addresses import plain
from vault.errors import BadRequest, ProviderAway, ProviderRefused
from vault.said import said

MAX_BYTES = 512_000
CONNECT_TIMEOUT = 4.0
DEADLINE = 12.0
"""Seconds for a whole exchange; the claim on a connection outlives it (see `vault.renewal`)."""
CHUNK = 16_384


class AnswerLost(Exception):
    """The request may have reached the provider, but no whole answer came back: what it did is unknown."""


@dataclass(frozen=True)
class Reply:
    """A provider's whole answer. Its repr shows no body: that may hold tokens."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, bytes={len(self.body)})"

    def json(self) -> Mapping[str, Any] | None:
        """The JSON object of the body, or None for anything else."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


@dataclass(frozen=True)
class Transport:
    """`loopback`: an evaluation instance's, which talks to this machine alone, without TLS; any other talks https alone."""

    loopback: bool = False
    deadline: float = DEADLINE

    def check(self, url: str) -> str:
        """The URL, if tokens may be sent there. Raises BadRequest."""
        if not plain(url):
            raise BadRequest(f"not plain: {url[:80]!r}", hint="A provider's address has no blanks and no unusual characters.")
        parts = urlsplit(url)
        if not parts.hostname or parts.username or parts.fragment:
            raise BadRequest(f"not an endpoint: {url[:80]}", hint="A provider's address must be https://host/…")
        if self.loopback:
            if is_loopback(parts.hostname) and parts.scheme in ("http", "https"):
                return url
            raise BadRequest(f"not local: {url[:80]}", hint="An evaluation instance knows only providers on this machine.")
        if parts.scheme == "https":
            return url
        raise BadRequest(f"not https: {url[:80]}", hint="A provider's address must begin with https://.")

    def get(
        self, url: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: str | None = None
    ) -> Reply:
        """Raises ProviderAway. Asking again does no harm, so a lost answer is the same as none."""
        try:
            return self.send(method, url, body=body, headers=headers)
        except AnswerLost as error:
            raise ProviderAway(str(error)) from error

    def send(self, method: str, url: str, *, body: str | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request, once. Raises ProviderAway if it certainly was not sent, AnswerLost if it may have been."""
        end = time.monotonic() + self.deadline
        timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, self.deadline), read=self.deadline)
        sent = {"Accept": "application/json", "User-Agent": "counterseal", "Connection": "close", **(headers or {})}
        # A connection of its own: a kept one that the other end has just closed would look like a lost answer.
        with urllib3.PoolManager(num_pools=1, ssl_context=_trust(), retries=False) as pool:
            try:
                answer = pool.request(
                    method, self.check(url), body=body, headers=sent, timeout=timeout, redirect=False, preload_content=False
                )
            except NEVER_SENT as error:
                raise ProviderAway(f"not reached: {type(error).__name__}") from error
            except urllib3.exceptions.HTTPError as error:
                raise AnswerLost(f"no answer: {type(error).__name__}") from error
            try:
                return Reply(answer.status, _bounded(answer, end), answer.headers)
            finally:
                answer.close()


NEVER_SENT = (
    urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.SSLError,
)


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Made once: it takes longer than a request."""
    return ssl.create_default_context()


def _bounded(answer: urllib3.BaseHTTPResponse, end: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while part := answer.read1(CHUNK):
            parts.append(part)
            size += len(part)
            if size > MAX_BYTES:
                raise AnswerLost("the answer is too large")
            if time.monotonic() > end:
                raise AnswerLost("the answer took too long")
    except urllib3.exceptions.HTTPError as error:
        raise AnswerLost(f"cut off: {type(error).__name__}") from error
    return b"".join(parts)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def document(transport: Transport, url: str, headers: Mapping[str, str] | None = None) -> Mapping[str, Any]:
    """A JSON object that anyone may fetch again: metadata, keys, user information. Raises ProviderAway, ProviderRefused."""
    return read_document(transport.get(url, headers), url)


def read_document(reply: Reply, url: str) -> Mapping[str, Any]:
    """The JSON object of an answer. Raises ProviderAway, ProviderRefused."""
    found = reply.json()
    if reply.status >= 500 or reply.status == 429:
        raise ProviderAway(f"{urlsplit(url).hostname} answered {reply.status}")
    if reply.status != 200 or found is None:
        where = urlsplit(url).hostname
        hint = said("%(where)s answered %(status)s and not the document expected.", where=where, status=reply.status)
        raise ProviderRefused(f"{url} answered {reply.status}", hint=hint)
    return found
