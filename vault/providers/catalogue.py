"""The catalogue: what is shipped, and the operator's own files over it. Public facts, the same for the keeper and the web.

One file is one provider, named like its file. `extends: NAME` begins with another's facts; a file that bears a shipped name must
say `overrides: NAME`, so that nobody changes a shipped provider unawares. A key set to null is taken away.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vault.providers.facts import (
    EFFECTS,
    GRAVE,
    STANDARD,
    UNKNOWN_EFFECT,
    UNREADABLE,
    Effect,
    Placeholder,
    ProviderFacts,
    Quirks,
    ScopeFacts,
    check_url,
)
from vault.providers.reading import BadFile, File, read

__all__ = [
    "EFFECTS", "GENERIC", "GRAVE", "SHIPPED", "STANDARD", "UNKNOWN_EFFECT", "UNREADABLE", "BadFile", "Catalogue", "Effect",
    "Placeholder", "ProviderFacts", "Quirks", "ScopeFacts", "check_url", "facts", "load", "looser", "name_of",
]

log = logging.getLogger("counterseal.catalogue")

SHIPPED = Path(__file__).with_name("catalogue")
FOLDER = "providers"
"""Of the instance: `instance/providers/*.yaml`."""
GENERIC = ("oidc", "oauth")
SECTIONS = ("scopes", "quirks", "placeholders", "values", "authorize_params")
"""Mappings that are merged key by key where a file extends another entry."""
GRAVITY: Mapping[str, int] = {"read": 0, "write": 1, "send": 2, "destroy": 3, "money": 3}


class Catalogue(dict[str, ProviderFacts]):
    """Facts by provider name. `problems`: what is wrong with the operator's files, by name; such a provider is not in the
    catalogue at all, also where its name is a shipped one: what was meant to be stricter must not fall back to what is not."""

    def __init__(self, entries: Mapping[str, ProviderFacts], problems: Mapping[str, list[str]], notes: list[str]) -> None:
        super().__init__(entries)
        self.problems = problems
        self.notes = notes
        """What the operator's files loosen, in words."""


def load(instance: Path | None = None, *, local: bool = False, writers: frozenset[int] | None = None) -> Catalogue:
    """The shipped catalogue, with the files of `instance/providers/` over it; do not change what it answers.

    `local`: an evaluation instance, whose files may name this machine without TLS. `writers`: the users whose files are believed,
    which is the keeper's to ask: whoever writes there says what is grave. Never raises for the operator's files: see
    `Catalogue.problems`."""
    return _load(_versions(f"{instance}/{FOLDER}", writers) if instance is not None else (), local)


Version = tuple[str, int, int, str]
"""A file, what changes with it, and why it is not believed."""


def _versions(folder: str, writers: frozenset[int] | None) -> tuple[Version, ...]:
    """Looked at for every mint, so that a change counts at once: nothing is opened that did not change."""
    try:
        whole = os.stat(folder)
        with os.scandir(folder) as entries:
            files = [entry for entry in entries if entry.name.endswith(".yaml")]
    except FileNotFoundError:
        return ()
    return tuple(sorted(_version(entry, whole, writers) for entry in files))


def _version(entry: os.DirEntry[str], folder: os.stat_result, writers: frozenset[int] | None) -> Version:
    """A link that leads nowhere is a file that cannot be read, and not none: it may have been meant to be stricter."""
    try:
        found = entry.stat()
    except OSError:
        return entry.path, 0, 0, ""
    return entry.path, found.st_ctime_ns, found.st_size, _doubt(found, folder, writers)


def _doubt(file: os.stat_result, folder: os.stat_result, writers: frozenset[int] | None) -> str:
    if writers is None:
        return ""
    if file.st_uid not in writers or folder.st_uid not in writers:
        return "it, or its folder, belongs to a user who is no operator of the keeper"
    if (file.st_mode | folder.st_mode) & stat.S_IWOTH:
        return "every user of this machine may write it, or its folder"
    return ""


