"""What needs no database: addresses, the issuer, the Authorization header."""

from __future__ import annotations

import pytest

from webapp.config import Settings
from webapp.oauth import metadata, rfc8414, rfc9207
from webapp.oauth.rfc6750 import token_of
from webapp.oauth.tokens import InvalidToken

SETTINGS = Settings(public_url="https://seal.example")


def test_plain_http_anywhere_but_on_this_machine_is_not_an_authorization_server() -> None:
    with pytest.raises(ValueError, match="https"):
        rfc8414.check(Settings(public_url="http://seal.example"))
    rfc8414.check(Settings(public_url="http://localhost:8000"))


@pytest.mark.parametrize("identifier", [
    "", "bank", "https://seal.example", "https://seal.example/mcp/", "https://seal.example/mcp/bank/", "https://seal.example/mcp/bank?x",
    "https://seal.example/mcp/bank#x", "https://seal.example/mcp/a/bank", "https://seal.example/mcp/%62ank",
    "https://SEAL.example/mcp/bank", "https://seal.example:443/mcp/bank", "http://seal.example/mcp/bank",
    "https://seal.example@evil.example/mcp/bank", "https://seal.example//mcp/bank", "https://seal.example/mcp/bank\n",
])
def test_a_resource_is_one_of_ours_to_the_letter_or_not_at_all(identifier: str) -> None:
    assert metadata.server_of(SETTINGS, identifier) is None
    assert metadata.server_of(SETTINGS, metadata.resource(SETTINGS, "bank")) == "bank"


def test_an_answer_is_added_to_the_redirect_uri_and_cannot_break_out_of_it() -> None:
    answer = rfc9207.answer("https://app.example/cb?x", "https://seal.example", "a&code=evil#\r\n", code="c")
    assert answer == "https://app.example/cb?x&code=c&state=a%26code%3Devil%23%0D%0A&iss=https%3A%2F%2Fseal.example"


def test_the_header_is_read_as_a_bearer_token_and_as_nothing_else() -> None:
    assert token_of("Bearer csa_x") == token_of("bearer  csa_x ") == "csa_x"
    assert token_of(None) is None
    for header in ("", "Bearer", "Bearer ", "Basic eDp5", "csa_x"):
        with pytest.raises(InvalidToken) as caught:
            token_of(header)
        assert caught.value.code == "invalid_request"
