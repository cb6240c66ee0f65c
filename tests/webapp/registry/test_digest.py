"""A pin covers everything that an admin saw and decided; a manifest covers all pins."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webapp.registry.parts import MONEY, PAY, changed
from webapp.errors import BadInput
from webapp.registry import digest
from webapp.registry.digest import description
from webapp.registry.rules import Approval


def pin(tool: dict[str, Any] = PAY, approval: Approval = MONEY) -> str:
    return digest.pin(
        description(tool), cls=approval.cls, pointers=approval.pointers, changes_recipients=approval.changes_recipients,
        credential=approval.credential, outside=approval.outside,
    )


values = st.recursive(
    st.none() | st.booleans() | st.integers(1 - 2**53, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["title", "_meta", "icons", "outputSchema", "execution", "x"]), values, min_size=1))
def test_no_field_of_a_listing_is_left_out(extra: dict[str, Any]) -> None:
    one = {"name": "t", "inputSchema": {}}
    assert description({**one, **extra}) != description(one)


def test_the_order_of_keys_is_not_a_change() -> None:
    assert pin(dict(reversed(PAY.items()))) == pin()


POINTED = dict(MONEY.pointers)


@pytest.mark.parametrize(("tool", "approval"), [
    (changed(PAY, description="Send money to a payee. "), MONEY),
    (changed(PAY, annotations={"destructiveHint": False}), MONEY),
    (changed(PAY, inputSchema={**PAY["inputSchema"], "required": []}), MONEY),
    (PAY, Approval("send", POINTED, provider="bank", scopes=("payments",))),
    (PAY, Approval("money", {**POINTED, "amount": {"pointer": "/amount", "unit": "minor"}}, False, "bank", ("payments",))),
    (PAY, Approval("money", {**POINTED, "recipient": "/payee"}, provider="bank", scopes=("payments",))),
    (PAY, Approval("money", POINTED, changes_recipients=True, provider="bank", scopes=("payments",))),
    (PAY, Approval("money", POINTED, provider="other", scopes=("payments",))),
    (PAY, Approval("money", POINTED, provider="bank", scopes=("payments", "admin"))),
    (PAY, Approval("money", POINTED, provider="bank", scopes=("payments",), placement="header:X-Token")),
    (PAY, Approval("money", POINTED, provider="bank", scopes=("payments",), outside=True)),
    (PAY, Approval("money", POINTED)),
])
def test_any_change_of_text_or_decision_is_another_pin(tool: dict[str, Any], approval: Approval) -> None:
    assert pin(tool, approval) != pin()


def test_the_manifest_moves_with_url_pins_and_names() -> None:
    base = digest.manifest("https://a.example/", {"t": "1", "u": "2"})
    others = [
        digest.manifest("https://a.example/x", {"t": "1", "u": "2"}), digest.manifest("https://a.example/", {"t": "1"}),
        digest.manifest("https://a.example/", {"t": "2", "u": "1"}), digest.manifest("https://a.example/", {"t": "1", "v": "2"}),
    ]
    assert len({base, *others}) == 5
    assert digest.manifest("https://a.example/", {"u": "2", "t": "1"}) == base


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


HOSTILE: list[dict[str, Any]] = [
    {}, {"name": "t"}, {"name": 5, "inputSchema": {}}, {"name": "", "inputSchema": {}}, {"name": "a b", "inputSchema": {}},
    {"name": "pаy", "inputSchema": {}}, {"name": "a\u202eb", "inputSchema": {}}, {"name": "a" * 200, "inputSchema": {}},
    {"name": "t", "inputSchema": []}, {"name": "t", "inputSchema": {"maximum": 2**63}},
    {"name": "t", "inputSchema": {}, "x": float("nan")}, {"name": "t", "inputSchema": {}, "x": "\ud800"},
    {"name": "t", "inputSchema": {}, "x": "y" * 200_000}, {"name": "t", "inputSchema": deep(100_000)},
]


@pytest.mark.parametrize("tool", HOSTILE, ids=range(len(HOSTILE)))
def test_what_has_no_exact_form_has_no_pin(tool: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        description(tool)


def test_what_stands_in_for_an_unreadable_tool_can_be_forged_by_none() -> None:
    text = digest.unreadable("t", "why")
    assert digest.why_unreadable(text) == "why"
    forged = copy.deepcopy(PAY) | {digest.UNREADABLE: "why"}
    assert digest.why_unreadable(description(forged)) == ""
