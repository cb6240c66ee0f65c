"""Who asks: the address that counts for limits, behind a proxy and without one."""

from __future__ import annotations

from typing import Any

import pytest

from webapp.web.proxies import Proxies


def seen(trusted: list[str], peer: str, forwarded: str | None) -> str:
    found: dict[str, Any] = {}

    def app(environ: dict[str, Any], _start: Any) -> list[bytes]:
        found.update(environ)
        return []

    environ = {"REMOTE_ADDR": peer, **({"HTTP_X_FORWARDED_FOR": forwarded} if forwarded is not None else {})}
    Proxies(app, trusted)(environ, None)
    return str(found["REMOTE_ADDR"])


@pytest.mark.parametrize(("trusted", "peer", "forwarded", "expected"), [
    (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9", "203.0.113.9"),
    (["10.0.0.0/8"], "10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
    (["10.0.0.0/8"], "10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
    (["10.0.0.0/8"], "203.0.113.9", "6.6.6.6", "203.0.113.9"),
    (["10.0.0.0/8"], "10.0.0.1", "not an address", "10.0.0.1"),
    (["10.0.0.0/8"], "10.0.0.1", None, "10.0.0.1"),
    (["10.0.0.0/8"], "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
    (["::1/128"], "::1", "2001:db8::7", "2001:db8::7"),
    (["10.0.0.0/8"], "", "6.6.6.6", ""),
    (["unix"], "", "203.0.113.9", "203.0.113.9"),
])
def test_only_what_a_named_proxy_wrote_counts(trusted: list[str], peer: str, forwarded: str | None, expected: str) -> None:
    """What a stranger wrote into the header stands left of what our proxy added, and is not read."""
    assert seen(trusted, peer, forwarded) == expected


def test_a_proxy_that_is_no_network_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Proxies(lambda _environ, _start: [], ["proxy.example"])
