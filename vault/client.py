"""The authenticated session with Vault or OpenBao: hvac over a lean adapter, AppRole login, renewal, errors.

Sealed is VaultSealed, anything that keeps it from answering is VaultAway; when it is back, the next request simply works.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import urlencode

import hvac
import hvac.adapters

from vault.errors import KeeperError, VaultAway, VaultSealed
from vault.secret import Secret
from vault.wire import Heard, Unheard, Unreached, Wire

log = logging.getLogger("counterseal.keeper")


class Refused(KeeperError):
    """Vault answered, and said no. `status` is HTTP's. It does not pass the door as such: whoever asked knows what it means."""

    def __init__(self, status: int, path: str, errors: list[str]) -> None:
        super().__init__(f"vault answered {status} to {path}: {'; '.join(errors)[:300]}")
        self.status = status
        self.errors = errors


class Adapter(hvac.adapters.Adapter):  # type: ignore[misc]
    """hvac's way out, over kept connections: a third of the time of the one it brings (requests), and unix sockets."""

    def __init__(self, wire: Wire, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wire = wire

    def get_login_token(self, response: Mapping[str, Any]) -> str:
        return str(response["auth"]["client_token"])

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, raise_exception: bool = True, **kwargs: Any
    ) -> dict[str, Any] | None:
        sent = {"X-Vault-Request": "true", **(headers or {})}
        if self.token:
            sent["X-Vault-Token"] = self.token
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
    if heard.status >= 500 or heard.status in (429, 472, 473):
        raise VaultAway(f"{heard.status} from {path}: {'; '.join(errors)[:300]}")
    raise Refused(heard.status, path, errors)


class Vault:
    """One AppRole's session. `secret_id` is asked for at each login, so that a rotated file is picked up.

    Safe for many threads and greenlets. The token is renewed when half its life has gone, and a new one is fetched when
    Vault no longer knows it.
    """

    def __init__(self, address: str, *, role_id: str, secret_id: Any, timeout: float = 5.0) -> None:
        self.wire = Wire(address, timeout=timeout)
        self._hvac = hvac.Client(url="http://vault", adapter=partial(Adapter, self.wire), token="")
        self._role_id = role_id
        self._secret_id = secret_id
        self._renew_at = 0.0
        self._failure: KeeperError | None = None
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

    def state(self) -> tuple[str, str]:
        """(`ready`, `sealed` or `away`; version). Never raises."""
        try:
            found = self.wire.request("GET", "/v1/sys/seal-status", again=True)
            status = json.loads(found.body) if found.status == 200 else {}
        except (Unreached, Unheard, ValueError):
            return "away", ""
        if not isinstance(status, dict) or "sealed" not in status:
            return "away", ""
        return ("sealed" if status["sealed"] else "ready"), str(status.get("version", ""))

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any] | None:
        answer: dict[str, Any] | None = self._hvac.adapter.request(method, f"/v1/{path}", json=body)
        return answer

    def _token(self) -> str:
        token = str(self._hvac.token or "")
        if not token:
            return self._login(instead_of="")
        if time.monotonic() > self._renew_at:
            self._renew(token)
        return str(self._hvac.token)

    def _login(self, *, instead_of: str) -> str:
        """One greenlet logs in; those that waited for it share its luck: the new token, or its failure. Each trying anew would
        make the last of them wait for the sum of all timeouts."""
        before = self._failure
        with self._lock:
            token = str(self._hvac.token or "")
            if token != instead_of:
                return token
            if self._failure is not None and self._failure is not before:
                raise type(self._failure)(self._failure.detail)
            try:
                self._log_in()
            except KeeperError as error:
                self._failure = error
                raise
            return str(self._hvac.token)

    def _log_in(self) -> None:
        self._hvac.token = ""
        secret: Secret[str] = self._secret_id()
        try:
            answer = self._hvac.auth.approle.login(role_id=self._role_id, secret_id=secret.reveal(), use_token=True)
        except Refused as error:
            raise VaultAway(f"vault refused our login: {error.detail}") from error
        self._lease(answer)
        log.info("logged in to the vault")

    def _renew(self, token: str) -> None:
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._renew_at = time.monotonic() + 30
            self._lease(self._hvac.auth.token.renew_self())
        except Refused:
            self._renew_at = 0.0
            self._hvac.token = ""
        finally:
            self._lock.release()
        if not self._hvac.token:
            self._login(instead_of="")

    def _lease(self, answer: Mapping[str, Any]) -> None:
        self._renew_at = time.monotonic() + max(float(answer["auth"]["lease_duration"]) / 2, 1.0)

    def _known(self, token: str) -> bool:
        if str(self._hvac.token) != token:
            return False
        try:
            self._hvac.auth.token.lookup_self()
        except Refused:
            return False
        return True
