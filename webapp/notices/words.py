"""What is told: how many, at which server, of which class, and a link that asks for sign-in.

Never arguments, recipients, amounts or anything an agent wrote; and no link that does anything. Servers' names are an admin's
word, and even of those only plain letters are passed on: a chat reads more into `@`, `<` and `[` than was meant.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from webapp.errors import Said, nsaid, psaid, said
from webapp.web.catalogue import Tongue

UNFIT = re.compile(r"[^\w ,'()-]+")
LINES = 8
CLASSES = {
    "read": psaid("what a tool does", "reading"), "write": psaid("what a tool does", "writing"),
    "send": psaid("what a tool does", "sending"), "money": psaid("what a tool does", "money"),
    "destroy": psaid("what a tool does", "deleting"),
}
UNKNOWN = psaid("what a tool does", "not classified")
HEADS: dict[str, Callable[[int], Said]] = {
    "confirm": lambda n: nsaid(
        "%(num)s action of your agents waits for your word", "%(num)s actions of your agents wait for your word", n
    ),
    "approve": lambda n: nsaid("%(num)s action waits for approval", "%(num)s actions wait for approval", n),
    "expiring": lambda n: nsaid("%(num)s action lapses soon, undecided", "%(num)s actions lapse soon, undecided", n),
    "uncertain": lambda n: nsaid("%(num)s action has an uncertain outcome", "%(num)s actions have an uncertain outcome", n),
    "outcome": lambda n: nsaid("%(num)s action of your agents has ended", "%(num)s actions of your agents have ended", n),
    "security": lambda n: nsaid(
        "a change to your sign-in, agents or accounts", "%(num)s changes to your sign-in, agents or accounts", n
    ),
    "incident": lambda n: nsaid(
        "an incident was opened that concerns you", "%(num)s incidents were opened that concern you", n
    ),
    "stuck": lambda n: nsaid(
        "%(num)s action waits and nobody is there to decide it", "%(num)s actions wait and nobody is there to decide them", n
    ),
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
    """`path`: a page of ours. As it is made it is what we say, and in English where it is not told in a language."""

    title: str
    lines: tuple[str, ...]
    path: str
    public_url: str

    def told(self, tongue: Tongue) -> Message:
        """In that language, as plain text."""
        return replace(self, title=_plain(tongue, self.title), lines=tuple(_plain(tongue, line) for line in self.lines))

    @property
    def body(self) -> str:
        return "\n".join((*self.lines, self.public_url + self.path))


def _plain(tongue: Tongue, text: str) -> str:
    return tongue.told(text) if isinstance(text, Said) else text


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
    title = said("Counterseal: %(what)s", what=HEADS[kinds[0]](counts[kinds[0]])) if kinds else "Counterseal"
    return Message(title, tuple(_lines(events, kinds, counts)), _path(set(kinds)), public_url)


def test(public_url: str) -> Message:
    lines = (said("This channel works. Nothing waits because of this message."),)
    return Message(said("Counterseal: a test"), lines, "/you/notices", public_url)


def _path(kinds: set[str]) -> str:
    """Incidents, and what nobody is there for, stand at the head of the first page."""
    more = kinds - {"outcome", "security"}
    if "incident" in more or more == {"stuck"}:
        return "/"
    if more:
        return "/actions"
    return "/history" if "outcome" in kinds else "/you"


def _lines(events: list[Told], kinds: list[str], counts: Counter[str]) -> Iterable[Said]:
    for kind in kinds:
        places = Counter((plain(event.server), event.cls) for event in events if event.kind == kind and event.server)
        head = HEADS[kind](counts[kind])
        yield said("%(head)s:", head=head) if places else head
        for (server, cls), n in sorted(places.items())[:LINES]:
            yield said("- %(count)s at %(server)s (%(does)s)", count=n, server=server, does=CLASSES.get(cls, UNKNOWN))
        if len(places) > LINES:
            yield nsaid("- and at %(num)s more", "- and at %(num)s more", len(places) - LINES)


def plain(name: str) -> str:
    """A registered name with nothing in it that a chat would make something of."""
    return UNFIT.sub(" ", name).replace("_", " ").strip()[:60] or said("a server")
