"""The process that sends: whom it may connect to, and what it says about it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from email import message_from_bytes
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.webapp.notices.mail_parts import serve as serve_mail
from tests.webapp.notices.parts import OWN, serve
from tests.webapp.notices.push_parts import PushService
from tests.webapp.notices.push_parts import serve as serve_tls
from vault.secret import Secret
from webapp.config_notices import Notices
from webapp.errors import LimitReached
from webapp.notices import outward
from webapp.notices.egress import permitted
from webapp.notices.words import Message

MESSAGE = Message("Counterseal: 1 action waits for approval", ("- 1 at Harbour Bank (money)",), "/actions", "http://localhost:8000")


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
    "64:ff9b::a00:1", "2002:a00:1::1",
])
def test_nothing_of_the_inside_is_connected_to(address: str) -> None:
    """Also where an address carries another: IPv4 in IPv6, NAT64, 6to4."""
    assert not permitted(ip_address(address), [])


def test_public_addresses_are_connected_to_and_those_that_the_operator_named() -> None:
    assert permitted(ip_address("1.1.1.1"), [])
    assert permitted(ip_address("2606:4700:4700::1111"), [])
    assert permitted(ip_address("10.1.2.3"), [ip_network("10.0.0.0/8")])
    assert not permitted(ip_address("11.1.2.3"), [ip_network("10.0.0.0/8")], own_only=True)


def test_a_message_arrives_as_it_was_written() -> None:
    with serve() as service:
        answer = outward.send(Notices(networks=OWN), Secret(service.url), MESSAGE)
        assert answer == outward.Answer(), answer
        sent = json.loads(service.got[0])
        assert (sent["title"], sent["message"]) == (MESSAGE.title, MESSAGE.body)


IN_ONE = (
    "import json, socket, sys\n"
    "from ipaddress import ip_network\n"
    "known, (port, names) = socket.getaddrinfo, json.loads(sys.argv[1])\n"
    "def found(host, at, *more):\n"
    "    return known(*(('127.0.0.1', port if at == 443 else at) if host in names else (host, at)), *more)\n"
    "socket.getaddrinfo = found\n"
    "from webapp.notices.egress import Guard, answered\n"
    "guard = Guard([])\n"
    "sys.addaudithook(guard)\n"
    "for case in json.loads(sys.stdin.read()):\n"
    "    guard.refused, guard.networks = False, [ip_network(one) for one in case['networks']]\n"
    "    print(json.dumps(answered(case, guard)))\n"
)
"""One process for several requests: each that is started takes a second. Some names lead it to this machine, and their port for
HTTPS to one of ours."""


def in_one(cases: Sequence[dict[str, Any]], port: int = 0, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    asked = json.dumps([{"title": "t", "body": "b", "schemes": Notices().schemes, "networks": [], **case} for case in cases])
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE, json.dumps([port, names])], input=asked, capture_output=True, text=True, cwd=outward.ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_nothing_inside_is_reached_by_its_number_its_name_or_a_redirect() -> None:
    """Of the redirect the first address may be connected to; the one that it sends to may not."""
    with serve() as service, serve() as first:
        first.status, first.location = 307, f"http://127.0.0.2:{service.port}/desk"
        number, name, redirected = in_one([
            {"do": "send", "url": service.url}, {"do": "send", "url": f"ntfy://localhost:{service.port}/desk"},
            {"do": "send", "url": first.url, "networks": ["127.0.0.1/32"]},
        ])
        assert [number["why"], name["why"], redirected["why"]] == ["inside"] * 3
        assert (len(first.got), service.got) == (1, [])


TEAMS = "prod-15.uksouth.logic.azure.com"
HOSTS = ("hooks.slack.com", "events.pagerduty.com", TEAMS, "elsewhere.example")
NAMED = {
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#desk":
        ("hooks.slack.com", "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
    f"pagerduty://{'i' * 32}@{'k' * 32}": ("events.pagerduty.com", "/v2/enqueue"),
    f"workflows://{TEAMS}/643e69f83c8944/8KDLdk": (TEAMS, "/workflows/643e69f83c8944/triggers/manual/paths/invoke"),
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PushService, Path]]:
    """Where Slack, PagerDuty and Teams are, to the process that sends, and the certificate of each but one."""
    with serve_tls(tmp_path, *HOSTS[:-1]) as (service, pem):
        for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.setenv(name, str(pem))
        service.status, service.answer = 200, b"ok"
        yield service, pem


def test_slack_pagerduty_teams_and_mail_are_sent_what_was_written_and_where_they_are_inside_nothing(
    hub: tuple[PushService, Path]
) -> None:
    """Each as its own plugin sends it, by TLS with a certificate of that very name; mail by STARTTLS, or in clear in the
    operator's own network."""
    service, pem = hub
    with serve_mail() as clear, serve_mail(pem) as safe:
        mails = [
            f"{scheme}://127.0.0.1:{one.port}/?from=app@desk.example&to=bob@desk.example&smtp=127.0.0.1{more}"
            for scheme, one, more in (("mailtos", safe, ""), ("mailto", clear, "&mode=insecure"))
        ]
        wanted = [*NAMED, *mails]
        found = in_one([
            {"do": "send", "url": url, "title": MESSAGE.title, "body": MESSAGE.body, "networks": networks}
            for networks in (["127.0.0.1/32"], []) for url in wanted
        ], service.port, HOSTS)
        assert [one["why"] for one in found] == [""] * len(wanted) + ["inside"] * len(wanted), found
        assert service.asked == list(NAMED.values())
        for _, body in service.got:
            assert MESSAGE.title in body.decode()
            assert "1 at Harbour Bank" in body.decode()
            assert "http://localhost:8000/actions" in body.decode()
        for mail, encrypted in ((safe, True), (clear, False)):
            assert (mail.to, mail.encrypted) == (["bob@desk.example"], [encrypted])
            sent = message_from_bytes(mail.got[0])
            assert (sent["Subject"], sent["From"], sent["To"]) == (MESSAGE.title, "app@desk.example", "bob@desk.example")
            assert "1 at Harbour Bank (money)" in (sent.get_payload(decode=True) or b"").decode()


