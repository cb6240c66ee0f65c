"""The catalogue as the app shows it: the same file that the keeper reads, facts only."""

from __future__ import annotations

from vault.providers.catalogue import ProviderFacts, facts, load
from webapp.config import Settings
from webapp.web.house import House


def find(settings: Settings, name: str) -> ProviderFacts:
    """A provider's facts; one that only the keeper's records know is shown under its name, with the generic entry's facts."""
    return facts(load(settings.instance, local=settings.evaluation), name)


def offered(house: House) -> list[ProviderFacts]:
    """The providers that have a client here and can be connected. Raises the keeper's errors."""
    return [find(house.settings, name) for name in house.door.providers()]


def callback(facts: ProviderFacts) -> str:
    """The path a provider returns to: its own, unless it names itself in its answer (RFC 9700 section 4.4.2)."""
    return "/connections/callback" if facts.callback == "shared" else f"/connections/callback/{facts.name}"
