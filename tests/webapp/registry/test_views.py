"""The admin's pages: who may see them, what they show of a server's words, and what a form does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from sqlalchemy import select

from tests.app_parts import Browser, People
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.gateway.peers import RawServer, http_answer, modern, rpc
from tests.webapp.registry.parts import BALANCE, PAY, changed, entries, listed, put, seen
from webapp.registry import drift, pins
from webapp.registry.pins import ToolRefused
from webapp.registry.tables import Server, Tool
from webapp.web.house import House

FORM = {
    "cls": "money", "amount": "/amount", "unit": "major", "currency": "/currency", "recipient": "/iban", "kind": "iban",
    "provider": "bank", "scopes": "payments", "placement": "authorization",
}
PAGES = ("/servers", "/servers/bank", "/servers/bank/tools/send_payment")


@pytest.fixture
def admin(signed_in: People) -> Browser:
    return signed_in("ada", groups=["admin"])


def status(house: House, tool: str = "send_payment") -> str:
    with house.database.read() as session:
        return session.scalars(select(Tool.status).where(Tool.name == tool)).one()


def drifted(house: House, **fields: object) -> None:
    house.database.write(put)
    drift.observe(house, "bank", listed(changed(PAY, **fields), BALANCE))


def test_only_an_admin_comes_in_and_changes_anything(house: House, signed_in: People, admin: Browser) -> None:
    drifted(house, description="Changed")
    recorded = entries(house.database)
    teammate, stranger = signed_in("bob", groups=["finance", "audit"]), signed_in.stranger()
    for path in PAGES:
        assert admin.get(path).status_code == 200
        assert teammate.get(path).status_code == 403
        assert stranger.get(path).status_code in (302, 303)
    decision = {**FORM, "seen": seen(changed(PAY, description="Changed"))}
    for path, sent in (
        ("/servers", {"name": "x", "url": "https://x.example/"}), ("/servers/bank/look", {}),
        ("/servers/bank/pause", {"paused": "yes"}), (PAGES[2], {**decision, "do": "approve"}),
        (PAGES[2], {**decision, "do": "refuse"}), (PAGES[2], {**decision, "do": "preview"}),
    ):
        assert teammate.send(path, **sent).status_code == 403
        assert stranger.send(path, **sent).status_code in (302, 303, 401)
    assert not [kind for kind in entries(house.database)[len(recorded):] if kind.startswith(("tool.", "server."))]


def test_a_form_from_another_site_does_nothing(house: House, admin: Browser) -> None:
    house.database.write(put)
    answer = admin.post("/servers/bank/pause", data={"paused": "yes"}, headers={"Origin": "https://evil.example"})
    assert answer.status_code in (400, 403)
    with house.database.read() as session:
        assert session.scalars(select(Server.status)).one() == "active"


def test_a_servers_words_are_escaped_labelled_and_what_hides_in_them_is_shown(house: House, admin: Browser) -> None:
    """Attack: a description that closes our markup, reverses its neighbours, or hides instructions from the admin."""
    hostile = '</div><script>alert(1)</script>\u202egnp.exe\u200b{{ 7*7 }}\x07'
    drifted(house, description=hostile, title=hostile)
    page = admin.get("/servers/bank/tools/send_payment").text
    assert "The server says" in page
    assert "<script>alert" not in page
    for hidden in "\u202e\u200b\x07":
        assert hidden not in page
    assert "U+202E" in page
    assert "{{ 7*7 }}" in unescape(page)
    for path in PAGES:
        found = admin.get(path).text
        assert "\u202e" not in found
        assert "<script>alert" not in found


def test_a_drift_is_shown_side_by_side_and_approved_by_the_form_that_showed_it(house: House, admin: Browser) -> None:
    drifted(house, description="Send money to a thief.")
    assert "1 changed since approved" in admin.get("/servers").text
    page = admin.get("/servers/bank/tools/send_payment")
    assert "<mark>payee.</mark>" in page.text
    assert "<mark>thief.</mark>" in page.text
    done = admin.send("/servers/bank/tools/send_payment", **fields(page.text), do="approve")
    assert done.status_code == 303
    assert status(house) == "approved"
    with house.database.read() as session:
        found = pins.pinned(session, "bank", "send_payment")
    assert found.description["description"] == "Send money to a thief."
    assert (found.cls, found.credential is not None) == ("money", True), "the form was filled with what was approved before"


def test_keeping_it_closed_keeps_it_closed(house: House, admin: Browser) -> None:
    drifted(house, description="Changed")
    page = admin.get("/servers/bank/tools/send_payment")
    assert "Keep it closed" in page.text
    admin.send("/servers/bank/tools/send_payment", **fields(page.text), do="refuse")
    drift.observe(house, "bank", listed())
    assert status(house) == "refused"
    with house.database.read() as session, pytest.raises(ToolRefused):
        pins.pinned(session, "bank", "send_payment")


def test_a_form_for_a_text_that_changed_meanwhile_approves_nothing(house: House, admin: Browser) -> None:
    house.database.write(lambda s: put(s, approvals={}))
    page = admin.get("/servers/bank/tools/send_payment")
    drift.observe(house, "bank", listed(changed(PAY, description="Changed"), BALANCE))
    assert admin.send("/servers/bank/tools/send_payment", **fields(page.text), do="approve").status_code == 409
    assert status(house) == "new"


def test_a_form_that_does_not_fit_comes_back_as_it_was_with_what_is_wrong(house: House, admin: Browser) -> None:
    house.database.write(lambda s: put(s, approvals={}))
    for field, value, said in (
        ("amount", "amount", "not a JSON Pointer"), ("unit", "", "`major` units"), ("currency_is", "EUR", "not both"),
        ("cls", "safe", "class is one of"), ("placement", "header:Cookie", "`header:<Name>`"),
        ("kind", "phone", "recipient is one of"), ("do", "", "whether to approve"),
    ):
        sent = {**FORM, "seen": seen(PAY), "do": "approve", field: value}
        page = admin.send("/servers/bank/tools/send_payment", **sent)
        assert page.status_code == 400
        assert said in unescape(page.text)
        assert 'value="payments"' in page.text
    assert status(house) == "new"


def test_a_new_tool_comes_with_a_suggestion_that_says_where_it_is_from(house: House, admin: Browser) -> None:
    house.database.write(lambda s: put(s, approvals={}))
    page = admin.get("/servers/bank/tools/send_payment").text
    assert "Inferred" in page
    assert "there is an argument named “iban”" in page
    assert fields(page)["cls"] == "money"


def test_the_preview_shows_what_a_rule_would_see_and_changes_nothing(house: House, admin: Browser) -> None:
    house.database.write(lambda s: put(s, approvals={}))
    path = "/servers/bank/tools/send_payment"
    for sample, said in (
        ('{"amount": "4800.00", "currency": "EUR", "iban": "de89 3704"}', "4800.00 EUR"),
        ('{"amount": "4,800.00", "currency": "EUR"}', "cannot be read: the amount is not a plain decimal number"),
        ('{"amount": 1, "amount": 2}', "same key twice"), ("[]", "JSON object"), ("{", "not valid JSON"),
    ):
        page = admin.send(path, **FORM, seen=seen(PAY), sample=sample, do="preview")
        assert page.status_code == 200
        assert said in unescape(page.text)
        part = admin.post(
            path, data={**FORM, "csrf_token": admin.token(), "sample": sample, "do": "preview"},
            headers={"HX-Request": "true", "HX-Request-Type": "partial", "Origin": PUBLIC_URL},
        )
        assert said in unescape(part.text)
        assert "<html" not in part.text
    assert status(house) == "new"


def test_a_schema_that_no_call_could_be_checked_against_is_told_before_approving(house: House, admin: Browser) -> None:
    drifted(house, inputSchema={"properties": {"a": {"pattern": "^(?=x)"}}})
    assert "every call would be refused" in admin.get("/servers/bank/tools/send_payment").text


def test_an_unreadable_tool_has_no_form(house: House, admin: Browser) -> None:
    drifted(house, inputSchema={"maximum": 2**63})
    page = admin.get("/servers/bank/tools/send_payment").text
    assert "cannot be pinned" in page
    assert 'value="approve"' not in page


@pytest.fixture
def peer() -> Iterator[RawServer]:
    server = RawServer(modern(lambda message: http_answer(rpc(message, {
        "resultType": "complete", "tools": [PAY], "ttlMs": 0, "cacheScope": "private",
    }))))
    yield server
    server.close()


def test_a_server_is_added_from_the_page_with_nothing_approved(house: House, admin: Browser, peer: RawServer) -> None:
    assert "No server yet" in admin.get("/servers").text
    done = admin.send("/servers", name="bank", url=peer.url, title="Harbour Bank", provider="bank")
    assert done.status_code == 303
    assert status(house) == "new"
    with house.database.read() as session:
        assert session.scalars(select(Server.created_by)).one() == f"person:{admin.person}"


def test_a_server_that_cannot_be_added_says_why_and_the_form_stays(house: House, admin: Browser, peer: RawServer) -> None:
    for url, name in (
        ("http://127.0.0.1:1/mcp", "bank"), ("https://169.254.169.254/", "bank"), ("file:///etc/passwd", "bank"),
        (peer.url, "No Name"),
    ):
        page = admin.send("/servers", name=name, url=url)
        assert page.status_code == 400
        assert 'class="notice bad"' in page.text
        assert f'value="{name}"' in page.text
    with house.database.read() as session:
        assert session.scalars(select(Server.id)).all() == []


def test_looking_now_closes_what_changed(house: House, admin: Browser, peer: RawServer) -> None:
    admin.send("/servers", name="bank", url=peer.url)
    page = admin.get("/servers/bank/tools/send_payment").text
    admin.send("/servers/bank/tools/send_payment", **fields(page), do="approve")
    assert status(house) == "approved"
    peer.answer = modern(lambda message: http_answer(rpc(message, {
        "resultType": "complete", "tools": [changed(PAY, title="Give")], "ttlMs": 0, "cacheScope": "private",
    })))
    admin.send("/servers/bank/look")
    assert status(house) == "drifted"


def test_pausing_is_a_button_and_undone_by_one(house: House, admin: Browser) -> None:
    house.database.write(put)
    admin.send("/servers/bank/pause", paused="yes")
    assert "This server is paused" in admin.get("/servers/bank").text
    admin.send("/servers/bank/pause", paused="no")
    with house.database.read() as session:
        assert pins.server(session, "bank").status == "active"


def test_a_page_of_what_is_not_there_is_404(house: House, admin: Browser) -> None:
    house.database.write(put)
    for path in ("/servers/shop", "/servers/bank/tools/steal", "/servers/shop/tools/x"):
        assert admin.get(path).status_code == 404


def fields(page: str) -> dict[str, str]:
    """What a browser would send of the tool's form, unchanged."""
    found = re.search(r'<form id="tool".*?</form>', page, re.DOTALL)
    assert found
    sent: dict[str, str] = {}
    for tag in re.findall(r"<input [^>]*>", found.group(0)):
        given = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if given.get("type") not in ("radio", "checkbox") or " checked" in tag:
            sent[given["name"]] = unescape(given.get("value", ""))
    for name, options in re.findall(r'<select [^>]*name="(\w+)">(.*?)</select>', found.group(0), re.DOTALL):
        chosen = re.search(r'<option(?: value="(\w*)")? selected>([^<]*)', options)
        sent[name] = (chosen.group(1) or chosen.group(2)) if chosen else ""
    sent.pop("csrf_token", None)
    return sent
