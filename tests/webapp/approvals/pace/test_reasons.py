"""Why something was rejected: presets and words."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from webapp.approvals.reasons import Reason, read
from webapp.config_approvals import Approvals
from webapp.errors import BadInput

SETTINGS = Approvals()


def test_a_preset_words_or_both() -> None:
    assert read(SETTINGS, "wrong_amount", "") == Reason("wrong_amount", "Wrong amount.")
    assert read(SETTINGS, "", " Call them. ") == Reason("other", "Call them.")
    assert read(SETTINGS, "wrong_amount", "It was 20.") == Reason("wrong_amount", "Wrong amount. It was 20.")


@pytest.mark.parametrize(("preset", "text"), [("", "  "), ("never_offered", "x"), ("", "x" * 501), ("duplicate", "x" * 490)])
def test_neither_one_that_is_not_offered_and_too_many_words_are_refused(preset: str, text: str) -> None:
    with pytest.raises(BadInput):
        read(SETTINGS, preset, text)


@pytest.mark.parametrize("given", [{"Bad Code": "x"}, {"other": "x"}, {"empty": " "}, {f"c{n}": "x" for n in range(13)}])
def test_an_operator_cannot_configure_what_programs_or_people_could_not_read(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        Approvals(reject_reasons=given)
