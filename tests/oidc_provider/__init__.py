"""npm `oidc-provider` as a process, and a browser that follows its redirects without looking."""

from __future__ import annotations

import http.cookiejar
import json
import os
import subprocess
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

HERE = Path(__file__).resolve().parent
CLIENT = "counterseal"
SECRET = "a-secret-that-only-the-keeper-holds"


def installed() -> None:
    """Install what `tests/package.json` pins, once."""
    if not (HERE.parent / "node_modules" / "oidc-provider").is_dir():
        subprocess.run(
            ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=HERE.parent, check=True,
            capture_output=True,
        )


@dataclass(frozen=True)
class Provider:
    issuer: str

    def record(self, **more: Any) -> dict[str, Any]:
        """What `provider_put` and `idp_put` take."""
        return {"issuer": self.issuer, "client_id": CLIENT, "client_secret": SECRET, **more}

    def consent(self, url: str, **more: str) -> dict[str, str]:
        """Follow an authorization request to its end, as a browser whose person agrees: the parameters of the redirect back."""
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        opener = urllib.request.build_opener(jar, _NoRedirect)
        url = f"{url}&{urlencode(more)}" if more else url
        for _ in range(12):
            if not url.startswith(self.issuer):
                return {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
            url = _location(opener, url)
        raise AssertionError("too many redirects")

    def log_out(self, subject: str, sid: str) -> None:
        """Have it tell the client that this session ended, as its option `backchannel` says where."""
        with urllib.request.urlopen(f"{self.issuer}/logged-out?{urlencode({'sub': subject, 'sid': sid})}", timeout=60) as answer:
            assert answer.read() == b"told"

    def introspect(self, token: str) -> Mapping[str, Any]:
        """What the provider itself says of a token."""
        shown = b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        request = urllib.request.Request(
            f"{self.issuer}/token/introspection", urlencode({"token": token}).encode(), {"Authorization": f"Basic {shown}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: Mapping[str, Any] = json.load(answer)
        return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def _location(opener: urllib.request.OpenerDirector, url: str) -> str:
    try:
        answer = opener.open(url, timeout=60)
    except urllib.error.HTTPError as redirect:
        answer = redirect
    with answer:
        found = answer.headers.get("Location")
        if not found:
            raise AssertionError(f"no redirect from {url}: {answer.read(400)!r}")
    base = urlsplit(url)
    return found if found.startswith("http") else f"{base.scheme}://{base.netloc}{found}"


@contextmanager
def serve(redirect_uris: list[str], **options: Any) -> Iterator[Provider]:
    """Options: `scopes`, `people` (claims by subject), `access_lifetime`, `acr`, `alg`, `withheld` (scopes the person
    declines), `tls` (files: `key`, `certificate`), `backchannel` (where it tells of logouts; `at`: at which port the app is that
    this names), `page` (who signs in afresh presses a button there)."""
    installed()
    environment = {**os.environ, "OIDC_OPTIONS": json.dumps({"redirect_uris": redirect_uris, **options})}
    process = subprocess.Popen(
        ["node", "server.mjs"], cwd=HERE, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True
    )
    try:
        assert process.stdout is not None
        line = ""
        while not line.startswith("ready "):
            line = process.stdout.readline()
            assert line, process.stderr.read() if process.stderr else ""
        yield Provider(line.split()[1])
    finally:
        process.kill()
        process.communicate()
