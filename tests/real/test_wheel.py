"""The wheel, installed away from the checkout: everything it needs is in it, and every process of the house runs from it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.keeper_parts import PUBLIC_URL, ROOT, until
from tests.keeper_parts import serve as serve_keeper
from tests.processes import free_port
from tests.real.running import PATIENCE, short_folder, start
from tests.real.standing import health

pytestmark = pytest.mark.real
BESIDE = {"templates": "webapp/templates", "static": "webapp/static", "vault": "vault", "webapp": "webapp"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, ROOT],
        check=True, capture_output=True, cwd=folder,
    )
    [made] = folder.glob("counterseal-*.whl")
    return made


@pytest.fixture(scope="module")
def home(wheel: Path) -> Iterator[Path]:
    """An environment of its own, with the wheel in it. What the wheel depends on comes from the environment of the tests."""
    with short_folder("cs-wheel-") as folder:
        venv.create(folder / "venv", symlinks=True)
        python = folder / "venv" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel],
                       check=True, capture_output=True, cwd=folder)
        [packages] = (folder / "venv" / "lib").glob("python3*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        yield folder


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COUNTERSEAL", "VIRTUAL_ENV"))}
    return {**kept, **more}


def counterseal(home: Path, *words: str) -> str:
    """Run the wheel's command in an empty folder."""
    (home / "empty").mkdir(exist_ok=True)
    done = subprocess.run([home / "venv" / "bin" / "counterseal", *words], cwd=home / "empty", env=environment(),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_file_of_the_packages_their_templates_and_their_statics_is_in_it(wheel: Path) -> None:
    wanted = {
        str(Path(inside, file.relative_to(ROOT / top))) for top, inside in BESIDE.items() for file in (ROOT / top).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        there = set(archive.namelist())
    assert wanted - there == set()
    assert {name.partition("/")[0] for name in there if ".dist-info" not in name} == {"vault", "webapp"}, "and nothing else"


def test_its_commands_explain_themselves_and_read_what_ships(home: Path) -> None:
    assert "vault" in counterseal(home, "--help")
    for command in ("up", "serve", "worker", "keeper"):
        assert counterseal(home, command, "--help").startswith("Usage: counterseal")
    assert counterseal(home, "db", "upgrade")
    assert "payment" in counterseal(home, "policy", "check")
    asks = "import webapp; from vault.providers.catalogue import load; print(webapp.__file__, 'github' in load(None))"
    found = subprocess.run(
        [home / "venv" / "bin" / "python", "-c", asks], cwd=home, env=environment(), capture_output=True, text=True, check=True,
    ).stdout
    assert found.startswith(str(home)), "the wheel, and not the checkout"
    assert found.endswith("True\n")


def test_up_runs_from_it(home: Path) -> None:
    port, command = free_port(), str(home / "venv" / "bin" / "counterseal")
    clean = ["env", "-i", *(f"{name}={value}" for name, value in environment().items())]
    words = [command, "up", "--evaluation", "--port", str(port), "--instance", str(home / "i")]
    running = start([*clean, *words], home / "up.log", {}, home)
    try:
        until(lambda: "is running:" in running.output or running.process.poll() is not None, "it is up", PATIENCE)
        answer = subprocess.run(
            [sys.executable, "-c", "import sys, urllib.request as u; "
             "print([u.urlopen(f'http://localhost:{sys.argv[1]}{path}').status for path in ('/healthz', '/evaluation/enter', "
             "'/static/app.css')])", str(port)], capture_output=True, text=True,
        )
        assert answer.stdout.strip() == "[200, 200, 200]", answer.stderr + running.output
    finally:
        running.stop()


def test_serve_worker_and_keeper_run_from_it(home: Path) -> None:
    port = free_port()
    with serve_keeper(start=False) as keeper:
        settings = environment(COUNTERSEAL_INSTANCE=str(keeper.instance), COUNTERSEAL_PUBLIC_URL=PUBLIC_URL)
        keeper.start_vault()
        command = str(home / "venv" / "bin" / "counterseal")
        running = []
        try:
            subprocess.run([command, "db", "upgrade"], env=settings, check=True, capture_output=True, cwd=home)
            for words in (["keeper"], ["serve", "--bind", f"127.0.0.1:{port}"], ["worker"]):
                running.append(start([command, *words], home / f"{words[0]}.log", settings, home))
            logs = [one.log for one in running]
            until(lambda: health(port) == 200, f"everything is well: {[log.read_text() for log in logs]}", PATIENCE)
            assert all(one.process.poll() is None for one in running), [log.read_text() for log in logs]
        finally:
            for one in reversed(running):
                one.stop()
