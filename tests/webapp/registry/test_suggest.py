"""Suggestions are guesses on the safe side; what a server says in its own favour is not among their grounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp.registry.parts import BALANCE, PAY
from webapp.registry.suggest import suggest


def tool(name: str, *fields: str, kind: str = "string", **hints: bool) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"properties": {field: {"type": kind} for field in fields}}, "annotations": hints}


@pytest.mark.parametrize(("listed", "cls"), [
    (BALANCE, "read"), (PAY, "money"), (tool("listPayees"), "read"), (tool("search-code"), "read"),
    (tool("create_issue"), "write"), (tool("post_message"), "send"), (tool("delete_file"), "destroy"),
    (tool("issueRefund"), "money"), (tool("settle", "amount", "currency"), "money"),
    (tool("frobnicate"), "destroy"), (tool(""), "destroy"),
    (tool("run_command"), "destroy"), (tool("update_and_delete"), "destroy"),
    (tool("set_label", destructiveHint=True), "destroy"), (tool("get_and_wipe", destructiveHint=True), "destroy"),
    (tool("get_thing", readOnlyHint=False), "destroy"),
])
def test_a_name_suggests_the_worse_of_what_it_could_mean(listed: dict[str, Any], cls: str) -> None:
    assert suggest(listed).approval.cls == cls


@pytest.mark.parametrize("name", ["send_payment", "delete_all", "post_message", "frobnicate", "create_issue"])
def test_a_hint_that_praises_its_tool_suggests_nothing(name: str) -> None:
    praised = tool(name, readOnlyHint=True, destructiveHint=False, idempotentHint=True, openWorldHint=False)
    assert suggest(praised).approval.cls == suggest(tool(name)).approval.cls


def test_pointers_are_guessed_from_argument_names_with_where_that_comes_from() -> None:
    found = suggest(PAY)
    assert found.approval.pointers == {
        "amount": {"pointer": "/amount", "unit": "major"}, "currency": {"pointer": "/currency"},
        "recipient": {"pointer": "/iban", "kind": "iban"},
    }
    assert any("“iban”" in reason for reason in found.because)


@pytest.mark.parametrize(("listed", "outside"), [
    ({"name": "read_email", "inputSchema": {}}, True), ({"name": "get_balance", "inputSchema": {}}, False),
    ({"name": "send_email", "inputSchema": {}}, False),
    ({"name": "x", "inputSchema": {}, "annotations": {"openWorldHint": True}}, True),
    ({"name": "x", "inputSchema": {}, "annotations": {"openWorldHint": "yes"}}, False),
], ids=["mail", "balance", "sends", "says-so", "no-hint"])
def test_what_brings_in_strangers_words_is_guessed_and_why_is_said(listed: dict[str, Any], outside: bool) -> None:
    found = suggest(listed)
    assert found.approval.outside is outside
    assert any("brings in what others write" in reason for reason in found.because) is outside


def test_minor_units_are_guessed_only_where_the_name_says_so() -> None:
    assert suggest(tool("charge", "amount_cents", "currency", kind="integer")).approval.pointers["amount"]["unit"] == "minor"
    assert suggest(tool("charge", "amount", "currency", kind="integer")).approval.pointers["amount"]["unit"] == "major"


json_values = st.recursive(
    st.none() | st.text(max_size=6) | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(st.text(max_size=30), json_values, json_values)
def test_no_listing_breaks_it(name: str, schema: Any, hints: Any) -> None:
    assert suggest({"name": name, "inputSchema": schema, "annotations": hints}).because
