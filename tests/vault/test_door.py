"""The door: who may use it, what it says when things fail, and that it never sends twice what may have been heard."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pyotp
import pytest

from tests.clock import Clock
from tests.keeper_parts import ROOT, KeeperParts, ask, sign_in, until, with_passkey
from tests.processes import freeze
from vault import life
from vault.app import LARGEST, application
from vault.door import Door, KeeperStatus
from vault.errors import BadRequest, KeeperAway
from vault.secret import Secret


def test_status_never_raises(tmp_path: Path):
    assert Door(tmp_path / "nothing.sock").status() == KeeperStatus("away", "away")


def test_a_keeper_that_is_away_is_said_to_be(tmp_path: Path):
    with pytest.raises(KeeperAway):
        Door(tmp_path / "nothing.sock").app_key("cookies")


def test_app_keys_are_the_same_for_everyone_and_differ_by_purpose(keeper: KeeperParts):
    door = keeper.door
    assert door.app_key("cookies") == door.app_key("cookies")
    assert len({door.app_key(one).reveal() for one in ("cookies", "request-state", "csrf")}) == 3
    for bad in ("", "Cookies", "a/b", "x" * 41, "../keeper/seal"):
        with pytest.raises(BadRequest):
            door.app_key(bad)


def test_a_wrapping_key_lasts_an_hour_and_its_ciphertext_names_it(keeper: KeeperParts):
    clock = Clock()
    clock.now = clock.now.replace(minute=0, second=0, microsecond=0)
    inside = keeper.inside(clock)
    one = life.wrapping_key(inside, {})
    clock.forward(minutes=59, seconds=59)
    assert life.wrapping_key(inside, {}) == one
    clock.forward(seconds=1)
    assert life.wrapping_key(inside, {}) != one
    through = keeper.door.wrapping_key()
    assert keeper.door.unwrap(through.wrapped).key == through.key
    with pytest.raises(BadRequest):
        keeper.door.unwrap(through.wrapped[:-6] + "AAAA==")


def test_the_folder_and_the_socket_are_the_owners_alone(keeper: KeeperParts):
    for one in (keeper.door.socket, keeper.door.socket.parent, keeper.instance / "vault", keeper.instance / "run" / "vault"):
        assert one.stat().st_mode & 0o077 == 0, one


def test_another_user_is_turned_away_by_the_kernels_word(keeper: KeeperParts):
    """Even where the folder lets them in: SO_PEERCRED is asked for every request."""
    class Peer:
        family = socket.AF_UNIX

        def getsockopt(self, *_: int) -> bytes:
            return struct.pack("3i", os.getpid(), os.getuid() + 1, os.getgid())

    class Network(Peer):
        family = socket.AF_INET

    app = application(keeper.inside(), {"status": lambda _keeper, _body: {"secret": "shown"}})
    assert ask(app, "status", b"{}") == {"secret": "shown"}
    for peer in (Peer(), Network()):
        assert ask(app, "status", b"{}", peer=peer)["error"] == "bad_request"


def test_the_web_process_under_its_own_user_cannot_name_an_identity_provider(keeper: KeeperParts):
    """Its groups claim would make anyone an approver: only an operator sets that up."""
    inside = keeper.inside()
    web = replace(inside, settings=replace(inside.settings, operators=frozenset({os.getuid() + 1})))
    theirs = ("idp_put", "provider_put", "person_link", "person_unlink")
    handlers = {name: (lambda _keeper, _body: {"done": "yes"}) for name in (*theirs, "providers")}
    for name in theirs:
        assert ask(application(inside, handlers), name, b"{}") == {"done": "yes"}
        assert "operator" in ask(application(web, handlers), name, b"{}")["hint"]
    assert ask(application(web, handlers), "providers", b"{}") == {"done": "yes"}


@pytest.mark.parametrize(("name", "body"), [
    ("status", b"[]"), ("status", b"x"), ("status", b""), ("nothing", b"{}"), ("status/../app_key", b"{}"),
    ("app_key", b'{"purpose": 5}'), ("app_key", b"{}"), ("factors", b'{"person": "../app"}'), ("factors", b'{"person": "a/b"}'),
    ("unwrap", b'{"wrapped": null}'), ("sign_checkpoint", b'{"size": -1, "root": "", "proof": []}'),
    ("sign_checkpoint", b'{"size": true, "root": "AA==", "proof": []}'), ("decide", b'{"proof": []}'), ("check", b"{}"),
    ("status", b"[" * 100_000),
], ids=range(15))
def test_a_malformed_request_is_refused_in_words_and_nothing_breaks(keeper: KeeperParts, name: str, body: bytes):
    status, answer = keeper.raw(name, body)
    assert status == 422
    assert answer["error"] in ("bad_request", "not_signed_in")
    assert set(answer) == {"error", "hint"}


def test_a_request_larger_than_any_envelope_is_not_read(keeper: KeeperParts):
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(keeper.door.socket))
        raw.sendall(f"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGEST + 1}\r\n\r\n".encode())
        assert b"422" in raw.recv(200)


def test_an_error_of_ours_says_nothing_and_its_log_has_no_values(keeper: KeeperParts, caplog: pytest.LogCaptureFixture):
    def broken(_keeper: object, body: object) -> dict[str, str]:
        raise ValueError(f"cannot read {body}")

    answer = ask(application(keeper.inside(), {"status": broken}), "status", b'{"token": "t0k3n-val"}')
    assert answer["error"] == "keeper_error"
    assert "ValueError" in caplog.text
    assert "t0k3n-val" not in caplog.text + json.dumps(answer)


def test_many_threads_share_one_door(keeper: KeeperParts):
    answers: list[bytes] = []

    def ask(number: int) -> None:
        answers.extend(keeper.door.app_key(f"purpose-{number}").reveal() for _ in range(10))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    [one.start() for one in threads]
    [one.join() for one in threads]
    assert len(answers) == 80
    assert len(set(answers)) == 8, "nobody got somebody else's answer"


def test_a_kept_connection_that_died_is_replaced(keeper: KeeperParts):
    door = Door(keeper.door.socket)
    door.app_key("cookies")
    os.kill(psutil.Process(keeper.keeper_pid).children()[0].pid, signal.SIGKILL)
    until(lambda: keeper.door.status().keeper == "ready", "the master started another worker")
    person = sign_in(keeper)
    with_passkey(keeper, person)
    door.totp_begin(proof=sign_in(keeper).proof, account="ada")  # not repeatable, on a connection known to be dead
    door.close()


class Deaf:
    """A keeper that hears and does not answer."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "door.sock"
        self.heard = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        """Answer the first request on each of three connections, hear the second and hang up."""
        answer = b'{"key": "AA=="}'
        for _ in range(3):
            connection, _ = self.listener.accept()
            with connection:
                for _ in range(2):
                    if not _whole_request(connection):
                        break
                    self.heard += 1
                    if self.heard in (1, 3, 5):
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
            if self.heard >= 5:
                break

    def close(self) -> None:
        self.listener.close()
        self.thread.join(5)


