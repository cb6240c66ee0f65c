"""What is kept of a judged call: enough to judge it again alike, and not who got what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from tests.webapp.insights.parts import kept
from tests.webapp.policy.parts import call, counted, payment, shipped
from webapp.approvals.judged import keeping
from webapp.approvals.judged.keeping import Unreadable, asked_again, spoke, word
from webapp.approvals.judged.tables import Judged
from webapp.db import Database
from webapp.policy.calls import Account, Agent, Call, Usage
from webapp.policy.engine import CLASSES, PolicySet

SHIPPED = shipped()
IBAN = "DE89370400440532013000"
CALLS = st.builds(
    replace,
    st.one_of(
        st.sampled_from(["1.00", "480.00", "999.99", "1000.00", "20000.01", "x"]).map(payment),
        st.sampled_from(CLASSES).map(lambda cls: call(b'{"amount": "5000", "currency": "EUR", "to": "a@b.c"}', cls=cls)),
    ),
    usage=st.one_of(st.just(Usage()), st.builds(
        lambda used, before, up, alike: replace(
            counted(calls_last_hour=used, base_minor_last_day=used * 1000), approved_before=before, up_to_minor=up,
            lookalike_of=alike,
        ), st.integers(0, 200), st.integers(0, 2), st.sampled_from([0, 100_00, 10_000_00]), st.sampled_from(["", "DE88"]),
    )),
    groups=st.sampled_from([(), ("staff",), ("finance", "staff")]),
    agent=st.builds(Agent, st.just("cli_1"), st.booleans(), st.booleans()),
    account=st.sampled_from([None, Account("con_1", "harbour", "per_alice"), Account("con_1", "harbour", "per_x")]),
    tainted=st.booleans(), enforced=st.booleans(),
    hints=st.sampled_from([{}, {"destructiveHint": True, "title": "x"}, {"openWorldHint": True}]),
)


def row(asked: Call, rules: PolicySet = SHIPPED) -> Judged:
    return Judged(**keeping.values("call_1", asked, rules.decide(asked)))


@settings(max_examples=120, deadline=None)
@given(CALLS)
def test_what_is_kept_is_judged_as_it_was(asked: Call) -> None:
    made, verdict = row(asked), SHIPPED.decide(asked)
    again = SHIPPED.decide(asked_again(made))
    assert (word(again), spoke(again)) == (word(verdict), spoke(verdict)) == (made.verdict, tuple(made.rules.split()))


def test_neither_recipient_nor_arguments_are_kept(database: Database) -> None:
    like = replace(counted(), lookalike_of="DE88 3704 0044 0532 0130 00")
    name = kept(database, SHIPPED, payment("4800.00", usage=like))
    with database.read() as session:
        found = session.scalars(select(Judged).where(Judged.id == name)).one()
        text = " ".join(str(getattr(found, column.key)) for column in Judged.__table__.columns)
    for secret in (IBAN, "DE89", "DE88", "4800.00"):
        assert secret not in text
    assert len(found.asked) < 2000


BROKEN = ("", "[]", "{}", '{"v": 2, "groups": []}', '{"v": 1}', '{"v": 1, "groups": [], "amount": [1]}')


@pytest.mark.parametrize("asked", BROKEN, ids=[str(number) for number in range(len(BROKEN))])
def test_a_row_that_cannot_be_read_says_so(asked: str) -> None:
    made = row(payment())
    made.asked = asked
    with pytest.raises(Unreadable):
        asked_again(made)
