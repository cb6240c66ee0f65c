"""MCP 2026-07-28 through the gateway: who may call, what a request must say, and what is answered and written down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from mcp_types import methods

from tests.app_parts import PUBLIC_URL
from tests.webapp.gateway.conftest import META, MODERN, World
from tests.webapp.gateway.peers import Peer
from webapp.oauth import grants

pytestmark = pytest.mark.real


def test_a_call_is_allowed_sent_once_and_written_down_before_and_after(behind: World, peer: Peer) -> None:
    agent = behind.agent()
    before = len(peer.seen("tools/call"))
    answer = agent.call("echo", {"text": "hello"})
    assert (answer.status, answer.text) == (200, "heard hello")
    assert len(peer.seen("tools/call")) == before + 1
    methods.validate_server_result("tools/call", MODERN, answer.result)
    allowed, answered = behind.entries("call.allowed", "call.answered")
    assert allowed["subject"] == answered["subject"]
    assert allowed["detail"]["person"] == agent.person
    assert "hello" not in json.dumps(behind.entries())


def test_one_call_is_exactly_one_upstream_request(one: World, peer: Peer) -> None:
    agent = one.agent()
    agent.call("echo", {"text": "first"})
    before = len(peer.seen())
    for number in range(3):
        agent.call("add", {"a": number, "b": 1})
    assert len(peer.seen()) == before + 3


def test_the_agents_own_token_never_goes_upstream(one: World, peer: Peer) -> None:
    agent = one.agent()
    agent.call("echo", {"text": "x"})
    agent.modern("tools/list")
    assert agent.token not in json.dumps(peer.seen())


def test_discovery_says_what_there_is_without_asking_the_server(one: World, peer: Peer) -> None:
    before = len(peer.seen())
    result = one.agent().modern("server/discover").result
    methods.validate_server_result("server/discover", MODERN, result)
    assert result["supportedVersions"][0] == MODERN
    assert "io.modelcontextprotocol/tasks" in result["capabilities"]["extensions"]
    assert len(peer.seen()) == before


def test_the_listing_is_what_was_approved_in_the_approved_text(one: World) -> None:
    result = one.agent().modern("tools/list").result
    methods.validate_server_result("tools/list", MODERN, result)
    assert (result["cacheScope"], result["ttlMs"]) == ("private", 0)
    assert {tool["name"] for tool in result["tools"]} == {"echo", "add", "fail", "tell", "routed", "ask", "destroy_all"}
    entry = one.entries("tools.listed")[-1]
    assert entry["detail"]["upstream"] == "as approved"


def test_a_tool_error_is_a_result(one: World) -> None:
    answer = one.agent().call("fail", {"why": "no money"})
    assert answer.result["isError"] is True


# -- who may come in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "Bearer csa_" + "x" * 43, "Basic abc", "Bearer ", "Bearer a, Bearer b"])
def test_without_a_good_token_the_way_to_one_is_shown(one: World, authorization: str | None) -> None:
    answer = one.agent().modern("tools/list", headers={"Authorization": authorization})
    assert answer.status in (400, 401)
    challenge = answer.headers["WWW-Authenticate"]
    assert f'resource_metadata="{PUBLIC_URL}/.well-known/oauth-protected-resource/mcp/peer"' in challenge
    assert ("error=" in challenge) is (authorization is not None)
    assert answer.error["code"] == -31401


def test_a_token_for_one_server_is_refused_at_another(one: World, peer: Peer) -> None:
    one.put(peer.url, {}, name="other")
    agent = one.agent()
    agent.server = "other"
    assert agent.modern("tools/list").status == 401


def test_a_token_in_the_query_string_is_refused(one: World) -> None:
    agent = one.agent()
    agent.server = f"peer?access_token={agent.token}"
    answer = agent.modern("tools/list")
    assert answer.status == 400
    assert agent.token not in answer.response.text + str(answer.headers)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8001", f"{PUBLIC_URL}.evil.example"])
def test_a_foreign_origin_is_refused(one: World, origin: str) -> None:
    assert one.agent().modern("tools/list", headers={"Origin": origin}).status == 403


def test_our_own_origin_and_none_are_accepted(one: World) -> None:
    assert one.agent().modern("server/discover", headers={"Origin": PUBLIC_URL}).status == 200


def test_a_foreign_host_is_refused(one: World) -> None:
    """DNS rebinding."""
    headers = {"Authorization": f"Bearer {one.agent().token}"}
    assert one.app.test_client().post("/mcp/peer", base_url="http://evil.example", headers=headers).status_code == 421


def test_a_revoked_grant_ends_the_next_call(one: World) -> None:
    agent = one.agent("bob")
    assert agent.call("echo", {"text": "x"}).status == 200
    one.house.database.write(lambda s: grants.revoke(s, agent.grant, "test", "test", one.house.clock()))
    assert agent.call("echo", {"text": "x"}).status == 401


# -- what a request must say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [
    {"Mcp-Method": None}, {"Mcp-Method": "tools/list"}, {"Mcp-Name": None}, {"Mcp-Name": "add"}, {"Mcp-Name": "=?base64?%%?="},
    {"MCP-Protocol-Version": None},
])
def test_headers_must_say_what_the_body_says(one: World, headers: dict[str, Any]) -> None:
    answer = one.agent().call("echo", {"text": "x"}, headers=headers)
    assert (answer.status, answer.error["code"]) == (400, -32020)


def test_another_version_in_the_header_than_in_the_body(one: World) -> None:
    answer = one.agent().call("echo", {"text": "x"}, headers={"MCP-Protocol-Version": "2025-11-25"})
    assert (answer.status, answer.error["code"]) == (400, -32020)


def test_an_unknown_version_is_told_which_are_spoken(one: World) -> None:
    future = "2099-01-01"
    answer = one.agent().modern(
        "tools/list", headers={"MCP-Protocol-Version": future}, meta={f"{META}protocolVersion": future}
    )
    assert (answer.status, answer.error["code"]) == (400, -32022)
    assert answer.error["data"] == {
        "supported": [MODERN, "2025-11-25", "2025-06-18", "2025-03-26"], "requested": future,
    }


@pytest.mark.parametrize("meta", [{f"{META}clientCapabilities": "all"}, {f"{META}clientCapabilities": None}])
def test_capabilities_must_be_an_object(one: World, meta: dict[str, Any]) -> None:
    answer = one.agent().modern("tools/list", meta=meta)
    assert (answer.status, answer.error["code"]) == (400, -32602)


def test_a_request_without_meta_is_malformed(one: World) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    answer = one.agent().post(body, {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/list"})
    assert (answer.status, answer.error["code"]) == (400, -32602)


@pytest.mark.parametrize("method", [
    "resources/list", "resources/read", "prompts/list", "prompts/get", "completion/complete", "logging/setLevel", "initialize",
    "ping", "subscriptions/listen", "tasks/list", "tasks/result", "sampling/createMessage", "tools/Call", "",
])
def test_other_methods_are_not_found(one: World, method: str) -> None:
    answer = one.agent().modern(method)
    assert (answer.status, answer.error["code"]) == (404, -32601)


@pytest.mark.parametrize(("headers", "status"), [
    ({"Content-Type": "text/plain"}, 415), ({"Content-Type": ""}, 415), ({"Accept": "application/json"}, 406),
    ({"Accept": "text/html"}, 406),
])
def test_kinds_of_content_are_agreed_first(one: World, headers: dict[str, str], status: int) -> None:
    assert one.agent().modern("tools/list", headers=headers).status == status


@pytest.mark.parametrize("raw", [b"[]", b"{", b"[" * 100_000, b'{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}'])
def test_what_is_no_message_is_refused_as_json_rpc(one: World, raw: bytes) -> None:
    answer = one.agent().post(raw, {"MCP-Protocol-Version": MODERN})
    assert answer.status == 400
    assert answer.body["id"] is None


def test_an_oversized_body_is_refused(one: World) -> None:
    answer = one.agent().post(b" " * 1_000_001, {"MCP-Protocol-Version": MODERN})
    assert answer.status == 413
    assert answer.error["code"] in (-32600, -32700)


def test_a_notification_is_accepted_and_does_nothing(one: World) -> None:
    body = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    answer = one.agent().post(body, {"MCP-Protocol-Version": MODERN})
    assert (answer.status, answer.response.data) == (202, b"")


def test_get_and_delete_have_nothing_here(one: World) -> None:
    agent = one.agent()
    client = FlaskClient(one.app)
    headers = {"Authorization": f"Bearer {agent.token}", "MCP-Protocol-Version": MODERN}
    assert client.get("/mcp/peer", headers=headers, base_url=PUBLIC_URL).status_code == 405
    assert client.delete("/mcp/peer", headers=headers, base_url=PUBLIC_URL).status_code == 405
    assert client.get("/mcp/peer", base_url=PUBLIC_URL).status_code == 401


# -- tools and arguments -----------------------------------------------------------------------------------------------


def test_an_unknown_tool_is_refused_and_written_down(one: World, peer: Peer) -> None:
    before = len(peer.seen("tools/call"))
    answer = one.agent().call("nothing", {})
    assert (answer.error["code"], answer.error["data"]["code"]) == (-32602, "unknown_tool")
    assert one.entries("call.refused")[-1]["detail"]["code"] == "unknown_tool"
    assert len(peer.seen("tools/call")) == before


@pytest.mark.parametrize("arguments", [{}, {"text": 7}, {"text": "x", "more": [1] * 10_000}])
def test_arguments_are_held_to_the_pinned_schema_where_the_model_can_read_it(
    one: World, peer: Peer, arguments: dict[str, Any]
) -> None:
    before = len(peer.seen("tools/call"))
    answer = one.agent().call("echo", arguments)
    if arguments == {"text": "x", "more": [1] * 10_000}:
        assert answer.status == 200
        return
    assert answer.result["isError"] is True
    assert len(peer.seen("tools/call")) == before


def test_a_header_of_an_argument_must_match_it(one: World) -> None:
    agent = one.agent()
    assert agent.call("routed", {"region": "eu"}, headers={"Mcp-Param-Region": "eu"}).text == "eu"
    wrong = agent.call("routed", {"region": "eu"}, headers={"Mcp-Param-Region": "us"})
    assert (wrong.status, wrong.error["code"]) == (400, -32020)
    assert agent.call("routed", {"region": "eu"}).status == 400


@pytest.mark.parametrize("params", [{"name": 7}, {"name": ""}, {"name": "x" * 300}, {"arguments": [1]}, {"requestState": 5}])
def test_parameters_of_another_type_are_refused(one: World, params: dict[str, Any]) -> None:
    agent = one.agent()
    headers = {"Mcp-Name": str(params["name"])} if "name" in params else {}
    if params.get("name") == 7:
        headers = {"Mcp-Name": "7"}
    answer = agent.call("echo", {"text": "x"}, params=params, headers=headers)
    assert answer.status == 400
    assert answer.error["code"] in (-32602, -32020)


def test_a_cursor_that_is_not_ours_is_refused(one: World) -> None:
    assert one.agent().modern("tools/list", {"cursor": "%%%"}).error["code"] == -32602


def test_a_listing_goes_on_where_it_stopped(one: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from webapp.gateway import listing

    monkeypatch.setattr(listing, "PAGE", 3)
    agent, names, cursor = one.agent(), [], None
    while True:
        page = agent.modern("tools/list", {"cursor": cursor} if cursor else {}).result
        names += [tool["name"] for tool in page["tools"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert names == sorted(names)
    assert len(names) == 7


