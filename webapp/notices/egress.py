"""The process that sends one message and ends (`webapp.modules.command`): a request on stdin, an answer on stdout.

It is a process of its own because Apprise's plugins speak to a hundred services by addresses that people typed: so their code is
away from the app's memory, one slow service delays nobody, what they print is thrown away, and the guard below cannot be got
around. Nothing of the address is ever in the answer.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import logging
import mimetypes
import os
import re
import resource
import signal
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

SECONDS = 20
"""For the sending itself."""
WHOLE = 60
"""Seconds for everything: on a machine that is busy with other things, to load Apprise alone takes some."""
MEMORY = 1 << 30
"""Bytes of address space: a service that answers without end ends this process, not the machine."""
STATUS = re.compile(r"error[=:] ?([1-5][0-9]{2})\b")
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
PROCESSES = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system", "os.spawn", "pty.spawn")
ADDRESSED = ("socket.connect", "socket.sendto", "socket.sendmsg")
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate")
CODE = (".py", ".pyc", ".so", ".mo")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(Exception):
    """`why` is a word of `WORDS` in `webapp.notices.outward`."""

    def __init__(self, why: str, status: int | None = None) -> None:
        super().__init__(why)
        self.why, self.status = why, status


class Guard:
    """Whom this process may connect to, and what it may read. An audit hook (PEP 578) sees the address that is really connected
    to, also after a redirect, and after a name was resolved a second time (DNS rebinding); once set it cannot be taken away.

    Attack: an address asks for a file as its template or key (`slack://…?template=/srv/counterseal/…`), and what is in the file
    is sent to whoever typed the address. Nothing is read but code and the certificates to believe, and nothing is written."""

    def __init__(self, networks: Sequence[str]) -> None:
        self.networks: list[Network] = [ipaddress.ip_network(one) for one in networks]
        self.refused = False
        self.own_only = False
        """Whether what is sent is not encrypted, so that it must stay in the operator's own networks."""
        self.files = believed()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in PROCESSES or event in CHANGES or (event == "open" and not self._may_open(*arguments)):
            raise PermissionError(event)
        if event in ADDRESSED and not self._may(arguments[1]):
            self.refused = True
            raise PermissionError("address")

    def _may_open(self, path: Any, mode: Any, flags: Any) -> bool:
        if isinstance(path, int):
            return True
        found = os.path.realpath(os.fsdecode(path))
        return not int(flags or 0) & WRITES and (found in self.files or found.endswith(CODE))

    def _may(self, address: Any) -> bool:
        """A name instead of a number would be resolved behind the guard's back; a path is a socket of this machine."""
        if not isinstance(address, tuple):
            return False
        try:
            found = ipaddress.ip_address(str(address[0]).partition("%")[0])
        except ValueError:
            return False
        return permitted(found, self.networks, own_only=self.own_only)


def permitted(address: Address, networks: Sequence[Network], *, own_only: bool = False) -> bool:
    """Public, or in a network that the operator named. An address that carries another is judged by that one too."""
    inner = _carried(address)
    if any(one in network for network in networks for one in (address, inner)):
        return True
    return not own_only and all(one.is_global and not one.is_multicast for one in (address, inner))


