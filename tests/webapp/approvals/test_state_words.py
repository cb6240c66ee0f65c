"""The word for an action's state."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, get_template_attribute

from tests.webapp.approvals.reading import Reads, in_catalogue
from webapp.approvals.rules import STATES
from webapp.web.catalogue import Tongue
from webapp.web.languages import spoken

WORDS = "approvals/_words.html"
COLOURS = {"approved": "good", "done": "good", "failed": "bad", "rejected": "bad", "uncertain": "warn"}


def shown(macro: str, state: str, *kinds: str) -> str:
    action = SimpleNamespace(state=state, requirement=[{"kind": kind} for kind in kinds])
    return str(get_template_attribute(WORDS, macro)(state if macro == "plain_state" else action))


@pytest.mark.parametrize(("macro", "state"), [
    (macro, state) for macro in ("state_chip", "state_word", "plain_state") for state in STATES
    if (macro, state) != ("state_word", "held")
])
def test_one_word_is_looked_up_for_one_row(
    reads: Reads, reader: Flask, monkeypatch: pytest.MonkeyPatch, macro: str, state: str
) -> None:
    """A list has fifty rows, and is made again at each change."""
    asked: list[str] = []
    plain = Tongue.pgettext

    def counted(self: Tongue, context: str, msgid: str, /, **values: Any) -> Any:
        asked.append(msgid)
        return plain(self, context, msgid, **values)

    monkeypatch.setattr(Tongue, "pgettext", counted)
    with reads("de"):
        text = shown(macro, state, "approvers")
        context = "state of a call, in brackets" if macro == "plain_state" else "state of an action"
        assert len(asked) == 1
        assert in_catalogue(asked[0], context) in text
        assert spoken().language.tag == "de"


@pytest.mark.parametrize("state", STATES)
def test_each_state_has_its_own_word_and_colour(reads: Reads, state: str) -> None:
    with reads("en"):
        assert f'class="chip {COLOURS.get(state, "")}"' in shown("state_chip", state, "approvers")
        assert shown("plain_state", state) == state
        assert len({shown("state_chip", one, "approvers") for one in STATES}) == len(STATES)


@pytest.mark.parametrize(("kinds", "word"), [
    (("confirm",), "Confirmed"), (("confirm", "confirm"), "Confirmed"), (("approvers",), "Approved"),
    (("confirm", "approvers"), "Approved"),
])
@pytest.mark.parametrize("macro", ["state_chip", "state_word"])
def test_what_only_its_owner_was_asked_for_is_confirmed_and_not_approved(
    reads: Reads, macro: str, kinds: tuple[str, ...], word: str
) -> None:
    with reads("en"):
        assert word in shown(macro, "approved", *kinds)
