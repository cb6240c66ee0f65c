"""The card on the start page, "Let an agent try to pay": what it shows, and how it stays live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import exists, select

from webapp.connections.tables import Connection
from webapp.errors import BadInput, Conflict, said
from webapp.evaluation import steps
from webapp.evaluation.scenarios import SCENARIOS, Scenario
from webapp.evaluation.seed import PROVIDER
from webapp.evaluation.steps import Step
from webapp.web.control import ask
from webapp.web.house import House

LOOK = 0.25
HINTS: dict[str, str] = {
    "balance": said("Allowed: it answers at once"),
    "pay-small": said("To Nordlicht Energie GmbH: held until you confirm it"),
    "pay-large": said("To the same: held until finance approves it"),
}


@dataclass(frozen=True)
class Card:
    """`waits_for` is the step whose link the person is to follow now, if any."""

    connected: bool
    steps: Sequence[Step]
    running: bool
    waits_for: Step | None
    scenarios: dict[str, Scenario]
    hints: dict[str, str]


def _waiting(found: Sequence[Step]) -> Step | None:
    last = found[-1] if found else None
    return last if last is not None and last.kind in ("consent", "account", "held") and last.url else None


def _shown(house: House, found: Sequence[Step], zone: ZoneInfo) -> list[Step]:
    """A link that leaves this instance is not shown as one: an agent wrote it."""
    own = house.settings.public_url + "/"
    return [replace(step, at=step.at.astimezone(zone), url=step.url if step.url.startswith(own) else "") for step in found]


def look(house: House, person: str, zone: str = "UTC") -> Card:
    """Times are in `zone`: the person's own."""
    with house.database.read() as session:
        connected = session.scalar(select(exists().where(
            Connection.person == person, Connection.provider == PROVIDER, Connection.status == "active"
        )))
    found = _shown(house, steps.read(house.settings.instance, person), ZoneInfo(zone))
    running = steps.running(found)
    return Card(bool(connected), found, running, _waiting(found) if running else None, SCENARIOS, HINTS)


def tell(house: House, person: str, scenario: str) -> None:
    """Have the person's agent run a scenario; an empty one stops it. Raises BadInput, Conflict, Unavailable."""
    if scenario and scenario not in SCENARIOS:
        raise BadInput("There is no such thing for the agent to try.")
    if scenario and steps.running(steps.read(house.settings.instance, person)):
        raise Conflict("The agent is still at it. Let it finish, or stop it first.")
    ask(house.settings.instance, do="agent", person=person, scenario=scenario)


class Watch:
    """Tells that an agent wrote a step: what `live.stream` waits on. Steps are a file of the supervisor's, so it is looked at."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self, *_topics: str) -> tuple[int, ...]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_size)

    def wait(self, mark: tuple[int, ...], *_topics: str, timeout: float) -> bool:
        end = time.monotonic() + timeout
        while self.mark() == mark:
            if time.monotonic() >= end:
                return False
            time.sleep(LOOK)
        return True
