"""Who gets in: the person allowed, a teammate, a stranger and somebody not signed in, on every route."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from tests.app_parts import People, hidden
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import APPROVE, CONFIRM, ORDER, Server, action, decide, draft, forge, held
from webapp.approvals import execution
from webapp.web.house import House

FIELDS = {"shown": "", "code": "123456", "reason": "no", "regret": "no", "found": "ran", "note": ""}
ROUTES_AT_LEAST = 20
"""Of one action: so that the walk below does walk."""


def routes(app: Flask) -> list[tuple[str, str]]:
    """Every route of one action that the app has: a new one is tried here without anybody's doing."""
    start = "/actions/<action_id>"
    return [
        (method, rule.rule.removeprefix(start)) for rule in app.url_map.iter_rules() if rule.rule.startswith(start)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def test_a_stranger_finds_nothing_on_any_route_and_a_teammate_only_what_they_may_decide(
    app: Flask, house: House, someone: Enrol, server: Server, signed_in: People
) -> None:
    ada, _ = someone("ada")
    eve, _ = someone("eve", ["user"])
    bob, _ = someone("bob", ["finance"])
    audit, _ = someone("aud", ["audit"])
    own = held(house, draft(house, ada.person), CONFIRM)
    shared = held(house, draft(house, ada.person, order={"amount": "2.00", "currency": "EUR"}), APPROVE)
    nobody = signed_in.stranger()
    assert len(routes(app)) >= ROUTES_AT_LEAST
    for method, route in routes(app):
        for browser, path, wanted in [
            (eve, f"/actions/{own}{route}", {404}), (eve, f"/actions/{shared}{route}", {404}),
            (bob, f"/actions/{own}{route}", {404}), (eve, f"/actions/act_none{route}", {404}),
            (nobody, f"/actions/{shared}{route}", {303, 401, 403}),
        ]:
            answer = browser.get(path) if method == "GET" else browser.send(path, **FIELDS)
            assert answer.status_code in wanted, (method, path, answer.status_code)
            assert "Nordlicht" not in answer.text
    assert bob.get(f"/actions/{shared}").status_code == audit.get(f"/actions/{own}").status_code == 200
    assert {action(house, one).state for one in (own, shared)} == {"held"}


def test_lists_show_to_each_what_is_theirs(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    eve, _ = someone("eve")
    own = held(house, draft(house, ada.person), CONFIRM)
    shared = held(house, draft(house, ada.person, order={"amount": "2.00", "currency": "EUR"}), APPROVE)
    gone = held(house, draft(house, ada.person, order={"amount": "3.00", "currency": "EUR"}), APPROVE)
    ada.send(f"/actions/{gone}/withdraw")

    def seen(browser: object, path: str) -> set[str]:
        text = browser.get(path).text  # type: ignore[attr-defined]
        return {one for one in (own, shared, gone) if one in text}

    assert (seen(ada, "/actions"), seen(ada, "/actions?tab=others"), seen(ada, "/actions?tab=mine")) == (
        {own}, {shared}, {own, shared, gone})
    assert (seen(bob, "/actions"), seen(bob, "/actions?tab=others"), seen(bob, "/history")) == ({shared}, set(), {gone})
    for path in ("/", "/start", "/actions", "/actions?tab=others", "/actions?tab=mine", "/actions/rows", "/history"):
        assert seen(eve, path) == set()
    assert "1<" in ada.get("/").text.split('id="waiting"')[1][:200]


def test_all_clear_is_said_only_when_it_is(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    assert "All clear" in ada.get("/").text
    held_id = held(house, draft(house, ada.person), CONFIRM)
    assert "All clear" not in ada.get("/").text
    forge(house, held_id, state="uncertain", started_at=house.clock())
    assert "All clear" not in ada.get("/").text
    assert "Somebody has to look" in ada.get("/").text


def test_the_answer_is_for_the_owner_and_for_who_decided(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, key = someone("bob", ["finance"])
    cleo, _ = someone("cleo", ["finance"])
    held_id = held(house, draft(house, ada.person))
    decide(bob, key, held_id)
    execution.run(house, held_id, server, server.recheck)
    assert "HB-1" in ada.get(f"/actions/{held_id}").text
    assert "HB-1" in bob.get(f"/actions/{held_id}").text
    assert "HB-1" not in cleo.get(f"/actions/{held_id}").text


@pytest.mark.parametrize("missing", ["csrf", "origin"])
def test_a_decision_sent_from_another_site_is_refused(house: House, someone: Enrol, server: Server, missing: str) -> None:
    ada, _ = someone("ada")
    held_id = held(house, draft(house, ada.person), CONFIRM)
    shown = hidden(ada.get(f"/actions/{held_id}"), "shown")
    data = {"shown": shown, "reason": "x", **({} if missing == "csrf" else {"csrf_token": ada.token()})}
    origin = "https://evil.example" if missing == "origin" else "http://localhost:8000"
    answer = ada.post(f"/actions/{held_id}/reject", data=data, headers={"Origin": origin})
    assert answer.status_code in (400, 403)
    assert action(house, held_id).state == "held"


def test_what_an_agent_wrote_is_text_and_stays_where_it_is_labelled(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    order = {"amount": "2.00", "currency": "EUR", "payee": "<script>x</script>\u202egnp", "note": "</section><h1>Approved"}
    page = ada.get(f"/actions/{held(house, draft(house, ada.person, order=order), CONFIRM)}").text
    assert "<script>x" not in page
    assert "<h1>Approved" not in page
    assert "U+202E" in page
    assert "\u202e" not in page


def test_a_list_names_the_recipient_as_sent_and_says_whose_words_the_other_names_are(
    house: House, someone: Enrol, server: Server
) -> None:
    ada, _ = someone("ada")
    held(house, draft(house, ada.person), CONFIRM)
    for address in ("/", "/actions"):
        text = " ".join(re.sub(r"<[^>]+>", " ", ada.get(address).text).split())
        assert "asked by what calls itself “ Ledger Desk ”" in text
        assert f"{ORDER['iban']} The agent calls them “ Nordlicht Energie GmbH ”" in text


def test_a_code_confirms_where_it_may_and_not_where_a_passkey_is_asked_for(house: House, someone: Enrol, server: Server) -> None:
    from tests.webapp.approvals.parts import need

    ada, _ = someone("ada")
    strict = held(house, draft(house, ada.person), (need("confirm", factor="passkey"),))
    page = ada.get(f"/actions/{strict}")
    assert 'name="code"' not in page.text
    answer = ada.send(f"/actions/{strict}/decide", shown=hidden(page, "shown"), code="123456")
    assert (answer.status_code, action(house, strict).state) == (400, "held")
    assert "asks for a passkey" in answer.text