@lru_cache(maxsize=16)
def _load(files: tuple[Version, ...], local: bool) -> Catalogue:
    raw, entries = dict(_shipped()[0]), dict(_shipped()[1])
    problems: dict[str, list[str]] = {}
    notes: list[str] = []
    readable: dict[str, File] = {}
    for path, _changed, _size, doubt in files:
        name = Path(path).stem
        try:
            file = read(Path(path))
            if doubt:
                raise BadFile([file.problem((), doubt)])
            readable[name] = file
        except BadFile as error:
            problems[name] = error.problems
    for name in sorted(readable, key=lambda one: readable[one].found.get("extends") in readable):
        try:
            raw[name], made = _own(readable[name], name, raw, local=local)
        except BadFile as error:
            problems[name] = error.problems
            raw.pop(name, None)
            continue
        if name in entries:
            notes += [f"{readable[name].shown}: {words}" for words in looser(entries[name], made)]
        entries[name] = made
    for problem in (one for found in problems.values() for one in found):
        log.error("%s", problem)
    return Catalogue({name: one for name, one in entries.items() if name not in problems}, problems, notes)


@lru_cache(maxsize=1)
def _shipped() -> tuple[dict[str, dict[str, Any]], dict[str, ProviderFacts]]:
    """Raises BadFile: a shipped entry that is wrong is a fault of this program."""
    raw: dict[str, dict[str, Any]] = {}
    entries: dict[str, ProviderFacts] = {}
    files = {path.stem: read(path) for path in sorted(SHIPPED.glob("*.yaml"))}
    for name in sorted(files, key=lambda one: "extends" in files[one].found):
        raw[name] = _merged(files[name], files[name].found.get("extends"), raw)
        entries[name] = _checked(files[name], name, raw[name], local=False)
    return raw, {name: entries[name] for name in sorted(entries)}


def _own(file: File, name: str, raw: Mapping[str, dict[str, Any]], *, local: bool) -> tuple[dict[str, Any], ProviderFacts]:
    overrides, base = file.found.get("overrides"), file.found.get("extends")
    if name in _shipped()[0] and overrides != name:
        words = f"{name} is shipped: say `overrides: {name}` to change it, or name the file otherwise and say `extends: {name}`"
        raise BadFile([file.problem((), words)])
    if overrides is not None and (overrides != name or name not in _shipped()[0] or base is not None):
        words = f"a file overrides the shipped provider of its own name ({name}), and extends none beside it"
        raise BadFile([file.problem(("overrides",), words)])
    merged = _merged(file, overrides or base, raw)
    return merged, _checked(file, name, merged, local=local)


def _merged(file: File, base: Any, raw: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if base is not None and base not in raw:
        raise BadFile([file.problem(("extends",), f"no provider {str(base)[:40]!r} is known to begin with")])
    began = raw[base] if base is not None else {}
    own = {key: value for key, value in file.found.items() if key not in ("extends", "overrides")}
    found = {**began, **own}
    for section in SECTIONS:
        if isinstance(own.get(section), dict) and isinstance(began.get(section), dict):
            found[section] = {**began[section], **own[section]}
        if isinstance(found.get(section), dict):
            found[section] = {key: value for key, value in found[section].items() if value is not None}
    return {key: value for key, value in found.items() if value is not None}


def _checked(file: File, name: str, found: Mapping[str, Any], *, local: bool) -> ProviderFacts:
    if "name" in found:
        raise BadFile([file.problem(("name",), "the file's own name is the provider's")])
    try:
        return ProviderFacts.model_validate({**found, "name": name}, context={"local": local})
    except ValidationError as error:
        raise BadFile(file.problems(error)) from error


def looser(before: ProviderFacts, after: ProviderFacts) -> list[str]:
    """What an operator's entry lets through that the one before it did not, in words."""
    found = [
        f"scopes.{scope}.effect: {before.effect(scope)} becomes {one.effect}, which is milder"
        for scope, one in after.scopes.items() if GRAVITY[one.effect] < GRAVITY[before.effect(scope)] and scope in before.scopes
    ]
    more = [one for one in after.base_scopes if one not in before.base_scopes]
    found += [f"base_scopes: {one} is granted without being asked for" for one in more]
    if before.pkce is not False and after.pkce != before.pkce and after.pkce is not True:
        found.append("pkce: codes are not bound to the request at the provider any more")
    if after.narrows and not before.narrows:
        found.append("narrows: tokens are believed to be narrowed at refresh")
    return found


def facts(catalogue: Mapping[str, ProviderFacts], name: str, entry: str = "") -> ProviderFacts:
    """The facts of a provider: its own entry, else the generic one it was added as, under its own name."""
    found = catalogue.get(name) or catalogue[entry if entry in GENERIC else "oauth"]
    return found if found.name == name else found.model_copy(update={"name": name, "title": name_of(name)})


def name_of(name: str) -> str:
    return name.replace("-", " ").title()
