"""A shared lease, planned, committed and minted, beside what it cannot do without: one read of the vault, one committed row."""

from __future__ import annotations

from sqlalchemy import insert

from tests.bench.figures import Figure, interleaved
from tests.bench.scene import Agent, Scene
from webapp.audit.tables import Entry
from webapp.broker import leases
from webapp.ids import new_id

BODY = b'{"v":1,"kind":"bench.row"}' + b" " * 400


def figure(made: Scene, agent: Agent, size: int) -> Figure:
    """The floor's read is the keeper's own, from here; its row is as long as an entry."""
    house, kv = made.house, made.keeper.inside().kv
    statement = insert(Entry.__table__)  # type: ignore[arg-type]

    def lease() -> None:
        planned = house.database.write(lambda s: leases.plan(
            s, connection=agent.connection, scopes=("accounts:read",), person=agent.person, client=agent.client,
            grant=agent.grant, server="bank", tool="get_balance", action=None, exclusive=False, cap=300, now=house.clock(),
        ))
        leases.mint(house, planned)

    def floor() -> None:
        kv.read(f"connections/{agent.connection.id}")
        row = {"id": new_id("ent"), "at": house.clock(), "kind": "bench.row", "actor": "system", "subject": "", "body": BODY}
        house.database.write(lambda s: s.execute(statement, row))

    rounds, each = 8 * size, 20
    value, least = interleaved(lease, floor, rounds=rounds, each=each)
    return Figure("shared-lease", "ms", value, least, rounds * each, goal=2.0)
