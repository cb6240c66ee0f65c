"""The authenticated session with Vault or OpenBao: hvac over a lean adapter, login, renewal, errors.

Sealed is VaultSealed, anything that keeps it from answering is VaultAway; when it is back, the next request simply works.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import hvac
import hvac.adapters

from vault.errors import KeeperError, VaultAway, VaultSealed
from vault.login import Login
from vault.nodes import Context, Nodes
from vault.reach import BadSettings
from vault.wire import Heard, Unheard, Unreached

log = logging.getLogger("counterseal.keeper")

NO_LOGIN = "The vault does not let the keeper in. Nothing that needs a credential can run until an operator mends that."
ONE_AT_LEAST = 1.0
"""Seconds between two renewals."""
REFUSALS, WITHIN = 5, 10.0
"""So many refused logins within so many seconds, and the vault is left alone: each request that comes would try again, and Vault
locks out whoever is refused too often (https://developer.hashicorp.com/vault/docs/concepts/user-lockout)."""


class Refused(KeeperError):
    """Vault answered, and said no. `status` is HTTP's. It does not pass the door as such: whoever asked knows what it means."""

    def __init__(self, status: int, path: str, errors: list[str]) -> None:
        super().__init__(f"vault answered {status} to {path}: {'; '.join(errors)[:300]}")
        self.status = status
        self.errors = errors


class Adapter(hvac.adapters.Adapter):  # type: ignore[misc]
    """hvac's way out, over kept connections: a third of the time of the one it brings (requests), and unix sockets."""

    def __init__(self, wire: Nodes, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wire = wire

    def get_login_token(self, response: Mapping[str, Any]) -> str:
        return str(response["auth"]["client_token"])

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, raise_exception: bool = True, **kwargs: Any
    ) -> dict[str, Any] | None:
        sent = {"X-Vault-Request": "true", **(headers or {})}
        if self.token:
            sent.setdefault("X-Vault-Token", self.token)
        if self.namespace:
            sent["X-Vault-Namespace"] = self.namespace
        body = json.dumps(kwargs["json"]).encode() if kwargs.get("json") is not None else None
        path = "/" + url.lstrip("/") + (f"?{urlencode(kwargs['params'])}" if kwargs.get("params") else "")
        try:
            heard = self.wire.request(method.upper(), path, body=body, headers=sent, again=method.lower() in ("get", "list"))
        except (Unreached, Unheard) as error:
            raise VaultAway(str(error)) from error
        return _understood(heard, url)


def _understood(heard: Heard, path: str) -> dict[str, Any] | None:
    """The JSON answer, or the error that its status stands for (https://openbao.org/api-docs/#http-status-codes)."""
    try:
        answer = json.loads(heard.body) if heard.body else None
    except ValueError as error:
        raise VaultAway(f"not JSON from {path}") from error
    if heard.status < 300:
        return answer if isinstance(answer, dict) else None
    errors = [str(line) for line in (answer or {}).get("errors") or []] if isinstance(answer, dict) else []
    if heard.status == 503 and any("sealed" in line.lower() for line in errors):
        raise VaultSealed(f"{path}: {errors}")
    if heard.status == 400 and any("Upgrading from non-versioned" in line for line in errors):
        raise VaultAway(f"{path}: the mount is not ready yet")
    if heard.status >= 500 or heard.status in (307, 412, 429, 472, 473):
        raise VaultAway(f"{heard.status} from {path}: {'; '.join(errors)[:300]}")
    raise Refused(heard.status, path, errors)


class Vault:
    """One session. `login` is asked for its credential each time, so that a rotated file is picked up.

    Safe for many threads and greenlets. The token is renewed when half its life has gone; one that cannot be renewed, or that
    Vault no longer knows, is replaced by logging in again.
    """

    def __init__(
        self, address: str, *, login: Login, timeout: float = 5.0, namespace: str = "", tls: Context = lambda: None
    ) -> None:
        """`address`: one, or several with commas between. `tls` makes the context for https anew. Raises BadSettings."""
        self.wire = Nodes(address.split(","), timeout=timeout, tls=tls)
        self.namespace = namespace
        self._hvac = hvac.Client(
            url="http://vault", adapter=partial(Adapter, self.wire), token="", namespace=namespace or None
        )
        self._login_with = login
        self._renew_at = 0.0
        self._renewable = False
        self._failure: KeeperError | None = None
        self._refused: deque[tuple[float, str]] = deque(maxlen=REFUSALS)
        self._lock = threading.Lock()

    def read(self, path: str) -> dict[str, Any] | None:
        """None where there is nothing (404)."""
        try:
            return self.request("GET", path)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def write(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.request("POST", path, body) or {}

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
        """Raises VaultSealed, VaultAway, Refused. A 403 may mean that our token is gone: then log in, and ask once more."""
        token = self._token()
        try:
            return self._send(method, path, body)
        except Refused as error:
            if error.status != 403 or self._known(token):
                raise
        self._login(instead_of=token)
        return self._send(method, path, body)

    def enter(self, login: Login) -> None:
        """Log in by another credential of the same role, and go on with what it gave. Raises Refused, VaultAway, VaultSealed:
        then all stays as it was."""
        with self._lock:
            token, lease = self._entered(login)
            self._lease(lease)
            self._hvac.token = token

    def state(self) -> tuple[str, str]:
        """(`ready`, `sealed` or `away`; version). Never raises. `ready`: an active node answers."""
        try:
            # Asked without a token, and answered by an active node alone: a standby points elsewhere.
            found = self.wire.request("GET", "/v1/sys/internal/ui/mounts", again=True)
            sealed = self.wire.request("GET", "/v1/sys/seal-status", again=True)
            status = json.loads(sealed.body) if sealed.status == 200 else {}
        except (Unreached, Unheard, ValueError):
            return "away", ""
        if not isinstance(status, dict) or "sealed" not in status:
            return "away", ""
        version = str(status.get("version", ""))
        if status["sealed"]:
            return "sealed", version
        return ("ready" if found.status < 300 or 400 <= found.status < 500 else "away"), version

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any] | None:
        answer: dict[str, Any] | None = self._hvac.adapter.request(method, f"/v1/{path}", json=body)
        return answer

    def _token(self) -> str:
        token = str(self._hvac.token or "")
        if not token:
            return self._login(instead_of="")
        if time.monotonic() > self._renew_at:
            self._renew()
        return str(self._hvac.token)

    def _login(self, *, instead_of: str) -> str:
        """One greenlet logs in; those that waited for it share its luck: the new token, or its failure. Each trying anew would
        make the last of them wait for the sum of all timeouts."""
        before = self._failure
        with self._lock:
            token = str(self._hvac.token or "")
            if token and token != instead_of:
                return token
            if self._failure is not None and self._failure is not before:
                raise type(self._failure)(self._failure.detail, hint=self._failure.hint)
            try:
                self._log_in()
            except KeeperError as error:
                self._failure = error
                raise
            return str(self._hvac.token)

    def _log_in(self) -> None:
        """The token there was stays until there is another. Raises VaultSealed, and VaultAway, with words for people where the
        vault answered and let nobody in."""
        if len(self._refused) == REFUSALS and time.monotonic() - self._refused[0][0] < WITHIN:
            raise VaultAway(self._refused[-1][1], hint=NO_LOGIN)
        self.wire.renew_tls()
        try:
            token, lease = self._entered(self._login_with)
        except Refused as error:
            self._refused.append((time.monotonic(), f"vault refused {self._login_with.words}: {error.detail}"))
            raise VaultAway(self._refused[-1][1], hint=NO_LOGIN) from error
        except BadSettings as error:
            raise VaultAway(error.detail, hint=NO_LOGIN) from error
        self._refused.clear()
        self._lease(lease)
        self._hvac.token = token
        log.info("logged in to the vault")

    def _entered(self, login: Login) -> tuple[str, Mapping[str, Any]]:
        """A token, and how long it lives."""
        ask, path = self._hvac.adapter.request, f"/v1/{login.path}"
        given = login.given()
        if given is None:
            auth = (ask("POST", path, headers={"X-Vault-Token": ""}, json=login.body()) or {}).get("auth") or {}
            if not auth.get("client_token"):
                raise VaultAway(f"vault answered {login.words} without a token", hint=NO_LOGIN)
            return str(auth["client_token"]), auth
        data = (ask("GET", path, headers={"X-Vault-Token": given.reveal()}) or {})["data"]
        return given.reveal(), {"lease_duration": data["ttl"], "renewable": data.get("renewable", False)}

    def _renew(self) -> None:
        """Renew, or log in anew; one greenlet, while the others go on with the token there is."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._renew_at = time.monotonic() + 30
            if self._renewable:
                self._lease((self._hvac.auth.token.renew_self() or {})["auth"])
            else:
                self._log_in()
        except Refused:
            self._renew_at = 0.0
            self._hvac.token = ""
        except (VaultAway, VaultSealed) as error:
            # The token may still be good: if it is not, the request itself will say so.
            self._renew_at = time.monotonic() + ONE_AT_LEAST
            log.info("the token could not be renewed now: %s", error.detail)
        finally:
            self._lock.release()
        if not self._hvac.token:
            self._login(instead_of="")

    def _lease(self, auth: Mapping[str, Any]) -> None:
        """A duration of 0 is a token that never ends."""
        duration = float(auth["lease_duration"])
        self._renewable = bool(auth.get("renewable"))
        self._renew_at = time.monotonic() + max(duration / 2, ONE_AT_LEAST) if duration else math.inf

    def _known(self, token: str) -> bool:
        if str(self._hvac.token) != token:
            return False
        try:
            self._hvac.auth.token.lookup_self()
        except Refused:
            return False
        return True
