"""What htmx is told to do with a page that has moved on."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from flask import Flask, Response

from webapp.web.htmx import load_again


@pytest.mark.parametrize(("current", "told"), [
    ("", {"HX-Refresh": "true"}),
    ("https://counterseal.test/actions/act_1", {"HX-Refresh": "true"}),
    ("https://counterseal.test/actions/act_1#edit", {"HX-Refresh": "true"}),
    ("https://counterseal.test/actions/act_1/reject", {"HX-Redirect": "/actions/act_1"}),
    ("https://evil.example/x", {"HX-Redirect": "/actions/act_1"}),
])
def test_a_page_that_answered_a_form_is_asked_for_by_its_path(current: str, told: Mapping[str, str]) -> None:
    """To load it again would send the form a second time."""
    response = Response()
    with Flask("pages").test_request_context("/actions/act_1/now", headers={"HX-Current-URL": current} if current else {}):
        load_again(response, "/actions/act_1")
    assert {name: value for name, value in response.headers if name.startswith("HX-")} == told
