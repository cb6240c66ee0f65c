"""Whatever changes while a page is open: 409, what changed in words, nothing recorded, nothing that was typed lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.app_parts import Browser, hidden
from tests.authenticator import Passkey
from tests.conftest import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, ORDER, TWO, Server, action, decide, draft, held, options, reject
from vault.evidence import Need
from webapp.approvals import since
from webapp.approvals.tables import Decision
from webapp.audit.tables import Entry
from webapp.web.house import House

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is tested here asks nothing of a database that other tests do not ask of both."""


def opened(browser: Browser, key: Passkey, action_id: str) -> Mapping[str, str]:
    """A page that is open, its button not pressed yet: what pressing it would send."""
    page = browser.get(f"/actions/{action_id}")
    assertion = json.dumps(key.get(options(page), origin=PUBLIC_URL))
    return {"shown": hidden(page, "shown"), "sealed": hidden(page, "sealed"), "assertion": assertion}


@one_database
def test_the_word_that_becomes_the_last_one_is_asked_for_again(house: House, someone: Enrol, server: Server) -> None:
    """Cleo's page said that others follow. Bob was first: now hers would run it."""
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, cleo_key = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person), TWO)
    open_page = opened(cleo, cleo_key, held_id)
    assert decide(bob, bob_key, held_id).status_code == 303
    answer = cleo.send(f"/actions/{held_id}/decide", **open_page)
    assert answer.status_code == 409
    assert "What changed since you looked" in answer.text
    assert "had not decided" in answer.text
    assert "It is one of several; others follow" in answer.text
    assert "It is the last word that is needed" in answer.text
    assert action(house, held_id).state == "held"
    with house.database.read() as session:
        assert session.scalars(select(Decision.person).where(Decision.action == held_id)).all() == [bob.person]
    assert decide(cleo, cleo_key, held_id).status_code == 303
    assert action(house, held_id).state == "approved"


@one_database
@pytest.mark.parametrize("number", [False, True])
def test_a_confirmation_that_becomes_the_last_word_is_asked_for_again(
    house: House, someone: Enrol, server: Server, number: bool
) -> None:
    """Also where it comes with the number that the agent shows."""
    ada, key = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    asked = {**CONFIRM[0], "match": True} if number else CONFIRM[0]
    held_id = held(house, draft(house, ada.person), [cast(Need, asked), *APPROVE])
    page = opened(ada, key, held_id)
    assert decide(bob, bob_key, held_id).status_code == 303
    answer = ada.send(f"/actions/{held_id}/decide", **page, match="10" if number else "")
    assert answer.status_code == 409
    assert "It is the last word that is needed" in answer.text


@one_database
def test_a_form_that_names_the_document_alone_decides_nothing(house: House, someone: Enrol, server: Server) -> None:
    """Attack: sent by hand, it would never be out of date. Saying no asks for no more than that."""
    ada, _ = someone("ada")
    bob, key = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person))
    page = opened(bob, key, held_id)
    for shown in (page["shown"].partition(".")[0], page["shown"][:-4], page["shown"].partition(".")[0] + ".e30="):
        for form in ("challenge", "decide"):
            answer = bob.send(f"/actions/{held_id}/{form}", **{**page, "shown": shown})
            assert (answer.status_code, since.UNSAID in answer.text) == (409, True), answer.text
    with house.database.read() as session:
        assert session.scalars(select(Decision.person).where(Decision.action == held_id)).all() == []
    assert bob.send(f"/actions/{held_id}/decide", **page).status_code == 303
    assert action(house, held_id).state == "approved"


@one_database
def test_saying_no_is_bound_to_the_document_and_says_no_more_than_that(house: House, someone: Enrol, server: Server) -> None:
    """Attack: a form of one action sent for another. A race: it was approved since the page was shown; the no still holds."""
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, _ = someone("cleo", ["finance"])
    mine, other = (held(house, draft(house, ada.person, order={**ORDER, "reference": name})) for name in "ab")
    seen, theirs = (hidden(cleo.get(f"/actions/{one}"), "shown") for one in (mine, other))
    for form in ("reject", "report", "stop"):
        assert cleo.send(f"/actions/{mine}/{form}", shown=theirs, reason="Not this.").status_code == 409, form
        assert action(house, mine).state == "held"
    assert "agent.reported" not in kinds(house)
    assert decide(bob, bob_key, mine).status_code == 303
    forged = since.digest_of(seen) + "." + "A" * 40
    assert cleo.send(f"/actions/{mine}/reject", shown=forged, reason="Not this.").status_code == 303
    assert [action(house, one).state for one in (mine, other)] == ["rejected", "held"]
    assert server.calls == []


def kinds(house: House) -> list[str]:
    with house.database.read() as session:
        return list(session.scalars(select(Entry.kind)))


@one_database
@pytest.mark.parametrize("what", ["rejected", "withdrawn", "drifted", "expired", "decided"])
def test_what_ended_meanwhile_is_said_and_what_was_typed_stays(
    house: House, someone: Enrol, server: Server, clock: Clock, what: str
) -> None:
    ada, _ = someone("ada")
    bob, key = someone("bob", ["finance"])
    cleo, cleo_key = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person), within=600)
    page = opened(bob, key, held_id)
    if what == "rejected":
        reject(cleo, held_id, "Paid last week.")
    elif what == "withdrawn":
        ada.send(f"/actions/{held_id}/withdraw")
    elif what == "drifted":
        server.drift = "the server describes this tool otherwise now"
    elif what == "expired":
        clock.forward(seconds=601)
    else:
        decide(cleo, cleo_key, held_id)
    answer = bob.send(f"/actions/{held_id}/decide", **page)
    assert answer.status_code == 409
    words = {"rejected": "Paid last week.", "withdrawn": "Taken back", "drifted": "describes this tool otherwise",
             "expired": "Lapsed: nobody decided in time", "decided": "Approved, not run yet"}
    assert "What changed since you looked" in answer.text
    assert words[what] in answer.text
    if what in ("rejected", "withdrawn"):
        late = bob.send(f"/actions/{held_id}/reject", shown=page["shown"], reason="I wrote <this> at length.")
        assert late.status_code == 409
        assert "I wrote &lt;this&gt; at length." in late.text


@one_database
def test_a_page_that_nothing_happened_to_decides_at_once(house: House, someone: Enrol, server: Server, clock: Clock) -> None:
    """Of three that are needed, the first two change nothing for the others' words but who gave theirs."""
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    cleo, cleo_key = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person), [{**TWO[0], "quorum": 3}])
    page = opened(cleo, cleo_key, held_id)
    decide(bob, bob_key, held_id)
    assert cleo.send(f"/actions/{held_id}/decide", **page).status_code == 303


@settings(max_examples=40)
@given(st.text(max_size=200) | st.builds(lambda rest: "ab." + rest, st.text("abcXYZ019-_=.", max_size=80)))
def test_what_no_page_wrote_is_no_page(text: str) -> None:
    assert since.read(text) is None


def test_what_is_written_is_read() -> None:
    made = since.Seen("ab" * 32, "held", "approve", True, (("per_1", "approve"),))
    assert since.read(made.written()) == made
    assert since.digest_of(made.written()) == "ab" * 32
    everything: Any = made.written() + "A" * since.LONGEST
    assert since.read(everything) is None
