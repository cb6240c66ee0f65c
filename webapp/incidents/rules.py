"""What an incident does to what it is about, and who may end it: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vault.providers.catalogue import ProviderFacts
from webapp.connections.rules import ends_alone
from webapp.errors import BadInput, Said, said

Kind = Literal["person", "client", "server", "connection", "provider"]
KINDS: tuple[Kind, ...] = ("person", "client", "server", "connection", "provider")
WORDS: dict[str, Said] = {
    "person": said("Person"), "client": said("Agent or token client"), "server": said("Server"),
    "connection": said("Connected account"), "provider": said("Provider"), "glass": said("Break-glass"),
}
MEANS: dict[str, Said] = {
    "person": said(
        "They are signed out everywhere and cannot sign in. What they allowed agents and servers ends, and their accounts are "
        "paused."
    ),
    "client": said("Its tokens are refused, what people allowed it ends, and so do its certificates and keys."),
    "server": said("Every call to it is refused, and what it was given ends where a provider can end it."),
    "connection": said(
        "Nothing uses the account. What was handed out ends at its provider; where the provider cannot end that alone, the "
        "account is disconnected."
    ),
    "provider": said("All accounts there are paused, and none can be connected."),
}
GLASS = "glass"
"""A call that one person passed alone: nothing is suspended by it, and somebody else looks and closes it."""
PARTS = ("connection", "revocation")
REASON = 500
NO_REASON = said("Give a reason of at most %(most)s characters.", most=REASON)
NO_NOTE = said("Give a note of at most %(most)s characters: what it was, and what was done.", most=REASON)
STOPPED = said("stopped, because something may be compromised.")


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
    return kind == "connection" and not (ends_alone(facts) and facts.renewed_after)


def may_end(person: str, by: str, same_as: Iterable[str] = ()) -> bool:
    """Whoever an incident is about neither lifts nor closes it, under whichever of their sign-ins (`same_as`: the others): they
    may not be who they seem. `by` is an actor of the log."""
    return not person or by not in {f"person:{one}" for one in (person, *same_as)}


def words(text: str, wanted: Said = NO_REASON) -> str:
    """A reason or note, as it is kept. Raises BadInput, with what is wanted."""
    found = text.strip()
    if not found or len(found) > REASON:
        raise BadInput(wanted)
    return found


def rotation(kind: str) -> tuple[str, ...]:
    """What has to be made anew and cannot be from here: a person does that."""
    found = {
        "person": said(
            "Have the identity provider end their sessions and change their credentials there; then look at their passkeys and "
            "authenticator apps with them before they come back."
        ),
        "client": said(
            "A token client needs a new key or certificate before it comes back: those that it had are ended for good "
            "(counterseal client add-key, counterseal client certify)."
        ),
        "server": said("Whatever secrets the server itself holds are its operator’s to change."),
        "connection": said("A password or key of the account itself is changed at its provider."),
        "provider": said("Make a new client secret at the provider, and give it here with counterseal provider add."),
    }
    return (found[kind],)