def test_mail_goes_out_of_the_process_that_sends_and_nothing_to_whom_the_certificate_is_not_of(
    hub: tuple[PushService, Path]
) -> None:
    """Attack: whoever answers for the name has a certificate that is believed, for another."""
    service, pem = hub
    with serve_mail(pem) as mail:
        to = f"mailtos://127.0.0.1:{mail.port}/?from=app@desk.example&to=bob@desk.example&smtp=127.0.0.1"
        assert outward.send(Notices(networks=OWN), Secret(to), MESSAGE) == outward.Answer()
        assert (mail.to, mail.encrypted) == (["bob@desk.example"], [True])
        lied = [f"workflows://{HOSTS[-1]}/643e69f83c8944/8KDLdk", to.replace("smtp=127.0.0.1", f"smtp={HOSTS[-1]}")]
        found = in_one([{"do": "send", "url": url, "networks": OWN} for url in lied], service.port, HOSTS)
        assert [one["why"] for one in found] == ["away"] * 2, found
        assert (service.got, len(mail.got)) == ([], 1)


def test_what_the_service_refused_is_told_by_its_number_and_nothing_of_the_address() -> None:
    with serve() as service:
        service.status = 403
        url = f"ntfy://user:hunter2@127.0.0.1:{service.port}/desk"
        answer = outward.send(Notices(networks=OWN), Secret(url), MESSAGE)
        assert (answer.why, answer.status) == ("refused", 403)
        assert "hunter2" not in answer.words


REFUSED = {
    "json://127.0.0.1/x": "scheme", "syslog://": "scheme", "dbus://": "scheme", "file:///etc/passwd": "scheme",
    "nothing": "scheme", "https://example.com/hook": "address", "slack://short": "address",
    "ntfys://ntfy.example/desk?verify=no": "unverified",
}
TAKEN = (
    "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#desk", "ntfys://ntfy.example/desk", "mailtos://ada:secret@example.com",
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", f"pagerduty://{'i' * 32}@{'k' * 32}",
    f"workflows://{TEAMS}:443/643e69f83c8944/8KDLdk",
    f"https://{TEAMS}:443/workflows/643e69f83c8944/triggers/manual/paths/invoke?api-version=2016-06-01&sig=8KDLdk",
)


def test_addresses_of_a_kind_on_the_list_are_taken_and_others_and_those_that_are_not_checked_refused() -> None:
    found = [(one["why"], one.get("service", "")) for one in in_one([{"do": "check", "url": url} for url in (*REFUSED, *TAKEN)])]
    assert dict(zip(REFUSED, (why for why, _ in found), strict=False)) == REFUSED
    assert [why for why, _ in found[len(REFUSED):]] == [""] * len(TAKEN)
    assert all(service for _, service in found[len(REFUSED):])


