"""Passkeys (WebAuthn level 3) by the `webauthn` package, with what it leaves to us: `crossOrigin`, the user handle, bounds."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Mapping
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from vault.errors import FactorRefused
from vault.kv import Data
from vault.settings import Settings

TIMEOUT_MS = 120_000
ID_BYTES = 1023
"""WebAuthn level 3 section 4: a credential id's greatest length."""
MALFORMED = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError, struct.error, binascii.Error)
TRANSPORTS = {one.value for one in AuthenticatorTransport}

One = dict[str, Any]


def of(data: Data) -> list[One]:
    return [one for one in data["factors"] if one["kind"] == "passkey"]


def creation_options(settings: Settings, data: Data, account: str, name: str, challenge: bytes) -> Mapping[str, Any]:
    options = generate_registration_options(
        rp_id=settings.host, rp_name="Counterseal", user_id=bytes.fromhex(data["handle"]), user_name=account,
        user_display_name=name or account, challenge=challenge, timeout=TIMEOUT_MS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[_described(one) for one in of(data)],
    )
    return dict(options_to_json_dict(options))


def created(settings: Settings, answer: Mapping[str, Any], challenge: bytes) -> One:
    """What is kept of a new passkey. Raises FactorRefused."""
    try:
        _same_origin(answer)
        made = verify_registration_response(
            credential=dict(answer), expected_challenge=challenge, expected_rp_id=settings.host,
            expected_origin=settings.origin, require_user_verification=True,
        )
        transports = [one for one in answer["response"].get("transports") or [] if one in TRANSPORTS]
    except MALFORMED as error:
        raise FactorRefused(f"attestation: {type(error).__name__}") from error
    if len(made.credential_id) > ID_BYTES:
        raise FactorRefused("the credential id is too long")
    return {
        "credential": bytes_to_base64url(made.credential_id), "sign_count": made.sign_count, "transports": transports,
        "public_key": base64.b64encode(made.credential_public_key).decode(), "backed_up": made.credential_backed_up,
    }


def request_options(settings: Settings, data: Data, challenge: bytes) -> Mapping[str, Any]:
    options = generate_authentication_options(
        rp_id=settings.host, challenge=challenge, timeout=TIMEOUT_MS, allow_credentials=[_described(one) for one in of(data)],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return dict(options_to_json_dict(options))


def asserted(settings: Settings, data: Data, answer: Mapping[str, Any], challenge: bytes) -> One:
    """The passkey that answered, its sign count moved on. Raises FactorRefused: not one of this person's, another challenge,
    origin or rpId, no user verification, a frame of another site, or a sign count that did not rise (a cloned authenticator)."""
    one = next((one for one in of(data) if one["credential"] == answer.get("id")), None)
    if one is None:
        raise FactorRefused("no such passkey of this person")
    try:
        _same_origin(answer)
        handle = answer["response"].get("userHandle")
        if handle and base64url_to_bytes(handle) != bytes.fromhex(data["handle"]):
            raise FactorRefused("the passkey is somebody else's")
        found = verify_authentication_response(
            credential=dict(answer), expected_challenge=challenge, expected_rp_id=settings.host,
            expected_origin=settings.origin, credential_public_key=base64.b64decode(one["public_key"]),
            credential_current_sign_count=one["sign_count"], require_user_verification=True,
        )
    except MALFORMED as error:
        raise FactorRefused(f"assertion: {type(error).__name__}: {str(error)[:80]}") from error
    one["sign_count"] = found.new_sign_count
    return one


def _same_origin(answer: Mapping[str, Any]) -> None:
    """The library reads `crossOrigin` and does not look at it: a page of ours in a stranger's frame would do."""
    client_data = json.loads(base64url_to_bytes(answer["response"]["clientDataJSON"]))
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        raise FactorRefused("asked for from another site's frame")


def _described(one: One) -> PublicKeyCredentialDescriptor:
    transports = [AuthenticatorTransport(name) for name in one["transports"]]
    return PublicKeyCredentialDescriptor(id=base64url_to_bytes(one["credential"]), transports=transports or None)
