"""Pure rules: which addresses are ours, who may come in, what a stranger's request looks like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.door import SessionProof
from vault.secret import Secret
from webapp.people.rules import (
    admit,
    alive,
    any_of,
    browser_said,
    browser_words,
    from_our_page,
    loopback_twin,
    own_path,
    same_host,
    wait_words,
)
from webapp.web.viewer import Viewer

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


def viewer(*, factor: bool = True, admin: bool = False, auditor: bool = False) -> Viewer:
    return Viewer(
        person="p", name="P", email="", groups=(), admin=admin, auditor=auditor, session="s",
        proof=SessionProof("", Secret("")), factor_at=NOW if factor else None,
    )


@pytest.mark.parametrize("wanted", [
    "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example", "https:evil.example",
    "javascript:alert(1)", "/\t/evil.example", "/\n/evil.example", " //evil.example", "evil.example", "", None, "/ä", "/a b",
    "/a\\b", "/" + "a" * 3001, "/sign-in", "/sign-in/callback?code=1", "/\x00",
])
def test_what_is_not_a_plain_path_of_ours_leads_to_the_start_page(wanted: str | None) -> None:
    assert own_path(wanted) == "/"


LONG_REQUEST = "/oauth/authorize?response_type=code&client_id=client_1&state=" + "s" * 1200 + "&redirect_uri=" + "u" * 500
"""An agent's request: the person who has to sign in first must come back to all of it."""


@pytest.mark.parametrize("wanted", [
    "/", "/actions/act_1?tab=all#facts", "/connections/new?provider=bank", "/a//b", "/%2fevil", LONG_REQUEST,
])
def test_a_path_of_ours_is_kept(wanted: str) -> None:
    assert own_path(wanted) == wanted


@given(st.text(alphabet=st.characters(max_codepoint=0x2ff), max_size=40))
def test_no_path_leads_to_another_host(wanted: str) -> None:
    """Read as a browser reads it (WHATWG URL: tabs and newlines are dropped, a backslash is a slash)."""
    read = own_path(wanted).translate({9: None, 10: None, 13: None, 92: "/"})
    assert urlsplit(urljoin("https://ours.example/here", read)).netloc == "ours.example"


def test_every_mark_admits_exactly_whom_it_says() -> None:
    stranger, halfway, member = None, viewer(factor=False), viewer()
    admin, auditor = viewer(admin=True), viewer(auditor=True)
    table = {
        "public": ("in", "in", "in", "in", "in"),
        "machine": ("in", "in", "in", "in", "in"),
        "signing_in": ("sign_in", "in", "in", "in", "in"),
        "person": ("sign_in", "second_step", "in", "in", "in"),
        "admin": ("sign_in", "second_step", "forbidden", "in", "forbidden"),
        "auditor": ("sign_in", "second_step", "forbidden", "forbidden", "in"),
        "unheard_of": ("sign_in", "second_step", "forbidden", "forbidden", "forbidden"),
    }
    for mark, expected in table.items():
        assert tuple(admit(mark, who) for who in (stranger, halfway, member, admin, auditor)) == expected, mark


def test_an_admin_without_their_second_step_is_nobody_yet() -> None:
    assert admit("admin", viewer(factor=False, admin=True)) == "second_step"


def test_no_configured_group_means_nobody() -> None:
    assert not any_of(["finance"], [])
    assert not any_of([], ["finance"])
    assert any_of(["audit", "finance"], ["finance"])


@pytest.mark.parametrize(("host", "ours"), [
    ("seal.example", True), ("SEAL.example", True), ("seal.example:443", True), ("seal.example:8443", False),
    ("seal.example.evil.example", False), ("evil.example", False), ("", False), ("127.0.0.1", False),
])
def test_only_our_own_host_is_ours(host: str, ours: bool) -> None:
    assert same_host(host, "seal.example", "https") is ours


def test_the_loopback_twin_is_the_same_port_by_number() -> None:
    assert loopback_twin("127.0.0.1:8000", "localhost:8000")
    assert not loopback_twin("127.0.0.1:8001", "localhost:8000")
    assert not loopback_twin("127.0.0.1:8000", "seal.example:8000")
    assert not loopback_twin("127.0.0.1.evil.example:8000", "localhost:8000")


OURS = "https://seal.example"


@pytest.mark.parametrize(("method", "origin", "site", "allowed"), [
    ("GET", "https://evil.example", "cross-site", True),
    ("POST", OURS, "same-origin", True),
    ("POST", None, "same-origin", True),
    ("POST", OURS, None, True),
    ("POST", "https://seal.example:443", "same-origin", True),
    ("POST", None, None, True),
    ("POST", "https://evil.example", None, False),
    ("POST", "http://seal.example", None, False),
    ("POST", "null", None, False),
    ("POST", OURS, "cross-site", False),
    ("POST", OURS, "same-site", False),
    ("POST", OURS, "none", False),
    ("POST", "https://evil.example", "same-origin", False),
    ("DELETE", "https://evil.example", None, False),
])
def test_another_site_changes_nothing(method: str, origin: str | None, site: str | None, allowed: bool) -> None:
    assert from_our_page(method, origin, site, OURS) is allowed


def test_a_session_ends_at_whichever_comes_first() -> None:
    later, sooner = NOW + timedelta(hours=1), NOW + timedelta(minutes=1)
    assert alive(idle_until=sooner, expires_at=later, ended_at=None, now=NOW)
    assert not alive(idle_until=NOW, expires_at=later, ended_at=None, now=NOW)
    assert not alive(idle_until=later, expires_at=NOW, ended_at=None, now=NOW)
    assert not alive(idle_until=later, expires_at=later, ended_at=NOW, now=NOW)


def test_the_wait_is_never_said_shorter_than_it_is() -> None:
    assert wait_words(timedelta(seconds=61)) == "in 2 minutes"
    assert wait_words(timedelta(seconds=60)) == "in a minute"
    assert wait_words(timedelta(milliseconds=500)) == "in a second"
    assert wait_words(timedelta(seconds=4.2)) == "in 5 seconds"


@pytest.mark.parametrize(("agent", "said"), [
    ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", "Firefox on Linux"),
    ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130.0 Safari/537.36 Edg/130.0", "Edge on Windows"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari on iPhone"),
    ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/130.0 Mobile Safari/537.36", "Chrome on Android"),
    ("curl/8", "A browser"),
    ("", "A browser"),
])
def test_a_session_is_named_so_that_its_owner_knows_it(agent: str, said: str) -> None:
    assert browser_words(agent) == said
    assert browser_said(said) == said
