"""One call is one request, in whichever era the server speaks, and what became of it is never guessed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.webapp.gateway.peers import Peer, RawServer, http_answer, modern, rpc, sdk_server
from vault.secret import Secret
from webapp.config import Gateway
from webapp.gateway.exchange import NotSent
from webapp.gateway.negotiation import Refused, Target
from webapp.gateway.upstream import IDEMPOTENCY, ToolCall, Upstreams

OK = {"resultType": "complete", "content": [{"type": "text", "text": "ok"}], "isError": False}


@pytest.fixture(scope="module", params=["modern", "legacy", "legacy-json"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with sdk_server(request.param) as running:
        yield running


@pytest.fixture
def upstreams() -> Iterator[Upstreams]:
    made = Upstreams(Gateway(upstream_timeout=60, response_bytes=50_000))
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Upstreams]:
    """Does not wait long for an answer."""
    made = Upstreams(Gateway(upstream_timeout=2, response_bytes=50_000))
    yield made
    made.close()


@pytest.fixture
def raw() -> Iterator[Callable[..., RawServer]]:
    running: list[RawServer] = []

    def start(answer: Any, pieces: int = 1 << 20) -> RawServer:
        running.append(RawServer(answer, pieces))
        return running[-1]

    yield start
    for one in running:
        one.close()


def call(tool: str, arguments: dict[str, Any], **more: Any) -> ToolCall:
    return ToolCall(tool, json.dumps(arguments).encode(), "cal_1", **more)


def target(url: str) -> Target:
    return Target(url, "per_alice", Secret("t0ken"))


# -- real servers ------------------------------------------------------------------------------------------------------


def test_a_call_is_answered_in_the_era_the_server_speaks(peer: Peer, upstreams: Upstreams) -> None:
    outcome = upstreams.call(target(peer.url), call("echo", {"text": "hello"}))
    assert (outcome.kind, outcome.result["content"][0]["text"]) == ("answered", "heard hello")
    assert "resultType" not in outcome.result


def test_each_call_is_exactly_one_request_once_the_server_is_known(peer: Peer, upstreams: Upstreams) -> None:
    upstreams.call(target(peer.url), call("add", {"a": 1, "b": 2}))
    before = len(peer.seen())
    for number in range(5):
        outcome = upstreams.call(target(peer.url), call("add", {"a": 1, "b": number}))
        assert outcome.result["structuredContent"] == {"result": 1 + number}
    assert len(peer.seen()) == before + 5


def test_what_is_sent_is_the_canonical_bytes_the_token_and_the_key(peer: Peer, upstreams: Upstreams) -> None:
    upstreams.call(target(peer.url), ToolCall("echo", b'{"text":"h\xc3\xa9"}', "act_42"))
    sent = peer.seen("tools/call")[-1]
    assert '"arguments":{"text":"hé"}' in sent["body"]
    assert sent["json"]["params"]["_meta"][IDEMPOTENCY] == "act_42"
    assert sent["headers"]["authorization"] == "Bearer t0ken"


def test_a_tool_error_and_progress_on_the_way_are_answers(peer: Peer, upstreams: Upstreams) -> None:
    assert upstreams.call(target(peer.url), call("fail", {"why": "no"})).result["isError"] is True
    assert upstreams.call(target(peer.url), call("tell", {"steps": 3})).result["content"][0]["text"] == "told"


def test_an_unknown_tool_is_no_success(peer: Peer, upstreams: Upstreams) -> None:
    outcome = upstreams.call(target(peer.url), call("nothing", {}))
    assert outcome.kind == "refused" or outcome.result["isError"]


def test_a_server_that_asks_the_person_something_is_refused_and_ends(peer: Peer, upstreams: Upstreams) -> None:
    outcome = upstreams.call(target(peer.url), call("ask", {}))
    assert outcome.kind in ("refused", "answered")
    assert outcome.kind == "refused" or outcome.result["isError"]


def test_a_schema_with_header_annotations_is_mirrored(peer: Peer, upstreams: Upstreams) -> None:
    schema = next(tool for tool in upstreams.list_tools(target(peer.url)) if tool["name"] == "routed")["inputSchema"]
    outcome = upstreams.call(target(peer.url), call("routed", {"region": "zürich"}, schema=schema))
    assert outcome.result["content"][0]["text"] == "zürich"


def test_a_held_action_uses_a_connection_and_session_of_its_own(peer: Peer, upstreams: Upstreams) -> None:
    for _ in range(2):
        assert upstreams.call(target(peer.url), call("echo", {"text": "x"}), fresh=True).kind == "answered"
    legacy = not peer.seen("tools/call")[-1]["headers"].get("mcp-method")
    sessions = {one["headers"].get("mcp-session-id") for one in peer.seen("tools/call")[-2:]}
    assert len(sessions) == (2 if legacy else 1)


def test_two_people_never_share_a_session(peer: Peer, upstreams: Upstreams) -> None:
    upstreams.call(Target(peer.url, "per_alice"), call("echo", {"text": "x"}))
    upstreams.call(Target(peer.url, "per_bob"), call("echo", {"text": "x"}))
    alice, bob = (one["headers"].get("mcp-session-id") for one in peer.seen("tools/call")[-2:])
    assert alice is None or alice != bob


# -- what a server can do wrong ------------------------------------------------------------------------------------------


def event(body: bytes) -> bytes:
    return b"event: message\r\ndata: " + body + b"\r\n\r\n"


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


@pytest.mark.parametrize("pieces", [1, 3, 7, 1 << 20])
def test_a_stream_split_anywhere_is_read_whole(upstreams: Upstreams, raw: Callable[..., RawServer], pieces: int) -> None:
    note = b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}'

    def answer(message: dict[str, Any]) -> bytes:
        body = rpc(message, OK)
        half = len(body) // 2
        lines = b"data: " + body[:half].replace(b", ", b",\ndata: ") + body[half:]
        return chunked(b"\xef\xbb\xbf: hi\r", b"\n\r\n", b"id: 1\ndata:\n\n", event(note), b"id: 7\nretry: 5\n" + lines + b"\r\r")

    server = raw(modern(answer), pieces)
    assert upstreams.call(target(server.url), call("t", {})).kind == "answered"


SILENT = {
    "a server error": lambda m: http_answer(b"oops", "500 Internal Server Error", "text/plain"),
    "a closed connection": lambda m: None,
    "an answer cut off": lambda m: http_answer(rpc(m, OK))[:-5],
    "a stream cut off": lambda m: chunked(event(rpc(m, OK))[:-9], end=b""),
    "a stream that ends without an answer": lambda m: chunked(b": ping\n\n"),
    "an answer to another request": lambda m: http_answer(rpc({"id": "other"}, OK)),
    "a huge answer": lambda m: http_answer(rpc(m, {**OK, "content": [{"type": "text", "text": "x" * 60_000}]})),
    "a huge stream": lambda m: chunked(*[b": " + b"x" * 10_000 + b"\n"] * 8),
    "no JSON": lambda m: http_answer(b"{"),
    "deep JSON": lambda m: http_answer(b"[" * 40_000),
    "NaN": lambda m: http_answer(rpc(m, OK).replace(b"false", b"NaN")),
    "no tool result": lambda m: http_answer(rpc(m, {"resultType": "complete", "content": "text"})),
    "a task nobody offered": lambda m: http_answer(rpc(m, {**OK, "resultType": "task", "taskId": "1"})),
    "an encoding nobody asked for": lambda m: http_answer(rpc(m, OK), extra="Content-Encoding: br\r\n"),
    "accepted, and nothing more": lambda m: http_answer(b"", "202 Accepted"),
    "a batch": lambda m: http_answer(b"[" + rpc(m, OK) + b"]"),
}


@pytest.mark.parametrize("what", SILENT)
def test_what_is_not_an_answer_leaves_it_unknown_and_is_not_tried_again(
    hasty: Upstreams, raw: Callable[..., RawServer], what: str
) -> None:
    server = raw(modern(SILENT[what]))
    outcome = hasty.call(target(server.url), call("t", {}))
    assert (outcome.kind, outcome.nothing_ran) == ("silent", False)
    assert len(server.calls()) == 1


def test_a_server_that_drips_is_left_at_the_deadline(hasty: Upstreams, raw: Callable[..., RawServer]) -> None:
    """A timeout for each read alone would never end."""

    def drip(message: dict[str, Any]) -> bytes:
        return http_answer(b" " * 200 + rpc(message, OK))

    server = raw(modern(drip), 1)
    server.pause = 0.05
    assert hasty.call(target(server.url), call("t", {})).kind == "silent"
    assert len(server.calls()) == 1


@pytest.mark.parametrize("status", ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_is_not_followed_and_nothing_ran(upstreams: Upstreams, raw: Callable[..., RawServer], status: str) -> None:
    other = raw(modern(lambda m: http_answer(rpc(m, OK))))
    server = raw(modern(lambda m: http_answer(b"", status, extra=f"Location: {other.url}\r\n")))
    outcome = upstreams.call(target(server.url), call("t", {}))
    assert (outcome.kind, outcome.nothing_ran) == ("refused", True)
    assert other.requests == []


@pytest.mark.parametrize("code", [-32602, -32601, -32603, -32002, -32042, -32020, 7])
def test_a_servers_error_is_told_as_the_servers_and_never_as_ours(
    upstreams: Upstreams, raw: Callable[..., RawServer], code: int
) -> None:
    def answer(message: dict[str, Any]) -> bytes:
        error = {"code": code, "message": "no " + "x" * 900}
        return http_answer(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode(), "400 Bad Request")

    server = raw(modern(answer))
    outcome = upstreams.call(target(server.url), call("t", {}))
    assert outcome.kind == "refused"
    assert outcome.error is not None
    assert outcome.error.message.startswith("The server answered: no")
    assert len(outcome.error.message) < 600
    assert outcome.error.code in (-32602, -32601, -32603, 7, -31502)


def test_an_unreachable_server_means_that_nothing_was_sent(upstreams: Upstreams) -> None:
    outcome = upstreams.call(target("http://127.0.0.1:1/mcp"), call("t", {}))
    assert (outcome.kind, outcome.nothing_ran) == ("not_sent", True)


def test_a_refused_token_means_that_nothing_ran(upstreams: Upstreams, raw: Callable[..., RawServer]) -> None:
    server = raw(lambda m: http_answer(b"", "401 Unauthorized"))
    outcome = upstreams.call(target(server.url), call("t", {}))
    assert (outcome.kind, outcome.nothing_ran) == ("refused", True)
    assert server.calls() == []


@pytest.mark.parametrize("kind", ["counted", "streamed"])
def test_connections_are_kept(upstreams: Upstreams, raw: Callable[..., RawServer], kind: str) -> None:
    """A new one for each call costs more than all the rest."""
    server = raw(modern(lambda m: http_answer(rpc(m, OK)) if kind == "counted" else chunked(event(rpc(m, OK)))))
    for _ in range(5):
        assert upstreams.call(target(server.url), call("t", {})).kind == "answered"
    assert len(server.calls()) == 5
    assert len(server._open) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(
    upstreams: Upstreams, raw: Callable[..., RawServer]
) -> None:
    closing = modern(lambda m: http_answer(rpc(m, OK)))
    server = raw(closing)
    for _ in range(3):
        assert upstreams.call(target(server.url), call("t", {})).kind == "answered"
        server.hang_up()
    assert len(server.calls()) == 3
    assert len(server._open) == 3


def test_state_alone_comes_back_and_questions_are_refused(upstreams: Upstreams, raw: Callable[..., RawServer]) -> None:
    asks = {"resultType": "input_required", "requestState": "abc"}
    server = raw(modern(lambda m: http_answer(rpc(m, asks))))
    assert upstreams.call(target(server.url), call("t", {})).result["requestState"] == "abc"
    upstreams.call(target(server.url), call("t", {}, state="abc"))
    assert server.calls()[-1]["json"]["params"]["requestState"] == "abc"
    asks["inputRequests"] = {"q": {"method": "roots/list"}}  # type: ignore[assignment]
    assert upstreams.call(target(server.url), call("t", {})).kind == "refused"


def test_a_token_goes_where_the_pin_says_and_nowhere_else(upstreams: Upstreams, raw: Callable[..., RawServer]) -> None:
    server = raw(modern(lambda m: http_answer(rpc(m, OK))))
    upstreams.call(Target(server.url, "p", Secret("s3cret"), "header:X-Bank-Token"), call("t", {}))
    sent = server.calls()[0]
    assert sent["headers"]["X-Bank-Token"] == "s3cret"
    assert "Authorization" not in sent["headers"]
    assert b"s3cret" not in sent["body"]


def test_a_token_that_would_break_the_request_is_not_sent(upstreams: Upstreams, raw: Callable[..., RawServer]) -> None:
    server = raw(modern(lambda m: http_answer(rpc(m, OK))))
    outcome = upstreams.call(Target(server.url, "p", Secret("a\r\nX-Evil: 1")), call("t", {}))
    assert outcome.kind == "not_sent"
    assert server.requests == []


def test_a_listing_that_never_ends_is_given_up(upstreams: Upstreams, raw: Callable[..., RawServer]) -> None:
    page = {"resultType": "complete", "tools": [], "nextCursor": "again", "ttlMs": 0, "cacheScope": "private"}
    server = raw(modern(lambda m: http_answer(rpc(m, page))))
    with pytest.raises(Exception, match="does not end"):
        upstreams.list_tools(target(server.url))


def test_a_server_that_lists_nothing_readable_is_refused(upstreams: Upstreams, raw: Callable[..., RawServer]) -> None:
    server = raw(modern(lambda m: http_answer(rpc(m, {"tools": "all"}))))
    with pytest.raises(Refused):
        upstreams.list_tools(target(server.url))


def test_a_server_of_no_known_version_gets_nothing(upstreams: Upstreams, raw: Callable[..., RawServer]) -> None:
    server = raw(lambda m: http_answer(rpc(m, {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {}})))
    assert upstreams.call(target(server.url), call("t", {})).kind == "not_sent"
    with pytest.raises(NotSent):
        upstreams.list_tools(target(server.url))
