"""A person's own uses, to take away: JSON or CSV, written out as they are read. Times, names and outcomes; no credential."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence

from webapp.connections.tables import Connection
from webapp.connections.uses import After, Reader, Use
from webapp.web.house import House

TYPES: Mapping[str, str] = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
MOST = 100_000
"""Uses of one export, the newest: what is left out is said in it."""
BATCH = 500
COLUMNS = ("when", "provider", "account", "agent", "server", "tool", "action", "outcome")


def uses(house: House, reader: Reader, rows: Sequence[Connection]) -> Iterator[dict[str, str]]:
    """Newest first, each batch in a reading session of its own: a slow download holds no transaction open."""
    accounts = {row.id: row for row in rows}
    after: After | None = None
    for _ in range(MOST // BATCH):
        with house.database.read() as session:
            found = reader.latest(session, list(accounts), BATCH, after)
        for use in found:
            yield _told(use, accounts[use.connection])
        if len(found) < BATCH:
            return
        after = After(found[-1].at, found[-1].id)


def _told(use: Use, row: Connection) -> dict[str, str]:
    return {
        "when": use.at.isoformat(timespec="seconds"), "provider": row.provider, "account": row.name or row.label,
        "agent": use.client, "server": use.server, "tool": use.tool, "action": use.action or "", "outcome": use.outcome or "open",
    }


def written(kind: str, found: Iterator[dict[str, str]]) -> Iterator[str]:
    return _json(found) if kind == "json" else _csv(found)


def _json(found: Iterator[dict[str, str]]) -> Iterator[str]:
    count = 0
    yield '{"uses": ['
    for use in found:
        yield ("," if count else "") + "\n" + json.dumps(use, ensure_ascii=False)
        count += 1
    yield f'\n], "complete": {json.dumps(count < MOST)}}}\n'


def _csv(found: Iterator[dict[str, str]]) -> Iterator[str]:
    yield _line(COLUMNS)
    count = 0
    for use in found:
        yield _line([_cell(use[column]) for column in COLUMNS])
        count += 1
    if count >= MOST:
        yield _line([f"Older uses than these {MOST} are left out."])


def _cell(value: str) -> str:
    """Attack: an agent that names itself `=HYPERLINK(...)` (CWE-1236): a spreadsheet must not run what a stranger wrote."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
