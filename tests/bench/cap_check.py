"""Judging a call in the transaction that counts it, with two hundred at once, beside two hundred that each insert a bare row."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from statistics import median

from sqlalchemy import insert

from tests.bench import held_calls
from tests.bench.figures import Figure
from tests.bench.scene import Agent, Scene
from tests.bench.shared_lease import BODY
from webapp.audit.tables import Entry
from webapp.canonical import canonical, parse
from webapp.gateway import calling
from webapp.gateway.judging import Case, Who
from webapp.gateway.room import Room
from webapp.ids import new_id
from webapp.policy import facts
from webapp.registry.pins import PinnedTool

AT_ONCE, EACH = 200, 5
POINTERS = {
    "amount": {"pointer": "/amount", "unit": "major"}, "currency": {"is": "EUR"}, "recipient": {"pointer": "/to", "kind": "text"},
}


def figure(made: Scene, agent: Agent, place: Room, size: int) -> Figure:
    """Transactions a second. The floor's row is as long as an entry; both share commits as the web process's do."""
    house, cases = made.house, [_case(made, agent, number) for number in range(AT_ONCE)]
    statement = insert(Entry.__table__)  # type: ignore[arg-type]

    def judged(number: int) -> None:
        ask = held_calls.asked(agent, "ada", number)
        found = house.database.commit(lambda s: calling._admit(s, place, ask, cases[number]))
        if not isinstance(found, calling.Allowed):
            raise TypeError(f"not allowed: {found}")

    def bare(_number: int) -> None:
        row = {"id": new_id("ent"), "at": house.clock(), "kind": "bench.row", "actor": "system", "subject": "", "body": BODY}
        house.database.write(lambda s: s.execute(statement, row))

    values, floors = [], []
    for _ in range(2 * size):
        values.append(_per_second(judged))
        floors.append(_per_second(bare))
    return Figure(f"cap-check-{AT_ONCE}", "/s", median(values), median(floors), 2 * size * AT_ONCE * EACH, more=True)


def _per_second(work: Callable[[int], None]) -> float:
    """Of AT_ONCE threads that begin together and each do it EACH times."""
    gate, failed = threading.Barrier(AT_ONCE + 1), list[BaseException]()

    def run(number: int) -> None:
        gate.wait()
        try:
            for _ in range(EACH):
                work(number)
        except BaseException as error:  # told by whoever waits for all of them
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return AT_ONCE * EACH / (time.perf_counter() - began)


def _case(made: Scene, agent: Agent, number: int) -> Case:
    """A cent each, to somebody else each: every counter is read, and no limit speaks."""
    arguments = parse(b'{"amount": "0.01", "to": "Payee %d"}' % number)
    pin = PinnedTool(
        server_id="srv", server="bank", server_title="Bank", url="http://127.0.0.1:1/mcp", tool="quote", title="Quote",
        description={}, input_schema={"type": "object"}, cls="read", pointers=POINTERS, changes_recipients=False, credential=None,
        pin="p", manifest="m",
    )
    read = facts.read(POINTERS, arguments, made.house.settings.policy, cls="read")
    who = Who(agent.person, ("user",), agent.client, False, agent.grant)
    return Case(who, pin, arguments, canonical(arguments), read, None)
