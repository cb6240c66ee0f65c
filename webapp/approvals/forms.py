"""What the pages' forms send, read strictly."""

from __future__ import annotations

from collections.abc import Mapping

from vault.door import Answer
from vault.secret import Secret
from webapp.approvals.deciding import Close
from webapp.approvals.queue import TABS, Tab
from webapp.canonical import Limits, parse
from webapp.errors import BadInput

ASSERTION = Limits(bytes=16_000, depth=4, values=40)
CODE = 12


def answer_of(form: Mapping[str, str]) -> Answer:
    """A passkey's assertion or an authenticator's code. Raises BadInput when it is neither or both."""
    assertion, code = form.get("assertion", ""), "".join(form.get("code", "").split())
    if bool(assertion) == bool(code):
        raise BadInput("Use your passkey, or type the code that your authenticator app shows.")
    if code:
        if len(code) > CODE or not code.isascii() or not code.isdigit():
            raise BadInput("A code is six digits.")
        return Answer(code=Secret(code))
    parsed = parse(assertion.encode(), ASSERTION)
    if not isinstance(parsed, dict):
        raise BadInput("The passkey's answer was not understood.")
    return Answer(sealed=form.get("sealed", ""), assertion=parsed)


def tab_of(text: str | None) -> Tab:
    found = next((tab for tab in TABS if tab == (text or "me")), None)
    if found is None:
        raise BadInput("There is no such list.")
    return found


def found_of(text: str | None) -> Close:
    if text == "ran":
        return "ran"
    if text == "did_not_run":
        return "did_not_run"
    raise BadInput("Say whether it ran or not.")
