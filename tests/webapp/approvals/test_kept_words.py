"""What rows keep in English is said in the reader's language, and what others wrote is never taken for it."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.catalogues import ROOT, TAGS, of_rules, trees
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, ORDER, Server, draft, held, need
from tests.webapp.approvals.reading import Reads, in_catalogue
from vault import matching
from webapp.approvals import kept_words, undo
from webapp.approvals.drift import needs_in_words
from webapp.approvals.reasons import STOPPED
from webapp.approvals.tables import Action
from webapp.config_approvals import REJECT_REASONS
from webapp.errors import Said
from webapp.policy.amounts import Amount, read
from webapp.web.house import House
from webapp.web.languages import told

HOLE = re.compile(r"%\((\w+)\)s")
SOMEBODY = "Ada <none>"
"""In the place of each value: what a name, or a server, could say."""


def row(**values: Any) -> Action:
    return cast(Action, SimpleNamespace(**{"state": "void", "reason": "", "closed_by": None, **values}))


def kept(msgid: str) -> tuple[str, dict[str, str]]:
    """A sentence as a row has it, and what it was filled with."""
    values = dict.fromkeys(HOLE.findall(msgid), SOMEBODY)
    return msgid % values if values else msgid, values


def say(kind: str, text: str) -> str:
    small = text[:1].lower() + text[1:]
    match kind:
        case "ENDED":
            return kept_words.ended(row(state="expired", reason=small))
        case "CLOSED":
            return kept_words.ended(row(state="done", reason=small, closed_by="prs_1"))
        case "VOID":
            return kept_words.ended(row(reason=small))
        case "WHAT" | "WHOSE":
            return kept_words.what({"what": text})
        case "SIDES":
            return kept_words.side({"what": "Account", "before": text}, "before")
        case _:
            return kept_words.shortage(text)


KINDS = ("ENDED", "CLOSED", "VOID", "WHAT", "WHOSE", "SIDES", "SHORT")
LISTED = [(kind, str(one)) for kind in KINDS for one in getattr(kept_words, kind)]


@pytest.mark.parametrize("language", TAGS)
@pytest.mark.parametrize(("kind", "msgid"), LISTED)
def test_each_sentence_that_rows_keep_is_said_in_the_readers_language(
    reads: Reads, language: str, kind: str, msgid: str
) -> None:
    text, values = kept(msgid)
    with reads(language):
        assert told(say(kind, text)) == in_catalogue(msgid, **values)
    with reads("en"):
        assert told(say(kind, text)) == text


def literals(node: ast.expr | None, module: str) -> Iterator[str]:
    """What an expression can be, as far as the source says; values become SOMEBODY."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else SOMEBODY for part in parts)
        case ast.IfExp(body=one, orelse=other):
            yield from (*literals(one, module), *literals(other, module))
        case ast.Name(id=name) if name.isupper():
            yield str(getattr(importlib.import_module(module), name))


def written() -> Iterator[tuple[str, str]]:
    """Which sentences the rooms give to rows: why something drifted, what changed, why it moved on."""
    for path, tree in trees().items():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(tree) if module.startswith("webapp.") else ():
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            call = cast(ast.Call, node)
            if name == "Drift":
                yield from (("reason", text) for text in literals(call.args[0], module) if text)
            elif name == "Change" and module != "webapp.approvals.since":
                yield from (("what", text) for text in literals(call.args[0], module))
                yield from (("side", text) for one in call.args[1:3] for text in literals(one, module) if text)
            elif name == "move":
                why = next((one.value for one in call.keywords if one.arg == "reason"), None)
                yield from (("move", text) for text in literals(why, module) if text)
            elif name == "withdraw" and module.startswith("webapp.gateway."):
                yield from (("move", text) for text in literals(call.args[-1], module))


def test_whatever_the_rooms_write_is_on_a_list(reads: Reads) -> None:
    """A sentence that is new there stays English on every page until it is."""
    found = sorted(set(written()))
    assert len(found) > 40
    said: dict[str, Callable[[str], object]] = {
        "reason": lambda text: kept_words._found(kept_words._large(text), kept_words.OF_VOID),
        "what": lambda text: kept_words._found(text, kept_words.OF_WHAT),
        "side": lambda text: text.startswith("digest ") or kept_words._found(text, kept_words.OF_SIDES),
        "move": lambda text: kept_words._found(kept_words._large(text), kept_words.OF_ENDED),
    }
    assert [one for one in found if not said[one[0]](one[1])] == []


def test_who_is_missing_is_said_with_each_reason(reads: Reads) -> None:
    text = (
        "It needs 2 from finance, and 1 of the 4 known here can decide (2 asked for it or own what it uses, 1 suspended). "
        "It needs the owner’s confirmation, and the owner is suspended."
    )
    with reads("de"):
        barred = ", ".join(in_catalogue(msgid, count=count) for msgid, count in (
            ("%(count)s asked for it or own what it uses", "2"), ("%(count)s suspended", "1"),
        ))
        assert [told(one) for one in kept_words.short(text)] == [
            in_catalogue("It needs %(many)s from %(group)s, and %(able)s of the %(known)s known here can decide (%(barred)s).",
                         many="2", group="finance", able="1", known="4", barred=barred),
            in_catalogue("It needs the owner’s confirmation, and the owner is suspended."),
        ]


