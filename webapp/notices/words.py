"""What is told: how many, at which server, of which class, and a link that asks for sign-in.

Never arguments, recipients, amounts or anything an agent wrote; and no link that does anything. Servers' names are an admin's
word, and even of those only plain letters are passed on: a chat reads more into `@`, `<` and `[` than was meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNFIT = re.compile(r"[^\w ,'()-]+")
LINES = 8
CLASSES = {"read": "reading", "write": "writing", "send": "sending", "money": "money", "destroy": "deleting"}
HEADS = {
    "confirm": ("{n} action of your agents waits for your word", "{n} actions of your agents wait for your word"),
    "approve": ("{n} action waits for approval", "{n} actions wait for approval"),
    "expiring": ("{n} action lapses soon, undecided", "{n} actions lapse soon, undecided"),
    "uncertain": ("{n} action has an uncertain outcome", "{n} actions have an uncertain outcome"),
    "outcome": ("{n} action of your agents has ended", "{n} actions of your agents have ended"),
    "security": ("a change to your sign-in, agents or accounts", "{n} changes to your sign-in, agents or accounts"),
    "incident": ("an incident was opened that concerns you", "{n} incidents were opened that concern you"),
    "stuck": ("{n} action waits and nobody is there to decide it", "{n} actions wait and nobody is there to decide them"),
}
ORDER = ("incident", "expiring", "confirm", "approve", "stuck", "uncertain", "security", "outcome")
MOST = 1000


@dataclass(frozen=True)
class Told:
    """One notice, as far as it is told."""

    kind: str
    server: str
    cls: str


@dataclass(frozen=True)
class Message:
    """`path`: a page of ours."""

    title: str
    lines: tuple[str, ...]
    path: str
    public_url: str

    @property
    def body(self) -> str:
        return "\n".join((*self.lines, self.public_url + self.path))


def written(told: Iterable[Told]) -> dict[str, Any]:
    """As it is stored: how many of which. Attack: whoever can write to the database has people told in our name what they like,
    and sent to a page of theirs; so neither words nor links are stored."""
    counts = Counter((one.kind, one.server, one.cls) for one in told)
    return {"told": [[*each, n] for each, n in sorted(counts.items())]}


def read(found: Mapping[str, Any], public_url: str) -> Message:
    told = [Told(str(kind), str(server), str(cls)) for kind, server, cls, n in found["told"] for _ in range(min(int(n), MOST))]
    return message([one for one in told if one.kind in ORDER], public_url)


def message(told: Iterable[Told], public_url: str) -> Message:
    """Title: what most needs a person. Lines: by server and class."""
    events = list(told)
    counts = Counter(event.kind for event in events)
    kinds = [kind for kind in ORDER if counts[kind]]
    title = f"Counterseal: {_count(kinds[0], counts[kinds[0]])}" if kinds else "Counterseal"
    return Message(title, tuple(_lines(events, kinds, counts)), _path(set(kinds)), public_url)


def test(public_url: str) -> Message:
    lines = ("This channel works. Nothing waits because of this message.",)
    return Message("Counterseal: a test", lines, "/you/notices", public_url)


def _path(kinds: set[str]) -> str:
    """Incidents, and what nobody is there for, stand at the head of the first page."""
    more = kinds - {"outcome", "security"}
    if "incident" in more or more == {"stuck"}:
        return "/"
    if more:
        return "/actions"
    return "/history" if "outcome" in kinds else "/you"


def _count(kind: str, n: int) -> str:
    return HEADS[kind][n != 1].format(n=n)


def _lines(events: list[Told], kinds: list[str], counts: Counter[str]) -> Iterable[str]:
    for kind in kinds:
        places = Counter((plain(event.server), event.cls) for event in events if event.kind == kind and event.server)
        yield _count(kind, counts[kind]) + (":" if places else "")
        for (server, cls), n in sorted(places.items())[:LINES]:
            yield f"- {n} at {server} ({CLASSES.get(cls, 'not classified')})"
        if len(places) > LINES:
            yield f"- and at {len(places) - LINES} more"


def plain(name: str) -> str:
    """A registered name with nothing in it that a chat would make something of."""
    return UNFIT.sub(" ", name).replace("_", " ").strip()[:60] or "a server"
