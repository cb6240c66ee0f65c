"""What the consent page says: who asks, where the answer goes, what the agent could do, and what a person is still asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from vault.evidence import Need
from webapp.clients.rules import RedirectUri, read_redirect_uri
from webapp.clients.tables import Client
from webapp.errors import said
from webapp.oauth.offers import Offer, Outside
from webapp.policy.amounts import Amount
from webapp.policy.calls import Agent, Allow, Call, Hold, Verdict
from webapp.policy.facts import Facts
from webapp.registry.pins import PinnedTool
from webapp.web.viewer import Viewer

Decide = Callable[[Call], Verdict]

CLASSES = (
    ("read", said("Look things up")),
    ("write", said("Change your own data")),
    ("send", said("Reach other people")),
    ("money", said("Move money")),
    ("destroy", said("Do what cannot be undone")),
)
AT_ONCE, ASKED, REFUSED = "good", "warn", "bad"


@dataclass(frozen=True)
class Line:
    """A tool, and what happens when the agent calls it. `title` is what its server calls it."""

    title: str
    tool: str
    fate: str
    tone: str


@dataclass(frozen=True)
class Group:
    words: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Page:
    """`outside` is a server that is not behind the gateway; `own` says that it asks for itself."""

    client: Client
    server: str
    goes_to: RedirectUri
    groups: tuple[Group, ...]
    outside: Outside | None = None

    @property
    def own(self) -> bool:
        return self.outside is not None and self.outside.client == self.client.id


def page(
    client: Client, offer: Offer, redirect_uri: str, viewer: Viewer, decide: Decide, now: datetime, *, mtls: bool = False
) -> Page:
    """Everything the page shows. Raises what `decide` raises: rules that cannot be read promise nothing."""
    groups, agent = [], Agent(client.id, client.verified, mtls)
    for cls, words in CLASSES:
        lines = tuple(
            _line(tool, decide(_ordinary(tool, agent, viewer, now)), viewer.groups) for tool in offer.tools if tool.cls == cls
        )
        if lines:
            groups.append(Group(words, lines))
    return Page(client, offer.title, read_redirect_uri(redirect_uri), tuple(groups), offer.outside)


def _ordinary(tool: PinnedTool, agent: Agent, viewer: Viewer, now: datetime) -> Call:
    """The mildest call of this tool: the smallest amount, nothing unusual. What policy asks for it, it asks for any."""
    facts = Facts(amount=Amount("ok", minor=1, currency="", base_minor=1)) if "amount" in tool.pointers else Facts()
    return Call(
        person=viewer.person, groups=viewer.groups, agent=agent, server=tool.server, tool=tool.tool,
        cls=tool.cls, now=now, facts=facts, hints=tool.hints,
    )


def _line(tool: PinnedTool, verdict: Verdict, groups: Sequence[str]) -> Line:
    fate: str
    if isinstance(verdict, Allow):
        fate, tone = said("Runs at once"), AT_ONCE
    elif isinstance(verdict, Hold):
        fate, tone = _asked(verdict.needs), ASKED
    else:
        fate, tone = said("Refused"), REFUSED
    return Line(tool.title, tool.tool, fate, tone)


def _asked(needs: Sequence[Need]) -> str:
    groups = sorted({need["group"] for need in needs if need["kind"] == "approvers"})
    you = any(need["kind"] == "confirm" for need in needs)
    if not groups:
        return said("Asks you first")
    names = ", ".join(groups)
    return said("Asks you and %(groups)s first", groups=names) if you else said("Asks %(groups)s first", groups=names)
