"""What an incident does to what it is about, and who may end it: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vault.providers.catalogue import ProviderFacts
from webapp.connections.rules import ends_alone
from webapp.errors import BadInput

Kind = Literal["person", "client", "server", "connection", "provider"]
KINDS: tuple[Kind, ...] = ("person", "client", "server", "connection", "provider")
WORDS: dict[str, str] = {
    "person": "Person", "client": "Agent or token client", "server": "Server", "connection": "Connected account",
    "provider": "Provider", "glass": "Break-glass",
}
MEANS: dict[str, str] = {
    "person": "They are signed out everywhere and cannot sign in. What they allowed agents and servers ends, and their accounts "
    "are paused.",
    "client": "Its tokens are refused, what people allowed it ends, and so do its certificates.",
    "server": "Every call to it is refused, and what it was given ends where a provider can end it.",
    "connection": "Nothing uses the account. What was handed out ends at its provider; where the provider cannot end that alone, "
    "the account is disconnected.",
    "provider": "All accounts there are paused, and none can be connected.",
}
GLASS = "glass"
"""A call that one person passed alone: nothing is suspended by it, and somebody else looks and closes it."""
PARTS = ("connection", "revocation")
REASON = 500
STOPPED = "stopped, because something may be compromised."


@dataclass(frozen=True)
class Target:
    """What an incident is about. `id` is what rows name it by, `person` whose it is, or empty."""

    kind: Kind
    id: str
    name: str
    person: str


def disconnects(kind: str, facts: ProviderFacts) -> bool:
    """Whether a suspected account is disconnected rather than paused: where its provider cannot end a token and leave the grant,
    or gives one token for good, a pause would leave what was handed out as it is."""
    return kind == "connection" and not (ends_alone(facts) and facts.access_lifetime)


def may_end(person: str, by: str, same_as: Iterable[str] = ()) -> bool:
    """Whoever an incident is about neither lifts nor closes it, under whichever of their sign-ins (`same_as`: the others): they
    may not be who they seem. `by` is an actor of the log."""
    return not person or by not in {f"person:{one}" for one in (person, *same_as)}


def words(text: str, what: str) -> str:
    """A reason or note, as it is kept. Raises BadInput."""
    said = text.strip()
    if not said or len(said) > REASON:
        raise BadInput(f"Give {what} of at most {REASON} characters.")
    return said


def rotation(kind: str) -> tuple[str, ...]:
    """What has to be made anew and cannot be from here: a person does that."""
    found = {
        "person": "Have the identity provider end their sessions and change their credentials there; then look at their passkeys "
        "and authenticator apps with them before they come back.",
        "client": "Before it comes back: end its old keys, and give it a new key or certificate (counterseal client add-key, "
        "counterseal client certify).",
        "server": "Whatever secrets the server itself holds are its operator’s to change.",
        "connection": "A password or key of the account itself is changed at its provider.",
        "provider": "Make a new client secret at the provider, and give it here with counterseal provider add.",
    }
    return (found[kind],)
