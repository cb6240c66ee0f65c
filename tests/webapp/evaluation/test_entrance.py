"""Who may choose to be an evaluation person: whoever holds a link from the terminal, once."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, g, render_template

from tests.app_parts import Browser
from tests.conftest import Clock
from tests.keeper_parts import PUBLIC_URL
from vault.secret import Secret
from webapp.composition import create_app
from webapp.config import Settings
from webapp.db import Database
from webapp.errors import CountersealError, Forbidden, Unavailable, said
from webapp.evaluation import card, entrance, links, marks, run, steps
from webapp.people.tables import Person
from webapp.web.catalogue import ENGLISH
from webapp.web.house import House
from webapp.web.languages import Language, Languages, Spoken

RUN = run.Run(PUBLIC_URL, "http://127.0.0.1:9001", "http://127.0.0.1:9002", "http://127.0.0.1:9003", Secret("r" * 43))
LATER = replace(RUN, secret=Secret("q" * 43))


@pytest.fixture
def evaluation(house: House, tmp_path: Path) -> House:
    """The house of an evaluation instance that runs."""
    run.write(tmp_path, RUN)
    return replace(house, settings=house.settings.model_copy(update={"evaluation": True, "instance": tmp_path}))


@pytest.fixture
def entered(evaluation: House) -> Browser:
    """A browser at an evaluation instance's app."""
    app: Flask = create_app(evaluation)
    app.test_client_class = Browser
    client = app.test_client()
    assert isinstance(client, Browser)
    return client


def link(house: House, made_by: run.Run = RUN) -> str:
    return links.make(made_by, house.clock().timestamp())


def test_a_link_opens_the_entrance_once(evaluation: House) -> None:
    one = link(evaluation)
    cookie = entrance.spend(evaluation, RUN, one)
    entrance.require(RUN, cookie.reveal(), evaluation.clock())
    with pytest.raises(CountersealError) as refused:
        entrance.spend(evaluation, RUN, one)
    assert refused.value.code == "link_used"


def test_a_link_lives_ten_minutes(evaluation: House, clock: Clock) -> None:
    one = link(evaluation)
    clock.forward(seconds=600)
    with pytest.raises(Forbidden):
        entrance.spend(evaluation, RUN, one)


@pytest.mark.parametrize("guess", ["", "x", "a.b", f"{PUBLIC_URL}/evaluation/enter#", "é.é", "." * 5000])
def test_a_guessed_link_opens_nothing(evaluation: House, guess: str) -> None:
    with pytest.raises(Forbidden):
        entrance.spend(evaluation, RUN, guess)


def test_links_and_cookies_of_an_earlier_run_are_void(evaluation: House) -> None:
    with pytest.raises(Forbidden):
        entrance.spend(evaluation, LATER, link(evaluation))
    cookie = entrance.spend(evaluation, RUN, link(evaluation))
    with pytest.raises(Forbidden):
        entrance.require(LATER, cookie.reveal(), evaluation.clock())


def test_a_link_is_no_cookie_and_a_cookie_no_link(evaluation: House) -> None:
    secret = link(evaluation).partition("#")[2]
    with pytest.raises(Forbidden):
        entrance.require(RUN, secret, evaluation.clock())
    cookie = entrance.spend(evaluation, RUN, link(evaluation))
    with pytest.raises(Forbidden):
        entrance.spend(evaluation, RUN, cookie.reveal())


def test_the_secret_of_a_link_never_reaches_the_server_by_its_address(evaluation: House) -> None:
    parts = urlsplit(link(evaluation))
    assert (parts.path, parts.query) == ("/evaluation/enter", "")
    assert parts.fragment


def test_who_did_not_enter_can_neither_see_nor_choose_a_person(entered: Browser) -> None:
    assert entered.get("/evaluation/people").status_code == 403
    assert post(entered, "/evaluation/people", person="ada")[0] == 403


def token(browser: Browser) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/evaluation/enter").text)
    assert found
    return unescape(found.group(1))


def post(browser: Browser, path: str, **fields: str) -> tuple[int, str]:
    answer = browser.post(path, data={"csrf_token": token(browser), **fields}, headers={"Origin": PUBLIC_URL})
    return answer.status_code, answer.headers.get("Location", "")


def test_the_pages_take_a_link_once_and_say_what_to_do_when_it_was_used(entered: Browser, evaluation: House) -> None:
    one = link(evaluation)
    assert post(entered, "/evaluation/enter", link=one) == (303, "/evaluation/people")
    assert "Ada Lindqvist" in entered.get("/evaluation/people").text
    again = entered.post("/evaluation/enter", data={"csrf_token": token(entered), "link": one}, headers={"Origin": PUBLIC_URL})
    assert again.status_code == 403
    assert "counterseal link" in again.text


def test_nobody_enters_from_another_site(entered: Browser, evaluation: House) -> None:
    """Login CSRF: a page elsewhere that knows a link must not put its visitors behind the entrance."""
    fields = {"csrf_token": token(entered), "link": link(evaluation)}
    refused = entered.post("/evaluation/enter", data=fields, headers={"Origin": "https://evil.example"})
    assert refused.status_code in (400, 403)


