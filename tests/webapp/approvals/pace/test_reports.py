"""Reject and report: the agent is paused at once, for that person, under any name that nobody vouches for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from tests.app_parts import Browser, hidden
from tests.webapp.approvals.conftest import Enrol
from tests.webapp.approvals.parts import ORDER, Server, action, decide, draft, held, reject
from webapp.approvals import snapshot
from webapp.approvals.pace.tables import Report
from webapp.approvals.reports import holds, stopped
from webapp.audit.tables import Entry
from webapp.clients.tables import Client
from webapp.web.house import House

names = st.sampled_from(["cli_1", "cli_2", "cli_3"])


@given(st.sets(names, min_size=1), st.booleans(), st.dictionaries(names, st.booleans(), min_size=1))
def test_a_report_stops_its_own_clients_and_without_a_known_one_all_that_nobody_vouches_for(
    clients: set[str], known: bool, asking: dict[str, bool]
) -> None:
    expected = any(one in clients for one in asking) or (not known and any(not vouched for vouched in asking.values()))
    assert holds(sorted(clients), known, asking) is expected


def client(house: House, name: str, *, verified: bool = False) -> None:
    house.database.write(lambda s: s.add(Client(
        id=name, kind="agent", name=name, redirect_uris=[], verified=verified, created_at=house.clock(),
    )))


def report(browser: Browser, action_id: str, **fields: str) -> int:
    page = browser.get(f"/actions/{action_id}")
    sent = {"shown": hidden(page, "shown"), "preset": "looks_like_fraud", **fields}
    return browser.send(f"/actions/{action_id}/report", **sent).status_code


def open_report(house: House) -> Report:
    with house.database.read() as session:
        return session.scalars(select(Report).where(Report.resumed_at.is_(None))).one()


def is_stopped(house: House, person: str, **asking: bool) -> bool:
    with house.database.read() as session:
        return stopped(session, "", person, asking) is not None


def test_a_report_rejects_takes_back_what_waits_and_stops_what_comes(house: House, someone: Enrol, server: Server) -> None:
    """What was approved and has not run is taken back too. Other people's agents, and those that somebody vouches for, go on."""
    ada, _ = someone("ada")
    bob, bob_key = someone("bob", ["finance"])
    for name in ("cli_1", "cli_2"):
        client(house, name)
    client(house, "cli_3", verified=True)
    first = held(house, draft(house, ada.person))
    second = held(house, draft(house, ada.person, order={**ORDER, "reference": "2"}))
    approved = held(house, draft(house, ada.person, order={**ORDER, "reference": "3"}))
    assert decide(bob, bob_key, approved).status_code == 303
    assert report(bob, first, reason="Not their IBAN.") == 303
    assert (action(house, first).state, action(house, first).reason_code) == ("rejected", "looks_like_fraud")
    assert "This looks like fraud. Not their IBAN." in snapshot(house, first).status_message
    for other in (second, approved):
        assert (action(house, other).state, action(house, other).reason_code) == ("withdrawn", "agent_paused")
        assert snapshot(house, other).outcome.code == "agent_paused"  # type: ignore[union-attr]
    found = open_report(house)
    assert (found.person, found.clients, found.known, found.withdrawn) == (ada.person, ["cli_1"], False, 2)
    assert is_stopped(house, ada.person, cli_1=False)
    assert is_stopped(house, ada.person, cli_2=False)
    assert not is_stopped(house, ada.person, cli_3=True)
    assert not is_stopped(house, bob.person, cli_1=False)
    assert server.calls == []


def test_the_owner_or_an_admin_resumes_with_a_reason_and_who_reported_does_not(house: House, someone: Enrol) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    cleo, _ = someone("cleo", ["finance"])
    root, _ = someone("root", ["admin"])
    assert report(bob, held(house, draft(house, ada.person))) == 303
    found = open_report(house)
    resume = f"/approvals/reports/{found.id}/resume"
    for page in ("/", "/you/agents", "/approvals/reports"):
        assert "Ledger Desk" in ada.get(page).text, page
    assert "was reported" in root.get("/").text
    assert "was reported" in root.get("/clients").text
    assert "was reported" not in bob.get("/").text
    assert "can resume it" in bob.get("/approvals/reports").text
    assert "Ledger Desk" not in cleo.get("/approvals/reports").text
    assert cleo.send(resume, note="Mine now.").status_code == 404
    assert bob.send(resume, note="I was wrong.").status_code == 403
    refused = ada.send(resume, note="  ")
    assert refused.status_code == 400
    assert "Say why" in refused.text
    assert open_report(house).id == found.id
    assert ada.send(resume, note="It was the new supplier.").status_code == 303
    assert root.send(resume, note="Me too.").status_code == 409
    assert "It was the new supplier." in bob.get("/approvals/reports").text
    assert not is_stopped(house, ada.person, cli_1=False)
    with house.database.read() as session:
        kinds = session.scalars(select(Entry.kind).where(Entry.subject == found.id).order_by(Entry.id)).all()
    assert kinds == ["agent.reported", "agent.resumed"]


def test_whoever_cannot_reject_cannot_report_and_nothing_is_paused(house: House, someone: Enrol) -> None:
    ada, _ = someone("ada")
    eve, _ = someone("eve")
    held_id = held(house, draft(house, ada.person))
    shown = hidden(someone("bob", ["finance"])[0].get(f"/actions/{held_id}"), "shown")
    assert eve.send(f"/actions/{held_id}/report", shown=shown, preset="duplicate").status_code == 404
    assert ada.send(f"/actions/{held_id}/report", shown=shown, preset="duplicate").status_code == 403
    assert action(house, held_id).state == "held"
    assert not is_stopped(house, ada.person, cli_1=False)


def test_a_stale_page_reports_nothing(house: House, someone: Enrol) -> None:
    """Rejecting and pausing are one: where the first is a conflict, the second does not happen."""
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person))
    assert report(bob, held_id, shown="00" * 32) == 409
    assert reject(bob, held_id).status_code == 303
    assert bob.send(f"/actions/{held_id}/report", shown=action(house, held_id).digest, preset="duplicate").status_code == 409
    assert not is_stopped(house, ada.person, cli_1=False)


def test_what_was_typed_is_kept_when_no_reason_was_given(house: House, someone: Enrol, server: Server) -> None:
    ada, _ = someone("ada")
    bob, _ = someone("bob", ["finance"])
    held_id = held(house, draft(house, ada.person))
    sent = {"shown": action(house, held_id).digest, "preset": "wrong_amount", "reason": "y" * 500}
    answered = bob.send(f"/actions/{held_id}/reject", **sent)
    assert answered.status_code == 400
    assert 'value="wrong_amount" checked' in answered.text
    assert "y" * 500 in answered.text
    assert action(house, held_id).state == "held"
