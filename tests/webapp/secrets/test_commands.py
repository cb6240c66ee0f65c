"""`counterseal provider secret` and `idp secret`: the secret goes from standard input to the keeper and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from tests import token_parts
from tests.keeper_parts import KeeperParts
from tests.scripted_provider import Scripted
from webapp.audit.tables import Entry
from webapp.cli import main
from webapp.connections import idle
from webapp.db.due import Due
from webapp.web.house import House

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
FRESH = "a-fresh-client-secret"
Typed = Callable[..., Result]


@pytest.fixture
def typed(house: House, monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.setenv("COUNTERSEAL_DATABASE_URL", house.database.url)
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(house.settings.instance))
    return lambda *words, given="": CliRunner().invoke(main, words, input=given)


def test_an_operator_replaces_a_secret_and_ends_the_overlap_and_the_log_says_so_without_it(
    typed: Typed, house: House, provider: Scripted, keeper: KeeperParts
) -> None:
    done = typed("provider", "secret", "harbour", "--next", "--overlap", "48", given=FRESH + "\n")
    assert done.exit_code == 0, done.output
    assert "is tried first" in done.output
    assert FRESH not in done.output
    record = keeper.inside().kv.read("providers/harbour")
    assert record is not None
    assert record.data["client_secret"] == FRESH
    assert [one["value"] for one in record.data["secrets_before"]] == ["scripted-client-secret"]
    assert typed("provider", "secret", "harbour", "--end").exit_code == 0
    record = keeper.inside().kv.read("providers/harbour")
    assert record is not None
    assert "secrets_before" not in record.data
    with house.database.read() as session:
        entries = session.scalars(select(Entry).where(Entry.kind.startswith("secret."))).all()
    assert sorted(one.kind for one in entries) == ["secret.overlap_ending", "secret.replaced", "secret.replacing"]
    assert {one.subject for one in entries} == {"provider harbour"}
    assert not [one for one in entries if FRESH.encode() in one.body or b"scripted-client-secret" in one.body]


def test_an_operator_has_accounts_renewed_and_the_status_says_when(
    typed: Typed, house: House, provider: Scripted
) -> None:
    account = token_parts.account(house, provider, "per_ada")
    refused = typed("rotate", "accounts", "--provider", "nobody")
    assert (refused.exit_code, "No account in use is connected at nobody." in refused.output) == (1, True)
    done = typed("rotate", "accounts", "--provider", "harbour")
    assert (done.exit_code, done.output) == (0, "accounts: the worker renews 1 account, from now on.\n")
    assert typed("rotate", "accounts").output == done.output
    line = next(one for one in typed("rotate", "--status").output.splitlines() if account in one)
    assert "by the worker, for somebody asked for it" in line
    with house.database.read() as session:
        assert session.scalars(select(Due.key).where(Due.kind == idle.ASKED)).all() == [account]
        entries = session.scalars(select(Entry).where(Entry.kind == "accounts.renewing").order_by(Entry.id)).all()
        assert [(one.actor, one.subject) for one in entries] == [("cli", "accounts")] * 2
    for words in (("rotate", "audit", "--provider", "harbour"), ("rotate", "--all", "--provider", "harbour")):
        assert typed(*words).exit_code == 2


def test_what_is_refused_is_said_in_words(typed: Typed, provider: Scripted) -> None:
    for words, given, said in (
        (("provider", "secret", "nobody", "--next"), FRESH, "Nothing of this name"),
        (("provider", "secret", "harbour", "--next"), "", "There is no secret"),
        (("provider", "secret", "harbour", "--next"), "two\nlines", "one line"),
        (("provider", "secret", "harbour"), "", "--next, or --end"),
        (("provider", "secret", "harbour", "--next", "--overlap", "721"), FRESH, "721"),
        (("idp", "secret", "--next", "--end"), FRESH, "--next, or --end"),
    ):
        done = typed(*words, given=given)
        assert done.exit_code != 0, words
        assert said in done.output, (words, done.output)