@pytest.mark.parametrize("language", TAGS)
def test_what_a_requirement_asked_for_is_said_part_by_part(reads: Reads, language: str) -> None:
    asked = [
        need("confirm", factor="passkey"), {**need("confirm"), "match": True},
        {**need(quorum=2), "hours": "0-4 08:00-18:00 Europe/Berlin",
         "escalate": [{"group": "leads", "after": 1800}, {"group": "board", "after": 7200}]},
    ]
    text = needs_in_words(cast(Any, asked))
    with reads(language):
        owner = in_catalogue("the owner’s confirmation")
        many = in_catalogue("%(count)s from %(group)s", count="2", group="finance")
        for group, time in (("leads", "30m"), ("board", "2h")):
            many = in_catalogue("%(needed)s or %(group)s after %(time)s", needed=many, group=group, time=time)
        assert told(kept_words.side({"what": "It needs", "now": text}, "now")) == ", ".join((
            in_catalogue("%(needed)s in %(hours)s", needed=many, hours="0-4 08:00-18:00 Europe/Berlin"),
            in_catalogue("%(needed)s and the agent’s number", needed=owner),
            in_catalogue("%(needed)s by %(factor)s", needed=owner, factor=in_catalogue("passkey")),
        ))


def test_why_a_rule_spoke_is_said_as_far_as_the_rules_are_ours(reads: Reads) -> None:
    ours = next(_shipped())
    with reads("de"):
        assert in_catalogue(ours, "rule") != ours
        changed = {"what": "Because", "before": f"{ours}; Ask Grace first", "now": "No rule holds it"}
        assert told(kept_words.side(changed, "before")) == in_catalogue(ours, "rule") + "; Ask Grace first"
        assert told(kept_words.side(changed, "now")) == in_catalogue("No rule holds it")
        assert told(kept_words.reason(f"policy refuses it now: {ours}")) == in_catalogue(
            "Policy refuses it now: %(rule)s", rule=in_catalogue(ours, "rule")
        )


def _shipped() -> Iterator[str]:
    for path in sorted((ROOT / "webapp/policy/defaults").glob("*.cedar")):
        yield from (one.msgid for one in of_rules(path.read_text("utf-8")))


@pytest.mark.parametrize("text", ["Approve", "No answer came, my friend.", "", "Rejected", "none", "passkey"])
def test_what_others_wrote_stays_though_we_say_the_like_elsewhere(reads: Reads, text: str) -> None:
    """Attack: a server fails with "Approve" as its reason, and the page would show it as it shows what the system says."""
    with reads("de"):
        assert told(kept_words.ended(row(state="failed", reason=text))) == text[:1].upper() + text[1:]
        assert told(kept_words.event("failed", text)) == text
        for what in ("decided", "held", "rejected"):
            assert told(kept_words.event(what, "Nobody decided in time.")) == "Nobody decided in time."
        assert told(kept_words.shortage(text)) == text
        theirs = {"what": "Account", "before": text or "active", "now": "active", "theirs": True}
        assert (told(kept_words.what(theirs)), told(kept_words.side(theirs, "now"))) == ("Account", "active")
        assert told(kept_words.side({"what": "Set of rules", "now": "none"}, "now")) == "none"


def test_the_reasons_to_choose_from_are_those_that_are_translated(reads: Reads) -> None:
    """The settings' own are plain text: a new one there is to be listed for the translators."""
    assert {str(one) for one in kept_words.PRESETS} == set(REJECT_REASONS.values())
    with reads("de"):
        for code, text in REJECT_REASONS.items():
            assert in_catalogue(text) != text
            assert told(kept_words.refusal(text, code)) == in_catalogue(text)
            assert told(kept_words.refusal(f"{text} Ask me first.", code)) == f"{in_catalogue(text)} Ask me first."


def test_a_reason_in_an_approvers_own_words_stays(reads: Reads) -> None:
    with reads("de"):
        for text in ("Wrong recipient.", str(kept_words.TYPED), "Stopped before it ran."):
            assert told(kept_words.refusal(text, "other")) == text
        assert told(kept_words.refusal("Wrong recipient.", "")) == "Wrong recipient."
        assert told(kept_words.refusal("Stop it.", STOPPED)) == "Stop it."


@pytest.mark.parametrize("language", TAGS)
def test_that_it_was_stopped_by_a_button_is_said_in_the_readers_language(reads: Reads, language: str) -> None:
    with reads(language):
        assert told(kept_words.refusal(str(undo.STOPPED), STOPPED)) == in_catalogue(undo.STOPPED) != undo.STOPPED


def test_the_keepers_own_rejection_is_said_in_the_readers_language(reads: Reads) -> None:
    assert isinstance(matching.REASON, Said)
    with reads("fr"):
        assert in_catalogue(matching.REASON) != matching.REASON
        assert told(kept_words.refusal(str(matching.REASON), "")) == in_catalogue(matching.REASON)


@pytest.mark.parametrize(("amount", "currency"), [
    ("480.001", "EUR"), ("480.00", "CHF"), ("4,800.00", "EUR"), ("0", "EUR"), ("480.00", "?"), ("9" * 17, "EUR"),
])
def test_why_an_amount_cannot_be_read_is_said_in_the_readers_language(reads: Reads, amount: str, currency: str) -> None:
    found: Amount = read(amount, currency, unit="major", base="EUR", rates={})
    why = cast(Said, found.why)
    with reads("de"):
        assert told(kept_words.unreadable(str(why))) == in_catalogue(why.msgid, **cast(Any, why.values)) != why


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_action_page_says_it(house: House, server: Server, someone: Enrol, reads: Reads) -> None:
    ada = someone("ada")[0]
    page = ada.get(f"/actions/{held(house, draft(house, ada.person, order={**ORDER, 'amount': '480.001'}), APPROVE)}", headers={
        "Accept-Language": "de",
    })
    with reads("de"):
        assert in_catalogue("the amount has more decimals than %(code)s has", code="EUR") in page.text
