"""Marks on views: who may come in. `people/` enforces them before each request; a route without a mark is refused.

- `public`: anyone, no session needed (sign-in, metadata, health).
- `machine`: a program that authenticates in the view itself (tokens, client assertions); no cookies are read, no CSRF.
- `signing_in`: a session whose second step is still missing (factor pages).
- `person`: a session with a checked factor.
- `admin`, `auditor`: such a session, of a person in one of the configured groups.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

View = TypeVar("View", bound=Callable[..., Any])

MARK = "counterseal_guard"
GUARDS = ("public", "machine", "signing_in", "person", "admin", "auditor")


def _marker(name: str) -> Callable[[View], View]:
    def mark(view: View) -> View:
        setattr(view, MARK, name)
        return view

    return mark


public = _marker("public")
machine = _marker("machine")
signing_in = _marker("signing_in")
person = _marker("person")
admin = _marker("admin")
auditor = _marker("auditor")


def guard_of(view: Callable[..., Any] | None) -> str | None:
    """The view's mark, or None: then nobody may come in."""
    return getattr(view, MARK, None)
