"""The nodes of one Vault or OpenBao, of which one is active: every request is answered by that one, or not at all.

A standby of OpenBao 2.5 answers reads itself, from what it has been told so far (https://openbao.org/docs/concepts/consistency):
an account that was paused a moment ago might still be active there. So each request says that it may not be forwarded
(https://openbao.org/docs/concepts/ha#client-redirection), and that it wants the state of an index that no standby has reached
(https://openbao.org/community/rfcs/index-headers): a standby then answers 307 with the active node's address, also to a read. The
active node looks at neither. What a node has perhaps carried out is never sent to another.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from vault.reach import BadSettings, check_address
from vault.wire import Heard, Unheard, Unreached, Wire

log = logging.getLogger("counterseal.keeper")

BEYOND = "900000000000000000"
"""An index that no cluster reaches."""
NOT_HERE = re.compile(
    rb'^\s*\{"errors": ?\["(Vault is sealed|[A-Za-z]+ is in standby mode|no active [A-Za-z]+ instance found|node is not active'
    rb'|local node not active but active cluster node not found)"\]\}\s*$'
)
"""Said before anything is done: another node may be the active one."""
AGAIN = 10.0
"""Seconds at least between two readings of the certificates because of a failed handshake."""
REMEMBERED = 32
"""Addresses that nodes pointed at."""

Context = Callable[[], ssl.SSLContext | None]


class Nodes:
    """As `Wire`, over several addresses of one kind, or one that leads to several nodes. A unix socket is one node."""

    def __init__(self, addresses: Sequence[str], *, timeout: float, tls: Context = lambda: None) -> None:
        self.addresses = tuple(addresses)
        self.timeout = timeout
        self._context = tls
        self._tls = tls()
        self._alone = self.addresses[0].startswith("unix:")
        self._renewed = time.monotonic()
        self._wires: dict[str, Wire] = {}
        self._retired: list[Wire] = []
        self._at = self.addresses[0]
        self._strict: dict[str, str] = {} if self._alone else {"X-Vault-No-Request-Forwarding": "true"}
        self._cluster = ""

    def request(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None, again: bool = False
    ) -> Heard:
        """The active node's answer. `again` says that carrying it out twice does no harm: then it is asked of another node when
        one was not heard. Raises Unreached where nothing was carried out, Unheard where it may have been."""
        if self._alone:
            return self._wire(self._at).request(method, path, body=body, headers=headers, again=again)
        end = time.monotonic() + self.timeout
        answer: Heard | None = None
        error: Unreached | Unheard = Unreached(f"no node of {', '.join(self.addresses)} is active")
        for _ in range(2 * len(self.addresses) + 2):
            at = self._at
            left = end - time.monotonic()
            if left <= 0:
                break
            try:
                heard = self._wire(at).request(
                    method, path, body=body, headers={**(headers or {}), **self._strict}, again=again, timeout=left
                )
            except (Unreached, Unheard) as failure:
                self._failed(at, failure)
                if isinstance(failure, Unheard) and not again:
                    raise
                error = failure
                continue
            answer = heard
            if heard.status == 307:
                self._follow(at, heard.header("Location"))
            elif heard.status >= 500 and NOT_HERE.match(heard.body):
                self._leave(at)
            elif not (self._learn(heard.header("X-Vault-Index")) and again):
                return heard
        if answer is not None and answer.status != 307:
            return answer
        raise error

    def renew_tls(self) -> None:
        """Read certificates and key again, at each login and when a handshake failed: they are replaced before they end."""
        if self._tls is None:
            return
        self._renewed = time.monotonic()
        try:
            self._tls = self._context()
        except BadSettings as error:
            log.warning("the certificate used before stays in use: %s", error.detail)
            return
        # A request under way brings its connection back to a wire of before: closed with the next.
        self.close()
        self._retired = [*self._retired, *self._wires.values()][-REMEMBERED:]
        self._wires = {}

    def close(self) -> None:
        for one in (*self._retired, *self._wires.values()):
            one.close()

    def _wire(self, address: str) -> Wire:
        found = self._wires.get(address)
        if found is None:
            found = self._wires.setdefault(address, Wire(address, timeout=self.timeout, tls=self._tls))
        return found

    def _failed(self, at: str, failure: Unreached | Unheard) -> None:
        self._leave(at)
        if isinstance(failure.__cause__, ssl.SSLError) and time.monotonic() - self._renewed > AGAIN:
            self.renew_tls()

    def _leave(self, at: str) -> None:
        """The next address of ours, unless somebody else has gone on already."""
        if self._at == at:
            known = self.addresses.index(at) if at in self.addresses else -1
            self._at = self.addresses[(known + 1) % len(self.addresses)]

    def _follow(self, at: str, location: str) -> None:
        """Where a standby says the active node is. It gets our token, so it must be on TLS as we are, under the same authority;
        a standby that points at itself, or at nothing, is left."""
        origin = ""
        try:
            parts = urlsplit(location)
            origin = f"{parts.scheme}://{parts.netloc}"
            fits = parts.scheme == urlsplit(at).scheme and bool(check_address(origin)) and origin != at
        except (BadSettings, ValueError):
            fits = False
        if not fits or (origin not in self._wires and len(self._wires) >= REMEMBERED):
            self._leave(at)
        elif self._at == at:
            self._at = origin

    def _learn(self, index: str) -> bool:
        """Whether the answer told us the cluster's name, and might so have come from a standby: from now on none will do."""
        if not index or (self._cluster and index.startswith(self._cluster)):
            return False
        try:
            content = base64.b64decode(index, validate=True)
            found = json.loads(content)
            cluster, value = str(found["cluster"]), str(found["value"])
        except (ValueError, TypeError, KeyError):
            return False
        if not value.isdigit():
            return False
        self._strict["X-Vault-Index"] = base64.b64encode(
            json.dumps({"cluster": cluster, "value": BEYOND}, separators=(",", ":")).encode()
        ).decode()
        self._strict["X-Vault-Inconsistent"] = "forward-active-node"
        self._cluster = index[:(len(content) - len(value) - 2) // 3 * 4]  # all that stands before the value and `"}`
        return True
