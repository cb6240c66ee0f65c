"""Client secrets at providers and the identity provider, replaced with an overlap and said in the log before and after."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from vault.secret import Secret
from webapp import audit
from webapp.errors import BadInput, said
from webapp.web.house import House

Kind = Literal["provider", "idp"]
OVERLAP, LONGEST = 24, 30 * 24
"""Hours."""


def replace(house: House, kind: Kind, name: str, secret: Secret[str], hours: int, actor: str) -> datetime:
    """Until when the one before is tried too, where the provider does not know the new one. Raises BadInput, the keeper's
    errors."""
    if not secret:
        raise BadInput("There is no secret: it is one line.")
    if not 1 <= hours <= LONGEST:
        raise BadInput(said("The overlap is between 1 and %(longest)s hours (30 days).", longest=LONGEST))
    _note(house, "secret.replacing", kind, name, actor, {"overlap_hours": hours})
    overlap = int(timedelta(hours=hours).total_seconds())
    until = house.door.client_secret_put(kind=kind, name=name, secret=secret, overlap=overlap)
    _note(house, "secret.replaced", kind, name, actor, {"overlap_until": until.isoformat()})
    return until


def end(house: House, kind: Kind, name: str, actor: str) -> bool:
    """From here on the newest alone is shown; whether there was another. Raises the keeper's errors."""
    _note(house, "secret.overlap_ending", kind, name, actor, {})
    return house.door.client_secret_end(kind=kind, name=name)


def _note(house: House, what: str, kind: Kind, name: str, actor: str, detail: dict[str, object]) -> None:
    now, subject = house.clock(), f"{kind} {name}"
    house.database.write(lambda s: audit.append(s, kind=what, actor=actor, subject=subject, detail=detail, at=now))
