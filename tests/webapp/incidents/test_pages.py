"""Who may open an incident, on what, and who is told."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import func, select

from tests import token_parts
from tests.keeper_parts import PUBLIC_URL
from tests.scripted_provider import Scripted
from tests.webapp.incidents.conftest import Scene
from tests.webapp.registry.parts import put
from webapp.incidents import targets
from webapp.incidents.rules import KINDS
from webapp.incidents.tables import Incident
from webapp.people.tables import Person
from webapp.registry.rules import Approval
from webapp.web.catalogue import ENGLISH
from webapp.web.languages import Language, Languages

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def opened(scene: Scene) -> int:
    with scene.house.database.read() as session:
        return session.scalar(select(func.count()).select_from(Incident)) or 0


def test_a_plain_user_opens_none_on_another_and_sees_none(scene: Scene, provider: Scripted) -> None:
    bob = scene.people("bob")
    targets = [
        ("person", scene.ada.person), ("person", scene.ruth.person), ("person", "ada@people.example"),
        ("connection", scene.account), ("client", scene.desk.id),
        ("server", "bank"), ("provider", "harbour"), ("connection", "con_none"), ("", "x"),
    ]
    for kind, name in targets:
        assert bob.send("/incidents", kind=kind, name=name, reason="Because.").status_code == 403, kind
        assert bob.send("/you/incident", kind=kind, name=name, reason="Because.").status_code in (400, 403), kind
        assert bob.get(f"/you/incident?kind={kind}&name={name}").status_code in (400, 403), kind
    incident = scene.open("connection", scene.account)
    for path in ("/incidents", "/incidents/new", "/incidents/ledger", f"/incidents/{incident}"):
        assert bob.get(path).status_code == 403, path
    for path in ("resume", "close"):
        assert bob.send(f"/incidents/{incident}/{path}", note="x").status_code == 403, path
    assert bob.send(f"/incidents/{incident}/dismiss").status_code == 404
    assert opened(scene) == 1
    assert "Incidents" not in bob.get("/").text


def test_an_owner_reads_no_name_of_a_server_that_they_allowed_no_agent_to_use(scene: Scene) -> None:
    """What an account's own preview says is in reach: servers are not everybody's to know."""
    for name, title in (("bank", "Harbour Bank"), ("vaults", "Vaults of Ruth")):
        scene.house.database.write(lambda s, name=name, title=title: put(
            s, name=name, title=title, url=f"https://{name}.example/mcp", provider="harbour",
            approvals={"get_balance": Approval("read", provider="harbour", scopes=("accounts:read",))},
        ))
    page = scene.ada.get(f"/you/incident?kind=connection&name={scene.account}").text
    assert "at Harbour Bank:" in page
    assert "Vaults of Ruth" not in page
    assert "Vaults of Ruth" in scene.ruth.get("/incidents/new?kind=provider&name=harbour").text


def test_an_id_is_the_persons_whose_it_is_whatever_anybodys_address_says(scene: Scene) -> None:
    """Attack: somebody's identity provider says that their address is Ada's id, and nobody can suspend Ada."""
    bob = scene.people("bob")
    scene.house.database.write(lambda s: setattr(s.get_one(Person, bob.person), "email", scene.ada.person))
    scene.open("person", scene.ada.person)
    with scene.house.database.read() as session:
        assert session.get_one(Person, scene.ada.person).suspended
        assert targets.find(session, scene.house.settings, "person", "ADA@people.example").id == scene.ada.person


def test_a_form_of_another_site_opens_resumes_and_closes_nothing(scene: Scene) -> None:
    incident = scene.open("connection", scene.account)
    fields = {"kind": "person", "name": scene.ada.person, "reason": "Because.", "note": "Well.", "subject": scene.account}
    paths = ("/incidents", "/you/incident", "/incidents/ledger/by-hand", *(
        f"/incidents/{incident}/{what}" for what in ("resume", "close", "dismiss")
    ))
    for path in paths:
        assert scene.ruth.post(path, data=fields, headers={"Origin": PUBLIC_URL}).status_code == 400, path
        evil = scene.ruth.post(path, data={**fields, "csrf_token": scene.ruth.token()}, headers={"Origin": "https://evil.example"})
        assert evil.status_code == 403, path
    assert opened(scene) == 1
    assert scene.row().suspended == incident


def test_an_admin_sees_the_blast_radius_first_and_then_the_report(scene: Scene) -> None:
    ruth = scene.ruth
    assert "Agent or token client" in ruth.get("/incidents/new").text
    assert "ada@people.example" in ruth.get("/incidents/new?kind=person").text
    assert "There is no such person" in ruth.get("/incidents/new?kind=person&name=nobody").text
    page = ruth.get(f"/incidents/new?kind=person&name={scene.ada.person}").text
    assert "Nothing has been done yet" in page
    assert "Harbour Bank, of Ada. Money: " in page
    assert opened(scene) == 0
    assert ruth.send("/incidents", kind="person", name=scene.ada.person, reason=" ").status_code == 400
    done = ruth.send("/incidents", kind="person", name=scene.ada.person, reason="A <b>stolen</b> laptop.")
    assert done.status_code == 303
    report = ruth.get(done.headers["Location"]).text
    assert "A &lt;b&gt;stolen&lt;/b&gt; laptop." in report
    assert "Harbour Bank has not confirmed" in report
    assert "Suspended" in ruth.get("/incidents").text
    assert ruth.send("/incidents", kind="person", name=scene.ada.person, reason="Again.").status_code == 409
    assert "Harbour Bank has not confirmed" in ruth.get("/incidents/ledger").text


def test_an_admin_opens_one_on_each_kind_of_subject(scene: Scene) -> None:
    for kind, name in scene.subjects().items():
        preview = scene.ruth.get(f"/incidents/new?kind={kind}&name={name}")
        assert "Suspend it now" in preview.text, kind
        done = scene.ruth.send("/incidents", kind=kind, name=name, reason=f"About the {kind}.")
        assert done.status_code == 303, kind
        report = scene.ruth.get(done.headers["Location"]).text
        assert f"About the {kind}." in report
        assert "Resume it" in report, kind
        assert scene.ruth.send("/incidents", kind=kind, name=name, reason="Again.").status_code == 409, kind
    with scene.house.database.read() as session:
        assert sorted(session.scalars(select(Incident.kind))) == sorted(KINDS)


def test_a_person_stops_themself_and_is_out_at_once(scene: Scene) -> None:
    page = scene.ada.get("/you/incident?kind=person").text
    assert "You are signed out at once" in page
    done = scene.ada.send("/you/incident", kind="person", name=scene.ada.person, reason="That was not me.")
    assert done.status_code == 200
    assert "Everything in your name is stopped" in done.text
    assert scene.ada.get("/you").status_code == 303


def test_those_concerned_see_it_until_they_put_it_away_and_nobody_else_does(scene: Scene, provider: Scripted) -> None:
    bob = scene.people("bob")
    token_parts.account(scene.house, provider, bob.person, entry="harbour")
    scene.open("connection", scene.account, reason="Seen on a forum.")
    for path in ("/", "/connections"):
        assert "Seen on a forum." in scene.ada.get(path).text, path
        assert "Seen on a forum." not in bob.get(path).text, path
    with scene.house.database.read() as session:
        incident = session.scalars(select(Incident.id)).one()
    assert bob.send(f"/incidents/{incident}/dismiss").status_code == 404
    assert scene.ada.send(f"/incidents/{incident}/dismiss").status_code == 303
    assert scene.ada.send(f"/incidents/{incident}/dismiss").status_code == 303
    assert "Seen on a forum." not in scene.ada.get("/").text


def test_no_secret_is_in_any_of_it(scene: Scene) -> None:
    house = scene.house
    minted = house.door.mint(connection=scene.account, person=scene.ada.person, scopes=["accounts:read"], receiver="bank", cap=60)
    incident = scene.open("person", scene.ada.person)
    pages = scene.ruth.get(f"/incidents/{incident}").text + scene.ruth.get("/incidents/ledger").text
    assert minted.token.reveal() not in pages
    assert "refresh-secret" not in pages


def test_a_report_is_in_the_language_of_whoever_reads_it(scene: Scene, app: Flask) -> None:
    """It is kept in English, whatever whoever opened it reads; what an account may do is not kept in their words."""
    app.extensions["languages"] = Languages([Language("en", ENGLISH), Language("de")])
    scene.ruth.environ_base["HTTP_ACCEPT_LANGUAGE"] = "de"
    preview = scene.ruth.get(f"/incidents/new?kind=person&name={scene.ada.person}").text
    assert scene.ruth.send("/incidents", kind="person", name=scene.ada.person, reason="A theft.").status_code == 303
    with scene.house.database.read() as session:
        row = session.scalars(select(Incident)).one()
    account = next(part for part in row.radius["parts"] if part["key"] == "pauses")["items"][0]
    assert account["text"].startswith("Harbour Bank, of Ada. ")
    assert "Read: " in account["text"]
    pages = {tag: scene.people(f"{tag}-ruth", groups=["admin"]) for tag in ("de", "en")}
    shown = {}
    for tag, browser in pages.items():
        browser.environ_base["HTTP_ACCEPT_LANGUAGE"] = tag
        shown[tag] = browser.get(f"/incidents/{row.id}").text
    assert account["text"] in shown["en"]
    for page in (preview, shown["de"]):
        assert "Harbour Bank, von Ada. " in page
        assert "Accounts that are paused" not in page
        assert "Only" not in page
