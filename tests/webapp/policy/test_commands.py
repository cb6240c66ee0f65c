"""`counterseal policy`: what an operator reads before and after changing a rule."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import tests.tables  # noqa: F401 every room's tables on the metadata
from tests.webapp.policy.parts import PIN, rules
from webapp.cli import main
from webapp.config import Settings
from webapp.db import Base, Database
from webapp.people.tables import Person
from webapp.registry import seed
from webapp.registry.rules import Approval

NOW = datetime(2026, 11, 23, 10, 30, tzinfo=UTC)
LISTED = [{
    "name": "send_payment", "inputSchema": {
        "type": "object", "required": ["amount"], "properties": {"amount": {"type": "string"}, "currency": {"type": "string"}},
    },
}]

Run = Callable[..., Result]


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(tmp_path))
    database = Database(Settings().database)
    Base.metadata.create_all(database.engine)
    alice = Person(
        id="per_alice", issuer="i", subject="s", name="Alice", email="alice@example.com", groups=["staff"], created_at=NOW,
        seen_at=NOW,
    )
    database.write(lambda s: s.add(alice))
    database.write(lambda s: seed.put(
        s, name="bank", url="https://bank.example/mcp", title="Bank", listed=LISTED,
        approvals={"send_payment": Approval("money", PIN)}, now=NOW,
    ))
    database.close()
    return tmp_path


@pytest.fixture
def run(instance: Path) -> Run:
    return lambda *args: CliRunner().invoke(main, ["policy", *args])


def test_check_lists_every_rule_with_what_it_asks_and_the_digest(run: Run) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert "large-payment" in result.output
    assert "approvers=finance factor=passkey within=4h" in result.output
    assert "Digest " in result.output


def test_check_says_which_file_and_rule_is_wrong_and_exits_with_1(run: Run, instance: Path) -> None:
    none = '@id("mine") @hold("approvers=finance quorum=0") @reason("r") forbid (principal, action, resource);'
    rules(instance / "policies", mine=none)
    result = run("check")
    assert result.exit_code == 1
    assert "mine.cedar" in result.output
    assert "`mine`" in result.output
    assert "quorum=0" in result.output


def test_check_names_a_file_that_is_not_read(run: Run, instance: Path) -> None:
    rules(instance / "policies")
    (instance / "policies" / "mine.ceder").write_text("")
    assert "Not read" in run("check").output


def test_try_says_what_would_happen_and_why(run: Run) -> None:
    run("activate")
    large = run("try", "bank", "send_payment", "--as", "alice@example.com", "--args", '{"amount": "4800.00", "currency": "EUR"}')
    assert large.exit_code == 0
    assert "amount 480000 minor units of EUR" in large.output
    assert "approval by 1 of finance, with a passkey (large-payment)" in large.output
    small = run("try", "bank", "send_payment", "--as", "per_alice", "--args", '{"amount": "480.00", "currency": "EUR"}')
    assert "confirmation by the account's owner (payment)" in small.output
    unread = run("try", "bank", "send_payment", "--as", "per_alice", "--args", '{"amount": "4,800.00", "currency": "EUR"}')
    assert "amount unreadable: the amount is not a plain decimal number" in unread.output
    assert "(amount-unreadable)" in unread.output
    over = run("try", "bank", "send_payment", "--as", "per_alice", "--args", '{"amount": "60000", "currency": "EUR"}')
    assert "It would be refused" in over.output


def test_try_says_when_the_rules_it_tried_are_not_the_active_ones(run: Run, instance: Path) -> None:
    call = ("try", "bank", "send_payment", "--as", "per_alice", "--args", '{"amount": "1.00", "currency": "EUR"}')
    assert run("activate").exit_code == 0
    assert "active ones are others" not in run(*call).output
    rules(instance / "policies", more='@id("more") @reason("Never") forbid (principal, action, resource);')
    result = run(*call)
    assert "active ones are others" in result.output
    assert "Never" in result.output


@pytest.mark.parametrize(("args", "said"), [
    (("bank", "send_payment", "--as", "bob@example.com"), "Nobody here"),
    (("bank", "steal", "--as", "per_alice"), "no tool"),
    (("shop", "buy", "--as", "per_alice"), "no server"),
    (("bank", "send_payment", "--as", "per_alice", "--args", "{}"), "lacks `amount`"),
    (("bank", "send_payment", "--as", "per_alice", "--args", '{"amount": "1", "amount": "2"}'), "same key twice"),
])
def test_try_explains_what_it_cannot_try(run: Run, args: tuple[str, ...], said: str) -> None:
    result = run("try", *args)
    assert result.exit_code == 1
    assert said in result.output
