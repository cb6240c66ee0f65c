"""What was at stake, as a report keeps it, said anew in the language of whoever reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webapp.config import Settings
from webapp.connections import providers
from webapp.connections.rules import allowed
from webapp.errors import Said, heard, one_of_ours
from webapp.incidents.radius import account
from webapp.web.languages import told


def parts(settings: Settings, radius: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`radius` as `radius.written` puts it."""
    return [
        {**part, "title": heard(part["title"], part.get("said")), "items": [_item(settings, item) for item in part["items"]]}
        for part in radius["parts"]
    ]


def by_hand(radius: Mapping[str, Any]) -> Sequence[Said]:
    return [one_of_ours(each) for each in radius["by_hand"]]


def _item(settings: Settings, item: Mapping[str, Any]) -> dict[str, str]:
    """A name that is somebody else's stays as it is."""
    name = heard(item["name"], item["named"]) if "named" in item else item["name"]
    return {"name": name, "text": _account(settings, item["account"]) if "account" in item else _text(item)}


def _text(item: Mapping[str, Any]) -> str:
    return heard(item["text"], item["said"]) if "said" in item else item["text"]


def _account(settings: Settings, found: Mapping[str, Any]) -> Said:
    facts = providers.find(settings, found["provider"])
    can = "; ".join(f"{told(group.word)}: {group.sentence}" for group in allowed(facts, found["scopes"]))
    return account(facts.title, found["owner"], can)
