"""The people of an evaluation instance. Their groups are fixed here by subject, never taken from claims."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.errors import said


@dataclass(frozen=True)
class EvaluationPerson:
    subject: str
    name: str
    email: str
    groups: tuple[str, ...]
    role: str
    what_for: str

    @property
    def initials(self) -> str:
        return "".join(part[0] for part in self.name.split())


PERSONS = (
    EvaluationPerson(
        "ada", "Ada Lindqvist", "ada@lindqvist.example", ("admin", "audit"), said("Bookkeeper; admin and auditor here"),
        said("Start here. Connects the bank, lets an agent work with it, and confirms what that agent wants to do in her name."),
    ),
    EvaluationPerson(
        "jonas", "Jonas Weber", "jonas@lindqvist.example", ("finance",), said("Finance"),
        said("Approves or rejects payments of 1,000.00 and more that other people’s agents ask for."),
    ),
    EvaluationPerson(
        "mira", "Mira Okafor", "mira@lindqvist.example", (), said("A colleague"),
        said("No group, no special rights: see what somebody else may not see."),
    ),
)


def by_subject(subject: str) -> EvaluationPerson | None:
    return next((person for person in PERSONS if person.subject == subject), None)
