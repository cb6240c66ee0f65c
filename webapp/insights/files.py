"""The figures as CSV (RFC 4180), in UTF-8: what the page shows, and nothing else."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from webapp.approvals.desk.export import harmless
from webapp.insights.figures import By, Line
from webapp.insights.regrets import WORDS, Regretted
from webapp.insights.rules import Rules

Cells = Sequence[str | int | None]

TIMES = ("by", "name", "tool", "looked_at", "look_median_s", "look_p95_s", "decided", "decided_median_s", "decided_p95_s")
RULES = ("rule", "reason", "held", "approved", "rejected", "lapsed", "waiting", "denied", "always_approved", "in_the_active_set")
REGRETS = ("action", "asked_at", "state", "server", "tool", "what", "since", "by", "words")


def times(tables: Iterable[tuple[By, Sequence[Line]]]) -> bytes:
    rows: list[Cells] = [TIMES]
    for by, lines in tables:
        for line in lines:
            name, tool = (*line.key, "")[:2]
            rows.append((
                by, name if by != "all" else "", tool if by == "tool" else "", line.look.cases, line.look.median, line.look.p95,
                line.decided.cases, line.decided.median, line.decided.p95,
            ))
    return _lines(rows)


def rules(found: Rules) -> bytes:
    always = {one.rule for one in found.always}
    return _lines([RULES, *(
        (one.rule, one.reason, one.held, one.approved, one.rejected, one.lapsed, one.waiting, one.denied,
         "yes" if one.rule in always else "no", "yes" if one.known else "no")
        for one in (*found.spoken, *found.never)
    )])


def regrets(found: Sequence[Regretted]) -> bytes:
    return _lines([REGRETS, *(
        (one.action.id, one.action.created_at.isoformat(timespec="seconds"), one.action.state, one.action.server, one.action.tool,
         WORDS[why.kind], why.at.isoformat(timespec="seconds"), why.who, why.text)
        for one in found for why in one.why
    )])


def _lines(rows: Iterable[Cells]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerows([_cell(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _cell(cell: str | int | None) -> str:
    return "" if cell is None else harmless(cell) if isinstance(cell, str) else str(cell)