def _carried(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address


def believed() -> frozenset[str]:
    """The files of certificates that TLS here begins with, and the names of file types."""
    paths = ssl.get_default_verify_paths()
    given = [os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")]
    named = [*given, paths.cafile, paths.openssl_cafile, os.devnull]
    try:
        import certifi

        named.append(certifi.where())
    except ImportError:
        pass
    return frozenset(os.path.realpath(one) for one in (*named, *mimetypes.knownfiles) if one)


class Heard(logging.Handler):
    """What a service answered, as a number: the words that Apprise logs may hold the address."""

    def __init__(self) -> None:
        super().__init__()
        self.status: int | None = None

    def emit(self, record: logging.LogRecord) -> None:
        found = STATUS.search(record.getMessage())
        if found:
            self.status = int(found[1])


def opened(request: Mapping[str, Any], guard: Guard) -> Any:
    """The plugin for an address. Raises Refused for what is none, is of a service that is not on the list, or would be sent
    without the service's certificate being checked."""
    try:
        import apprise
    except ImportError as error:
        raise Refused("absent") from error
    url = str(request["url"])
    scheme = url.partition("://")[0].lower()
    asset = apprise.AppriseAsset(
        secure_logging=True, async_mode=False, app_id="Counterseal", app_desc="Counterseal", app_url="", image_url_mask="",
        image_url_logo="",
    )
    allowed = set(request["schemes"])
    if scheme not in allowed | {"https"}:
        raise Refused("scheme")
    plugin = apprise.Apprise.instantiate(url, asset=asset)
    if plugin is None:
        raise Refused("address")
    clear, safe = _names(plugin.protocol), _names(plugin.secure_protocol)
    if not (clear | safe) & allowed or (scheme == "https" and scheme not in allowed and not safe & allowed):
        raise Refused("scheme")
    if plugin.verify_certificate is not True:
        raise Refused("unverified")
    guard.own_only = _readable(plugin, scheme, clear, safe)
    return plugin


def _readable(plugin: Any, scheme: str, clear: set[str], safe: set[str]) -> bool:
    """Whether others could read on the way what is sent, and the password with it. Mail begins in clear and goes on by STARTTLS,
    which its plugin says; and `ntfy` without a host is ntfy's own service."""
    if hasattr(plugin, "secure_mode"):
        return str(getattr(plugin.secure_mode, "value", plugin.secure_mode)) == "insecure"
    return scheme in clear and bool(safe) and str(getattr(plugin, "mode", "")) != "cloud"


def _names(given: Any) -> set[str]:
    return {given} if isinstance(given, str) else set(given or ())


def check(request: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    return {"service": str(opened(request, guard).service_name)[:60]}


def send(request: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    heard = Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    logger.propagate = False
    plugin = opened(request, guard)
    signal.alarm(SECONDS)
    if not plugin.notify(body=str(request["body"]), title=str(request["title"]), body_format="text"):
        raise Refused("refused" if heard.status else "away", heard.status)
    return {}


def push(request: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    """One message to a push service (RFC 8030 section 5), encrypted already. No redirect is followed."""
    import urllib3

    endpoint = str(request["url"])
    if urlsplit(endpoint).scheme != "https":
        raise Refused("address")
    signal.alarm(SECONDS)
    pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=10))
    try:
        answer = pool.request(
            "POST", endpoint, body=base64.b64decode(request["body"]), headers=dict(request["headers"]), redirect=False,
            preload_content=False,
        )
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Refused("away") from error
    if answer.status in (404, 410):
        raise Refused("gone", answer.status)
    if not 200 <= answer.status < 300:
        raise Refused("refused", answer.status)
    return {}


WORK: Mapping[str, Callable[[Mapping[str, Any], Guard], dict[str, Any]]] = {"check": check, "send": send, "push": push}


def answered(request: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    try:
        return {"why": "", "status": None, **WORK[request["do"]](request, guard)}
    except Refused as error:
        return {"why": "inside" if guard.refused else error.why, "status": error.status}
    except Exception:  # noqa: BLE001 a plugin's own fault: an answer without its words, which may quote the address
        return {"why": "inside" if guard.refused else "fault", "status": None}


def main() -> None:
    os.nice(5)
    signal.alarm(WHOLE)
    answer = os.fdopen(os.dup(1), "w")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # a plugin's print, by Python or C, would be read as the answer
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = json.loads(sys.stdin.read())
    guard = Guard(request["networks"])
    sys.addaudithook(guard)
    with answer:
        answer.write(json.dumps(answered(request, guard)))


if __name__ == "__main__":
    main()
