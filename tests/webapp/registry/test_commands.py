"""`counterseal server`, against a real MCP server; and the periodic look."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

import tests.tables  # noqa: F401 every room's tables on the metadata
from tests.webapp.gateway.peers import RawServer, http_answer, modern, rpc
from tests.webapp.registry.parts import BALANCE, PAY, changed
from vault.door import Door
from webapp.cli import main
from webapp.config import Settings
from webapp.db import Base, Database
from webapp.db.due import Due
from webapp.registry import deciding, look, pins
from webapp.registry.pins import ToolRefused
from webapp.registry.tables import Server
from webapp.web.house import House

Run = Callable[..., Result]


class Bank:
    """A server whose listing a test can change."""

    def __init__(self) -> None:
        self.tools: list[dict[str, Any]] = [PAY, BALANCE]
        self.status = "200 OK"
        self.raw = RawServer(modern(self.answer))

    def answer(self, message: dict[str, Any]) -> bytes:
        result = {"resultType": "complete", "tools": self.tools, "ttlMs": 0, "cacheScope": "private"}
        return http_answer(rpc(message, result), status=self.status)


@pytest.fixture
def bank() -> Iterator[Bank]:
    made = Bank()
    yield made
    made.raw.close()


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(tmp_path))
    settings = Settings()
    database = Database(settings.database)
    Base.metadata.create_all(database.engine)
    yield House(settings, database, Door(settings.socket))
    database.close()


@pytest.fixture
def run(house: House) -> Run:
    return lambda *args, **more: CliRunner().invoke(main, ["server", *args], **more)


def code(house: House, tool: str = "send_payment") -> str:
    with house.database.read() as session:
        try:
            return pins.pinned(session, "bank", tool).cls
        except ToolRefused as refused:
            return refused.code


def test_adding_asks_the_server_and_approves_nothing(run: Run, house: House, bank: Bank) -> None:
    result = run("add", "bank", bank.raw.url, "--title", "Harbour Bank")
    assert result.exit_code == 0, result.output
    assert "suggested: money" in result.output
    assert "amount=/amount" in result.output
    assert code(house) == "not_approved"


def test_accepting_what_is_suggested_approves_it_and_says_what_that_is_worth(run: Run, house: House, bank: Bank) -> None:
    result = run("add", "bank", bank.raw.url, "--accept-suggested")
    assert "guessed from names that the server chose" in result.output
    assert (code(house), code(house, "get_balance")) == ("money", "read")
    assert "approved  money    amount=/amount" in run("list", "bank").output
    assert "2 approved" in run("list").output


def test_a_server_that_does_not_answer_is_not_added(run: Run, bank: Bank) -> None:
    bank.status = "500 Internal Server Error"
    result = run("add", "bank", bank.raw.url)
    assert result.exit_code == 1
    assert run("list").output == ""


def test_approving_shows_what_the_server_says_and_asks(run: Run, house: House, bank: Bank) -> None:
    bank.tools = [changed(PAY, description="Send \u202e money\u001b[31m")]
    run("add", "bank", bank.raw.url)
    pointers = json.dumps({"amount": {"pointer": "/amount", "unit": "major"}})
    command = ("approve", "bank", "send_payment", "--class", "money", "--pointers", pointers)
    refused = run(*command, input="n\n")
    assert refused.exit_code == 1
    assert code(house) == "not_approved"
    assert "\u202e" not in refused.output
    assert "\x1b" not in refused.output
    assert "202e" in refused.output
    agreed = run(*command, input="y\n")
    assert "Approved. Pin " in agreed.output
    assert code(house) == "money"


@pytest.mark.parametrize(("more", "said"), [
    (("--pointers", "{"), "not JSON"), (("--pointers", "[]"), "JSON object"), (("--pointers", '{"amount": "/a"}'), "units"),
    (("--scope", "x"), "without a provider"),
])
def test_an_approval_that_does_not_fit_is_refused_in_words(
    run: Run, house: House, bank: Bank, more: tuple[str, str], said: str
) -> None:
    run("add", "bank", bank.raw.url)
    result = run("approve", "bank", "send_payment", "--class", "money", "--yes", *more)
    assert result.exit_code == 1
    assert said in result.output
    assert code(house) == "not_approved"


def test_the_periodic_look_closes_what_changed_and_opens_it_again(run: Run, house: House, bank: Bank) -> None:
    run("add", "bank", bank.raw.url, "--accept-suggested")
    with house.database.read() as session:
        due = session.scalars(select(Due).where(Due.kind == deciding.LOOK)).one()
    bank.tools = [changed(PAY, description="Send it all."), BALANCE]
    assert look.job(house, due) is not None
    assert (code(house), code(house, "get_balance")) == ("drifted", "read")
    bank.tools = [PAY]
    look.job(house, due)
    assert (code(house), code(house, "get_balance")) == ("money", "drifted")


def test_a_look_that_fails_closes_nothing_and_is_shown(run: Run, house: House, bank: Bank) -> None:
    run("add", "bank", bank.raw.url, "--accept-suggested")
    bank.status = "401 Unauthorized"
    assert "token" in look.look(house, "bank")
    assert code(house) == "money"
    with house.database.read() as session:
        assert "token" in session.scalars(select(Server.look_error)).one()
    bank.status = "200 OK"
    assert look.look(house, "bank") == ""
    with house.database.read() as session:
        assert session.scalars(select(Server.look_error)).one() == ""


def test_a_look_at_a_server_that_is_no_longer_there_ends(house: House) -> None:
    assert look.job(house, Due(id="due_1", kind=deciding.LOOK, key="x", run_at=house.clock(), payload={"server": "x"})) is None
