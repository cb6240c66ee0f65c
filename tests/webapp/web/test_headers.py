"""The policy that pages carry is ours to write, whatever address a form leads to."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from flask import Flask

from webapp.web import headers

GOOD = ["https://app.example", "http://localhost:3118", "https://[2001:db8::1]:8443", "http://127.0.0.1:9"]
BAD = [
    "https://evil.example;script-src-elem https:", "https://a.example; sandbox", "https://a.example 'unsafe-inline'",
    "https://a.example,default-src", "https://*", "*", "'unsafe-inline'", "https:", "", "https://a.example\nX: y",
]


def answered(path: str = "/", *, secure: bool = True, origin: str = "") -> Mapping[str, str]:
    """The headers of an answer."""
    app = Flask(__name__)
    headers.register(app, secure=secure)

    @app.get("/")
    def page() -> str:
        if origin:
            headers.allow_form_action(origin)
        return ""

    return app.test_client().get(path).headers


def policy(origin: str) -> str:
    return answered(origin=origin)["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/nothing"])
def test_every_answer_keeps_to_itself(path: str) -> None:
    """Nothing inline and nothing evaluated, from nowhere else, in nobody's frame, window or page; also an error."""
    found = answered(path)
    rules = dict(each.strip().split(" ", 1) for each in found["Content-Security-Policy"].split(";"))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "connect-src", "font-src", "form-action")} == {"'self'"}
    assert "unsafe" not in found["Content-Security-Policy"]
    assert found["Cross-Origin-Opener-Policy"] == found["Cross-Origin-Resource-Policy"] == "same-origin"
    assert (found["X-Content-Type-Options"], found["Referrer-Policy"]) == ("nosniff", "same-origin")
    assert found["Cache-Control"] == "no-store"
    assert int(found["Strict-Transport-Security"].partition("=")[2].partition(";")[0]) >= 31_536_000


def test_without_tls_no_browser_is_told_to_insist_on_it() -> None:
    assert "Strict-Transport-Security" not in answered(secure=False)


@pytest.mark.parametrize("origin", GOOD)
def test_a_form_may_lead_to_the_origin_that_its_page_validated(origin: str) -> None:
    assert policy(origin).endswith(f"form-action 'self' {origin}")


@pytest.mark.parametrize("origin", BAD)
def test_an_issuers_address_adds_no_directive_and_no_wildcard(origin: str) -> None:
    """Attack: the metadata of an issuer that an operator added names an address with `;` in its host."""
    assert policy(origin).endswith("form-action 'self'")
