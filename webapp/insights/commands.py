"""`counterseal policy replay`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from webapp.config import Settings
from webapp.db import Database
from webapp.insights import replay, trials
from webapp.insights.shown import NOW, WAS, becomes
from webapp.people import lookup
from webapp.policy import active, engine
from webapp.policy.engine import PolicySet
from webapp.web.house import utc_now

EVERY = 1.0


@click.command("replay")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 90), help="How far back.")
@click.option(
    "--policies", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder of rules, in place of the one in the instance folder. The shipped rules stay below it.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole result, for a program.")
def replay_command(days: int, folder: Path | None, as_json: bool) -> None:
    """Try rules on the calls of the last days: what they would newly hold, allow or deny.

    Without --policies: the rules in the instance folder, as they are now. Nothing is activated, and no call runs."""
    settings = Settings()
    candidate = _set(settings, folder)
    database = Database(settings.database)
    try:
        with database.read() as session:
            decides = trials.decides(session)
        found = replay.run(database, candidate, days=days, now=utc_now(), active=decides, progress=_Told())
        document = found.document()
        with database.read() as session:
            names = lookup.names(session, {one["name"] for one in document["people"]} | _people(document))
    finally:
        database.close()
    if as_json:
        click.echo(json.dumps({**document, "days": days, "active": decides}, indent=2, ensure_ascii=False))
        return
    for line in said(document, names, days=days, active=decides):
        click.echo(line)


def _set(settings: Settings, folder: Path | None) -> PolicySet:
    if folder is None:
        return active.read(settings)
    return engine.load([engine.DEFAULTS, folder], settings.policy, within=settings.approvals.within)


class _Told:
    """How far it is, on the error output: every second on a terminal, else at its end alone."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        if (sys.stderr.isatty() and time.monotonic() - self._last >= EVERY) or done >= total:
            self._last = time.monotonic()
            click.echo(f"{done} of {total} calls", err=True)


def _people(document: dict[str, Any]) -> set[str]:
    return {example["person"] for change in document["changes"] for example in change["examples"]}


def said(document: dict[str, Any], names: dict[str, str], *, days: int, active: str) -> Iterator[str]:
    """The result in words, a line each."""
    yield f"Set {document['digest']}{' (the active one)' if document['digest'] == active else ''}"
    yield f"tried on {document['calls']} calls of the last {days} days. Nothing was activated."
    yield f"{document['unchanged']} would have gone as they did."
    if document["otherwise"]:
        yield f"Of these, {document['otherwise']} would have been held by other rules than then."
    for change in document["changes"]:
        yield f"\n{becomes(change['now'], change['count'])} ({WAS[change['before']]})"
        for example in change["examples"]:
            by = f", by {', '.join(example['rules'])}" if example["rules"] else ""
            person = names.get(example["person"], example["person"])
            yield f"  {example['at']}  {example['server']}/{example['tool']}  for {person}{by}  {example['id']}"
    for title, key in (("By rule", "rules"), ("By tool", "tools"), ("By person", "people")):
        if document[key]:
            yield f"\n{title}"
        for one in document[key]:
            yield f"  {one['count']:>7}  {NOW[one['verdict']]:<13}  {names.get(one['name'], one['name'])}"
    yield from _unsaid(document)


def _unsaid(document: dict[str, Any]) -> Iterator[str]:
    """What the figures above do not cover."""
    notes = [f"{one['count']} calls could not be tried: {one['why']}." for one in document["skipped"]]
    if document["not_kept"]:
        notes.append(f"{document['not_kept']} calls of that time are not kept: they came before calls were kept, were too many, "
                     "were changed by an approver, or came from a reported agent, of which no rule is asked.")
    if document["other_set"]:
        notes.append(f"{document['other_set']} calls were judged by another set than the active one: what they are compared with "
                     "is the verdict of then.")
    if document["cut"]:
        notes.append(f"The time was over: of {document['total']} calls, only the latest were tried.")
    if notes:
        yield ""
    yield from notes
