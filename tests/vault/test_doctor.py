"""`counterseal vault doctor` on a vault that is right, and on ones that are wrong in one way each: it finds that, and no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.keeper_parts import ROOT, KeeperParts
from tests.processes import free_port
from tests.vault.places import POLICY, Place, mended, seen, wrong
from tests.vault_nodes import Nodes, authority, settings
from vault import declared
from vault.doctor import SKEW, say

Break = Callable[["Place"], object]


def test_nothing_is_wrong_with_what_is_declared(place: Place) -> None:
    """What the keeper may not see is not called good."""
    found = seen(place.instance)
    assert wrong(found) == []
    assert {one.check for one in found} == {
        "address", "version", "clock", "tls", "login", "policies", "token", "mounts", "records", "keys", "certificates",
        "capabilities", "audit", "parameters",
    }
    assert {one.check for one in found if one.state == "look"} == {"audit", "parameters"}
    assert "Nothing wrong; 2 to look at" in say(found)


def test_nothing_is_wrong_with_the_embedded_one(keeper: KeeperParts) -> None:
    assert wrong(seen(keeper.instance)) == []


def wider(place: Place) -> None:
    place.policy(lambda text: text + '\npath "sys/mounts" { capabilities = ["read"] }\n')


def narrower(place: Place) -> None:
    place.policy(lambda text: text.replace('path "counterseal-kv/data/people/*"', 'path "counterseal-kv/data/persons/*"'))


def everything(place: Place) -> None:
    place.policy(lambda text: text + '\npath "counterseal-transit/*" { capabilities = ["update"] }\n')


def older(place: Place) -> None:
    place.policy(lambda text: text.replace("sys/capabilities-self", "sys/capabilities-other"))


def with_default(place: Place) -> None:
    place.write(f"auth/approle/role/{POLICY}", {"token_no_default_policy": False})


def exportable(place: Place) -> None:
    place.write("counterseal-transit/keys/audit/config", {"exportable": True})


def deletable(place: Place) -> None:
    place.write("counterseal-transit/keys/payload/config", {"deletion_allowed": True})


def of_another_type(place: Place) -> None:
    deletable(place)
    place.delete("counterseal-transit/keys/payload")
    place.write("counterseal-transit/keys/payload", {"type": "chacha20-poly1305"})


def without_a_key(place: Place) -> None:
    place.write("counterseal-transit/keys/authority/config", {"deletion_allowed": True})
    place.delete("counterseal-transit/keys/authority")


def older_records(place: Place) -> None:
    place.again("counterseal-kv", {"type": "kv", "options": {"version": "1"}})


def without_check_and_set(place: Place) -> None:
    place.started()
    place.write("counterseal-kv/config", {"cas_required": False, "max_versions": 10})


def a_wide_role(place: Place) -> None:
    place.write("counterseal-pki/roles/client", {**declared.CLIENT_ROLE, "server_flag": True, "max_ttl": "48h"})


def no_authority(place: Place) -> None:
    place.delete("counterseal-pki/root")


def no_transit(place: Place) -> None:
    place.delete("sys/mounts/counterseal-transit")


@pytest.mark.parametrize(("break_it", "check", "words"), [
    (wider, "capabilities", "sys/mounts: the keeper has besides read"),
    (narrower, "capabilities", "data/people/doctor: the keeper lacks create, read, update"),
    (everything, "capabilities", "counterseal-transit/*: the keeper has besides update"),
    (older, "capabilities", "may not ask what it may do"), (with_default, "policies", "default"),
    (exportable, "keys", "keys/audit can be exported"), (deletable, "keys", "keys/payload can be deleted"),
    (of_another_type, "keys", "is of type chacha20-poly1305 and not aes256-gcm96"),
    (without_a_key, "keys", "authority is not there"),
    (older_records, "mounts", "version 1 of kv"), (without_check_and_set, "records", "without check-and-set"),
    (a_wide_role, "certificates", "differs in server_flag, max_ttl"), (no_authority, "certificates", "has no authority"),
    (no_transit, "mounts", "counterseal-transit: no such mount"),
    (lambda place: place.token(ttl="1h"), "token", "has no period"),
    (lambda place: place.token(ttl="1h", renewable=False), "token", "cannot be renewed"),
    (lambda place: place.token(no_default_policy=False, period="1h"), "policies", "default"),
    (lambda place: (place.folder / "secret-id").write_text("wrong"), "login", "cannot log in by approle"),
    (lambda place: (place.folder / "secret-id").unlink(), "login", "No such file"),
    (lambda place: (place.folder / "secret-id").chmod(0o640), "files", "can be read or written by others"),
])
def test_what_is_wrong_is_found(place: Place, break_it: Break, check: str, words: str) -> None:
    break_it(place)
    found = wrong(seen(place.instance))
    assert [one for one in found if one[0] == check and words in one[1]], found
    beside = {"older_records": {"records", "capabilities"}, "no_transit": {"keys"}, "with_default": {"capabilities"}}
    beside |= {"<lambda>": {"capabilities"} if check == "policies" else set(), "without_a_key": {"keys"}}
    assert {one[0] for one in found} <= {check} | beside.get(break_it.__name__, set()), found


def no_pki(place: Place) -> None:
    place.delete("sys/mounts/counterseal-pki")


@pytest.mark.parametrize("break_it", [wider, with_default, no_transit, no_pki, without_check_and_set, deletable, a_wide_role])
def test_what_it_says_can_be_typed_and_mends_it(place: Place, break_it: Break) -> None:
    break_it(place)
    mended(place)


def test_an_authority_that_others_can_write(place: Place, nodes: Nodes) -> None:
    own = place.folder / "ca.pem"
    own.write_bytes(nodes.authority.pem.read_bytes())
    own.chmod(0o664)
    settings(place.folder, nodes, namespace=place.name, secret_id_file=str(place.folder / "secret-id"), ca_cert=str(own))
    assert [one[0] for one in wrong(seen(place.instance))] == ["files"]
    own.chmod(0o644)
    assert wrong(seen(place.instance)) == []


def test_a_certificate_of_another_authority_and_an_address_where_nobody_is(nodes: Nodes, tmp_path: Path) -> None:
    other = authority(tmp_path / "other")
    instance = settings(tmp_path, nodes, ca_cert=str(other.pem), vault_address=f"{nodes.address},https://127.0.0.1:{free_port()}")
    first, second = seen(instance)
    assert (first.check, first.state) == ("tls", "wrong")
    assert "not believed" in first.words
    assert "ca_cert" in first.mend
    assert (second.check, second.state) == ("address", "wrong")
    assert "refused" in second.words


@contextmanager
def saying(status: int, body: dict[str, Any] | None, clock: datetime | None = None) -> Iterator[str]:
    """A server on this machine that answers everything so, at a time of its own."""

    class Said(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps(body).encode() if body is not None else b"<html>"
            self.send_response_only(status)
            self.send_header("Date", format_datetime(clock or datetime.now(UTC), usegmt=True))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Said)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


HEALTH = {"initialized": True, "sealed": False, "standby": False, "version": "2.7.2"}


@pytest.mark.parametrize(("status", "body", "check", "words"), [
    (503, {**HEALTH, "sealed": True}, "address", "is sealed"),
    (501, {**HEALTH, "initialized": False}, "address", "not initialised"),
    (473, {**HEALTH, "standby": True, "enterprise": True, "version": "1.20.1+ent"}, "address", "performance or recovery standby"),
    (200, {**HEALTH, "version": "2.4.4"}, "version", "OpenBao 2.4.4"),
    (200, {**HEALTH, "enterprise": False, "version": "1.14.10"}, "version", "Vault 1.14.10"),
    (200, {**HEALTH, "version": "1.14.3"}, "version", "Vault 1.14.3"),
    (474, {**HEALTH, "standby": True, "enterprise": False, "version": "1.19.0"}, "address", "does not reach the active node"),
    (530, {**HEALTH, "enterprise": False, "version": "1.19.0"}, "address", "was taken out of its cluster"),
    (200, None, "address", "no Vault or OpenBao"), (200, {"hello": "world"}, "address", "no Vault or OpenBao"),
])
def test_a_server_that_is_not_ready(tmp_path: Path, status: int, body: dict[str, Any] | None, check: str, words: str) -> None:
    with saying(status, body) as address:
        (tmp_path / "keeper.toml").write_text(f'vault_address = "{address}"\nsecret_id_file = "{tmp_path}/none"\n')
        found = wrong(seen(tmp_path))
    assert any(one[0] == check and words in one[1] for one in found), found


def test_a_version_that_is_not_told_is_for_a_person_to_see(tmp_path: Path) -> None:
    """Vault's listeners can be told to hide it: that is no old version."""
    with saying(200, {**HEALTH, "enterprise": False, "version": ""}) as address:
        (tmp_path / "keeper.toml").write_text(f'vault_address = "{address}"\nsecret_id_file = "{tmp_path}/none"\n')
        found = [one for one in seen(tmp_path) if one.check == "version"]
    assert [(one.state, one.mend) for one in found] == [("look", "vault version")]


