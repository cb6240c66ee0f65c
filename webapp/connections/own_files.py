"""The operator's own catalogue files, as the command writes them: `instance/providers/NAME.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vault.providers.catalogue import FOLDER, STANDARD, ProviderFacts, load, name_of
from webapp.config import Settings
from webapp.connections.discovery import Found
from webapp.errors import BadInput

HEAD = "# Written by `counterseal provider add`, and yours to change: `counterseal provider check` says whether it can be read."


class BadOwnFile(BadInput):
    default = "bad_provider_file"


def path_of(settings: Settings, name: str) -> Path:
    return settings.instance / FOLDER / f"{name}.yaml"


def discovered(settings: Settings, name: str, found: Found) -> ProviderFacts:
    """Write down what an issuer said of itself. Raises BadOwnFile."""
    described = {scope: None for scope in found.scopes if scope not in STANDARD}
    more = [
        "# It lists these scopes too. What is not put in words here cannot be asked for, and counts as destructive:",
        *(f"#   {scope}" for scope in described), "# scopes:", "#   books.read: {words: See the books, effect: read}",
    ] if described else []
    return _write(settings, name, {"title": name_of(name), **found.facts}, more)


def filled(settings: Settings, name: str, base: str, values: Mapping[str, str]) -> ProviderFacts:
    """Write down the operator's values for a shipped entry, under its own name or another. Raises BadOwnFile."""
    began = {"overrides": name} if base == name else {"extends": base, "title": name_of(name)}
    return _write(settings, name, {**began, "values": dict(values)}, [])


def _write(settings: Settings, name: str, facts: Mapping[str, Any], more: Sequence[str]) -> ProviderFacts:
    path = path_of(settings, name)
    if path.exists():
        raise BadOwnFile(f"{path} exists. Change it there, or remove it first.")
    if "overrides" not in facts and name in load():
        raise BadOwnFile(f"{name} is the name of a provider that is shipped. Choose another.")
    path.parent.mkdir(mode=0o755, exist_ok=True)
    text = yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True, width=120)
    path.write_text("\n".join([HEAD, text.rstrip(), *more]) + "\n", "utf-8")
    catalogue = load(settings.instance, local=settings.evaluation)
    if name in catalogue.problems:
        path.unlink()
        raise BadOwnFile(catalogue.problems[name][0].partition(": ")[2])
    return catalogue[name]
