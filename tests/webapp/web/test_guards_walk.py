"""Every route says who may come in, and a stranger is kept out of all that are not open to everyone."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.routing import Rule

from tests.app_parts import Browser, People
from tests.keeper_parts import PUBLIC_URL
from webapp.composition import create_app
from webapp.people import guard
from webapp.web.guards import GUARDS, guard_of, person
from webapp.web.house import House

OPEN = {"public", "machine"}
SIGNING_IN = {
    "/sign-in/second", "/sign-in/recovery", "/sign-in/readmitted", "/sign-out", "/you/factors/first", "/you/factors/passkey",
    "/you/factors/totp",
}
"""What is open before the second step: taking it, setting up the first one, and leaving."""
HOSTS = ("evil.example", "localhost:8001", "localhost", "localhost.evil.example:8000", "[::1]:8000")
ELSEWHERE = (
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "cross-site"},
)

# What is tried here is decided before the database is asked; sessions are tried on both elsewhere.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def walk(app: Flask) -> list[tuple[Rule, str, str]]:
    """Each rule, a method it takes and its mark."""
    found = []
    for rule in app.url_map.iter_rules():
        mark = guard_of(app.view_functions[rule.endpoint])
        assert mark in GUARDS, f"{rule.rule} has no mark"
        found += [(rule, method, mark) for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]
    return found


def path(rule: Rule) -> str:
    return rule.build({name: 1 if "int" in type(rule._converters[name]).__name__.lower() else "x" for name in rule.arguments})[1]  # type: ignore[index]


def test_a_stranger_is_sent_to_sign_in_or_refused_on_every_route(app: Flask, signed_in: People) -> None:
    stranger = signed_in.stranger()
    for rule, method, mark in walk(app):
        if mark in OPEN:
            continue
        answer = stranger.open(path(rule), method=method, headers={"Accept": "text/html"})
        if method == "GET":
            assert answer.status_code == 303, (rule.rule, answer.status)
            assert answer.headers["Location"].startswith("/sign-in"), rule.rule
        else:
            assert answer.status_code == 401, (method, rule.rule, answer.status)


def test_whoever_has_not_taken_the_second_step_comes_in_nowhere(app: Flask, signed_in: People) -> None:
    """Every page but those of signing in: an admin's groups make no difference."""
    ada = signed_in.first_step("ada", groups=["admin", "audit", "finance"])
    for rule, method, mark in walk(app):
        if mark in OPEN or mark == "signing_in":
            continue
        answer = ada.open(path(rule), method=method, headers={"Accept": "text/html"})
        if method == "GET":
            assert answer.status_code == 303, (rule.rule, answer.status)
            assert answer.headers["Location"].startswith("/sign-in/second"), rule.rule
        else:
            assert answer.status_code == 401, (method, rule.rule, answer.status)
            assert "Finish signing in first." in answer.text
    assert {rule.rule for rule, _method, mark in walk(app) if mark == "signing_in"} == SIGNING_IN


def test_a_program_without_a_session_gets_401_on_every_route(app: Flask, signed_in: People) -> None:
    stranger = signed_in.stranger()
    for rule, method, mark in walk(app):
        if mark not in OPEN:
            answer = stranger.open(path(rule), method=method, headers={"Accept": "application/json"})
            assert answer.status_code == 401, (method, rule.rule)
            assert answer.json is not None
            assert answer.json["error"] == "not_signed_in"


def test_a_live_page_whose_session_ended_is_told_where_to_go(signed_in: People) -> None:
    """htmx swaps no sign-in page into a part: it goes there, and comes back to the page, never to another site."""
    ours, evil = f"{PUBLIC_URL}/actions?tab=all", "http://localhost:8000//evil.example"
    for page, then in ((ours, "/sign-in?next=/actions%3Ftab%3Dall"), (evil, "/sign-in")):
        headers = {"HX-Request": "true", "HX-Current-URL": page}
        answer = signed_in.stranger().get("/you", headers=headers)
        assert (answer.status_code, answer.headers["HX-Redirect"], answer.text) == (401, then, "")


def test_a_made_up_cookie_is_a_stranger(signed_in: People) -> None:
    browser = signed_in.stranger()
    for value in ("", "x", "a" * 43, "a" * 4000, "\x00", "' OR 1=1 --"):
        browser.set_cookie("counterseal_session", value, domain="localhost")
        assert browser.get("/you").status_code == 303, value


def test_every_page_that_a_stranger_may_not_see_is_not_cached_and_every_answer_has_the_headers(signed_in: People) -> None:
    answer = signed_in.stranger().get("/sign-in")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_an_app_with_an_unmarked_route_does_not_start(house: House) -> None:
    made = create_app(house)
    made.add_url_rule("/unmarked", view_func=lambda: "hello")
    with pytest.raises(RuntimeError, match="/unmarked"):
        guard.check_marks(made)


def test_an_unmarked_route_that_slipped_in_is_open_to_nobody(house: House) -> None:
    made = create_app(house)
    made.test_client_class = Browser
    made.add_url_rule("/unmarked", view_func=lambda: "hello")
    assert made.test_client().get("/unmarked").status_code == 403


def test_a_mark_that_nobody_knows_is_open_to_nobody(house: House) -> None:
    made = create_app(house)

    def view() -> str:
        return "hello"

    marked = person(view)
    marked.counterseal_guard = "everyone"  # type: ignore[attr-defined]
    made.add_url_rule("/odd", view_func=marked)
    with pytest.raises(RuntimeError, match="/odd"):
        guard.check_marks(made)


def test_the_sign_in_page_says_where_one_wanted_to_go(signed_in: People) -> None:
    answer = signed_in.stranger().get("/you?a=1&b=2")
    assert answer.headers["Location"] == "/sign-in?next=/you%3Fa%3D1%26b%3D2"
    page = signed_in.stranger().get(answer.headers["Location"])
    assert 'name="next" value="/you?a=1&amp;b=2"' in page.text


def test_another_host_is_misdirected(signed_in: People) -> None:
    """DNS rebinding: a page of evil.example that resolves to this machine."""
    for host in HOSTS:
        for where in ("/sign-in", "/healthz", "/you"):
            assert signed_in.stranger().get(where, base_url=f"http://{host}").status_code == 421, (host, where)


def test_a_page_by_number_leads_to_the_name_and_only_a_page_load(signed_in: People, house: House) -> None:
    """WebAuthn refuses an IP address as rpId, so an evaluation instance is at localhost; any other has one name alone."""
    by_number = "http://127.0.0.1:8000"
    assert signed_in.stranger().get("/sign-in", base_url=by_number).status_code == 421
    house.settings.evaluation = True
    answer = signed_in.stranger().get("/sign-in?next=/you", base_url=by_number)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{PUBLIC_URL}/sign-in?next=/you")
    assert signed_in.stranger().post("/sign-in/start", base_url=by_number).status_code == 421


def test_another_sites_form_does_nothing_though_it_had_a_token(signed_in: People) -> None:
    browser = signed_in.stranger()
    for headers in ELSEWHERE:
        answer = browser.post("/sign-in/start", data={"csrf_token": browser.token()}, headers=headers)
        assert answer.status_code == 403, headers
        assert "cross_site" in answer.text


def test_a_form_without_our_token_does_nothing(signed_in: People) -> None:
    browser, other = signed_in.stranger(), signed_in.stranger()
    browser.token()
    for token in ("", "x", other.token()):
        answer = browser.post("/sign-in/start", data={"csrf_token": token}, headers={"Origin": PUBLIC_URL})
        assert answer.status_code == 400
        assert "csrf" in answer.text
