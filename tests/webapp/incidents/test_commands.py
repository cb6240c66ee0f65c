"""`counterseal incident`, as an operator types it."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.webapp.incidents.conftest import Scene
from webapp.cli import main
from webapp.ids import new_id


@pytest.fixture
def type_(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("COUNTERSEAL_DATABASE_URL", scene.house.database.url)
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(scene.house.settings.instance))

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["incident", *words])

    return run


def test_an_operator_looks_first_then_opens_shows_resumes_and_closes(scene: Scene, type_: Any) -> None:
    dry = type_("open", "person", "ada@people.example", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "Would suspend the person 'Ada'" in dry.output
    assert "Accounts that are paused: 1" in dry.output
    assert scene.row().suspended == ""
    assert type_("open", "person", scene.ada.person).exit_code != 0
    made = type_("open", "person", scene.ada.person, "--reason", "A stolen laptop.")
    assert made.exit_code == 0, made.output
    incident = made.output.split()[0]
    assert scene.row().suspended == incident
    assert "Harbour Bank has not confirmed" in type_("ledger").output
    assert incident in type_("list").output
    assert "suspended" in type_("list").output
    shown = type_("show", incident).output
    assert "A stolen laptop." in shown
    assert "To be done by hand: " in shown
    assert type_("close", incident, "--note", "Found again.").exit_code == 0
    assert scene.row().suspended == incident
    assert type_("resume", incident).exit_code == 0
    assert type_("resume", incident).exit_code != 0
    assert scene.row().suspended == ""
    assert type_("by-hand", f"{scene.account}:tokens").exit_code == 0
    assert "Nothing is open" in type_("ledger").output


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_operator_opens_and_resumes_one_on_each_kind_of_subject(scene: Scene, type_: Any) -> None:
    for kind, name in scene.subjects().items():
        dry = type_("open", kind, name, "--dry-run")
        assert f"Would suspend the {kind}" in dry.output, dry.output
        made = type_("open", kind, name, "--reason", "Odd.")
        assert made.exit_code == 0, made.output
        incident = made.output.split()[0]
        assert type_("open", kind, name, "--reason", "Again.").exit_code == 1
        assert f"{incident}  " in type_("list").output, kind
        assert type_("resume", incident).exit_code == 0, kind


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_not_there_is_said_in_words(scene: Scene, type_: Any) -> None:
    for kind in ("person", "client", "server", "connection", "provider"):
        answer = type_("open", kind, "nobody", "--reason", "x")
        assert (answer.exit_code, f"There is no such {kind}." in answer.output) == (1, True), answer.output
    assert "There is no such incident" in type_("show", new_id("inc")).output