def test_clocks_that_differ(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    for apart, right in ((SKEW / 2, True), (SKEW * 4, False), (-SKEW * 4, False)):
        with saying(503, {**HEALTH, "sealed": True}, clock=now + apart) as address:
            (tmp_path / "keeper.toml").write_text(f'vault_address = "{address}"\n')
            found = [one for one in seen(tmp_path, now) if one.check == "clock"]
        assert [one.state for one in found] == ["good" if right else "wrong"], found


def test_a_certificate_authority_that_is_about_to_end(place: Place) -> None:
    inside_ten_years = datetime.now(UTC) + timedelta(days=3650 - 10)
    found = [one for one in seen(place.instance, inside_ten_years) if one.check == "certificates" and "ends on" in one.words]
    assert [one.state for one in found] == ["look"]


def test_for_programs_and_with_an_exit_code(place: Place) -> None:
    command = [sys.executable, "-c", "from webapp.cli import main; main()", "vault", "doctor", "--json", "--instance"]

    def run(*words: str, **environment: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [*command, str(place.instance), *words], cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120, check=False,
        )
        return done.returncode, json.loads(done.stdout)

    code, said = run()
    assert (code, said["ok"]) == (0, True), said
    code, said = run("--operator", VAULT_TOKEN=place.nodes.root)
    assert {one["check"]: one["state"] for one in said["findings"]}["parameters"] == "good", said
    assert place.nodes.root not in json.dumps(said)
    (place.instance / "keeper.toml").write_text('vault_address = "https://127.0.0.1"\nauth = "cert"\n')
    code, said = run()
    assert (code, said["ok"]) == (1, False)
    assert said["findings"][0]["check"] == "settings"
