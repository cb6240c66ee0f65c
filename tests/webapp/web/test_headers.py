"""The policy that pages carry is ours to write, whatever address a form leads to."""

from __future__ import annotations

import pytest
from flask import Flask

from webapp.web import headers

GOOD = ["https://app.example", "http://localhost:3118", "https://[2001:db8::1]:8443", "http://127.0.0.1:9"]
BAD = [
    "https://evil.example;script-src-elem https:", "https://a.example; sandbox", "https://a.example 'unsafe-inline'",
    "https://a.example,default-src", "https://*", "*", "'unsafe-inline'", "https:", "", "https://a.example\nX: y",
]


def policy(origin: str) -> str:
    app = Flask(__name__)
    headers.register(app, secure=True)

    @app.get("/")
    def page() -> str:
        headers.allow_form_action(origin)
        return ""

    return app.test_client().get("/").headers["Content-Security-Policy"]


@pytest.mark.parametrize("origin", GOOD)
def test_a_form_may_lead_to_the_origin_that_its_page_validated(origin: str) -> None:
    assert policy(origin).endswith(f"form-action 'self' {origin}")


@pytest.mark.parametrize("origin", BAD)
def test_an_issuers_address_adds_no_directive_and_no_wildcard(origin: str) -> None:
    """Attack: the metadata of an issuer that an operator added names an address with `;` in its host."""
    assert policy(origin).endswith("form-action 'self'")