def _whole_request(connection: socket.socket) -> bytes:
    """One request and its body: the client may send them in two parts."""
    content = b""
    while b"\r\n\r\n" not in content or len(content.partition(b"\r\n\r\n")[2]) < _length(content):
        part = connection.recv(65536)
        if not part:
            return b""
        content += part
    return content


def _length(content: bytes) -> int:
    return int(content.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])


def test_a_request_that_may_have_been_heard_is_not_sent_again():
    """`disconnect` twice is harmless, `mint` twice is two tokens: the client cannot know, so it repeats only what reads."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        deaf = Deaf(Path(folder))
        door = Door(deaf.path)
        door.app_key("a")
        with pytest.raises(KeeperAway):
            door.disconnect(connection="con_a", person="per_a")
        assert deaf.heard == 2
        door.app_key("a")
        door.app_key("a")  # on the kept connection: heard, hung up, and asked again on a new one
        assert deaf.heard == 5
        door.close()
        deaf.close()


def test_it_works_under_gevent(keeper: KeeperParts):
    """Monkey-patched, with greenlets that share the door: as in the web process."""
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent, sys\nfrom pathlib import Path\nfrom vault.door import Door\n"
        "door = Door(Path(sys.argv[1]))\n"
        "jobs = [gevent.spawn(door.app_key, f'purpose-{n % 5}') for n in range(50)]\n"
        "gevent.joinall(jobs, raise_error=True)\nprint(len({job.value.reveal() for job in jobs}))\ndoor.close()\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(keeper.door.socket)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "5"


def test_a_frozen_keeper_is_away_in_time(keeper: KeeperParts):
    children = psutil.Process(keeper.keeper_pid).children()
    for child in children:
        freeze(child.pid)
    try:
        with pytest.raises(KeeperAway):
            Door(keeper.door.socket, timeout=0.3).app_key("cookies")
    finally:
        for child in children:
            child.send_signal(signal.SIGCONT)
    until(lambda: keeper.door.status().keeper == "ready", "the keeper goes on")


def test_no_secret_is_in_the_keepers_log_or_command_line(keeper: KeeperParts):
    """Nor in OpenBao's, which share the file here. The seed, the session, the ticket, the vault's token and secret-id."""
    person = sign_in(keeper)
    offer = keeper.door.totp_begin(proof=person.proof, account="ada")
    with pytest.raises(Exception, match="factor_refused"):
        keeper.door.totp_finish(proof=person.proof, sealed=offer.sealed, code=Secret("000000"), name="x")
    inside = keeper.inside()
    inside.kv.read("instance/mark")
    seed = pyotp.parse_uri(offer.uri.reveal()).secret
    secret_id = (keeper.instance / "vault" / "secret-id").read_text()
    secrets = [seed, person.proof.session.reveal(), person.proof.ticket, secret_id, inside.vault._hvac.token]
    seen = keeper.log.read_text() + (keeper.instance / "vault" / "audit.log").read_text()
    seen += " ".join(psutil.Process(keeper.keeper_pid).cmdline())
    assert [one for one in secrets if one in seen] == []
    assert "totp_finish: factor_refused" in seen
