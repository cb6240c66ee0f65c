"""The keeper replaces its own AppRole secret-id: nothing it knows is lost, no other keeper's is touched, and where it may not, it
says so."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.asking import Asking
from tests.clock import Clock
from tests.figures import Figures
from tests.keeper_parts import until
from tests.rotating_parts import Near
from tests.vault_nodes import Nodes, keeper_on, printed, settings
from vault import files, secret_ids
from vault.allowed import capabilities
from vault.client import Refused
from vault.door import Door
from vault.errors import KeeperError, TooMany
from vault.login import AppRole
from vault.secret import Secret
from vault.settings import load
from vault.table import Keeper, make
from webapp.audit.tables import Entry
from webapp.config import Settings
from webapp.db import Database
from webapp.rotating import KEYS
from webapp.rotation import all_of, rotated
from webapp.secrets.turning import ACCOUNTS, SPOOL
from webapp.web.house import House

ROLE = "counterseal-keeper"
SPACE = "turned"


@pytest.fixture(scope="module")
def there(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A namespace that an operator set up with what `counterseal vault policy` printed."""
    folder = tmp_path_factory.mktemp("turned")
    instance = settings(folder, nodes, namespace=SPACE, auth_mount="apps", secret_id_file=str(folder / "secret-id"))
    nodes.shell(f"bao namespace create {SPACE}")
    nodes.shell(printed(instance, "vault.operators"))
    return instance


@contextmanager
def keeper_with(nodes: Nodes, folder: Path, clock: Clock) -> Iterator[tuple[Keeper, Path]]:
    """A keeper on that role, with a secret-id of its own from the operator."""
    folder.mkdir(exist_ok=True)
    file = folder / "secret-id"
    if not file.exists():
        nodes.shell(f"(umask 077; bao write -f -field=secret_id auth/apps/role/{ROLE}/secret-id > {file})", SPACE)
    instance = settings(folder, nodes, namespace=SPACE, auth_mount="apps", secret_id_file=str(file))
    made = make(load(instance, evaluation=False, environ={}), clock)
    try:
        yield made, file
    finally:
        made.vault.wire.close()


def logs_in(keeper: Keeper, value: str) -> bool:
    try:
        keeper.vault.enter(AppRole(keeper.settings.role_id, lambda: Secret(value), keeper.settings.mount))
    except Refused:
        return False
    return True


def beside(file: Path) -> set[str]:
    return {one.name for one in file.parent.iterdir() if one.name.startswith("secret-id.")} - {"secret-id.lock"}


def test_the_old_one_logs_in_until_the_new_one_has_and_no_other_keepers_is_ended(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock
) -> None:
    """Two keepers on one role. Each asks for its own alone, twice; what the first was started with is no use any more."""
    with keeper_with(nodes, tmp_path / "a", clock) as (one, file), keeper_with(nodes, tmp_path / "b", clock) as (other, others):
        first, theirs = file.read_text(), others.read_text()
        until = datetime.fromisoformat(str(secret_ids.rotate(one, {})["old_until"]))
        second = file.read_text()
        assert second != first
        assert (file.stat().st_mode & 0o777, (file.parent / "secret-id.old").stat().st_mode & 0o777) == (0o600, 0o600)
        assert logs_in(other, first)
        assert logs_in(other, second), "both, until the overlap ends"
        with pytest.raises(TooMany, match="new"):
            secret_ids.rotate(one, {})
        secret_ids.by_age(one)
        assert beside(file) == {"secret-id.old"}
        clock.now = until + timedelta(minutes=30)  # files have the machine's own time, however slow it is
        secret_ids.by_age(one)
        assert beside(file) == set()
        assert not logs_in(other, first)
        assert logs_in(one, second)
        assert logs_in(other, theirs), "another keeper's is another's"
        assert others.read_text() == theirs
        assert one.kv.read("app/nothing") is None, "and what was logged in goes on"


def test_no_request_fails_while_it_is_replaced_twice_and_the_old_ones_are_ended(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock, figures: Figures
) -> None:
    """A keeper that works, others that start at any moment with what the file holds, and one that logs in anew each time."""
    with keeper_with(nodes, tmp_path / "a", clock) as (keeper, file):
        def starts() -> None:
            fresh = make(keeper.settings, clock)
            try:
                fresh.kv.update("people/load", lambda old: ({"n": (old or {"n": 0})["n"] + 1}, None))
            finally:
                fresh.vault.wire.close()

        role = AppRole(keeper.settings.role_id, lambda: Secret(file.read_text()), keeper.settings.mount)
        asking = Asking({
            "works": lambda: keeper.kv.read("people/load"), "starts": starts, "starts too": starts,
            "logs in": lambda: keeper.vault.enter(role),
        })
        first = file.read_text()
        with asking.running():
            for _ in range(2):
                asking.more()
                until = datetime.fromisoformat(str(secret_ids.rotate(keeper, {})["old_until"]))
                asking.more()
                clock.now = until + timedelta(minutes=30)  # nobody has read the file from before any more
                secret_ids.by_age(keeper)
                asking.more()
                assert beside(file) == set()
                clock.forward(hours=2)
        asking.none_failed(figures, "a keeper's secret-id was replaced")
        assert not logs_in(keeper, first)


