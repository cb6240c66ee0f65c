"""Give entries their place in the tree, and have the keeper sign what the tree became.

Safe from any process at any time: the place is given under a lock on one row, and the keeper signs no head that does not
extend the one it published before.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from vault.errors import HeadMoved, HeadRefused
from webapp.audit import keys, merkle
from webapp.audit.tables import Checkpoint, Entry, Node, Tree
from webapp.db.direct import Made, direct
from webapp.db.once import insert_once
from webapp.web.house import House

log = logging.getLogger("counterseal.audit")

TOPIC = "audit"
BATCH = 2000
TRIES = 8
"""Of one call to sign, while others sign too. What is not signed then is with the next."""

NODE = Made(select(Node.hash).where(Node.level == bindparam("level"), Node.index == bindparam("at")))
NUMBER = Made(update(Entry).where(Entry.id == bindparam("entry")).values(place=bindparam("number")))
GROW = Made(insert(Node.__table__), ("level", "index", "hash"))  # type: ignore[arg-type]


def sequence(house: House) -> int:
    """Place all entries that wait and sign the head; how many entries the signed log has. Raises HeadRefused when the
    database does not continue the log that was signed before, and KeeperError when the keeper is away."""
    while house.database.write(_place) == BATCH:
        pass
    with house.database.read() as session:
        size = session.scalar(select(Tree.size)) or 0
        signed = session.scalar(select(func.max(Checkpoint.size))) or 0
    if size > signed:
        _sign(house, size)
    return size


def pending(session: Session) -> int:
    """How many entries no checkpoint covers yet."""
    signed = session.scalar(select(func.max(Checkpoint.size))) or 0
    return (session.scalar(select(func.count()).select_from(Entry)) or 0) - signed


def _place(session: Session) -> int:
    """One batch into the tree; how many. Two at once wait for each other at the row."""
    waiting = select(Entry.id, Entry.body).where(Entry.place.is_(None)).order_by(Entry.id).limit(BATCH)
    if not session.scalar(select(Entry.id).where(Entry.place.is_(None)).limit(1)):
        return 0
    insert_once(session, Tree, id=1, size=0)
    tree = session.scalars(select(Tree).with_for_update()).one()
    rows = session.execute(waiting).all()
    _number(session, tree.size, [row.id for row in rows])
    leaves = [merkle.leaf_hash(row.body) for row in rows]
    nodes = merkle.grown(tree.size, leaves, node_at(session))
    direct(session).many(GROW, [{"level": level, "index": at, "hash": value} for level, at, value in nodes])
    tree.size += len(rows)
    return len(rows)


def _number(session: Session, start: int, ids: Sequence[str]) -> None:
    direct(session).many(NUMBER, [{"entry": entry, "number": place} for place, entry in enumerate(ids, start)])


def node_at(session: Session) -> merkle.NodeAt:
    session.flush()
    on = direct(session)

    def read(level: int, index: int) -> bytes:
        row = on.row(NODE, {"level": level, "at": index})
        if row is None:
            raise LookupError(f"the log has no node at level {level}, index {index}")
        found: bytes = row[0]
        return found

    return read


def _sign(house: House, size: int) -> None:
    """Sign the head of this size, or that of the later one that another process published meanwhile. Who is overtaken by a
    smaller one goes on from there."""
    for _ in range(TRIES):
        published, published_root = house.door.log_head()
        with house.database.read() as session:
            size, root, proof = _extended(session, size, published, published_root)
        try:
            note = house.door.sign_checkpoint(size=size, root=root, proof=proof, after=published)
        except HeadMoved:
            continue
        house.database.write(partial(_store, house=house, size=size, root=root, note=note))
        keys.pin(house, note)
        return


def _extended(session: Session, size: int, published: int, published_root: bytes) -> tuple[int, bytes, list[bytes]]:
    """Size and root of the next head, and the proof that it extends the published one. Raises HeadRefused."""
    nodes = node_at(session)
    have = session.scalar(select(Tree.size)) or 0
    if published > have or merkle.root(published, nodes) != published_root:
        log.critical("the audit log does not continue the log signed before: %d entries here, %d signed", have, published)
        raise HeadRefused(f"database has {have} entries, the published head {published}")
    size = max(size, published)
    return size, merkle.root(size, nodes), merkle.consistency(published, size, nodes)


def _store(session: Session, house: House, size: int, root: bytes, note: str) -> None:
    insert_once(session, Checkpoint, size=size, root=root, note=note, at=house.clock())
    house.database.changes.tell(session, TOPIC)
