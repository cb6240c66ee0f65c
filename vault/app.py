"""The keeper's side of the door: one POST per request of the table, JSON in and out, for callers the kernel vouches for."""

from __future__ import annotations

import json
import logging
import socket
import struct
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vault import (
    accounts,
    ages,
    checkpoints,
    client_secrets,
    connecting,
    decisions,
    delegating,
    ending,
    factors,
    grants,
    keys,
    life,
    linking,
    logout,
    marks,
    matching,
    notices,
    pki,
    readmission,
    recovery,
    rotating,
    secret_ids,
    signed_out,
    spool_keys,
    sso,
)
from vault.client import Refused
from vault.errors import BadRequest, HeadMoved, KeeperError
from vault.mark import mark
from vault.table import Handlers, Keeper

log = logging.getLogger("counterseal.keeper")

LARGEST = 4_000_000
"""Bytes of one request: an envelope with the largest arguments, and its statements."""
PEER = struct.Struct("3i")
OPERATORS_ONLY = frozenset({"idp_put", "provider_put", "person_link", "person_unlink", "person_readmit"})
"""Whoever names the identity provider says who is in which group: the web process, under a user of its own, must not.
Nor may it say that two sign-ins are no longer one human, or have somebody set up a new second step alone."""

Environ = Mapping[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


def table() -> Handlers:
    """Every request there is, by name."""
    return {
        **life.HANDLERS, **linking.HANDLERS, **signed_out.HANDLERS, **logout.HANDLERS, **recovery.HANDLERS,
        **readmission.HANDLERS,
        **marks.HANDLERS,
        **checkpoints.HANDLERS, **factors.HANDLERS, **decisions.HANDLERS, **sso.HANDLERS, **accounts.HANDLERS,
        **delegating.HANDLERS, **connecting.HANDLERS, **grants.HANDLERS, **ending.HANDLERS, **pki.HANDLERS, **keys.HANDLERS,
        **ages.HANDLERS, **rotating.HANDLERS, **secret_ids.HANDLERS, **client_secrets.HANDLERS,
        **notices.HANDLERS, **matching.HANDLERS, **spool_keys.HANDLERS,
    }


def application(keeper: Keeper, handlers: Handlers) -> Callable[[Environ, StartResponse], Iterable[bytes]]:
    """The WSGI app. An error goes out as its code and hint; its detail goes to the keeper's own log."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        status, answer = _answer(keeper, handlers, environ)
        body = json.dumps(answer).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return app


def _answer(keeper: Keeper, handlers: Handlers, environ: Environ) -> tuple[str, Mapping[str, Any]]:
    asked = str(environ.get("PATH_INFO", "")).lstrip("/")
    name = asked if asked in handlers else "unknown request"
    try:
        _admit(keeper, environ, name)
        if environ["REQUEST_METHOD"] != "POST" or asked not in handlers:
            raise BadRequest(f"{asked[:40]!r}")
        request = _body(environ)
        if name != "status":
            mark(keeper)
        return "200 OK", handlers[name](keeper, request)
    except Refused as error:
        log.error("%s: %s", name, error.detail)  # noqa: TRY400 the detail is all there is to know
        return "500 Internal Server Error", {"error": KeeperError.code, "hint": KeeperError.hint}
    except KeeperError as error:
        # Several processes sign the log's head: that one is overtaken by another says nothing to an operator.
        log.log(logging.DEBUG if isinstance(error, HeadMoved) else logging.INFO, "%s: %s: %s", name, error.code, error.detail)
        return "422 Unprocessable Content", error.answer()
    except Exception as error:  # noqa: BLE001 the edge of the process: an answer without words, and a log without values
        # A message may quote what it choked on, which may be a secret: only its type and where it was raised are logged.
        log.error("%s: %s\n%s", name, type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))  # noqa: TRY400
        return "500 Internal Server Error", {"error": KeeperError.code, "hint": KeeperError.hint}


def _admit(keeper: Keeper, environ: Environ, name: str) -> None:
    """SO_PEERCRED (unix(7)): the kernel says which user connected. The folder's mode says so too; both must hold."""
    peer: socket.socket | None = environ.get("gunicorn.socket")
    if peer is None or peer.family != socket.AF_UNIX:
        raise BadRequest("not on the unix socket")
    _pid, uid, _gid = PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))
    if uid not in keeper.settings.uids:
        raise BadRequest(f"user {uid} may not use the door")
    if name in OPERATORS_ONLY and uid not in keeper.settings.operators:
        raise BadRequest(f"user {uid} is no operator", hint="Only an operator can set this up, as the keeper's own user.")


def _body(environ: Environ) -> Mapping[str, Any]:
    length = str(environ.get("CONTENT_LENGTH") or "")
    if not length.isdigit() or int(length) > LARGEST:
        raise BadRequest("no length, or too large")
    content = environ["wsgi.input"].read(int(length))
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadRequest("not JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("not an object")
    return body
