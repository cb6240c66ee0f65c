"""What a stranger's bytes may be, and what goes out."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.canonical import Limits
from webapp.gateway import mirrored, wire
from webapp.gateway.sse import Reader
from webapp.gateway.wire import Message, RpcError

LIMITS = Limits(bytes=10_000, depth=8, values=100)

REFUSED = {
    "a batch": (b'[{"jsonrpc":"2.0","method":"ping","id":1}]', -32600, 400),
    "an empty batch": (b"[]", -32600, 400),
    "no JSON": (b"{", -32700, 400),
    "no UTF-8": (b'{"jsonrpc":"2.0","method":"\xff"}', -32700, 400),
    "a second key of a name": (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}', -32700, 400),
    "a second key deep inside": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":{"k":1,"k":2}}}', -32700, 400),
    "too deep": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":' + b'{"x":' * 8 + b"1" + b"}" * 9, -32700, 400),
    "very deep": (b"[" * 9_000, -32700, 400),
    "too large": (b" " * 10_001, -32700, 413),
    "too many values": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":[' + b"1," * 101 + b"1]}}", -32700, 400),
    "NaN": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":NaN}}', -32700, 400),
    "a number no double carries": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1e400}}', -32700, 400),
    "another version": (b'{"jsonrpc":"1.0","id":1,"method":"a"}', -32600, 400),
    "a response": (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600, 400),
    "a null id": (b'{"jsonrpc":"2.0","id":null,"method":"a"}', -32600, 400),
    "an id that is a fraction": (b'{"jsonrpc":"2.0","id":1.5,"method":"a"}', -32600, 400),
    "an id that is true": (b'{"jsonrpc":"2.0","id":true,"method":"a"}', -32600, 400),
    "a long id": (b'{"jsonrpc":"2.0","id":"' + b"x" * 257 + b'","method":"a"}', -32600, 400),
    "params in a list": (b'{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}', -32600, 400),
    "a method that is no string": (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, 400),
    "a string": (b'"tools/call"', -32600, 400),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    raw, code, status = REFUSED[what]
    with pytest.raises(RpcError) as caught:
        wire.read(raw, LIMITS)
    assert (caught.value.code, caught.value.status) == (code, status)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    with contextlib.suppress(RpcError):
        assert isinstance(wire.read(raw, LIMITS), Message)


def test_a_message_without_an_id_is_a_notification() -> None:
    assert wire.read(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', LIMITS).id is None
    assert wire.read(b'{"jsonrpc":"2.0","method":"a","id":0}', LIMITS).id == 0


@pytest.mark.parametrize(("accept", "fits"), [
    ("application/json, text/event-stream", True), ("application/json;q=0.9,text/event-stream;q=0.1", True), ("*/*", True),
    ("application/json", False), ("text/event-stream", False), ("", False), ("text/html", False), ("application/*, text/*", True),
])
def test_a_client_takes_both_kinds_of_answer(accept: str, fits: bool) -> None:
    assert wire.accepts(accept) is fits


def test_what_goes_out_is_one_line_of_ascii() -> None:
    body = wire.event({"text": "a\nb\r\u2028 \ud800 é"})
    assert body.count(b"\n") == 3
    assert body.isascii()


# -- headers that mirror the body --------------------------------------------------------------------------------------


@given(st.text())
def test_every_value_survives_a_header(value: str) -> None:
    value = value.encode("utf-8", "ignore").decode()
    encoded = mirrored.encode(value)
    assert encoded.isascii()
    assert "\n" not in encoded
    assert mirrored.decode(encoded) == value


@pytest.mark.parametrize("value", ["=?base64?????=", "=?base64?YR==?=", "=?base64?/w==?=", "ünsafe"])
def test_a_corrupt_header_matches_nothing(value: str) -> None:
    assert mirrored.decode(value) is None


def annotated(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


REGION = {"type": "string", "x-mcp-header": "Region"}


@pytest.mark.parametrize("schema", [
    annotated(a=REGION, b={"type": "string", "x-mcp-header": "region"}), annotated(a={"type": "number", "x-mcp-header": "A"}),
    annotated(a={"type": "string", "x-mcp-header": "A B"}), annotated(a={"type": "string", "x-mcp-header": ""}), None, [], "x",
])
def test_annotations_that_break_the_rules_ask_for_no_headers(schema: Any) -> None:
    assert mirrored.params(schema) == ()


@pytest.mark.parametrize(("arguments", "headers", "fits"), [
    ({"where": {"region": "eu"}}, {"Mcp-Param-Region": "eu"}, True),
    ({"where": {"region": "eu"}}, {"mcp-param-region": "eu"}, True),
    ({"where": {"region": "zürich"}}, {"Mcp-Param-Region": mirrored.encode("zürich")}, True),
    ({"where": {"region": "eu"}}, {"Mcp-Param-Region": "us"}, False),
    ({"where": {"region": "eu"}}, {}, False),
    ({"where": {"region": None}}, {}, True),
    ({"where": {}}, {"Mcp-Param-Region": "eu"}, False),
    ({"count": 42}, {"Mcp-Param-Count": "42.0"}, True),
    ({"count": 42}, {"Mcp-Param-Count": "43"}, False),
    ({"count": True}, {"Mcp-Param-Count": "1"}, False),
])
def test_a_header_says_what_the_body_says(arguments: dict[str, Any], headers: dict[str, str], fits: bool) -> None:
    from werkzeug.datastructures import Headers

    schema = annotated(where=annotated(region=REGION), count={"type": "integer", "x-mcp-header": "Count"})
    known = mirrored.params(schema)
    if fits:
        mirrored.check_params(known, arguments, Headers(headers))
        return
    with pytest.raises(RpcError) as caught:
        mirrored.check_params(known, arguments, Headers(headers))
    assert (caught.value.code, caught.value.status) == (-32020, 400)


# -- events ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(blacklist_characters="\r\n\x00", blacklist_categories=("Cs",))), max_size=5),
       st.sampled_from([b"\n", b"\r\n", b"\r"]), st.integers(1, 9))
def test_events_are_the_same_however_the_bytes_were_split(texts: list[str], end: bytes, size: int) -> None:
    raw = b"".join(b"event: message" + end + b"data: " + text.encode() + end + end for text in texts)
    reader = Reader()
    found = [data for start in range(0, len(raw), size) for data in reader.feed(raw[start:start + size])]
    assert found == [text.encode() for text in texts]


def test_lines_of_one_event_are_joined_and_comments_are_nothing() -> None:
    raw = b": hello\nid: 1\ndata: a\ndata:b\nretry: 1\n\n: ping\n\ndata: c\n"
    assert list(Reader().feed(raw)) == [b"a\nb"]


def test_results_are_json_that_any_client_reads() -> None:
    assert json.loads(wire.dump(wire.success(1, {"a": "é"}))) == {"jsonrpc": "2.0", "id": 1, "result": {"a": "é"}}
