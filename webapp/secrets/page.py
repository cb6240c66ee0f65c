"""Secrets as the page shows them: by kind, a bounded number of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from webapp.errors import Said, said
from webapp.secrets.status import Row
from webapp.secrets.turning import ACCOUNTS

SHOWN = 20
"""Of those of which there may be any number. What is replaced on this page is shown whole: the keeper lists at most 1,000."""
MANY = ("accounts", "api", "token")
KINDS: dict[str, tuple[tuple[str, ...], Said, Said]] = {
    "keys": (
        ("key", "spool"), said("Keys"),
        said(
            "They sign decisions, the log and cookies, wrap stored documents, and seal what the keeper keeps elsewhere. What "
            "older versions signed and sealed stays good, but for push: replacing that ends what browsers agreed to."
        ),
    ),
    "login": (
        ("secret-id", "own-secret-id"), said("The keeper’s own way in"),
        said("What the keeper logs in to the vault with. Each keeper has one of its own."),
    ),
    "clients": (
        ("provider", "idp"), said("Client secrets"),
        said("By which providers know this installation. Make a second one there first, then give it here."),
    ),
    "authority": (
        ("ca",), said("The authority for client certificates"),
        said("What token clients show who they are with is signed by it."),
    ),
    "unseal": (
        ("unseal",), said("The vault’s unseal key"),
        said(
            "The instance’s own OpenBao opens itself with it. To replace it, the vault is started anew twice: for some seconds, "
            "who asks is told to try again. A backup that was made before carries the key that it needs."
        ),
    ),
    "accounts": (
        ("account",), said("Connected accounts"), said("Their refresh tokens, since the last renewal or the consent."),
    ),
    "api": (("api-key",), said("API keys"), said("Pasted by the people they belong to.")),
    "token": (
        ("certificate", "client-key"), said("Token clients’ certificates and keys"),
        said("Renewed by the clients themselves, or by an operator."),
    ),
}


@dataclass(frozen=True)
class Group:
    """`count` of one kind, of which the oldest are shown. `turned`: its name among what is made anew on demand, where that is
    done for all of them at once."""

    key: str
    title: Said
    words: Said
    rows: tuple[Row, ...]
    count: int
    turned: str = ""


def groups(rows: Iterable[Row], counts: Mapping[str, int]) -> list[Group]:
    """Those of which there is one at least. `counts`: how many there are in all where `rows` may lack some, by key."""
    found = list(rows)
    made = []
    for key, (kinds, title, words) in KINDS.items():
        of_kind = [row for row in found if row.kind in kinds]
        if of_kind:
            shown = of_kind[:SHOWN] if key in MANY else of_kind
            turned = ACCOUNTS if key == "accounts" else ""
            made.append(Group(key, title, words, tuple(shown), max(len(of_kind), counts.get(key, 0)), turned))
    return made
