"""What a client may say of itself."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.clients.rules import NAME_LENGTH, NAMELESS, clean_name, matches, read_redirect_uri, source_of
from webapp.errors import BadInput

OURS = "https://seal.example"
GOOD = [
    "https://app.example/cb",
    "https://app.example:8443/cb?from=us&x=%2F",
    "https://app.example",
    "https://10.0.0.7/cb",
    "https://xn--bcher-kva.example/cb",
    "http://localhost/cb",
    "http://localhost:3118/callback",
    "http://127.0.0.1:1/",
    "http://[::1]:51004/cb",
    "com.example.app:/oauth2redirect",
    "com.example.app-2:/cb?x=1",
]
OURS_TOO = [(f"{OURS}:443/connections/callback", OURS), (f"{OURS}/x", f"{OURS}:443"), ("http://localhost:80/x", "http://localhost")]
TRICKS = [
    "",
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "myapp:/cb",  # no dot: nobody's domain in reverse
    "com.example.app://host/cb",
    "//app.example/cb",
    "/cb",
    "http://app.example/cb",
    "http://localhost.evil.example/cb",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.2/cb",
    "http://127.1/cb",
    "http://[::1].evil.example/",
    "http://[::ffff:127.0.0.1]/cb",
    "http://localhost:0/cb",
    "http://localhost:65536/cb",
    "http://localhost:99999/cb",
    "http://localhost:80:80/cb",
    "http://localhost@evil.example/cb",
    "https://app.example@evil.example/cb",
    "https://user:pass@app.example/cb",
    "https://app.example/cb#fragment",
    "https://app.example/cb#",
    "https://app.example./cb",
    "https://APP.example/cb",
    "HTTPS://app.example/cb",
    "https://аpp.example/cb",  # a Cyrillic letter
    "https://app。example/cb",
    "https://app.example\\@evil.example/cb",
    "https:\\\\app.example/cb",
    "https:app.example/cb",
    "https:///cb",
    "https://app.example/c b",
    "https://app.example/cb\n",
    "https://app.example/\tcb",
    "https://app.example/%",
    "https://app.example/%zz",
    "https://app%2eexample/cb",
    "https://-app.example/cb",
    "https://app..example/cb",
    "https://2130706433/cb",
    "https://0x7f.1/cb",
    "https://127.0.0.1.5/cb",
    "https://1.2.3.04/cb",
    "https://[::1]/cb",
    "https://seal.example/actions",  # ourselves
    "https://app.example/" + "a" * 500,
]


@pytest.mark.parametrize("uri", GOOD)
def test_a_redirect_uri_is_https_or_loopback_or_an_apps_own_scheme(uri: str) -> None:
    assert matches([uri], uri)
    read_redirect_uri(uri, OURS)


@pytest.mark.parametrize("uri", TRICKS)
def test_a_redirect_uri_that_could_pass_for_another_is_refused(uri: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_redirect_uri(uri, OURS)
    assert caught.value.code == "invalid_redirect_uri"


@pytest.mark.parametrize(("uri", "ours"), OURS_TOO)
def test_our_own_address_is_ours_with_its_port_spelled_out_too(uri: str, ours: str) -> None:
    with pytest.raises(BadInput):
        read_redirect_uri(uri, ours)


def test_another_port_is_another_place() -> None:
    assert read_redirect_uri(f"{OURS}:8443/cb", OURS).port == "8443"


def test_the_origin_that_a_page_allows_is_the_redirects_and_no_more() -> None:
    assert read_redirect_uri("https://app.example:8443/cb?x=1").origin == "https://app.example:8443"
    assert read_redirect_uri("http://[::1]:7/cb").origin == "http://[::1]:7"
    assert read_redirect_uri("com.example.app:/cb").origin == "com.example.app:"


@pytest.mark.parametrize(("registered", "asked", "same"), [
    ("http://localhost/cb", "http://localhost:5555/cb", True),
    ("http://localhost:1/cb", "http://localhost/cb", True),
    ("http://127.0.0.1:1/cb?a=b", "http://127.0.0.1:2/cb?a=b", True),
    ("http://[::1]:1/cb", "http://[::1]:2/cb", True),
    ("http://localhost/cb", "http://127.0.0.1/cb", False),
    ("http://localhost/cb", "http://localhost:5555/other", False),
    ("http://localhost/cb", "http://localhost:5555/cb?x=1", False),
    ("http://localhost/cb", "http://localhost:5555/cb#x", False),
    ("http://localhost/cb", "http://localhost:5555@evil.example/cb", False),
    ("http://localhost/cb", "http://localhost:99999/cb", False),
    ("http://localhost/cb", "https://localhost/cb", False),
    ("https://app.example/cb", "https://app.example:8443/cb", False),
    ("https://app.example/cb", "https://app.example:443/cb", False),
    ("https://app.example/cb", "https://app.example/cb/", False),
    ("https://app.example/cb", "https://app.example/cb?x=1", False),
    ("https://app.example/cb", "https://app.example/x/../cb", False),
    ("https://app.example/cb", "https://app.example/%63b", False),
    ("com.example.app:/cb", "com.example.app:/cb2", False),
])
def test_only_the_port_of_a_loopback_redirect_may_differ(registered: str, asked: str, same: bool) -> None:
    """RFC 8252 section 7.3; RFC 9700 section 2.1."""
    assert matches([registered], asked) is same


URIS = st.one_of(
    st.sampled_from([*GOOD, *TRICKS]),
    st.builds(
        "{}://{}{}{}{}".format,
        st.sampled_from(["http", "https", "HTTP", "com.example.app"]), st.sampled_from(["", "a@", "localhost@"]),
        st.sampled_from(["localhost", "127.0.0.1", "[::1]", "app.example", "localhost.", "LOCALHOST", "evil.example"]),
        st.sampled_from(["", ":80", ":1", ":65535", ":65536", ":x", ":"]), st.text("/cb?#@%\\.a", max_size=6),
    ),
    st.text(max_size=40),
)


@given(registered=URIS, asked=URIS)
def test_what_matches_differs_at_most_in_a_loopback_port(registered: str, asked: str) -> None:
    """Whatever two strings: a match is the same string, or both are http on the same loopback host with the same path."""
    if not matches([registered], asked) or registered == asked:
        return
    one, other = read_redirect_uri(registered), read_redirect_uri(asked)
    assert one.loopback
    assert (one.scheme, one.host, one.tail) == (other.scheme, other.host, other.tail)


@given(st.text(max_size=200))
def test_no_text_at_all_makes_the_rules_stumble(text: str) -> None:
    """Refused or accepted; and what is accepted is plain ASCII without a fragment, a user name or a blank."""
    try:
        read_redirect_uri(text)
    except BadInput:
        return
    assert text.isascii()
    assert text.isprintable()
    assert not set(text) & set(' #@\\"<>') or "@" in text.partition("://")[2].partition("/")[2]


@given(st.text(max_size=300))
def test_a_name_is_short_and_shows_only_what_it_says(text: str) -> None:
    name = clean_name(text)
    assert 0 < len(name) <= NAME_LENGTH
    assert not any(unicodedata.category(char).startswith("C") for char in name)
    assert name == " ".join(name.split())


def test_a_name_cannot_turn_the_sentence_it_stands_in() -> None:
    assert clean_name("Ledger\u202eksed\u2066\u200b Desk") == "Ledgerksed Desk"
    assert clean_name("Desk” is safe. The agent “Eve") == "Desk' is safe. The agent 'Eve"
    assert clean_name("two\nlines\x00\tand a tab") == "two lines and a tab"
    assert len(clean_name("Z" + "\u0301" * 60)) < 5
    assert clean_name(None) == clean_name(" \u200d ") == NAMELESS


def test_an_ipv6_customer_is_one_source() -> None:
    assert source_of("2001:db8:1:2:aaaa::1") == source_of("2001:db8:1:2:bbbb::9") == "2001:db8:1:2::/64"
    assert source_of("::ffff:192.0.2.7") == source_of("192.0.2.7") == "192.0.2.7"
    assert source_of(None) == source_of("proxy, other") == "unknown"
