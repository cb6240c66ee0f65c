"""The page for those who run an instance: it leads nobody where they may not go, and everybody where they may."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from tests.app_parts import Browser, People
from webapp.web.guards import guard_of

# Which links are shown depends on the ticket alone.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
THEIRS = ("admin", "auditor")
MENU = re.compile(r'<nav aria-label="Main">(.*?)</nav>', re.DOTALL)


def links(browser: Browser) -> set[str]:
    main = browser.get("/operate").text.split("<main", 1)[1]
    return set(re.findall(r'href="(/[^"]*)"', main)) - {"/operate"}


@pytest.mark.parametrize("groups", [("admin", "audit"), ("admin",), ("audit",), ("finance",), ("user",)])
def test_every_link_leads_somewhere(signed_in: People, groups: tuple[str, ...]) -> None:
    ada = signed_in("ada", groups=groups)
    found = links(ada)
    assert found
    assert {href: ada.get(href).status_code for href in found} == dict.fromkeys(found, 200)


def test_admins_and_auditors_reach_every_page_that_is_theirs_alone(app: Flask, signed_in: People) -> None:
    """Each page without arguments that only they may open, but its parts and files, is a link here."""
    rules = [
        rule.rule for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.arguments and guard_of(app.view_functions[rule.endpoint]) in THEIRS
    ]
    found = links(signed_in("ada", groups=("admin", "audit")))
    assert {rule for rule in rules if not rule.endswith("/new")} - found == set()


def test_the_menu_has_room_on_a_phone(signed_in: People) -> None:
    """Five at most, whoever looks; only who has something to operate finds that in it."""
    for name, groups, operates in (("ada", ("admin",), True), ("eva", ("audit",), True), ("jonas", ("finance",), False)):
        menu = MENU.search(signed_in(name, groups=groups).get("/you").text)
        assert menu
        hrefs = re.findall(r'href="([^"]+)"', menu[1])
        assert hrefs == ["/actions", "/history", "/connections", *(["/operate"] if operates else []), "/you"]