def test_signing_in_begins_with_choosing_and_keeps_the_page_that_was_asked_for(entered: Browser) -> None:
    sent = entered.get("/sign-in?next=/actions/act_1")
    assert (sent.status_code, sent.headers["Location"]) == (303, "/evaluation/people?next=/actions/act_1")


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded", "X-Real-IP"])
def test_a_request_that_was_forwarded_is_refused(entered: Browser, header: str) -> None:
    """Behind a proxy, anybody on the network could be Ada."""
    assert entered.get("/evaluation/enter", headers={header: "203.0.113.9"}).status_code == 421
    assert entered.post("/mcp/bank", json={}).status_code != 421
    assert entered.post("/mcp/bank", json={}, headers={header: "203.0.113.9"}).status_code == 421


def test_the_room_is_not_there_in_a_real_instance(app: Flask) -> None:
    assert not [rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/evaluation")]


@pytest.mark.parametrize("changed", [
    {"public_url": "https://approvals.example.com"}, {"public_url": "http://127.0.0.1:8000"}, {"public_url": "https://localhost"},
    {"web": {"trusted_proxies": ["10.0.0.1"]}},
])
def test_an_evaluation_instance_is_on_localhost_and_behind_nothing(changed: dict[str, object]) -> None:
    with pytest.raises(Unavailable):
        marks.check_settings(Settings(evaluation=True, **changed))  # type: ignore[arg-type]


def test_an_evaluation_instance_never_becomes_a_real_one(database: Database, clock: Clock) -> None:
    database.write(lambda s: marks.settle(s, evaluation=True, now=clock()))
    database.write(lambda s: marks.settle(s, evaluation=True, now=clock()))
    with pytest.raises(Unavailable, match="never becomes a real one"):
        database.write(lambda s: marks.settle(s, evaluation=False, now=clock()))


def test_an_instance_with_real_people_never_becomes_one_for_evaluation(database: Database, clock: Clock) -> None:
    database.write(lambda s: marks.settle(s, evaluation=False, now=clock()))
    database.write(lambda s: s.add(Person(
        id="per_1", issuer="https://sso.example", subject="1", name="A", email="", groups=[], created_at=clock(), seen_at=clock()
    )))
    with pytest.raises(Unavailable, match="for real"):
        database.write(lambda s: marks.settle(s, evaluation=True, now=clock()))


def test_the_secret_of_the_run_is_readable_by_its_owner_alone(evaluation: House) -> None:
    assert (evaluation.settings.instance / "run" / run.FILE).stat().st_mode & 0o777 == 0o600


def test_a_link_that_an_agent_writes_and_that_leaves_this_instance_is_not_a_link(evaluation: House) -> None:
    file = steps.path(evaluation.settings.instance, "per_1")
    file.parent.mkdir(parents=True)
    file.write_text('{"at":"2026-11-22T18:00:00+00:00","kind":"held","text":"Open this","url":"https://evil.example/actions/1"}\n')
    shown = card.look(evaluation, "per_1")
    assert shown.running
    assert shown.waits_for is None
    assert [step.url for step in shown.steps] == [""]


def test_a_step_is_said_in_the_language_of_the_page_and_an_answer_as_it_came(entered: Browser, evaluation: House) -> None:
    """Attack: an agent or a server writes a sentence of ours, and the page would say it as if it were ours."""
    file = steps.path(evaluation.settings.instance, "per_1")
    file.parent.mkdir(parents=True)
    written = [
        steps.line("asked", steps.ASKED), steps.line("refused", str(steps.ENDED)),
        steps.line("tools", said("It may use: %(tools)s", tools="send_payment, <b>")),
    ]
    file.write_text("".join(f"{one}\n" for one in written))
    app = entered.application
    app.extensions["languages"] = Languages([Language("en", ENGLISH), Language("de")])
    shown = card.look(evaluation, "per_1")
    assert [step.ours for step in shown.steps] == [True, False, True]
    with app.app_context():
        g.viewer, g.spoken = None, Spoken(Language("de"), "de")
        page = render_template("evaluation/_steps.html", card=shown, token="")
    assert "<span>Ledger Desk wurde gebeten, es zu versuchen.</span>" in page
    assert f'Verweigert.</strong> <bdi lang="en">{steps.ENDED}</bdi>' in page
    assert "Er darf benutzen: send_payment, &lt;b&gt;" in page


@pytest.mark.parametrize("person", ["../keeper/door", "", "a/b", "x" * 81])
def test_a_persons_id_cannot_name_another_file(evaluation: House, person: str) -> None:
    with pytest.raises(ValueError, match="not a person"):
        steps.path(evaluation.settings.instance, person)


def test_no_scenario_but_those_on_the_card_reaches_the_agent(evaluation: House) -> None:
    with pytest.raises(CountersealError) as refused:
        card.tell(evaluation, "per_1", "send-everything")
    assert refused.value.code == "bad_input"

