"""Secrets as the page shows them: by kind, a bounded number of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webapp.secrets.status import Row

SHOWN = 20
"""Of those of which there may be any number. What is replaced on this page is shown whole: the keeper lists at most 1,000."""
MANY = ("accounts", "api", "token")
KINDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "keys": (
        ("key",), "Keys",
        "They sign decisions, the log and cookies, and wrap stored documents. What older versions signed stays good.",
    ),
    "login": (
        ("secret-id", "own-secret-id"), "The keeper’s own way in",
        "What the keeper logs in to the vault with. Each keeper has one of its own.",
    ),
    "clients": (
        ("provider", "idp"), "Client secrets",
        "By which providers know this installation. Make a second one there first, then give it here.",
    ),
    "authority": (
        ("ca",), "The authority for client certificates", "What token clients show who they are with is signed by it.",
    ),
    "unseal": (
        ("unseal",), "The vault’s unseal key",
        "The instance’s own OpenBao opens itself with it. To replace it, the vault is started anew twice: for some seconds, who "
        "asks is told to try again. A backup that was made before carries the key that it needs.",
    ),
    "accounts": (("account",), "Connected accounts", "Their refresh tokens, since the last renewal or the consent."),
    "api": (("api-key",), "API keys", "Pasted by the people they belong to."),
    "token": (
        ("certificate", "client-key"), "Token clients’ certificates and keys",
        "Renewed by the clients themselves, or by an operator.",
    ),
}


@dataclass(frozen=True)
class Group:
    """`count` of one kind, of which the oldest are shown."""

    key: str
    title: str
    words: str
    rows: tuple[Row, ...]
    count: int


def groups(rows: Iterable[Row], counts: Mapping[str, int]) -> list[Group]:
    """Those of which there is one at least. `counts`: how many there are in all where `rows` may lack some, by key."""
    found = list(rows)
    made = []
    for key, (kinds, title, words) in KINDS.items():
        of_kind = [row for row in found if row.kind in kinds]
        if of_kind:
            shown = of_kind[:SHOWN] if key in MANY else of_kind
            made.append(Group(key, title, words, tuple(shown), max(len(of_kind), counts.get(key, 0))))
    return made
