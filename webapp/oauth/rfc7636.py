"""RFC 7636, PKCE: S256 for every client, and nothing else.

Authlib lets a request without a challenge pass, and takes one without a method as `plain`: a stolen code could then be redeemed.
"""

from __future__ import annotations

import hmac
import re

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7636 import CodeChallenge, create_s256_code_challenge

# The base64url of a SHA-256 has 43 characters (section 4.2).
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


def equal(verifier: str, challenge: str) -> bool:
    return hmac.compare_digest(create_s256_code_challenge(verifier).encode(), challenge.encode())


class S256Only(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS = {"S256": equal}  # noqa: RUF012 Authlib's own shape

    def validate_code_challenge(self, grant: object, redirect_uri: str) -> None:
        """RFC 9700 section 2.1.1: the server must not be talked down to no PKCE, or to `plain`."""
        parameters = grant.request.payload.data  # type: ignore[attr-defined]
        if parameters.get("code_challenge_method") != "S256":
            raise InvalidRequestError("code_challenge_method must be S256")
        if not CHALLENGE.fullmatch(parameters.get("code_challenge", "")):
            raise InvalidRequestError("code_challenge must be the base64url of a SHA-256")
