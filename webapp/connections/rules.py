"""What a connection's page says, and when an attempt is still good: pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from vault.providers.catalogue import EFFECTS, Effect, ProviderFacts
from webapp.errors import nsaid, one_of_ours, psaid
from webapp.web.languages import told

EFFECT_WORDS: dict[Effect, str] = {
    "money": psaid("what a scope allows", "Money"), "destroy": psaid("what a scope allows", "Delete"),
    "send": psaid("what a scope allows", "Send"), "write": psaid("what a scope allows", "Change"),
    "read": psaid("what a scope allows", "Read"),
}
TRANSITIONS: dict[str, frozenset[str]] = {
    "active": frozenset({"paused", "needs_consent", "disconnected"}),
    "paused": frozenset({"active", "needs_consent", "disconnected"}),
    "needs_consent": frozenset({"active", "disconnected"}),
    "disconnected": frozenset(),
}


@dataclass(frozen=True)
class Allowed:
    """What is allowed, of one effect: `money`, its word, and it in sentences. `unknown` are the names of scopes that nobody
    described, as a stranger wrote them."""

    effect: Effect
    word: str
    sentences: tuple[str, ...]
    unknown: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """`See balances, see payees`: our own words alone."""
        return sentence(self.words)

    @property
    def words(self) -> list[str]:
        return [*self.sentences, *undescribed(len(self.unknown))]


GOES_WITHOUT_SAYING = frozenset({"openid", "offline_access"})


def allowed(facts: ProviderFacts, scopes: Iterable[str]) -> list[Allowed]:
    """Granted scopes in plain words, gravest first. The provider's own base scopes (who you are, offline access) go without
    saying."""
    told = sorted(set(scopes) - set(facts.base_scopes) - GOES_WITHOUT_SAYING)
    groups = [(effect, [scope for scope in told if facts.effect(scope) == effect]) for effect in EFFECTS]
    return [Allowed(effect, EFFECT_WORDS[effect], *apart(facts, found)) for effect, found in groups if found]


def apart(facts: ProviderFacts, scopes: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of those that are described, and the names of those that are not."""
    found = list(scopes)
    words = tuple(one_of_ours(facts.words(scope), "scope") for scope in found if facts.words(scope))
    return words, tuple(scope for scope in found if not facts.words(scope))


def undescribed(count: int) -> list[str]:
    """In our words, for where a stranger's have no place."""
    words = nsaid("Something that nobody described", "%(num)s things that nobody described", count)
    return [words] if count else []


def sentence(words: Sequence[str]) -> str:
    """`See balances, see payees`, in the reader's language; only English begins the further ones small."""
    return ", ".join([told(words[0]), *(one[:1].lower() + one[1:] if told(one) == one else told(one) for one in words[1:])])


def offered(facts: ProviderFacts) -> list[tuple[str, list[tuple[str, str]]]]:
    """The scopes a person may choose from, by effect, mildest first: (word, [(scope, words)])."""
    own = [scope for scope in facts.scopes if scope not in facts.base_scopes]
    groups: list[tuple[str, list[tuple[str, str]]]] = [
        (
            EFFECT_WORDS[effect], [(s, one_of_ours(facts.scopes[s].words, "scope")) for s in own if facts.effect(s) == effect]
        ) for effect in reversed(EFFECTS)
    ]
    return [group for group in groups if group[1]]


def may_ask(facts: ProviderFacts, scopes: Sequence[str]) -> bool:
    """Only what the catalogue puts in words can be asked for on the page: nobody agrees to what they cannot read."""
    return bool(scopes) and len(scopes) <= 50 and all(scope in facts.scopes for scope in scopes)


def missing(granted: Iterable[str], asked: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(asked) - set(granted)))


def ends_alone(facts: ProviderFacts) -> bool:
    """Whether the provider can end one token and leave the grant."""
    return facts.revoke_style != "none" and facts.revoke_effect == "token"


@dataclass(frozen=True)
class Rest:
    """Access that may still work although its provider confirmed the end. `until`: it ends by itself then, at the latest; None
    where the provider documents no time."""

    until: datetime | None


def rest(facts: ProviderFacts, ended_at: datetime | None, now: datetime) -> Rest | None:
    """What is left of a disconnected account's access; None where nothing is. After `ended_at` nothing was handed out."""
    if ended_at is None or not facts.access_outlives:
        return None
    if facts.access_lifetime is None:
        return Rest(None)
    until = ended_at + timedelta(seconds=facts.access_lifetime)
    return Rest(until) if now < until else None


def listed(offers: Sequence[ProviderFacts], wanted: str) -> list[tuple[str, list[ProviderFacts]]]:
    """Providers under their headings, by title, those without one last. `wanted` is searched for in title, name, heading and what
    they allow."""
    words = wanted.casefold().split()
    found = sorted((one for one in offers if all(word in _searched(one) for word in words)), key=lambda one: one.title.casefold())
    headings = sorted({one.category for one in found}, key=lambda heading: (heading == "", heading))
    return [(heading, [one for one in found if one.category == heading]) for heading in headings]


def _searched(facts: ProviderFacts) -> str:
    told = (facts.title, facts.name, facts.category, *(scope.words for scope in facts.scopes.values()))
    return " ".join(told).casefold()
