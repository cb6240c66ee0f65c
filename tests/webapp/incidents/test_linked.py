"""Whoever has one sign-in of a person may have the others: an incident names them, and suspends them with it where asked."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.app_parts import Browser
from tests.webapp.incidents.conftest import Scene
from tests.webapp.incidents.test_commands import type_
from webapp.incidents import ending
from webapp.incidents.tables import Incident
from webapp.people import linking
from webapp.people.tables import Person

__all__ = ["type_"]
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def home(scene: Scene) -> Browser:
    """Ada's other sign-in."""
    made = scene.people("home")
    linking.link(scene.house, scene.ada.person, made.person)
    return made


def suspended(scene: Scene, who: Browser) -> str:
    with scene.house.database.read() as session:
        return session.get_one(Person, who.person).suspended


def subjects(scene: Scene) -> list[str]:
    with scene.house.database.read() as session:
        return list(session.scalars(select(Incident.subject).order_by(Incident.id)))


def test_the_page_names_the_other_sign_in_and_suspends_it_too_unless_told_not_to(scene: Scene, home: Browser) -> None:
    page = scene.ruth.get(f"/incidents/new?kind=person&name={scene.ada.person}").text
    assert f'name="also" value="{home.person}" checked' in page
    fields = {"kind": "person", "name": scene.ada.person, "reason": "A stolen laptop."}
    assert scene.ruth.send("/incidents", **fields, also=home.person).status_code == 303
    assert set(subjects(scene)) == {scene.ada.person, home.person}
    assert suspended(scene, home) != suspended(scene, scene.ada) != ""
    assert home.get("/").status_code in (303, 401, 403)
    assert f"/incidents/{suspended(scene, home)}" in scene.ruth.get(f"/incidents/{suspended(scene, scene.ada)}").text


def test_left_out_it_is_offered_on_the_incidents_page(scene: Scene, home: Browser) -> None:
    fields = {"kind": "person", "name": scene.ada.person, "offered": home.person}
    again = scene.ruth.send("/incidents", **fields, reason=" ")
    assert again.status_code == 400
    assert f'name="also" value="{home.person}">' in again.text, "what was unticked stays so"
    made = scene.ruth.send("/incidents", **fields, reason="A stolen laptop.")
    assert suspended(scene, home) == ""
    assert f"kind=person&amp;name={home.person}" in scene.ruth.get(made.headers["Location"]).text


def test_only_the_same_persons_sign_ins_go_with_it(scene: Scene, home: Browser) -> None:
    """Attack: a plain user suspends somebody else together with themself."""
    fields = {"kind": "person", "name": scene.ada.person, "reason": "Mine."}
    assert scene.ada.send("/you/incident", **fields, also=scene.ruth.person).status_code == 400
    assert scene.ada.send("/you/incident", kind="connection", name=scene.account, reason="x", also=home.person).status_code == 400
    assert subjects(scene) == []
    assert scene.ada.send("/you/incident", **fields, also=home.person).status_code == 200
    assert set(subjects(scene)) == {scene.ada.person, home.person}


def test_one_that_is_suspended_already_stays_so_by_what_suspended_it(scene: Scene, home: Browser) -> None:
    before = scene.open("person", home.person)
    page = scene.ruth.get(f"/incidents/new?kind=person&name={scene.ada.person}").text
    assert "is suspended already" in page
    fields = {"kind": "person", "name": scene.ada.person, "reason": "A stolen laptop."}
    assert scene.ruth.send("/incidents", **fields, also=home.person).status_code == 303
    assert suspended(scene, home) == before
    assert len(subjects(scene)) == 2


def test_nobody_ends_an_incident_about_their_other_sign_in(scene: Scene) -> None:
    """Attack: an admin with two sign-ins is suspended as one, and resumes it as the other."""
    linking.link(scene.house, scene.ada.person, scene.ruth.person)
    incident = scene.open("person", scene.ada.person)
    assert "another administrator" in scene.ruth.get(f"/incidents/{incident}").text
    for what in ("resume", "close"):
        assert scene.ruth.send(f"/incidents/{incident}/{what}", note="Nothing.").status_code == 403
    scene.house.database.write(lambda s: ending.lift(s, incident, "cli", scene.house.clock()))


def test_an_operator_is_told_of_them_and_suspends_them_with_one_word(scene: Scene, home: Browser, type_: Any) -> None:
    told = type_("open", "person", scene.ada.person, "--dry-run").output
    assert f"({home.person}), not suspended" in told
    assert type_("open", "person", scene.ada.person, "--reason", "Stolen.", "--linked").exit_code == 0
    assert suspended(scene, home)