def test_the_process_starts_no_other() -> None:
    code = (
        "import os, subprocess, sys\n"
        "from webapp.notices.egress import Guard\n"
        "sys.addaudithook(Guard([]))\n"
        "try:\n    subprocess.run(['true'])\nexcept PermissionError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=outward.ROOT, check=False)
    assert done.stdout.strip() == "refused"


def test_the_process_gets_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret of ours, no proxy to send by, and no home folder with passwords for hosts in it."""
    given = dict[str, str]()

    def run(*_: Any, env: dict[str, str], **__: Any) -> subprocess.CompletedProcess[bytes]:
        given.update(env)
        return subprocess.CompletedProcess([], 0, b'{"why": "", "status": null}')

    for name in ("COUNTERSEAL_SECRET", "HTTPS_PROXY", "https_proxy", "NETRC", "HOME"):
        monkeypatch.setenv(name, "/srv/hunter2")
    monkeypatch.setattr(outward.subprocess, "run", run)
    assert outward.send(Notices(), Secret("ntfy://x"), MESSAGE).good
    assert given["PATH"] == os.environ["PATH"]
    assert given["HOME"] == os.devnull
    assert "/srv/hunter2" not in given.values()


NOISY = (
    "import os\n"
    "from webapp.notices import egress\n"
    "def send(request, guard):\n"
    "    print('sent to somebody')\n"
    "    os.write(1, b'and more')\n"
    "    os.write(2, b'and a warning')\n"
    "    return {}\n"
    "egress.WORK = {'send': send}\n"
    "egress.main()\n"
)


@pytest.mark.parametrize(("code", "why"), [
    (NOISY, ""), ("print('hello')", "fault"), ("print('[1]')", "fault"), ("pass", "fault"), ("print('{}')", "fault"),
], ids=("a plugin that prints", "words", "a list", "nothing", "half an answer"))
def test_what_a_plugin_prints_is_no_answer(monkeypatch: pytest.MonkeyPatch, code: str, why: str) -> None:
    monkeypatch.setattr(outward.modules, "command", lambda _name: [sys.executable, "-c", code])
    assert outward.send(Notices(), Secret("ntfy://x"), MESSAGE).why == why


def test_nothing_of_the_machine_is_read_but_code_and_certificates(tmp_path: Path) -> None:
    """Attack: `?template=` and `?pgpkey=` name a file, and what is in it goes to whoever typed the address."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"text": "hunter2"}')
    code = (
        "import sys\n"
        "from webapp.notices.egress import Guard\n"
        "sys.addaudithook(Guard([]))\n"
        "def tried(*how):\n"
        "    try:\n        open(*how).close()\n        print('opened')\n"
        "    except PermissionError:\n        print('refused')\n"
        f"tried({str(secret)!r})\n"
        "tried('/etc/passwd')\n"
        f"tried({str(tmp_path / 'made.py')!r}, 'w')\n"
        f"tried({str(tmp_path / 'made.py')!r}, 'a')\n"
        "tried(sys.modules['json'].__file__)\n"
        "import certifi\n"
        "tried(certifi.where())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=outward.ROOT, check=False)
    assert done.stdout.split() == ["refused"] * 4 + ["opened"] * 2, done.stderr


def test_an_address_that_names_a_file_of_ours_sends_nothing_of_it(tmp_path: Path) -> None:
    """The same through the plugin that reads it."""
    secret = tmp_path / "template.json"
    secret.write_text('{"type": "message", "attachments": [{"contentType": "x", "content": {"text": "hunter2"}}]}')
    with serve() as service:
        to = f"workflow://127.0.0.1:{service.port}/abc/def?template={secret}"
        answer = outward.send(Notices(networks=OWN), Secret(to), MESSAGE)
        assert not answer.good
        assert not any(b"hunter2" in one for one in service.got)


def test_messages_take_no_more_than_their_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's other seats run approved calls and revocations."""
    inside, most = list[int](), list[int]()

    def run(_request: object) -> outward.Answer:
        inside.append(1)
        most.append(len(inside))
        try:
            return outward.send(Notices(), Secret("ntfy://x"), MESSAGE)
        finally:
            inside.pop()

    monkeypatch.setattr(outward, "_run", run)
    with pytest.raises(LimitReached):
        outward.send(Notices(), Secret("ntfy://x"), MESSAGE)
    assert max(most) == outward.AT_ONCE
    with pytest.raises(LimitReached):  # all were given back
        outward.send(Notices(), Secret("ntfy://x"), MESSAGE)
    assert max(most) == outward.AT_ONCE


def test_schemes_of_the_machine_itself_cannot_be_allowed_by_a_setting() -> None:
    with pytest.raises(ValueError, match="another machine"):
        Notices(schemes=["slack", "syslog"])
