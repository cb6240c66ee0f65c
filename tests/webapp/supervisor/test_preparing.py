"""What the supervisor settles before it starts anything, and the words it says when it cannot."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from webapp.cli import COMMANDS, main
from webapp.errors import BadInput, Conflict
from webapp.supervisor import lock, plan, sockets, up


def test_an_instance_is_run_once_at_a_time(tmp_path: Path) -> None:
    held = lock.take(tmp_path)
    with pytest.raises(Conflict, match=str(os.getpid())):
        lock.take(tmp_path)
    os.close(held)
    os.close(lock.take(tmp_path))


def test_a_taken_port_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Conflict, match=f"Port {port} is taken"):
            sockets.pages(port)


def test_the_pages_listen_on_both_loopback_addresses_and_nowhere_else() -> None:
    listening = sockets.pages(0)
    assert {sock.getsockname()[0] for sock in listening} <= {"127.0.0.1", "::1"}
    assert len({sock.getsockname()[1] for sock in listening}) == 1
    for sock in listening:
        sock.close()


def test_the_bundled_parts_keep_their_ports_for_ever(tmp_path: Path) -> None:
    """Persons are known by their issuer's address, and the bank's server is pinned by its URL."""
    first = sockets.bundled(tmp_path)
    ports = {name: sock.getsockname()[1] for name, sock in first.items()}
    with pytest.raises(Conflict, match="belongs to this instance"):
        sockets.bundled(tmp_path)
    for sock in first.values():
        sock.close()
    again = sockets.bundled(tmp_path)
    assert {name: sock.getsockname()[1] for name, sock in again.items()} == ports
    for sock in again.values():
        sock.close()


def test_a_real_instance_never_becomes_one_for_evaluation(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    with pytest.raises(BadInput, match="cannot become one"):
        up.is_evaluation(tmp_path, wanted=True)


def test_an_evaluation_instance_stays_one_without_being_asked(tmp_path: Path) -> None:
    (tmp_path / "evaluation").mkdir()
    assert up.is_evaluation(tmp_path, wanted=False)


def test_an_evaluation_instance_is_at_localhost_alone(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere else"):
        up.prepare(tmp_path, port=0, public_url="https://approvals.example.com", evaluation=True)


def test_it_brings_its_own_vault_and_says_so_where_another_is_named(tmp_path: Path) -> None:
    (tmp_path / "keeper.toml").write_text('vault_address = "https://vault.example:8200"')
    with pytest.raises(BadInput, match="start keeper, serve and worker"):
        up.prepare(tmp_path, port=0, public_url=None, evaluation=False)


def test_what_the_shell_says_of_another_vault_reaches_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of the operator's is nothing for the web process."""
    for name in ("VAULT_TOKEN", "BAO_TOKEN", "VAULT_ADDR"):
        monkeypatch.setenv(name, "something")
    environment = plan.House(tmp_path, "http://localhost:8000", (), None, {}).environment
    assert not [name for name in environment if name.startswith(("VAULT_", "BAO_"))]


def test_a_link_goes_to_a_terminal_or_to_a_file_of_its_owner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output is no terminal here: a log or a pipe would let its readers in."""
    (tmp_path / "run").mkdir()
    up.show_link(tmp_path, "http://localhost:8000/evaluation/enter#secret")
    file = tmp_path / "run" / up.LINK_FILE
    assert "secret" not in capsys.readouterr().out
    assert file.read_text().strip().endswith("#secret")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_link_of_an_instance_that_does_not_run_is_answered_in_words(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["link", "--instance", str(tmp_path)])
    assert answer.exit_code == 1
    assert "is not running" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    answer = CliRunner().invoke(main, [name, "--help"])
    assert answer.exit_code == 0
    assert answer.stdout.startswith("Usage:")
