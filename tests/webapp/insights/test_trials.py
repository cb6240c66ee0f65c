"""Trials that an admin begins on a page, and the command."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

import tests.tables  # noqa: F401 every room's tables on the metadata
from tests.app_parts import People
from tests.clock import Clock
from tests.webapp.insights.parts import kept
from tests.webapp.insights.test_replay import CAREFUL
from tests.webapp.policy.parts import PERMIT, call, counted, payment, rules
from webapp.cli import main
from webapp.config import Settings
from webapp.db import Base, Database
from webapp.db.due import Due
from webapp.insights import shown, trials
from webapp.insights.tables import Trial
from webapp.policy import active
from webapp.policy.tables import ONLY, ActivePolicy
from webapp.web.house import House, utc_now


@pytest.fixture
def plain(database: Database, clock: Clock, tmp_path: Path) -> House:
    settings = Settings(public_url="http://localhost:8000", database_url=database.url, instance=tmp_path)
    made = House(settings, database, None, clock)  # type: ignore[arg-type]
    active.at_start(made)
    return made


def work(house: House) -> None:
    with house.database.read() as session:
        rows = session.scalars(select(Due).where(Due.kind == trials.RUN)).all()
    for row in rows:
        trials.work(house, row)


def ended(house: House, trial: str) -> Trial:
    with house.database.read() as session:
        return session.get_one(Trial, trial)


def test_a_trial_is_run_by_the_worker_and_activates_nothing(plain: House) -> None:
    kept(plain.database, active.loaded(plain.settings), call(cls="write", usage=counted()), now=plain.clock())
    one = trials.begin(plain, "person:per_root", days=30, name="99-mine.cedar", text="\r\n".join(CAREFUL.splitlines()[1:]))
    work(plain)
    found = ended(plain, one)
    assert found.state == "done", found.problem
    assert found.result is not None
    assert found.result["changes"][0]["now"] == "hold"
    assert found.result["digest"] == found.digest != active.loaded(plain.settings).digest
    with plain.database.read() as session:
        assert session.get_one(ActivePolicy, ONLY).digest == active.loaded(plain.settings).digest
    work(plain)
    assert ended(plain, one).ended_at == found.ended_at, "once"


def test_files_that_changed_meanwhile_are_not_tried_under_the_old_digest(plain: House) -> None:
    one = trials.begin(plain, "person:per_root", days=1, name="", text="")
    rules(plain.settings.instance / "policies", more='@id("x") @reason("x") forbid (principal, action, resource);')
    work(plain)
    assert (ended(plain, one).state, ended(plain, one).problem) == ("failed", trials.CHANGED)
    two = trials.begin(plain, "person:per_root", days=1, name="", text="")
    rules(plain.settings.instance / "policies", more="nonsense")
    work(plain)
    assert ended(plain, two).state == "failed"
    failed = ended(plain, two)
    assert "more.cedar" in failed.problem
    made = shown.problem(failed.problem, failed.result or {})
    assert (made, made.msgid, made.values["file"]) == (failed.problem, "%(file)s: %(why)s", "more.cedar"), "for any language"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_pages_are_for_admins(house: House, signed_in: People) -> None:
    active.at_start(house)
    bob, root = signed_in("bob", groups=["finance", "audit"]), signed_in("root", groups=["admin"])
    for path in ("/insights/replay", "/insights/replay/try_x", "/insights/replay/try_x/now"):
        assert bob.get(path).status_code == 403
    assert bob.send("/insights/replay", days="1").status_code == 403
    assert root.get("/insights/replay/try_x").status_code == 404
    assert "None yet" in root.get("/insights/replay").text
    for fields, said in (
        ({"days": "0"}, "From 1 to 30 days"), ({"days": "x"}, "From 1 to 30 days"), ({"days": "31"}, "From 1 to 30 days"),
        ({"days": "1", "text": "x", "name": "../x.cedar"}, "Name the file"),
        ({"days": "1", "text": "x", "name": "x"}, "Name the file"),
        ({"days": "1", "text": "no <rule>", "name": "x.cedar"}, "x.cedar"),
    ):
        page = root.send("/insights/replay", **fields)
        assert page.status_code == 400
        assert said in page.text
    assert "no &lt;rule&gt;" in page.text, "what was typed is still there"
    kept(house.database, active.loaded(house.settings), payment(usage=counted()), now=house.clock())
    own = PERMIT.replace("all", "every") + CAREFUL.partition("\n")[2]
    began = root.send("/insights/replay", days="30", name="x.cedar", text=own)
    assert began.status_code == 303
    page = root.get(began.location)
    assert "It waits for a worker" in page.text
    work(house)
    page = root.get(began.location)
    assert "1 would newly be denied" in page.text
    assert "never-money" in page.text
    assert "style=" not in page.text.partition("<main")[2]
    assert "x.cedar" in root.get("/insights/replay").text
    for _ in range(trials.WAITING):
        assert root.send("/insights/replay", days="1").status_code == 303
    assert "under way already" in root.send("/insights/replay", days="1").text


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERSEAL_INSTANCE", str(tmp_path))
    database, now = Database(Settings().database), utc_now()
    Base.metadata.create_all(database.engine)
    shipped = active.read(Settings())
    database.write(lambda s: active.activate(s, shipped, "cli", now))
    for asked in (payment(usage=counted()), call(cls="write", usage=counted(), tool="note")):
        kept(database, shipped, asked, now=now - timedelta(days=2))
    database.close()
    return tmp_path


def run(*args: str) -> Any:
    return CliRunner().invoke(main, ["policy", "replay", *args])


def test_the_command_says_what_would_change_and_what_it_cannot_tell(instance: Path, tmp_path: Path) -> None:
    same = run()
    assert same.exit_code == 0, same.output
    assert "(the active one)" in same.output
    assert "2 would have gone as they did" in same.output
    folder = rules(tmp_path / "mine", mine=CAREFUL.partition("\n")[2])
    other = run("--policies", str(folder))
    assert other.exit_code == 0, other.output
    assert "1 would newly be denied (held then)" in other.output
    assert "1 would newly be held (allowed then)" in other.output
    assert "bank/note  for per_alice, by hold-writes" in other.output
    assert "Nothing was activated" in other.output
    document = json.loads(CliRunner().invoke(main, ["policy", "replay", "--json", "--days", "1"]).stdout)
    assert (document["total"], document["not_kept"]) == (0, 0)
    assert document["active"] == document["digest"]


def test_the_command_refuses_rules_that_do_not_load(instance: Path, tmp_path: Path) -> None:
    refused = run("--policies", str(rules(tmp_path / "bad", mine="nonsense")))
    assert refused.exit_code == 1
    assert "mine.cedar" in refused.output
    assert run("--policies", str(tmp_path / "none")).exit_code == 2
