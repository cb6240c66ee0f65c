"""`counterseal idp add --step-up-acr`: what signing in again counts as, and where one comes back to."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from webapp.approvals import step_up
from webapp.people import commands


def test_the_address_that_is_printed_is_the_one_that_is_asked_for() -> None:
    assert commands.STEP_UP == step_up.BACK


@pytest.mark.parametrize("wrong", ["urn:mfa", "urn:mfa=strong", "=totp", "urn:mfa=", "urn:mfa=totp "])
def test_what_counts_as_something_else_is_refused_before_anything_is_stored(wrong: str) -> None:
    done = CliRunner().invoke(commands.idp, ["add", "https://idp.example", "--client-id", "x", "--step-up-acr", wrong])
    assert done.exit_code == 2
    assert "write NAME=totp or NAME=passkey" in done.output


def test_a_context_may_have_an_equals_sign_in_its_name() -> None:
    context, option = commands.click.Context(commands.idp), commands.click.Option(["--x"])
    assert commands._counts(context, option, ("https://a.example/?a=b=totp", "mfa=passkey")) == {
        "https://a.example/?a=b": "totp", "mfa": "passkey",
    }
