"""What a held call depended on changes while it waits: it is void, with what changed. What does not matter voids nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from sqlalchemy import delete, select, update

from tests.app_parts import PUBLIC_URL
from tests.browser_parts import chromium, look_through, open_page, served
from tests.browser_parts import looked_at as looked_at_page
from tests.conftest import Clock
from tests.keeper_parts import KeeperParts
from tests.webapp.approvals.parts import decide
from tests.webapp.gateway.conftest import CLASSES, Agent, World
from tests.webapp.gateway.peers import Peer
from webapp.approvals.pace.tables import Report
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action
from webapp.clients.tables import Client
from webapp.composition import job_handlers
from webapp.config import Settings
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.due import Due
from webapp.errors import BadInput
from webapp.oauth import grants
from webapp.people import cookies
from webapp.people.tables import Person
from webapp.policy import active, schema_check
from webapp.registry import drift as registry
from webapp.registry.rules import Approval
from webapp.registry.tables import Server, Tool
from webapp.web.house import House

pytestmark = [pytest.mark.real, pytest.mark.both]
WITH_ACCOUNT = Approval("destroy", provider="harbour", scopes=("accounts:read",))
DESTROYING = 'forbid (principal, action, resource in ToolGroup::"destroy")'
TWO = f'@id("two")\n@hold("approvers=finance quorum=2")\n@reason("Two of finance")\n{DESTROYING};'
OTHER_WORDS = TWO.replace("quorum=2", "quorum=1")
NEVER = f'@id("never")\n@reason("Only users")\n{DESTROYING} unless {{ principal in Group::"user" }};'
NOBODY = NEVER.replace('"user"', '"no"')
ELSEWHERE = '@id("elsewhere")\n@reason("Not here")\nforbid (principal, action, resource == Tool::"other/tool");'


@pytest.fixture
def house(database: Database, keeper: KeeperParts, clock: Clock, tmp_path: Path) -> House:
    """With a folder of its own for rules."""
    (tmp_path / "policies").mkdir()
    settings = Settings(public_url=PUBLIC_URL, database_url=database.url, instance=tmp_path)
    return House(settings, database, keeper.door, clock)


@pytest.fixture
def bank(world: World, peer: Peer) -> World:
    """One tool, which uses Ada's account."""
    world.put(peer.url, {**CLASSES, "destroy_all": WITH_ACCOUNT})
    ada, now = world.person("ada"), world.house.clock()
    world.house.database.write(lambda s: s.add(Connection(
        id="con_ada", person=ada, provider="harbour", account="acc-1", label="Giro", scopes=["accounts:read"],
        status="active", created_at=now, connected_at=now,
    )))
    rules(world, TWO)
    return world


def rules(world: World, *texts: str) -> None:
    folder = world.house.settings.instance / "policies"
    (folder / "own.cedar").write_text("\n".join(texts))
    found = active.read(world.house.settings)
    world.house.database.write(lambda s: active.activate(s, found, "test", world.house.clock()))


def held(world: World, agent: Agent, what: str) -> Action:
    agent.call("destroy_all", {"what": what})
    with world.house.database.read() as session:
        found = session.scalars(select(Action).where(Action.state == "held").order_by(Action.id.desc())).first()
    assert found is not None
    return found


def looked_at(world: World, action: Action) -> Action:
    """As the sweep looks at it."""
    due = Due(id="x", kind="approvals.compare", key=action.id, run_at=world.house.clock(), payload={})
    again = job_handlers(world.room.handed)["approvals.compare"](world.house, due)
    with world.house.database.read() as session:
        found = session.get_one(Action, action.id)
    assert (again is None) == (found.state == "void")
    return found


def change(table: Any, key: str, **values: Any) -> Callable[[World], Any]:
    column = table.name if table in (Server, Tool) else table.id
    return lambda world: world.house.database.write(lambda s: s.execute(update(table).where(column == key).values(**values)))


def relisted(world: World, **changed: Any) -> None:
    """The server lists the tool otherwise."""
    with world.house.database.read() as session:
        rows = session.scalars(select(Tool)).all()
    listed = [json.loads(row.listed) for row in rows]
    for one in listed:
        if one["name"] == "destroy_all":
            one.update(changed)
    world.house.database.write(lambda s: registry.record(
        s, "peer", registry.texts(listed), whole=True, actor="test", now=world.house.clock()
    ))


