"""The token endpoint, as a token client uses it: exchange (RFC 8693), waiting for people (as in OpenID CIBA), giving back."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from justintime.proofs import Certificate, Proof

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
POLL = "urn:openid:params:grant-type:ciba"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a type
INTERVAL = 5
"""Seconds between two polls where the answer names none, and by which `slow_down` lengthens them (RFC 8628 section 3.5)."""


class Refused(Exception):
    """No token. `code` is an OAuth error code; the text is for people: with `access_denied` it is why somebody said no."""

    def __init__(self, code: str, words: str, url: str = "") -> None:
        super().__init__(words or code)
        self.code, self.url = code, url


class NeedsPerson(Refused):
    """Somebody has to open `url`: to connect an account, or to let this client use one."""


class Away(Exception):
    """Counterseal does not answer, or cannot at the moment. Nothing was given; the same request may be sent again."""


@dataclass(frozen=True)
class Token:
    """A provider's access token, for this one call: `expires_in` seconds from now at most. It is not for keeping."""

    value: str = field(repr=False)
    expires_in: int
    scopes: tuple[str, ...]
    lease: str


@dataclass(frozen=True)
class Pending:
    """It waits for people: at `url` they see what for. Ask again after `interval` seconds; it lapses after `expires_in`."""

    request: str
    interval: int
    expires_in: int
    url: str


@dataclass
class Broker:
    """Safe for several threads. `url` is Counterseal's public address; `timeout` in seconds bounds each request."""

    url: str
    proof: Proof
    timeout: float = 30.0
    _renewing: threading.Lock = field(default_factory=threading.Lock)

    def token(
        self, subject: str, provider: str, scopes: Sequence[str], *, call: Mapping[str, Any] | None = None,
        waiting: Callable[[Pending], None] = lambda _pending: None, sleep: Callable[[float], None] = time.sleep,
    ) -> Token:
        """A token of the account at `provider` of the person whose agent sent `subject`, its token for this server. Waits for
        people, where they have to decide, and tells `waiting` before each pause. Raises Refused, NeedsPerson, Away."""
        found = self.exchange(subject, provider, scopes, call=call)
        end = time.monotonic() + found.expires_in if isinstance(found, Pending) else 0.0
        while isinstance(found, Pending):
            waiting(found)
            if time.monotonic() + found.interval > end:
                raise Refused("expired_token", "Nobody decided in time.", found.url)
            sleep(found.interval)
            found = self.poll(found)
        return found

    def exchange(
        self, subject: str, provider: str, scopes: Sequence[str], *, call: Mapping[str, Any] | None = None
    ) -> Token | Pending:
        """Ask once. `call` says what the token is for, where this client is registered for certain tools: `tool`, `arguments`,
        `resources`."""
        details = {"authorization_details": json.dumps([{"type": "tool_call", **call}])} if call else {}
        return self._asked({
            "grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, "audience": provider,
            "scope": " ".join(scopes), **details,
        })

    def poll(self, pending: Pending) -> Token | Pending:
        """What became of it. One that is asked too often is asked less often from then on."""
        try:
            return self._asked({"grant_type": POLL, "auth_req_id": pending.request}, pending)
        except Away:
            return pending  # nothing is lost: it waits there, not here

    def give_back(self, token: Token) -> None:
        """End the lease (RFC 7009), where the call is over before the token is. Raises Away."""
        self._send("/oauth/revoke", {"token": token.lease})

    def introspect(self, token: str) -> Mapping[str, Any]:
        """RFC 7662, of a token for this server's own resource; `{"active": False}` of any other. Raises Away, Refused."""
        status, found = self._send("/oauth/introspect", {"token": token})
        if status != 200:
            raise Refused(str(found.get("error", "")), str(found.get("error_description", "")))
        return found

    def renew(self, now: datetime | None = None) -> bool:
        """Renew a certificate that is past half of its life, by itself; whether it was. Before each request it is done anyway."""
        proof = self.proof
        if not isinstance(proof, Certificate) or not proof.due(now):
            return False
        with self._renewing:
            if self.proof is proof:  # else another thread has just done it
                body = proof.request()
                status, answer = self._post("/clients/certificate", body, "application/pkcs10")
                if status != 200:
                    raise Refused("renewal", answer.decode(errors="replace")[:300])
                self.proof = proof.install(answer.decode())
        return True

    def _asked(self, fields: Mapping[str, str], before: Pending | None = None) -> Token | Pending:
        status, found = self._send("/oauth/token", fields)
        if status == 200:
            return Token(found["access_token"], int(found["expires_in"]), tuple(found["scope"].split()), found["lease_id"])
        code, words, url = (str(found.get(name, "")) for name in ("error", "error_description", "error_uri"))
        if code in ("authorization_pending", "slow_down"):
            request = str(found.get("auth_req_id") or (before.request if before else ""))
            least = before.interval + (INTERVAL if code == "slow_down" else 0) if before else INTERVAL
            interval = int(found.get("interval") or least)
            left = int(found.get("expires_in") or (before.expires_in if before else 0))
            return Pending(request, interval, left, url or (before.url if before else ""))
        raise (NeedsPerson if code == "interaction_required" else Refused)(code, words, url)

    def _send(self, path: str, fields: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        self.renew()
        body = urlencode({**self.proof.fields(self.url), **fields}).encode()
        status, answer = self._post(path, body, "application/x-www-form-urlencoded")
        try:
            return status, dict(json.loads(answer or b"{}"))
        except ValueError as error:
            raise Away(f"{self.url} answered {status}, and no JSON") from error

    def _post(self, path: str, body: bytes, kind: str) -> tuple[int, bytes]:
        """One connection a request: what is lost with one may have been heard, and is never sent again by itself."""
        at = urlsplit(self.url)
        connection = self._connection(at.scheme, at.hostname or "", at.port)
        try:
            connection.request("POST", path, body, {"Content-Type": kind, "Accept": "application/json"})
            response = connection.getresponse()
            status, answer = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Away(f"{self.url} does not answer: {error}") from error
        finally:
            connection.close()
        if status >= 500:
            raise Away(f"{self.url} answered {status}")
        return status, answer

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=self.timeout)
        context = ssl.create_default_context()
        self.proof.prepare(context)
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=context)
