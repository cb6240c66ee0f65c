"""Number matching on the pages: the agent's screen has the number, the page asks for it, and nothing else ever shows it."""

from __future__ import annotations

import logging
import re
from typing import Any, cast

import pytest
from sqlalchemy import func, inspect, select, text, update

from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import Server, action, again, decide, draft, held, need
from vault.errors import KeeperAway
from vault.evidence import Need
from webapp.approvals import execution, requests, waiting
from webapp.approvals.tables import Action, TokenRequest
from webapp.audit.tables import Entry
from webapp.web.house import House

MATCH = cast(Need, {**need("confirm", rule="payment"), "match": True})
SAID = re.compile(r" Show your person this number, which they type there: ([0-9]{2})\.")


def number(house: House, action_id: str) -> str:
    """As the agent's screen has it."""
    found = SAID.search(waiting.snapshot(house, action_id).status_message)
    assert found
    return found[1]


def missed(house: House, action_id: str) -> int:
    with house.database.read() as session:
        entries = select(func.count()).select_from(Entry)
        return session.scalar(entries.where(Entry.kind == "action.number_missed", Entry.subject == action_id)) or 0


def wrong(house: House, action_id: str) -> str:
    return f"{(int(number(house, action_id)) + 1) % 100:02}"


def test_the_number_on_the_agents_screen_confirms_the_call_and_it_runs(house: House, server: Server, someone: Enrol) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), [MATCH])
    page = ada.get(f"/actions/{held_id}").text
    assert "Type the two digits that your agent shows" in page
    for typed in ("", "444"):
        answer = decide(ada, key, held_id, match=typed)
        assert (answer.status_code, "Type the two digits" in answer.text) == (400, True)
        assert action(house, held_id).state == "held"
    assert missed(house, held_id) == 0, "what is no number is no try"
    assert decide(ada, key, held_id, match=number(house, held_id)).status_code == 303
    assert action(house, held_id).state == "approved"
    assert "number" not in waiting.snapshot(house, held_id).status_message
    assert execution.run(house, held_id, server, server.recheck).state == "done"


def test_three_wrong_numbers_reject_it(house: House, server: Server, someone: Enrol) -> None:
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), [MATCH])
    for left in ("2 tries", "1 try"):
        answer = decide(ada, key, held_id, match=wrong(house, held_id))
        assert (answer.status_code, left in answer.text) == (400, True)
        assert action(house, held_id).state == "held"
    last = decide(ada, key, held_id, match=wrong(house, held_id))
    assert last.status_code == 303
    assert (action(house, held_id).state, action(house, held_id).reason) == ("rejected", "Three wrong numbers were typed.")
    assert missed(house, held_id) == 3
    assert "Three wrong numbers were typed" in ada.get(f"/actions/{held_id}").text
    assert "A wrong number was typed" in ada.get(f"/actions/{held_id}/life").text
    assert server.calls == []
    assert again(house, draft(house, ada.person)) is not None


def test_the_number_of_one_call_is_not_that_of_another(house: House, server: Server, someone: Enrol) -> None:
    """Attack: while a person waits for their own call another agent makes one, which they confirm by the number that they see."""
    ada, key = someone("ada")
    mine = held(house, draft(house, ada.person), [MATCH])
    theirs = next(
        one for one in (held(house, draft(house, ada.person, grant=f"grt_{number_}"), [MATCH]) for number_ in range(2, 9))
        if number(house, one) != number(house, mine)
    )
    assert decide(ada, key, theirs, match=number(house, mine)).status_code == 400
    assert action(house, theirs).state == "held"


def test_a_row_that_says_nothing_of_a_number_lets_nobody_off(house: House, server: Server, someone: Enrol) -> None:
    """Attack: whoever can write to the database takes the word out of the copy that lists read."""
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), [MATCH])
    plain = [{name: value for name, value in MATCH.items() if name != "match"}]
    house.database.write(lambda s: s.execute(update(Action).where(Action.id == held_id).values(requirement=plain)))
    assert "Type the two digits" in ada.get(f"/actions/{held_id}").text
    assert decide(ada, key, held_id).status_code == 400
    assert action(house, held_id).state == "held"


def test_the_number_is_nowhere_but_on_the_agents_screen(
    house: House, server: Server, someone: Enrol, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the database, the log, receipts, pages or the process's own log: looked for by the words around it, and by value
    where a value of two digits stands alone."""
    caplog.set_level(logging.DEBUG)
    ada, key = someone("ada")
    held_id = held(house, draft(house, ada.person), [MATCH])
    this = number(house, held_id)
    paths = ("/actions", "/", "/history", *(f"/actions/{held_id}{part}" for part in ("", "/life", "/receipt")))
    pages = [ada.get(path).text for path in paths]
    assert decide(ada, key, held_id, match=this).status_code == 303
    pages += [ada.get(path).text for path in paths]
    assert any('"matched":true' in page.replace("\\", "") for page in pages)
    with house.database.read() as session:
        names = inspect(session.connection()).get_table_names()
        rows = [row for name in names for row in session.execute(text(f'SELECT * FROM "{name}"')).all()]
    values = [str(value) for row in rows for value in row if isinstance(value, str | bytes)]
    assert this not in values
    said = [*pages, *values, *(record.getMessage() for record in caplog.records)]
    assert not any("this number" in one or "their agent shows: " in one for one in said)


def test_a_token_client_is_answered_with_the_number_too(house: House, server: Server, someone: Enrol) -> None:
    ada, _ = someone("ada")
    held_id, now = held(house, draft(house, ada.person), [MATCH]), house.clock()
    house.database.write(lambda s: s.add(TokenRequest(
        action=held_id, hash=b"x", client="cli_1", interval=5, polled_at=now, created_at=now,
    )))
    found = SAID.search(requests.waits(house, held_id, polled="x").hint)
    assert found
    assert found[1] == number(house, held_id)


def test_while_the_keeper_is_away_a_call_waits_without_a_number(
    house: House, server: Server, someone: Enrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, _ = someone("ada")
    held_id = held(house, draft(house, ada.person), [MATCH])

    def away(**_: Any) -> str:
        raise KeeperAway("gone")

    monkeypatch.setattr(type(house.door), "match_number", lambda self, **given: away(**given))
    assert SAID.search(waiting.snapshot(house, held_id).status_message) is None
    assert waiting.snapshot(house, held_id).state == "held"
