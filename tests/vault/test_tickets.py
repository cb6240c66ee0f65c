"""A ticket is nobody's session but the one it was signed for."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.vault.samples import KEY, KEYS, NOW, envelope, statement
from vault import tickets
from vault.door import verify_ticket
from vault.errors import NotSignedIn
from vault.evidence import canonical
from vault.secret import Secret

SESSION = Secret("c" * 43)


def ticket(key: Ed25519PrivateKey = KEY, **changes: object) -> str:
    one = tickets.new(person="per_a", name="Ada", email="a@example.com", groups=("finance",), auth_time=None, now=NOW)
    body = canonical({**json.loads(tickets.body(one, SESSION)), **changes})
    return tickets.join(body, "vault:v1:" + base64.b64encode(key.sign(body)).decode())


def test_it_says_who_signed_in():
    found = verify_ticket(ticket(), SESSION, KEYS, NOW)
    assert (found.person, found.groups, found.factor, found.factor_at) == ("per_a", ("finance",), "", None)
    assert found.expires_at - found.issued_at == timedelta(hours=24)


def test_checking_a_factor_does_not_make_it_last_longer():
    one = tickets.new(person="per_a", name="", email="", groups=(), auth_time=None, now=NOW)
    later = tickets.with_factor(one, "totp", NOW + timedelta(hours=23))
    assert (later.expires_at, later.factor) == (one.expires_at, "totp")


@pytest.mark.parametrize("when", [timedelta(hours=24), timedelta(days=400), timedelta(minutes=-5)])
def test_it_ends_after_24_hours_and_does_not_begin_early(when: timedelta):
    with pytest.raises(NotSignedIn):
        verify_ticket(ticket(), SESSION, KEYS, NOW + when)


def test_it_belongs_to_one_session():
    with pytest.raises(NotSignedIn):
        verify_ticket(ticket(), Secret("d" * 43), KEYS, NOW)


def test_forged_tickets():
    body, _, signature = ticket().partition(".")
    raised = base64.urlsafe_b64encode(base64.urlsafe_b64decode(body + "==").replace(b"finance", b"admins!")).decode().rstrip("=")
    raw = envelope()
    decision = statement(raw, "per_a")
    for forged in (
        "", ".", body, f"{body}.", f".{signature}", f"{raised}.{signature}", ticket(Ed25519PrivateKey.generate()),
        f"{body}.{signature.replace('v1', 'v2')}", tickets.join(decision.body.encode(), decision.signature),
        ticket(kind="decision"), ticket(v=2), "é" + body + "." + signature,
    ):
        with pytest.raises(NotSignedIn):
            verify_ticket(forged, SESSION, KEYS, NOW)