def test_it_is_replaced_by_age_and_before_half_of_a_life_that_the_role_gives_it(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock
) -> None:
    with keeper_with(nodes, tmp_path / "a", clock) as (keeper, file):
        before = file.read_text()
        found = secret_ids.standing(keeper)
        assert found is not None
        assert found.next == found.since + timedelta(days=30)
        clock.forward(days=29)
        secret_ids.by_age(keeper)
        assert file.read_text() == before
        clock.forward(days=1, minutes=30)
        secret_ids.by_age(keeper)
        assert file.read_text() != before
    nodes.write(f"auth/apps/role/{ROLE}", {"secret_id_ttl": "48h"}, SPACE)
    try:
        with keeper_with(nodes, tmp_path / "c", clock) as (short, _):
            found = secret_ids.standing(short)
            assert found is not None
            assert found.next == found.since + timedelta(hours=24)
    finally:
        nodes.write(f"auth/apps/role/{ROLE}", {"secret_id_ttl": "0"}, SPACE)


def test_one_that_the_vault_no_longer_knows_is_replaced_while_the_keeper_is_still_in(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock
) -> None:
    """Two machines were given a copy of one: the first to replace it ends it, the second notices and makes itself another."""
    with keeper_with(nodes, tmp_path / "a", clock) as (one, file):
        copy = tmp_path / "b"
        copy.mkdir()
        (copy / "secret-id").write_text(file.read_text())
        with keeper_with(nodes, copy, clock) as (two, second):
            assert two.kv.read("app/nothing") is None
            secret_ids.rotate(one, {})
            clock.forward(minutes=40)
            secret_ids.by_age(one)
            shared = second.read_text()
            assert not logs_in(one, shared)
            found = secret_ids.standing(two)
            assert found is not None
            assert not found.known
            secret_ids.by_age(two)
            assert second.read_text() not in (shared, file.read_text())
            assert logs_in(two, second.read_text())
            assert logs_in(one, file.read_text())


def test_a_keeper_that_runs_replaces_an_old_one_by_itself(there: Path, nodes: Nodes) -> None:
    """Nobody asks it. The file gets one of which half of its life is soon over; should the machine be so slow that it ends
    first, the vault no longer knows it, and the keeper, which is in, makes itself another all the same."""
    folder = Path(tempfile.mkdtemp(prefix="cs-", dir="/tmp"))  # a socket's path may have 107 bytes
    file, role = folder / "secret-id", f"auth/apps/role/{ROLE}/secret-id"
    try:
        nodes.shell(f"(umask 077; bao write -f -field=secret_id {role} > {file})", SPACE)
        instance = settings(folder, nodes, namespace=SPACE, auth_mount="apps", secret_id_file=str(file))
        with keeper_on(instance, "tests.watchful") as door:
            old = nodes.write(role, {"ttl": "6s"}, SPACE)["data"]["secret_id"]
            files.put(file, old.encode())
            until(lambda: file.read_text() != old, "the keeper replaced it")
            assert file.stat().st_mode & 0o777 == 0o600
            found = {one.kind: one for one in door.ages()}["secret-id"]
            assert found.next is not None
            assert found.next > datetime.now(UTC) + timedelta(days=29)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Died(Exception):
    """The process ends here."""


STEPS = ("issued", "entered", "kept", "replaced", "ended")


