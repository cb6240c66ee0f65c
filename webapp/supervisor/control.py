"""The supervisor's end of the control socket. Who asks is the same user, or is not answered."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from webapp.errors import CountersealError
from webapp.web.control import LONGEST, short_path

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


def _same_user(writer: asyncio.StreamWriter) -> bool:
    """SO_PEERCRED: pid, uid, gid of the process at the other end, as the kernel saw them at connect."""
    found = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", found)[1] == os.getuid())


async def serve(instance: Path, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """Answer one JSON line a connection: `{"do": name, …}`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _same_user(writer):
                request = json.loads(await asyncio.wait_for(reader.readline(), 5))
                writer.write(json.dumps(await _handled(handlers, request)).encode() + b"\n")
                await writer.drain()
        except (ValueError, TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()

    with short_path(instance) as path:
        with suppress(FileNotFoundError):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        os.chmod(path, 0o600)
    return await asyncio.start_unix_server(answer, sock=listener, limit=LONGEST)


async def _handled(handlers: Mapping[str, Handler], request: Mapping[str, Any]) -> dict[str, Any]:
    handler = handlers.get(str(request.get("do")))
    if handler is None:
        return {"refused": "This is not something the supervisor does."}
    try:
        return await handler(request)
    except CountersealError as error:
        return {"refused": error.hint}
