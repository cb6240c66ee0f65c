"""What an admin decides about a tool, checked; and what a new listing makes of a tool. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webapp.currencies import EXPONENTS
from webapp.errors import BadInput, said
from webapp.registry.tables import CLASSES

SERVER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}", re.ASCII)
POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")
HEADER = re.compile(r"header:[A-Za-z][A-Za-z0-9-]{0,60}", re.ASCII)
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
PROVIDER = re.compile(r"[a-z0-9][a-z0-9_.-]{0,39}", re.ASCII)
KINDS = ("iban", "email", "url", "text")
UNITS = ("major", "minor")

# A token under another name is still a token: these would be taken for what they say.
RESERVED_HEADERS = {"host", "content-length", "content-type", "transfer-encoding", "connection", "accept", "mcp-session-id",
                    "mcp-protocol-version", "mcp-method", "mcp-name", "cookie", "authorization"}

Pointers = dict[str, dict[str, str]]
FIELDS: Mapping[str, tuple[str, ...]] = {
    "amount": ("pointer", "unit"), "currency": ("pointer", "is"), "recipient": ("pointer", "kind"), "time": ("pointer",),
}


@dataclass(frozen=True)
class Approval:
    """A tool's class, where its facts stand, and which account's token it gets. Raises BadInput when it does not fit together."""

    cls: str
    pointers: Mapping[str, Any] = field(default_factory=dict)
    changes_recipients: bool = False
    provider: str = ""
    scopes: tuple[str, ...] = ()
    placement: str = "authorization"
    outside: bool = False
    """It brings in what strangers can write."""

    def __post_init__(self) -> None:
        if self.cls not in CLASSES:
            raise BadInput(said("A tool's class is one of %(classes)s.", classes=", ".join(CLASSES)))
        object.__setattr__(self, "pointers", normalised(self.pointers))
        self._credential()

    def _credential(self) -> None:
        if not self.provider:
            if self.scopes:
                raise BadInput("Scopes without a provider: name whose account the tool uses.")
            return
        if not PROVIDER.fullmatch(self.provider):
            raise BadInput("A provider's name is small letters, digits, `-`, `_` and `.`.")
        if not all(SCOPE.fullmatch(scope) for scope in self.scopes):
            raise BadInput("A scope has no spaces, quotes or backslashes (RFC 6749 section 3.3).")
        header = self.placement.removeprefix("header:").lower()
        if self.placement != "authorization" and (not HEADER.fullmatch(self.placement) or header in RESERVED_HEADERS):
            raise BadInput("A token goes in the `authorization` header or in `header:<Name>` of the server's own.")

    @property
    def credential(self) -> dict[str, Any] | None:
        if not self.provider:
            return None
        return {"provider": self.provider, "scopes": sorted(set(self.scopes)), "placement": self.placement}


def normalised(pointers: Mapping[str, Any]) -> Pointers:
    """The pointers in their one form. A bare string is a pointer. Raises BadInput naming the first that does not fit."""
    unknown = pointers.keys() - FIELDS.keys()
    if unknown:
        raise BadInput(said("There is no fact `%(fact)s`; there are %(facts)s.", fact=min(unknown), facts=", ".join(FIELDS)))
    return {name: _one(name, value) for name, value in sorted(pointers.items())}


def _one(name: str, value: Any) -> dict[str, str]:
    given = {"pointer": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    if not given or given.keys() - set(FIELDS[name]) or not all(isinstance(each, str) for each in given.values()):
        raise BadInput(said("`%(fact)s` is given by %(fields)s.", fact=name, fields=", ".join(FIELDS[name])))
    if ("pointer" in given) == ("is" in given):
        raise BadInput(said("`%(fact)s` needs a JSON Pointer into the arguments, such as /%(fact)s.", fact=name))
    if "pointer" in given and not (POINTER.fullmatch(given["pointer"]) and len(given["pointer"]) <= 512):
        raise BadInput(said(
            "`%(pointer)s` is not a JSON Pointer (RFC 6901): it begins with a slash, such as /%(fact)s.",
            pointer=given["pointer"][:60], fact=name,
        ))
    if "is" in given and given["is"] not in EXPONENTS:
        raise BadInput("A fixed currency is an ISO 4217 code such as EUR.")
    if name == "amount" and given.get("unit") not in UNITS:
        raise BadInput("An amount is in `major` units (480.00) or in `minor` units (48000): say which.")
    if name == "recipient" and given.setdefault("kind", "text") not in KINDS:
        raise BadInput(said("A recipient is one of %(kinds)s.", kinds=", ".join(KINDS)))
    return given


def next_status(status: str, *, approved: str, listed: str | None) -> str:
    """What a look makes of a tool: `listed` is its canonical text now, None when the server no longer lists it.

    Back to the approved text means back to approved; what an admin refused stays refused until an admin decides otherwise.
    """
    if status == "refused":
        return "refused"
    if listed is None:
        return "gone"
    if not approved:
        return "new"
    return "approved" if listed == approved else "drifted"


def server_name(name: str) -> str:
    """Raises BadInput: the name is a part of URLs and of rules."""
    if not SERVER_NAME.fullmatch(name):
        raise BadInput("A server's name is small letters, digits and `-`, at most 40.")
    return name
