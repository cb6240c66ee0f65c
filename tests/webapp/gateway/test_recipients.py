"""A tool that changes whom an account pays makes what waits for that account void: who was shown may not be who is meant."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tests.webapp.gateway.conftest import World
from tests.webapp.gateway.peers import Peer
from webapp.approvals.tables import Action
from webapp.connections.tables import Connection
from webapp.registry.rules import Approval

pytestmark = pytest.mark.real

PAYS = Approval("destroy", {"recipient": {"pointer": "/what", "kind": "text"}}, provider="harbour", scopes=("payments:send",))
RENAMES = Approval("write", {}, changes_recipients=True, provider="harbour", scopes=("payees:read",))


def connect(world: World, person: str, connection: str) -> None:
    now = world.house.clock()
    world.house.database.write(lambda s: s.add(Connection(
        id=connection, person=person, provider="harbour", account="acc-1", label="Current account", status="active",
        scopes=["payments:send", "payees:read"], created_at=now, connected_at=now,
    )))


def states(world: World) -> dict[str | None, str]:
    with world.house.database.read() as session:
        return dict(session.execute(select(Action.connection, Action.state)).all())


def test_a_change_of_recipients_voids_what_waits_for_that_account_before_it_is_sent(world: World, peer: Peer) -> None:
    """The vault does not know this account, so the change itself comes to nothing: what waited is void all the same."""
    world.put(peer.url, {"destroy_all": PAYS, "echo": RENAMES})
    ada, bob = world.agent("ada"), world.agent("bob")
    connect(world, ada.person, "con_ada")
    connect(world, bob.person, "con_bob")
    ada.call("destroy_all", {"what": "invoice 7"})
    bob.call("destroy_all", {"what": "invoice 8"})
    assert states(world) == {"con_ada": "held", "con_bob": "held"}
    ada.call("echo", {"text": "call the landlord somebody else"})
    assert states(world) == {"con_ada": "void", "con_bob": "held"}
    assert [entry["detail"]["reason"] for entry in world.entries("action.void")] == [
        "the account's recipients were changed while it waited",
    ]
