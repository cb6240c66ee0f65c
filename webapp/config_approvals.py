"""The part of the settings that says how people decide: times, reasons, the undo window, decoys."""

from __future__ import annotations

import re

from pydantic import BaseModel, Field, field_validator

REJECT_REASONS = {
    "wrong_recipient": "Wrong recipient.",
    "wrong_amount": "Wrong amount.",
    "not_asked_for": "Nobody asked for this.",
    "looks_like_fraud": "This looks like fraud.",
    "duplicate": "This was done already.",
    "ask_me_first": "Ask me first.",
}
REASON_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


SHORTEST_UNDO = 10


class Undo(BaseModel):
    """Seconds, 10 to 60, for which what was approved or confirmed can still be stopped before it runs, by the tool's class, where
    no rule says how many. 0: an operator wants none."""

    read: int = Field(default=0, ge=0, le=60)
    write: int = Field(default=10, ge=0, le=60)
    send: int = Field(default=10, ge=0, le=60)
    money: int = Field(default=30, ge=0, le=60)
    destroy: int = Field(default=30, ge=0, le=60)

    @field_validator("*")
    @classmethod
    def _long_enough(cls, given: int) -> int:
        """In less, nobody sees that they were wrong and finds the button: it would only look like a window."""
        if 0 < given < SHORTEST_UNDO:
            raise ValueError(f"{SHORTEST_UNDO} to 60 seconds, or 0 for none: in less nobody can stop anything")
        return given

    def of(self, cls: str) -> int:
        """What nobody classified is `destroy`."""
        return {"read": self.read, "write": self.write, "send": self.send, "money": self.money}.get(cls, self.destroy)


class Decoys(BaseModel):
    """Held calls that nobody asked for, to see whether people look. None by default."""

    per_week: float = Field(default=0.0, ge=0, le=200)
    """How many are put before people, on average, at times nobody knows. 0: none."""
    groups: list[str] = Field(default=[], max_length=100)
    """Whom they are put before: members of these groups, and of no other."""

    @property
    def on(self) -> bool:
        return self.per_week > 0 and bool(self.groups)


class Approvals(BaseModel):
    """Holding, deciding and running."""

    within: int = 4 * 3600
    pick_up: int = 900
    """An approval that nobody picks up expires; counted from when it may run."""
    undo: Undo = Field(default_factory=Undo)
    heartbeat: int = 10
    silence: int = 30
    """An execution whose heartbeat is older is uncertain."""
    compared_every: int = Field(default=60, ge=5, le=3600)
    """Seconds between two looks whether what a waiting action depends on still is as it was. It is looked at besides whenever
    somebody opens it, decides on it, or it is about to run."""
    rejected_stays: int = 600
    held_per_person: int = 50
    held_per_server: int = 12
    """Of those, at one server (or by one token client): a quarter, so that one alone cannot use up a person's places."""
    reason_length: int = 500
    reject_reasons: dict[str, str] = REJECT_REASONS
    """What can be chosen when an action is rejected: a code for programs, and the words. Both reach the agent."""
    dwell_ms: int = Field(default=1500, ge=0, le=10_000)
    """Milliseconds for which the button to approve sleeps after the page was opened, and after it changed."""
    quick_row: int = Field(default=3, ge=0, le=50)
    """After this many quick approvals in a row a person is asked to type a detail of the next. 0: never."""
    quick_within: int = Field(default=60, ge=1, le=3600)
    """In which time that is in a row."""
    quick_seconds: int = Field(default=10, ge=1, le=600)
    """What is decided sooner after it was opened is quick."""
    quality_days: int = Field(default=90, ge=1, le=400)
    """Over which time admins see how approvers decide."""
    quality_cases: int = Field(default=10, ge=1, le=10_000)
    """Who decided more seldom in that time is not shown."""
    decoys: Decoys = Field(default_factory=Decoys)
    log_stalled: int = 10
    page: int = 50
    result_kept: int = 30 * 86400
    claim_minutes: int = Field(default=20, ge=1, le=480)
    """How long "I am on it" stands."""

    @field_validator("reject_reasons")
    @classmethod
    def _readable(cls, given: dict[str, str]) -> dict[str, str]:
        good = all(REASON_CODE.fullmatch(code) and 0 < len(words.strip()) <= 120 for code, words in given.items())
        if len(given) > 12 or not good:
            raise ValueError("at most 12 reasons: a code of a to z, digits and _, and words of at most 120 characters")
        if {"other", "agent_paused", "stopped"} & given.keys():
            raise ValueError("the codes other, agent_paused and stopped are taken")
        return given
