"""`python -m tests.webapp.approvals.stepped FOLDER`: run under libfaketime, which tells this process and the keeper it starts the
time of day from FOLDER/time. Actions are held, decided, run and swept by the real keeper while that is stepped back and forth.

Prints `STATES …` with how many ended how, or fails with what does not hold.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tests.tables  # noqa: F401 every room's tables on the metadata
import webapp.audit
from tests import faketime, keeper_parts
from tests.keeper_parts import PUBLIC_URL, KeeperParts, SignedPerson
from tests.webapp.approvals.parts import APPROVE, ORDER, Server, action, draft, held, on_page
from vault.door import Answer
from vault.errors import KeeperError
from webapp.approvals import deciding, execution, jobs
from webapp.config import Settings
from webapp.config_approvals import Approvals, Undo
from webapp.db import Base, Database
from webapp.db.due import Due
from webapp.errors import CountersealError
from webapp.people.tables import Person
from webapp.web.house import House, utc_now
from webapp.web.viewer import Viewer

BEFORE = -4 * 3600
"""When people signed in: no step goes back further."""
STEPS = (-7200, -300, -30, 0, 30, 300, 599, 7200)
ACTIONS, EACH = 8, 6


class Stepped:
    """One house whose clock, and whose keeper's, is the machine's as libfaketime tells it."""

    def __init__(self, folder: Path, keeper: KeeperParts) -> None:
        self.file = folder / "time"
        self.step(BEFORE)
        database = Database(f"sqlite:///{folder / 'stepped.sqlite'}")
        Base.metadata.create_all(database.engine)
        many = Approvals(held_per_person=500, held_per_server=500, quick_row=0, undo=Undo(write=0, send=0, money=0, destroy=0))
        settings = Settings(public_url=PUBLIC_URL, database_url=database.url, approvals=many, instance=folder)
        self.house = House(settings, database, keeper.door, utc_now)
        self.bob = keeper_parts.with_passkey(keeper, keeper_parts.sign_in(keeper, ("finance",), name="Bob"))
        for one, groups in ((self.bob.id, ["finance"]), ("per_ada", ["user"])):
            database.write(lambda s, one=one, groups=groups: s.add(Person(
                id=one, issuer="i", subject=one, name=one, email=f"{one}@x", groups=groups, created_at=utc_now(),
                seen_at=utc_now(), tries=0,
            )))

    def step(self, seconds: int) -> None:
        faketime.step(self.file, seconds)

    def hold(self, number: int) -> str:
        made = draft(self.house, "per_ada", order={**ORDER, "reference": f"step-{number}"})
        return held(self.house, made, APPROVE, within=600)

    def decide(self, action_id: str) -> None:
        """As a browser would, with the passkey."""
        bob: SignedPerson = self.bob
        assert bob.passkey
        who = Viewer(bob.id, "Bob", "bob@x", ("finance",), False, False, "ses", bob.proof, utc_now())
        shown = on_page(self.house, action_id, who)
        asked = deciding.challenge(self.house, action_id, who, shown=shown, recheck=lambda *_: None)
        assert asked.options is not None
        answer = Answer(sealed=asked.sealed, assertion=bob.passkey.get(asked.options, origin=PUBLIC_URL))
        deciding.decide(self.house, action_id, who, shown=shown, answer=answer, recheck=lambda *_: None)

    def run(self, action_id: str, server: Server) -> None:
        execution.run(self.house, action_id, server, lambda *_: None)

    def sweep(self, action_id: str) -> None:
        jobs.expire(self.house, Due(id="x", kind="approvals.expire", key=action_id, run_at=utc_now(), payload={}))


def quiet(work: Callable[..., None], *arguments: Any) -> bool:
    """Whether it was done. What is refused in words is refused."""
    try:
        work(*arguments)
    except (CountersealError, KeeperError):
        return False
    return True


def straight(one: Stepped) -> str:
    """Without a step in between it runs, and once: not again when the clock was set back to before it did."""
    one.step(0)
    server, action_id = Server(), one.hold(900)
    one.decide(action_id)
    one.run(action_id, server)
    one.step(-300)
    assert not quiet(one.run, action_id, server)
    assert len(server.calls) == 1
    return action(one.house, action_id).state


def late(one: Stepped) -> str:
    """Lapsed while the clock was ahead, it stays so when the clock is set back."""
    one.step(0)
    server, action_id = Server(), one.hold(901)
    one.step(7200)
    assert not quiet(one.decide, action_id)
    one.sweep(action_id)
    one.step(0)
    assert not quiet(one.decide, action_id)
    assert not quiet(one.run, action_id, server)
    assert server.calls == []
    return action(one.house, action_id).state


def walked(one: Stepped, chosen: random.Random, number: int) -> str:
    one.step(0)
    server, action_id = Server(), one.hold(number)
    lapses, ended = action(one.house, action_id).expires_at, ""
    for _ in range(EACH):
        one.step(chosen.choice(STEPS))
        what = chosen.choice(("decide", "run", "sweep"))
        if what == "decide":
            quiet(one.decide, action_id)
        elif what == "sweep":
            one.sweep(action_id)
        else:
            before = len(server.calls)
            quiet(one.run, action_id, server)
            assert len(server.calls) == before or datetime.now(UTC) < lapses, "it ran when it had lapsed"
        state = action(one.house, action_id).state
        assert not ended or state == ended, "what ended did not stay as it ended"
        ended = state if state not in ("held", "approved") else ""
    assert len(server.calls) <= 1
    return action(one.house, action_id).state


def main(folder: Path) -> None:
    """What the log says of checkpoints is tried elsewhere."""
    webapp.audit.covered = lambda *_: None  # type: ignore[assignment]
    webapp.audit.require_flowing = lambda *_: None  # type: ignore[assignment]
    before = datetime.now(UTC)
    faketime.step(folder / "time", 3600)
    assert 3500 < (datetime.now(UTC) - before).total_seconds() < 3900, "the clock of this process is not stepped"
    faketime.step(folder / "time", BEFORE)
    chosen, states = random.Random(11), Counter[str]()
    with keeper_parts.serve(evaluation=True) as keeper:
        one = Stepped(folder, keeper)
        assert abs((keeper.door.status().now or before) - utc_now()).total_seconds() < 60, "the keeper's clock is another"
        states[straight(one)] += 1
        states[late(one)] += 1
        for number in range(ACTIONS):
            states[walked(one, chosen, number)] += 1
        one.house.database.close()
    sys.stdout.write("STATES " + " ".join(f"{state}={count}" for state, count in sorted(states.items())) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
