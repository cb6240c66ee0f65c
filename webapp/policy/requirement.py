"""What a hold asks for: the grammar of `@hold`, and how several holds add up. Pure.

    @hold       = requirement *("," requirement)
    requirement = ("confirm" | "approvers=" GROUP ["quorum=" N]) ["factor=" ("passkey" | "totp")] ["hours=business"]
                  ["within=" DURATION] ["extend=" DURATION] ["undo=" SECONDS "s"] ["escalate=" step *("+" step)] ["match"]
    step        = DURATION ":" GROUP
    DURATION    = 1*DIGIT ("m" | "h" | "d"); `within` also takes "bh", business hours
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, TypedDict

from vault.evidence import LONGEST_UNDO, MOST_STEPS, Hours, Need, Step
from webapp.errors import said
from webapp.policy.errors import PolicyRefused

Factor = Literal["", "passkey", "totp"]

GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,99}")
DURATION = re.compile(r"([1-9][0-9]{0,5})(bh|[mhd])", re.ASCII)
UNDO = re.compile(r"([1-9][0-9])s", re.ASCII)
NUMBER = re.compile(r"[0-9]{1,3}")
WORDS = ("quorum", "factor", "hours", "within", "extend", "undo", "escalate")
MATCH = "match"
SECONDS = {"m": 60, "h": 3600, "d": 86400, "bh": 3600, "s": 1}
SHORTEST_UNDO = 10
LONGEST = 30 * 86400
LARGEST_QUORUM = 20
STRENGTH: dict[Factor, int] = {"": 0, "totp": 1, "passkey": 2}


@dataclass(frozen=True)
class Requirement:
    """One person's confirmation, or the approval of `quorum` people of `group`. `within` and `undo` are seconds; 0: the rule
    names none. `extend`: by how many more somebody who decides may put off the lapse."""

    kind: Literal["confirm", "approvers"]
    group: str = ""
    quorum: int = 1
    factor: Factor = ""
    within: int = 0
    extend: int = 0
    business: bool = False
    """`within` counts business hours alone."""
    hours: bool = False
    """A decision counts in business hours alone."""
    undo: int = 0
    escalate: tuple[tuple[int, str], ...] = ()
    """After so many seconds members of another group may decide in this one's place; the earliest step first."""
    match: bool = False
    """Who confirms types the number that their agent's screen shows."""

    def need(self, rule: str, hours: Hours | None = None) -> Need:
        found: Need = {"kind": self.kind, "group": self.group, "quorum": self.quorum, "factor": self.factor, "rule": rule}
        if self.hours:
            found["hours"] = str(hours)
        steps: list[Step] = [{"after": after, "group": group} for after, group in self.escalate]
        if steps:
            found["escalate"] = steps if len(steps) > 1 else steps[0]
        if self.match:
            found["match"] = True
        return found

    def lasts(self, now: datetime, hours: Hours | None) -> int:
        """Seconds from now until it lapses."""
        if not self.business or hours is None:
            return self.within
        return int((hours.after(now, timedelta(seconds=self.within)) - now).total_seconds())

    def __str__(self) -> str:
        words = ["confirm"] if self.kind == "confirm" else [f"approvers={self.group}"]
        words += [f"quorum={self.quorum}"] * (self.kind == "approvers" and self.quorum > 1)
        words += [f"factor={self.factor}"] * bool(self.factor)
        words += ["hours=business"] * self.hours
        words += [f"within={self.within // 3600}bh" if self.business else f"within={duration(self.within)}"] * bool(self.within)
        words += [f"extend={duration(self.extend)}"] * bool(self.extend)
        words += [f"undo={self.undo}s"] * bool(self.undo)
        words += ["escalate=" + "+".join(f"{duration(after)}:{group}" for after, group in self.escalate)] * bool(self.escalate)
        words += [MATCH] * self.match
        return " ".join(words)


def duration(seconds: int) -> str:
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % SECONDS[unit] == 0)
    return f"{seconds // SECONDS[unit]}{unit}"


def parse(text: str) -> tuple[Requirement, ...]:
    """The requirements of one `@hold`. Raises PolicyRefused on an unknown word, one said twice, or a bound exceeded: a
    misspelt requirement must never become a weaker one."""
    return tuple(_requirement(part) for part in text.split(","))


@dataclass(frozen=True)
class Sum:
    """What several holds ask for together. `within`, `latest` and `undo` are seconds."""

    needs: tuple[Need, ...]
    within: int
    latest: int
    """The longest that it may wait in the end, if somebody puts off the lapse: what every hold allows."""
    undo: int


def add_up(
    holds: Iterable[tuple[str, tuple[Requirement, ...]]], otherwise: int, *, now: datetime, hours: Hours | None = None
) -> Sum:
    """All needs of all holds (`(rule, requirements)`), without those that another one covers; the shortest time, `otherwise` when
    no hold names one; and the longest undo window. `hours` are the business hours, where a hold speaks of them."""
    asked = [(rule, each) for rule, requirements in holds for each in requirements]
    kept: list[tuple[str, Requirement]] = []
    for at, (rule, each) in enumerate(asked):
        others = [other for before, (_, other) in enumerate(asked) if before != at and _covers(other, each)]
        twin = any(_same(other, each) for _, other in kept)
        if not twin and all(_same(other, each) for other in others):
            kept.append((rule, each))
    return Sum(
        tuple(each.need(rule, hours) for rule, each in kept),
        min((each.lasts(now, hours) for _, each in asked if each.within), default=otherwise),
        min(((each.lasts(now, hours) or otherwise) + each.extend for _, each in asked), default=otherwise),
        max((each.undo for _, each in asked), default=0),
    )


