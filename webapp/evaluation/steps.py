"""What an agent did, step by step: JSON lines that the supervisor writes from the agent's output, one file for each person."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

PERSON = re.compile(r"[A-Za-z0-9_-]{1,80}")
MOST = 200


@dataclass(frozen=True)
class Step:
    """`kind`: started, consent, connected, tools, calling, account, held, balance, receipt, refused, error or finished."""

    at: datetime
    kind: str
    text: str
    url: str = ""


def folder(instance: Path) -> Path:
    return instance / "run" / "agents"


def path(instance: Path, person: str) -> Path:
    """Raises ValueError for what is no person's id: it becomes a file's name."""
    if not PERSON.fullmatch(person):
        raise ValueError("not a person's id")
    return folder(instance) / f"{person}.jsonl"


def read(instance: Path, person: str) -> list[Step]:
    """The steps of the person's last scenario, oldest first."""
    try:
        lines = path(instance, person).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [_step(line) for line in lines[-MOST:]]


def _step(line: str) -> Step:
    found = json.loads(line)
    return Step(datetime.fromisoformat(found["at"]), found["kind"], found["text"], found.get("url", ""))


def running(steps: Sequence[Step]) -> bool:
    return bool(steps) and steps[-1].kind != "finished"
