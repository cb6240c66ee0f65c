"""`serve --only`: what a process does not serve is refused before anything else is looked at; what it serves is as everywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from flask import Flask

from tests.app_parts import Browser
from tests.webapp.web.test_guards_walk import path, walk
from webapp.composition import create_app
from webapp.web.house import House
from webapp.web.serves import BOTH

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ELSEWHERE = 421


def serving(house: House, only: Literal["pages", "gateway"]) -> Flask:
    made = create_app(replace(house, settings=house.settings.model_copy(update={"only": only})))
    made.test_client_class = Browser
    return made


@pytest.mark.parametrize("only", ["pages", "gateway"])
def test_each_process_serves_its_own_side_and_no_other(house: House, only: Literal["pages", "gateway"]) -> None:
    app = serving(house, only)
    for rule, method, mark in walk(app):
        ours = rule.endpoint in BOTH or (mark == "machine" if only == "gateway" else not rule.rule.startswith("/mcp/"))
        answer = app.test_client().open(path(rule), method=method)
        assert (answer.status_code != ELSEWHERE) == ours, (only, method, rule.rule, answer.status)


def test_a_call_reaches_no_process_for_pages(house: House) -> None:
    """Also not by the short way that calls take past the app."""
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    for only, status in (("pages", ELSEWHERE), ("gateway", 401)):
        answer = serving(house, only).test_client().post("/mcp/bank", data=b"{}", headers=headers)  # type: ignore[arg-type]
        assert answer.status_code == status, only


def test_a_page_that_is_served_elsewhere_says_so(house: House) -> None:
    answer = serving(house, "gateway").test_client().get("/actions", headers={"Accept": "text/html"})
    assert "does not serve that address" in answer.text