def _requirement(text: str) -> Requirement:
    words = text.split()
    if not words:
        raise PolicyRefused("A hold asks for nothing: write `confirm` or `approvers=GROUP`.")
    head, fields = words[0], _fields(words[1:])
    if head == "confirm":
        if "quorum" in fields:
            raise PolicyRefused("`confirm` is one person's second look: it takes no quorum.")
        if "escalate" in fields:
            raise PolicyRefused("`confirm` is the owner's alone: nobody takes their place.")
        return Requirement("confirm", factor=_factor(fields), match=MATCH in fields, **_times(fields))
    name, _, group = head.partition("=")
    if name != "approvers" or not GROUP.fullmatch(group):
        raise PolicyRefused(said("A hold begins with `confirm` or `approvers=GROUP`, not with `%(word)s`.", word=head))
    if MATCH in fields:
        raise PolicyRefused("`match` goes with `confirm`: nobody but the agent's own person sees what the agent shows.")
    escalate = _escalate(fields, group)
    return Requirement("approvers", group, _quorum(fields), _factor(fields), escalate=escalate, **_times(fields))


def _fields(words: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if word != MATCH and (not sign or name not in WORDS):
            raise PolicyRefused(said("A hold does not know the word `%(word)s`.", word=word))
        if name in fields:
            raise PolicyRefused(said("A hold says `%(word)s` twice.", word=name))
        fields[name] = value
    return fields


def _quorum(fields: dict[str, str]) -> int:
    text = fields.get("quorum", "1")
    if not NUMBER.fullmatch(text) or not 1 <= int(text) <= LARGEST_QUORUM:
        raise PolicyRefused(said("`quorum=%(given)s`: a quorum is 1 to %(most)s people.", given=text, most=LARGEST_QUORUM))
    return int(text)


def _factor(fields: dict[str, str]) -> Factor:
    match fields.get("factor"):
        case None:
            return ""
        case "passkey":
            return "passkey"
        case "totp":
            return "totp"
        case other:
            raise PolicyRefused(said("`factor=%(given)s`: a factor is `passkey` or `totp`.", given=other))


class _Times(TypedDict):
    within: int
    extend: int
    business: bool
    hours: bool
    undo: int


def _times(fields: dict[str, str]) -> _Times:
    within, undo = _within(fields), _undo(fields)
    if 0 < within < undo + 60:
        raise PolicyRefused(said(
            "`within=%(within)s undo=%(undo)ss` leaves less than a minute to decide in.", within=fields["within"], undo=undo,
        ))
    business = fields.get("within", "").endswith("bh")
    return {"within": within, "extend": _extend(fields), "business": business, "hours": _hours(fields), "undo": undo}


def _within(fields: dict[str, str]) -> int:
    return _seconds(fields, "within")


def _extend(fields: dict[str, str]) -> int:
    if fields.get("extend", "").endswith("bh"):
        raise PolicyRefused(said("`extend=%(given)s`: write minutes, hours or days.", given=fields["extend"]))
    return _seconds(fields, "extend")


def _escalate(fields: dict[str, str], group: str) -> tuple[tuple[int, str], ...]:
    if "escalate" not in fields:
        return ()
    steps = [step.partition(":") for step in fields["escalate"].split("+")]
    others = [other for _, _, other in steps]
    named = all(GROUP.fullmatch(other) for other in others) and not any(after.endswith("bh") for after, _, _ in steps)
    if not named or len({group, *others}) <= len(others) or len(steps) > MOST_STEPS:
        raise PolicyRefused(said(
            "`escalate=%(given)s`: write a time and another group, as `30m:finance-leads`; or up to %(most)s of them, each later "
            "than the one before, as `30m:finance-leads+2h:directors`.", given=fields["escalate"], most=MOST_STEPS,
        ))
    times = [_seconds({"escalate": after}, "escalate") for after, _, _ in steps]
    if any(after >= later for after, later in pairwise(times)):
        raise PolicyRefused(said("`escalate=%(given)s`: each time is later than the one before.", given=fields["escalate"]))
    return tuple(zip(times, others, strict=True))


def _seconds(fields: dict[str, str], name: str) -> int:
    if name not in fields:
        return 0
    match = DURATION.fullmatch(fields[name])
    seconds = int(match[1]) * SECONDS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST:
        raise PolicyRefused(said(
            "`%(word)s=%(given)s`: write minutes, hours or days as `30m`, `4h`, `2d`, or within business hours as `4bh`; "
            "at most 30 days.", word=name, given=fields[name],
        ))
    return seconds


def _hours(fields: dict[str, str]) -> bool:
    if fields.get("hours", "business") != "business":
        raise PolicyRefused(said(
            "`hours=%(given)s`: the only hours are `hours=business`, those of the settings.", given=fields["hours"],
        ))
    return "hours" in fields


def _undo(fields: dict[str, str]) -> int:
    if "undo" not in fields:
        return 0
    match = UNDO.fullmatch(fields["undo"])
    if match is None or not SHORTEST_UNDO <= int(match[1]) <= LONGEST_UNDO:
        raise PolicyRefused(said(
            "`undo=%(given)s`: write %(least)s to %(most)s seconds as `undo=30s`.",
            given=fields["undo"], least=SHORTEST_UNDO, most=LONGEST_UNDO,
        ))
    return int(match[1])


def _covers(other: Requirement, each: Requirement) -> bool:
    """Whether meeting `other` meets `each` too. A passkey also satisfies `totp`."""
    return (
        (other.kind, other.group) == (each.kind, each.group)
        and other.quorum >= each.quorum
        and STRENGTH[other.factor] >= STRENGTH[each.factor]
        and other.hours >= each.hours
        and other.escalate in ((), each.escalate)
        and other.match >= each.match
    )


def _same(other: Requirement, each: Requirement) -> bool:
    return _covers(other, each) and _covers(each, other)
