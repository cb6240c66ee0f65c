"""What an admin may decide, and what a listing makes of a tool."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.errors import BadInput
from webapp.registry.rules import Approval, next_status, normalised, server_name
from webapp.registry.tables import STATUSES


@pytest.mark.parametrize("pointers", [
    {"amout": "/amount"}, {"amount": "/amount"}, {"amount": {"pointer": "/amount"}},
    {"amount": {"pointer": "/a", "unit": "cents"}}, {"amount": {"pointer": "amount", "unit": "major"}},
    {"amount": {"pointer": "", "unit": "major"}}, {"amount": {"unit": "major"}},
    {"amount": {"pointer": "/a", "unit": "major", "x": "y"}}, {"amount": {"pointer": ["/a"], "unit": "major"}}, {"amount": None},
    {"currency": {"is": "eur"}}, {"currency": {"is": "XXX"}}, {"currency": {"is": "EUR", "pointer": "/c"}}, {"currency": {}},
    {"recipient": {"pointer": "/r", "kind": "phone"}}, {"recipient": "/a~2"}, {"time": {"pointer": "/t", "kind": "text"}},
    {"recipient": "/" + "a" * 600},
])
def test_pointers_that_do_not_fit_are_refused(pointers: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        normalised(pointers)


def test_a_bare_string_is_a_pointer_and_one_form_is_kept() -> None:
    assert normalised({"recipient": "/to", "currency": {"is": "EUR"}}) == {
        "currency": {"is": "EUR"}, "recipient": {"pointer": "/to", "kind": "text"},
    }


@pytest.mark.parametrize("fields", [
    {"cls": "safe"}, {"cls": "read", "scopes": ("a",)}, {"cls": "read", "provider": "a b"},
    {"cls": "read", "provider": "p", "scopes": ("a b",)}, {"cls": "read", "provider": "p", "scopes": ('a"',)},
    {"cls": "read", "provider": "p", "placement": "query"}, {"cls": "read", "provider": "p", "placement": "header:Host"},
    {"cls": "read", "provider": "p", "placement": "header:cookie"},
    {"cls": "read", "provider": "p", "placement": "header:X\r\nY"}, {"cls": "read", "provider": "p", "placement": "header:"},
    {"cls": "read", "provider": "p", "placement": "header:Authorization"},
])
def test_a_class_or_credential_that_does_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Approval(**fields)


@pytest.mark.parametrize("name", ["", "Bank", "a b", "../x", "bänk", "-a", "a/b", "a" * 41, "a\n"])
def test_a_server_name_is_a_safe_part_of_urls_and_rules(name: str) -> None:
    with pytest.raises(BadInput):
        server_name(name)


texts = st.sampled_from(["", "a", "b"])


@given(st.sampled_from(STATUSES), texts, st.none() | texts)
def test_only_the_approved_text_is_callable_and_a_refusal_stays(status: str, approved: str, listed: str | None) -> None:
    found = next_status(status, approved=approved, listed=listed)
    assert (found == "approved") == (status != "refused" and approved != "" and listed == approved)
    assert found == "refused" if status == "refused" else found in STATUSES
