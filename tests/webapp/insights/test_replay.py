"""Other rules tried on the calls of the last days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from tests.clock import Clock
from tests.webapp.insights.parts import action, kept
from tests.webapp.policy.parts import NOW, PERMIT, SETTINGS, call, counted, payment, rules, shipped
from webapp import audit
from webapp.approvals import usage
from webapp.approvals.judged import keeping
from webapp.approvals.judged.tables import Judged
from webapp.db import Database
from webapp.insights import jobs, reading, replay
from webapp.policy.calls import Deny
from webapp.policy.engine import PolicySet, load

SHIPPED = shipped()
LATER = NOW + timedelta(seconds=1)
CAREFUL = PERMIT + """
@id("never-money") @reason("No payments") forbid (principal, action, resource in ToolGroup::"money");
@id("hold-writes") @reason("Writes wait") @hold("confirm") forbid (principal, action, resource in ToolGroup::"write");
"""

Make = Callable[[str], PolicySet]


@pytest.fixture
def made(tmp_path: Path) -> Make:
    return lambda text: load([rules(tmp_path, mine=text)], SETTINGS)


def tried(database: Database, candidate: PolicySet, days: int = 30, **more: float) -> replay.Found:
    return replay.run(database, candidate, days=days, now=LATER, active=SHIPPED.digest, **more)  # type: ignore[arg-type]


def test_what_would_change_is_counted_by_verdict_rule_tool_and_person(database: Database, made: Make) -> None:
    usual = counted()
    held = kept(database, SHIPPED, payment(usage=usual))
    written = kept(database, SHIPPED, call(cls="write", usage=usual, tool="note", person="per_bob"))
    kept(database, SHIPPED, call(cls="read", usage=usual, tool="look"))
    gone = kept(database, SHIPPED, call(cls="destroy", usage=usual, tool="wipe"))
    found = tried(database, made(CAREFUL)).document()
    assert (found["calls"], found["unchanged"], found["total"], found["skipped"]) == (4, 1, 4, [])
    changes = {(one["before"], one["now"]): [each["id"] for each in one["examples"]] for one in found["changes"]}
    assert changes == {("hold", "deny"): [held], ("allow", "hold"): [written], ("hold", "allow"): [gone]}
    assert {(one["verdict"], one["name"], one["count"]) for one in found["rules"]} == {
        ("deny", "never-money", 1), ("hold", "hold-writes", 1), ("allow", "destroy-confirm", 1),
    }
    assert {(one["verdict"], one["name"]) for one in found["people"]} == {
        ("deny", "per_alice"), ("hold", "per_bob"), ("allow", "per_alice"),
    }
    assert ("hold", "bank/note") in {(one["verdict"], one["name"]) for one in found["tools"]}
    assert found["digest"] == made(CAREFUL).digest


def test_the_set_of_then_changes_nothing(database: Database) -> None:
    for asked in (payment(), payment("4800.00"), payment("60000.00"), payment("x"), call(cls="write", tainted=True)):
        kept(database, SHIPPED, asked, usage=counted())
    found = tried(database, SHIPPED)
    assert (found.calls, found.changed, found.other_set) == (5, 0, 0)


def test_who_has_to_decide_now_is_told_though_it_is_held_either_way(database: Database, made: Make) -> None:
    kept(database, SHIPPED, payment(usage=counted()))
    other = made(PERMIT + '@id("boss") @reason("b") @hold("approvers=boss") forbid (principal, action, resource);')
    found = tried(database, other)
    assert (found.changed, found.otherwise) == (0, 1)
    assert tried(database, SHIPPED).otherwise == 0


def test_a_range_ends_and_what_another_set_judged_is_said(database: Database, made: Make) -> None:
    other = made(CAREFUL)
    kept(database, SHIPPED, call(cls="read"), now=NOW - timedelta(days=8))
    kept(database, other, call(cls="read"), now=NOW - timedelta(days=6))
    found = tried(database, SHIPPED, days=7)
    assert (found.calls, found.total, found.other_set) == (1, 1, 1)


def test_a_counter_that_nobody_read_then_is_counted_from_what_was_used(database: Database, made: Make) -> None:
    """Before the call, within the window, by the same agent, without what was given back and without itself."""
    limit = made(PERMIT + """@id("few") @reason("f") forbid (principal, action, resource)
        when { context.usage.agent_calls_last_day >= 2 };""")
    asked = call(cls="read", usage=replace(counted(), counts={}))
    used = usage.Call("per_alice", None, "cli_1", "bank", "send_payment")

    def use(hours: float, name: str, client: str = "cli_1") -> None:
        at = NOW - timedelta(hours=hours)
        database.write(lambda s: usage.record(s, replace(used, client=client), at, name))

    name = kept(database, SHIPPED, asked)
    use(0, name)
    use(1, "use_1")
    use(2, "use_2", client="cli_other")
    use(25, "use_3")
    use(3, "use_4")
    database.write(lambda s: usage.give_back(s, "use_4"))
    assert tried(database, limit).changed == 0
    use(23, "use_5")
    assert dict(tried(database, limit).changes) == {("allow", "deny"): 1}


def test_what_went_to_a_recipient_is_known_of_what_was_used_and_not_of_what_was_denied(database: Database, made: Make) -> None:
    limit = made(PERMIT + """@id("few") @reason("f") forbid (principal, action, resource)
        when { context.usage.recipient_calls_last_day >= 1 };""")
    asked = payment(usage=replace(counted(), counts={}))
    to = usage.Call("per_alice", None, "cli_1", "bank", "send_payment", recipient="DE89370400440532013000")
    name = kept(database, made(PERMIT), asked)
    database.write(lambda s: usage.record(s, to, NOW, name))
    database.write(lambda s: usage.record(s, to, NOW - timedelta(hours=1), "use_1"))
    assert dict(tried(database, limit).changes) == {("allow", "deny"): 1}
    kept(database, made(CAREFUL), asked)
    assert dict(tried(database, limit).skipped) == {replay.WHOSE: 1}


IBAN = "DE89370400440532013000"
COMPARED = [
    (f'context.recipient.value == "{IBAN}"', 1), (f'"{IBAN}" == context.recipient.value', 1),
    ('context.recipient.value == "DE8937040044053201300"', 0), ('context.recipient.value != "a"', 1),
    (f'["a", "{IBAN}"].contains(context.recipient.value)', 1), ('["a", "b"].contains(context.recipient.value)', 0),
    (f'context.recipient.kind == "iban" && !(context.recipient.value != "{IBAN}")', 1),
]


@pytest.mark.parametrize(("condition", "speaks"), COMPARED, ids=[str(number) for number in range(len(COMPARED))])
def test_a_recipient_is_compared_by_the_digest_under_which_it_was_counted(
    database: Database, made: Make, condition: str, speaks: int
) -> None:
    """Of a call that was denied nothing was counted, so it cannot be told."""
    condition = f"context has recipient && {condition}"
    naming = made(f'{PERMIT} @id("to") @reason("t") forbid (principal, action, resource) when {{ {condition} }};')
    assert naming.decide(payment()).digest == naming.digest
    assert isinstance(naming.decide(payment()), Deny) == bool(speaks), "as it would be judged, with the recipient itself"
    asked = payment(usage=counted())
    name = kept(database, made(PERMIT), asked)
    to = usage.Call("per_alice", None, "cli_1", "bank", "send_payment", recipient=IBAN)
    database.write(lambda s: usage.record(s, to, NOW, name))
    kept(database, made(PERMIT), call(cls="read"))
    found = tried(database, naming)
    assert (found.calls, found.changed, found.skipped.total()) == (2, speaks, 0)
    assert found.digest == naming.digest
    kept(database, made(CAREFUL), asked)
    assert dict(tried(database, naming).skipped) == {replay.WHOSE: 1}


WHO = [
    ('context has recipient && context.recipient.value == context.recipient.kind', True),
    ('context has recipient && context.recipient has lookalike_of && context.recipient.lookalike_of == "x"', True),
    ('context has recipient && [context.recipient.value].contains("a")', True),
    ('context has recipient && context.recipient.value like "DE*"', True),
    ('context has recipient && context.recipient has lookalike_of', False),
    ('context has recipient && context.recipient.approved_before && context.recipient.kind == "iban"', False),
    ('context has amount && context.amount.base_minor > 5', False),
]


@pytest.mark.parametrize(("condition", "asks"), WHO, ids=[str(number) for number in range(len(WHO))])
def test_rules_that_ask_more_of_a_recipient_are_not_tried_on_calls_that_have_one(
    database: Database, made: Make, condition: str, asks: bool
) -> None:
    asking = made(f'{PERMIT} @id("to") @reason("t") forbid (principal, action, resource) when {{ {condition} }};')
    assert (reading.ASKS in reading.asked(asking.rules)) is asks
    kept(database, SHIPPED, payment(usage=counted()))
    kept(database, SHIPPED, call(cls="read", usage=counted()))
    found = tried(database, asking)
    assert (found.calls, dict(found.skipped)) == ((1, {replay.RECIPIENT: 1}) if asks else (2, {}))


def test_what_an_agent_had_read_is_not_taken_for_nothing_where_nobody_looked(database: Database, made: Make) -> None:
    reads = made(PERMIT + '@id("read") @reason("r") forbid (principal, action, resource) when { context.session.tainted };')
    kept(database, made(PERMIT), call(cls="read"), session_known=False)
    kept(database, SHIPPED, call(cls="write", usage=counted(), tainted=True))
    found = tried(database, reads)
    assert (dict(found.changes), dict(found.skipped)) == ({("hold", "deny"): 1}, {replay.SESSION: 1})
    assert tried(database, made(PERMIT)).calls == 2


def test_what_is_not_kept_and_what_cannot_be_read_is_counted(database: Database) -> None:
    kept(database, SHIPPED, call(cls="read"))
    broken = kept(database, SHIPPED, call(cls="read"))
    database.write(lambda s: s.execute(update(Judged).where(Judged.id == broken).values(asked='{"v":9}')))

    def log(session: object) -> None:
        for kind, days in [("call.allowed", 1)] * 4 + [("call.denied", 2), ("call.answered", 1), ("call.allowed", 31)]:
            at = NOW - timedelta(days=days)
            audit.append(session, kind=kind, actor="client:c", subject="x", detail={}, at=at)  # type: ignore[arg-type]

    database.write(log)
    found = tried(database, SHIPPED)
    assert (found.calls, found.not_kept, dict(found.skipped)) == (1, 3, {replay.FORM: 1})


def test_decoys_are_not_among_the_calls_that_were_not_kept(database: Database) -> None:
    """They are kept nowhere, and a count that grows when one is held would tell that it waits."""
    at = NOW - timedelta(hours=1)
    held = {mark: [action(database, at, mark=mark) for _ in range(2)] for mark in ("", "asked", "sealed", "decoy")}

    def write(session: Session) -> None:
        for mark, (one, other) in held.items():
            for name in (one, other):
                audit.append(session, kind="action.held", actor="client:c", subject=name, detail={}, at=at)
            if mark != "decoy":  # and of the others' every second
                keeping.keep(session, one, payment(), SHIPPED.decide(payment()), session_known=True)

    database.write(write)
    found = tried(database, SHIPPED)
    assert (found.total, found.not_kept) == (3, 2)


def test_when_the_time_is_over_the_latest_were_tried(database: Database, made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "PIECE", 2)
    names = [kept(database, SHIPPED, call(cls="write"), now=NOW - timedelta(minutes=number)) for number in range(4, -1, -1)]
    told: list[tuple[int, int]] = []
    found = replay.run(
        database, made(CAREFUL), days=1, now=LATER, active="", seconds=0.0, progress=lambda *how_far: told.append(how_far)
    )
    assert (found.cut, found.calls, found.total, told) == (True, 2, 5, [(2, 5)])
    assert [one["id"] for one in found.document()["changes"][0]["examples"]] == names[:2:-1]
    all_ = tried(database, made(CAREFUL))
    assert (all_.cut, all_.calls, len(all_.examples["allow", "hold"])) == (False, 5, replay.EXAMPLES)


def test_calls_at_one_moment_are_each_tried_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "PIECE", 3)
    for _ in range(10):
        kept(database, SHIPPED, call(cls="read"))
    assert tried(database, SHIPPED).calls == 10


def test_calls_are_kept_for_their_time_and_so_many(database: Database, clock: Clock) -> None:
    from webapp.config import Settings
    from webapp.web.house import House

    clock.now = NOW
    settings = Settings(public_url="http://localhost:8000", database_url=database.url)
    house = House(settings, database, None, clock)  # type: ignore[arg-type]
    kept(database, SHIPPED, call(cls="read"), now=NOW - timedelta(days=31))
    stay = [kept(database, SHIPPED, call(cls="read"), now=NOW - timedelta(days=29 - number)) for number in range(4)]

    def there() -> set[str]:
        with database.read() as session:
            return {row.id for row in session.query(Judged)}

    jobs.forget(house, None)  # type: ignore[arg-type]
    assert there() == set(stay)
    house.settings.insights.requests_most = 3
    jobs.forget(house, None)  # type: ignore[arg-type]
    assert there() == set(stay[1:])