def approved_again(peer: Peer, approval: Approval) -> Callable[[World], None]:
    return lambda world: world.put(peer.url, {**CLASSES, "destroy_all": approval})


def regranted(world: World) -> None:
    agent = world.agent("ada")
    world.house.database.write(lambda s: grants.revoke(s, agent.grant, "test", "test", world.house.clock()))


def reported(world: World) -> None:
    """While somebody decided on its action, so that it was not taken back."""
    now, person = world.house.clock(), world.person("ada")
    world.house.database.write(lambda s: s.add(Report(
        id="rep_1", action="act_1", person=person, clients=["client_ada_peer"], client_name="x", known=True, reporter=person,
        reason="Stop.", reason_code="other", withdrawn=0, created_at=now,
    )))


def resumed(world: World) -> None:
    world.house.database.write(lambda s: s.execute(delete(Report)))


def test_each_thing_it_depends_on_voids_it_when_it_changes_and_says_what_changed(
    bank: World, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = schema_check.check

    def takes(checks: Callable[..., None]) -> None:
        """A newer version of ours reads schemas otherwise."""
        monkeypatch.setattr(schema_check, "check", checks)

    def refuse(*_: Any, **__: Any) -> None:
        raise BadInput("“what” is not read")

    typed = {"type": "object", "properties": {"what": {"type": "string", "title": "Whom"}}}
    as_it_was, of_money = approved_again(peer, WITH_ACCOUNT), Approval("money", provider="harbour", scopes=("accounts:read",))
    kinds: list[tuple[str, Callable[[World], Any], Callable[[World], Any], str, str]] = [
        ("words", lambda w: relisted(w, description="Now harmless"), as_it_was, "description", "Now harmless"),
        ("schema", lambda w: relisted(w, inputSchema=typed), as_it_was, "inputSchema properties what title", "Whom"),
        ("class", approved_again(peer, of_money), as_it_was, "Class", "money"),
        ("set of rules", lambda w: rules(w, OTHER_WORDS), lambda w: rules(w, TWO), "It needs", "1 from finance"),
        ("rules that deny", lambda w: rules(w, TWO, NOBODY), lambda w: rules(w, TWO), "It needs", "refused"),
        ("agent's name", change(Client, "client_ada_peer", name="Another"), change(Client, "client_ada_peer", name="Test agent"),
         "Agent’s name", "Another"),
        ("agent paused", change(Client, "client_ada_peer", status="paused"), change(Client, "client_ada_peer", status="active"),
         "Agent", "paused"),
        ("account gone", change(Connection, "con_ada", status="disconnected"), change(Connection, "con_ada", status="active"),
         "Account", "not connected, or not for this"),
        ("another account", change(Connection, "con_ada", account="acc-2", label="Other"),
         change(Connection, "con_ada", account="acc-1"), "Account", "Other"),
        ("less of the account", change(Connection, "con_ada", scopes=[]), change(Connection, "con_ada", scopes=["accounts:read"]),
         "Account", "not connected, or not for this"),
        ("server paused", change(Server, "peer", status="paused"), change(Server, "peer", status="active"), "Server", "paused"),
        ("tool refused", change(Tool, "destroy_all", status="refused"), change(Tool, "destroy_all", status="approved"),
         "Tool", "not approved"),
        ("agent reported", reported, resumed, "Agent", "reported"),
        ("arguments", lambda _w: takes(refuse), lambda _w: takes(check), "Its arguments", "not taken: “what” is not read"),
        ("consent", regranted, lambda _world: None, "What its person allowed it", "revoked"),
    ]
    for name, drifts, back, what, now in kinds:
        action = held(bank, bank.agent("ada"), name)
        assert looked_at(bank, action).state == "held", name
        drifts(bank)
        found = looked_at(bank, action)
        assert found.state == "void", name
        assert found.reason, name
        rows = [row for row in found.drift or () if row["what"] == what and now in row["now"] and row["before"] != row["now"]]
        assert len(rows) == 1, (name, found.drift)
        back(bank)


def test_a_role_of_the_requester_or_of_an_approver_that_is_gone_voids_it(bank: World, peer: Peer) -> None:
    ada, bob = bank.browser("ada"), bank.browser("bob", groups=["finance"])
    bank.house.database.write(lambda s: s.execute(update(Connection).values(person=ada.person)))
    rules(bank, TWO, NEVER)
    one = held(bank, bank.agent("ada"), "requester")
    change(Person, ada.person, groups=["guest"])(bank)
    found = looked_at(bank, one)
    assert (found.state, found.reason) == ("void", "policy refuses it now: Only users")
    assert {"what": "Groups of the person", "before": "user", "now": "guest", "theirs": False} in (found.drift or [])
    change(Person, ada.person, groups=["user"])(bank)
    two = held(bank, bank.agent("ada"), "approver")
    assert decide(bob, bank.people.passkeys[bob.person].passkey, two.id).status_code == 303  # type: ignore[union-attr]
    assert looked_at(bank, two).state == "held"
    change(Person, bob.person, groups=["user"])(bank)
    found = looked_at(bank, two)
    assert (found.state, found.reason) == ("void", "Bob, who approved it, is no longer in finance.")
    assert "no longer in finance" in ada.get(f"/actions/{two.id}").text


def test_what_does_not_matter_to_it_voids_nothing(bank: World, peer: Peer) -> None:
    ada, other = bank.agent("ada"), bank.agent("eve")
    action = held(bank, ada, "x")
    for harmless in (
        change(Server, "peer", title="Another title"), change(Connection, "con_ada", label="Renamed"),
        change(Person, bank.person("ada"), groups=["user", "choir"]), change(Client, "client_ada_peer", verified=True),
        lambda w: w.put(peer.url, {**CLASSES, "destroy_all": WITH_ACCOUNT}, "second"),
        lambda w: w.put(peer.url, {**CLASSES, "destroy_all": WITH_ACCOUNT}),
        lambda w: rules(w, TWO, ELSEWHERE),
        lambda w: w.house.database.write(lambda s: grants.revoke(s, other.grant, "test", "test", w.house.clock())),
        change(Client, other.client, status="revoked"),
    ):
        harmless(bank)
        found = looked_at(bank, action)
        assert found.state == "held", (found.reason, found.drift)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_tool_described_otherwise_while_its_page_is_open_is_refused_with_the_difference(bank: World, peer: Peer) -> None:
    """In Chromium: 409, what is not as it was, and both descriptions, labelled as the server's own."""
    bob = bank.browser("bob", groups=["finance"])
    action = held(bank, bank.agent("ada"), "x")
    bank.house.settings.approvals.dwell_ms = 0
    name = cookies.name(bank.house.settings, cookies.SESSION)
    cookie = bob.get_cookie(name)
    assert cookie is not None
    with served(bank.app) as port, chromium(port) as opened:
        page = open_page(opened)
        page.route("**/actions/count", lambda route: route.abort())  # live, it would load itself again
        page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
        page.goto("/you/factors/passkey")
        page.get_by_role("button", name="Create the passkey").click()
        page.wait_for_url("**/you")
        page.goto(f"/actions/{action.id}")
        look_through(page)
        relisted(bank, description="Now harmless")
        with page.expect_response(f"**/actions/{action.id}/decide") as answered:
            page.get_by_role("button", name=re.compile("^Approve")).click()
        assert answered.value.status == 409
        since = page.get_by_role("region", name="What changed since you looked")
        expect(since).to_contain_text("Void: The server changed this tool after it was approved.")
        row = page.locator("#drift").get_by_role("row").filter(has_text="description")
        expect(row).to_contain_text(re.compile("the server’s own words.*Now harmless", re.DOTALL))
        looked_at_page(page, "tool-drift")


def test_the_next_identical_call_holds_a_new_one_whose_document_and_page_say_what_changed(bank: World, peer: Peer) -> None:
    ada = bank.browser("ada")
    bank.house.database.write(lambda s: s.execute(update(Connection).values(person=ada.person)))
    first = held(bank, bank.agent("ada"), "x")
    relisted(bank, description="<b>Approve me</b>" + "x" * 3000)
    page = ada.get(f"/actions/{first.id}").text
    assert "What changed while it waited" in page
    assert "&lt;b&gt;Approve me&lt;/b&gt;" in page
    assert "the server’s own words" in page
    assert "x" * 500 not in page, "bounded"
    bank.put(peer.url, {**CLASSES, "destroy_all": WITH_ACCOUNT})
    second = held(bank, bank.agent("ada"), "x")
    assert (second.id != first.id, second.previous) == (True, first.id)
    before = open_(bank.house, second.id).document.envelope["facts"]["before"]
    assert (before["action"], before["state"], before["drift"][0]["what"]) == (first.id, "void", "description")
    assert "What changed since the same call was held before" in ada.get(f"/actions/{second.id}").text
