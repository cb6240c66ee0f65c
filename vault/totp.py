"""TOTP (RFC 6238) by pyotp: seeds, the QR code, and which counter a code belongs to."""

from __future__ import annotations

import hmac
import io
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyotp
import segno

from vault.secret import Secret

STEP = 30
WINDOW = 1
"""Steps before and after the present one that are accepted (RFC 6238 section 5.2)."""
SEED = 32
"""Base32 digits: 160 bits, as RFC 4226 section 4 recommends."""
CODE = re.compile(r"[0-9]{6}")
SPACE = re.compile(r"[\s\u00a0]")


def new_seed() -> Secret[str]:
    return Secret(pyotp.random_base32(SEED))


def uri(seed: Secret[str], account: str) -> Secret[str]:
    """The otpauth URI that authenticator apps read."""
    return Secret(pyotp.TOTP(seed.reveal()).provisioning_uri(name=account, issuer_name="Counterseal"))


def drawn(one: Secret[str]) -> Secret[str]:
    """The URI as a QR code: an SVG element without size, style or script."""
    out = io.BytesIO()
    segno.make(one.reveal(), error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=True, omitsize=True, border=4, svgclass="qr", lineclass=None, nl=False
    )
    return Secret(out.getvalue().decode())


def matched(factor: Mapping[str, Any], code: str, now: datetime, restored: datetime | None = None) -> int | None:
    """The counter that this code belongs to, if it is later than the last one used: each code is good once, ever. And later than
    any that could be used before a restore, for the record of the backup does not know of those."""
    digits = SPACE.sub("", code)
    if not CODE.fullmatch(digits):
        return None
    generator, present = pyotp.TOTP(factor["seed"]), int(now.timestamp()) // STEP
    last = factor["counter"] if restored is None else max(factor["counter"], int(restored.timestamp()) // STEP + WINDOW)
    found = None
    for counter in range(present - WINDOW, present + WINDOW + 1):
        if hmac.compare_digest(generator.generate_otp(counter), digits) and counter > last:
            found = counter
    return found
