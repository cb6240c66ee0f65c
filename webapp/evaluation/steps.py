"""What an agent did, step by step: JSON lines that the supervisor writes from the agent's output, one file for each person."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vault.said import Said, carried, heard, said

PERSON = re.compile(r"[A-Za-z0-9_-]{1,80}")
MOST = 200
ASKED = said("Ledger Desk was asked to try.")
ENDED = said("The agent ended unexpectedly. Its log is in logs/agent.log.")


@dataclass(frozen=True)
class Step:
    """`kind`: started, consent, connected, tools, calling, account, held, balance, receipt, refused, error or finished."""

    at: datetime
    kind: str
    text: str
    url: str = ""

    @property
    def ours(self) -> bool:
        """Whether it says itself in the language of whoever looks. What a server answered stands as it came."""
        return isinstance(self.text, Said)


def line(kind: str, text: str, url: str = "") -> str:
    """A step as it is written down, now."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    ours = {"ours": True, **carried(text)} if isinstance(text, Said) else {}
    return json.dumps({"at": now, "kind": kind, "text": text, "url": url, **ours})


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
    text = heard(found["text"], found.get("said")) if found.get("ours") else found["text"]
    return Step(datetime.fromisoformat(found["at"]), found["kind"], text, found.get("url", ""))


def running(steps: Sequence[Step]) -> bool:
    return bool(steps) and steps[-1].kind != "finished"