@pytest.mark.parametrize("step", STEPS)
def test_a_keeper_that_dies_anywhere_has_a_secret_id_that_logs_in_and_leaves_none_behind(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    with keeper_with(nodes, tmp_path / "a", clock) as (keeper, file):
        listed = len(accessors(nodes))
        if step == "ended":
            secret_ids.rotate(keeper, {})
            clock.forward(minutes=40)
        with monkeypatch.context() as patch:
            _dying(patch, keeper, step)
            with pytest.raises(Died):
                secret_ids.by_age(keeper) if step == "ended" else secret_ids._anew(keeper, file)
        assert logs_in(keeper, file.read_text()), "whatever happened, the file holds one that is good"
        clock.forward(minutes=80)
        secret_ids.by_age(keeper)
        assert logs_in(keeper, file.read_text())
        assert beside(file) == set()
        assert len(accessors(nodes)) == listed, "the vault has as many as before"


def _dying(patch: pytest.MonkeyPatch, keeper: Keeper, step: str) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Died

    if step == "issued":
        patch.setattr(keeper.vault, "enter", die)
    elif step == "ended":
        patch.setattr(Path, "unlink", die)
    else:
        written = {"entered": 1, "kept": 2, "replaced": 2}[step]
        real, count = files.put, [0]

        def put(path: Path, content: bytes) -> None:
            if count[0] >= written:
                raise Died
            count[0] += 1
            real(path, content)

        patch.setattr(secret_ids, "put", put)
        if step == "kept":
            patch.setattr(Path, "replace", _replacing(die))
        if step == "replaced":
            patch.setattr(secret_ids.log, "info", die)


def _replacing(die: Any) -> Any:
    real = Path.replace

    def replace_(self: Path, target: Path) -> Path:
        return die() if self.name.endswith(".next") else real(self, target)

    return replace_


def accessors(nodes: Nodes) -> list[str]:
    return list(nodes.ask("LIST", f"auth/apps/role/{ROLE}/secret-id", namespace=SPACE)[1]["data"]["keys"])


def test_where_it_is_not_the_keepers_to_replace_it_says_so_and_does_nothing(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock
) -> None:
    with keeper_with(nodes, tmp_path / "a", clock) as (keeper, file):
        before, count = file.read_text(), len(accessors(nodes))
        link = tmp_path / "link"
        link.symlink_to(file)
        for changed, words in (
            (replace(keeper.settings, secret_id_file=link), "a link"), (replace(keeper.settings, vault_address=""), "never"),
            (replace(keeper.settings, auth="kubernetes"), "logs in by kubernetes"),
        ):
            other = replace(keeper, settings=changed)
            with pytest.raises(KeeperError) as caught:
                secret_ids.rotate(other, {})
            assert words in caught.value.hint
            clock.forward(days=40)
            secret_ids.by_age(other)
        if os.getuid():
            file.parent.chmod(0o500)
            assert secret_ids.why_not(keeper.settings) == secret_ids.READ_ONLY
            file.parent.chmod(0o700)
        assert (file.read_text(), len(accessors(nodes))) == (before, count)


def test_the_policy_lets_it_do_this_for_its_own_role_and_no_more(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock
) -> None:
    """The doctor finds exactly that. Of another keeper's secret-id it knows neither value nor accessor."""
    with keeper_with(nodes, tmp_path / "a", clock) as (keeper, _):
        assert [one.state for one in capabilities(keeper.vault, keeper.settings)] == ["good"]
        role = f"auth/apps/role/{ROLE}"
        for method, path, body in (
            ("LIST", f"{role}/secret-id", None), ("POST", f"{role}/custom-secret-id", {"secret_id": "chosen"}),
            ("POST", f"{role}/secret-id", {"secret_id": "chosen"}), ("POST", f"{role}/secret-id", {"ttl": "0"}),
            ("POST", f"{role}/secret-id-accessor/destroy", {"secret_id_accessor": accessors(nodes)[0]}),
            ("POST", "auth/apps/role/other/secret-id", {}), ("POST", role, {"token_policies": "root"}),
        ):
            with pytest.raises(Refused) as caught:
                keeper.vault.request(method, path, body)
            assert caught.value.status == 403, path
        older = nodes.ask("GET", f"sys/policies/acl/{ROLE}", namespace=SPACE)[1]["data"]["policy"]
        nodes.write(f"sys/policies/acl/{ROLE}", {"policy": older.partition("# Its own way in")[0]}, SPACE)
        try:
            with pytest.raises(KeeperError) as told:
                secret_ids.rotate(keeper, {})
            assert "counterseal vault policy" in told.value.hint
            found = secret_ids.standing(keeper)
            assert found is not None
            assert (found.next, found.how) == (None, secret_ids.OLD_POLICY)
            assert found.since <= datetime.now(UTC)
        finally:
            nodes.write(f"sys/policies/acl/{ROLE}", {"policy": older}, SPACE)
        secret_ids.rotate(keeper, {})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_it_is_asked_for_by_command_and_said_in_the_log_before_and_after(
    there: Path, nodes: Nodes, tmp_path: Path, clock: Clock, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    with keeper_with(nodes, tmp_path / "a", clock) as (keeper, _):
        door = Door(tmp_path / "none.sock")
        door.__dict__["_line"] = Near([keeper])
        house = House(Settings(instance=tmp_path, database_url=database.url), database, door, clock)
        assert all_of(house) == (*KEYS, SPOOL, "secret-id", ACCOUNTS)
        assert rotated(house, ("secret-id",))
        assert not rotated(house, ("secret-id",))
        said = capsys.readouterr()
        assert "a new one is in use" in said.out
        assert secret_ids.TWICE in said.err
        with database.read() as session:
            entries = session.execute(select(Entry.kind, Entry.subject, Entry.actor).order_by(Entry.place, Entry.id)).all()
        assert sorted(entries) == sorted([("key.rotating", "secret-id", "cli")] * 2 + [("key.rotated", "secret-id", "cli")])
        keeper = replace(keeper, settings=replace(keeper.settings, vault_address=""))
        door.__dict__["_line"] = Near([keeper])
        assert all_of(house) == (*KEYS, SPOOL, ACCOUNTS), "the instance's own is not touched"
