"""Asking a server what it lists: real servers of the official SDK in both eras, and hostile ones byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.webapp.gateway.peers import RawServer, http_answer, modern, rpc, sdk_server
from vault.secret import Secret
from webapp.config import Gateway
from webapp.gateway.negotiation import Target
from webapp.gateway.upstream import Upstreams
from webapp.registry import addresses, digest, fetch
from webapp.registry.addresses import AddressRefused
from webapp.registry.fetch import ListingFailed, list_tools

Raw = Callable[[Callable[[dict[str, Any]], bytes | None]], RawServer]

TOOL = {"name": "t", "inputSchema": {"type": "object"}}


@pytest.fixture
def raw() -> Iterator[Raw]:
    made: list[RawServer] = []

    def make(answer: Callable[[dict[str, Any]], bytes | None]) -> RawServer:
        made.append(RawServer(answer))
        return made[-1]

    yield make
    for server in made:
        server.close()


def listing(body: bytes, **fields: Any) -> Callable[[dict[str, Any]], bytes | None]:
    return modern(lambda message: http_answer(body, **fields))


def page(message: dict[str, Any], tools: list[Any], **more: Any) -> bytes:
    return http_answer(rpc(message, {"resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private", **more}))


@pytest.mark.parametrize("kind", ["modern", "legacy", "legacy-json"])
def test_it_reads_the_sdks_servers_and_sees_the_same_text_as_the_gateway(kind: str) -> None:
    """Else the gateway's first listing would be a drift of what was just approved."""
    upstreams = Upstreams(Gateway())
    with sdk_server(kind) as peer:
        found = list_tools(peer.url)
        through = upstreams.list_tools(Target(peer.url, "per_a"))
        upstreams.close()
    assert {tool["name"] for tool in found} >= {"echo", "add", "routed"}
    assert [digest.description(tool) for tool in found] == [digest.description(tool) for tool in through]


def test_all_pages_are_read_in_order(raw: Raw) -> None:
    def answer(message: dict[str, Any]) -> bytes:
        cursor = int(message["params"].get("cursor", "0"))
        more = {"nextCursor": str(cursor + 1)} if cursor < 3 else {}
        return page(message, [{**TOOL, "name": f"t{cursor}"}], **more)

    assert [tool["name"] for tool in list_tools(raw(modern(answer)).url)] == ["t0", "t1", "t2", "t3"]


def test_a_token_goes_in_the_authorization_header_and_nowhere_else(raw: Raw) -> None:
    server = raw(modern(lambda message: page(message, [TOOL])))
    list_tools(server.url, Secret("tok_1"))
    assert all(request["headers"]["Authorization"] == "Bearer tok_1" for request in server.requests)
    assert all("tok_1" not in request["line"] and b"tok_1" not in request["body"] for request in server.requests)


def test_a_redirect_is_not_followed(raw: Raw) -> None:
    """Attack: a listing that sends us to an address of the inside."""
    inside = raw(modern(lambda message: page(message, [TOOL])))
    outside = raw(lambda message: http_answer(b"", status="307 Temporary Redirect", extra=f"Location: {inside.url}\r\n"))
    with pytest.raises(ListingFailed, match="redirects"):
        list_tools(outside.url)
    assert inside.requests == []


HOSTILE: dict[str, Callable[[dict[str, Any]], bytes | None]] = {
    "nothing at all": lambda message: None,
    "not HTTP": lambda message: b"hello\r\n\r\n",
    "not JSON": listing(b"<html>"),
    "a key twice": listing(b'{"jsonrpc":"2.0","id":2,"result":{"tools":[],"tools":[{"name":"x"}]}}'),
    "NaN": listing(b'{"jsonrpc":"2.0","id":2,"result":{"tools":[NaN]}}'),
    "another's answer": listing(b'{"jsonrpc":"2.0","id":99,"result":{"tools":[]}}'),
    "no list": modern(lambda message: http_answer(rpc(message, {"tools": {}}))),
    "no object": modern(lambda message: http_answer(rpc(message, []))),  # type: ignore[arg-type]
    "nested without end": listing(b'{"jsonrpc":"2.0","id":2,"result":{"tools":' + b"[" * 200_000 + b"]" * 200_000 + b"}}"),
    "an error": listing(b'{"jsonrpc":"2.0","id":2,"error":{"code":-32603,"message":"no"}}'),
    "a server error": listing(b"", status="500 Internal Server Error"),
    "wants a token": listing(b"", status="401 Unauthorized"),
    "pages without end": modern(lambda message: page(message, [], nextCursor="again")),
    "tools without end": modern(lambda message: page(message, [{"name": f"t{n}"} for n in range(600)])),
    "bytes without end": modern(lambda message: http_answer(b" " * (fetch.BYTES + 1))),
    "no version that is known": lambda message: http_answer(rpc(message, {"protocolVersion": "2024-11-05"})),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_server_that_misbehaves_is_a_failure_in_words(raw: Raw, answer: Callable[[dict[str, Any]], bytes | None]) -> None:
    with pytest.raises(ListingFailed) as failed:
        list_tools(raw(answer).url, seconds=5)
    assert failed.value.hint.endswith(".")


def test_a_server_that_drips_is_left(raw: Raw) -> None:
    server = raw(modern(lambda message: page(message, [TOOL])))
    server.pieces = 1
    with pytest.raises(ListingFailed):
        list_tools(server.url, seconds=0.0)


@pytest.mark.parametrize("url", [
    "ftp://a.example/", "https://", "//a.example/", "file:///etc/passwd", "https://user@a.example/", "https://a.example/#x",
    "https://a.example:0/", "https://a.example:99999/", "https://a.example/\r\nX: y", "https://a.exämple/", "http://a.example/mcp",
    "http://10.0.0.1/", "gopher://127.0.0.1/", "http://[::1", " https://a.example/",
])
def test_an_address_that_is_not_a_servers_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        addresses.split(url)


@pytest.mark.parametrize("url", [
    "https://169.254.169.254/latest/meta-data", "https://[fe80::1]/", "https://224.0.0.1/", "https://0.0.0.0/", "https://[::]/",
    "https://[::ffff:169.254.169.254]/", "https://255.255.255.255/",
])
def test_an_address_that_no_server_has_is_not_connected_to(url: str) -> None:
    with pytest.raises(AddressRefused):
        addresses.resolve(addresses.split(url))


@pytest.mark.parametrize("url", ["https://10.1.2.3/", "https://192.168.1.1:8443/mcp", "http://127.0.0.1:1/", "http://[::1]:1/"])
def test_servers_of_the_own_network_are_reached(url: str) -> None:
    addresses.resolve(addresses.split(url))


def test_plain_http_goes_to_this_machine_only_whatever_the_name_resolves_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *args, **named: [(2, 1, 6, "", ("10.0.0.1", 80))])
    with pytest.raises(AddressRefused):
        addresses.resolve(addresses.split("http://localhost/mcp"))


def test_one_bad_address_among_good_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", ("203.0.113.5", 443)), (2, 1, 6, "", ("169.254.169.254", 443))]
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *args, **named: found)
    with pytest.raises(AddressRefused):
        addresses.resolve(addresses.split("https://rebind.example/"))
