"""Who looks at this page: set by `people/` for each request, read by every room's views."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import g

from vault.door import Delegation, SessionProof
from vault.errors import NotSignedIn


@dataclass(frozen=True)
class Viewer:
    """A signed-in person. Person, groups and factor come from the ticket that the keeper signed, never from a database row."""

    person: str
    name: str
    email: str
    groups: tuple[str, ...]
    admin: bool
    auditor: bool
    session: str
    """Id of the session's row (not the cookie)."""
    proof: SessionProof
    factor_at: datetime | None
    """When a factor was checked in this session; None until then."""
    recovering: str = ""
    """`recovery` or `readmitted`, where a recovery code was spent in this session, or administrators let them in again: they may
    enrol a factor, and see nothing else before."""
    zone: str = "UTC"
    locale: str = "en"
    language: str = ""
    """What they chose; empty: what their browser asks for."""
    same_as: tuple[str, ...] = ()
    """Other sign-ins of the same human, as a row says: it keeps out, and never lets in."""
    lent: tuple[Delegation, ...] = ()
    """What others lent them and the keeper says stands now. Their own `groups` are without these."""

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """Lender and id of each: how the door is told where to look."""
        return tuple((one.by, one.id) for one in self.lent)

    @property
    def selves(self) -> frozenset[str]:
        return frozenset({self.person, *self.same_as})


def viewer() -> Viewer:
    """The person of this request. Raises NotSignedIn on a page that is open to everyone and has none."""
    found: Viewer | None = g.get("viewer")
    if found is None:
        raise NotSignedIn
    return found
