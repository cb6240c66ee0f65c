"""What a browser sends for a factor: forms with `assertion`, `attestation` or `code`, and the `sealed` challenge."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from vault.door import Answer
from vault.errors import FactorRefused, KeeperError
from vault.secret import Secret
from webapp.errors import BadInput, CountersealError, said

LONGEST_JSON = 20_000
LONGEST_CODE = 16


def read_answer(form: Mapping[str, str]) -> Answer:
    """A passkey's assertion or a code, whichever the form has. Raises BadInput when it has neither."""
    sealed = form.get("sealed", "")
    if form.get("assertion"):
        return Answer(sealed=sealed, assertion=read_json(form["assertion"]))
    code = read_code(form)
    return Answer(sealed=sealed, code=code)


def read_code(form: Mapping[str, str]) -> Secret[str]:
    """A code as people type it: with spaces between the digits. Raises BadInput when there is none."""
    code = "".join(form.get("code", "").split())
    if not code or len(code) > LONGEST_CODE:
        raise BadInput("Enter the six digits that your authenticator app shows, or use your passkey.")
    return Secret(code)


def read_json(text: str) -> Mapping[str, Any]:
    """What `navigator.credentials` answered. Raises BadInput when it is not a JSON object; the keeper checks what is in it."""
    try:
        found = json.loads(text) if len(text) <= LONGEST_JSON else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadInput("Your browser did not send the passkey's answer. Try again.")
    return found


def refused_words(refusal: KeeperError | CountersealError, form: Mapping[str, str]) -> str:
    """Why an answer was not taken. The keeper says of a wrong code and of a spent one the same, on purpose."""
    wrong_code = isinstance(refusal, FactorRefused) and form.get("code") and not form.get("assertion")
    if wrong_code:
        return said("That code was not accepted. Each works once: wait for the next one and try again.")
    return refusal.hint


def with_next(path: str, next_url: str) -> str:
    """`path`, with where to go afterwards; the start page is not worth saying."""
    return path if next_url == "/" else f"{path}?next={quote(next_url, safe='/')}"
