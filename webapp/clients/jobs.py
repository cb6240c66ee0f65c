"""A certificate that was taken back is put on the authority's own list too, for whoever reads that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from vault.errors import BadRequest
from webapp.clients.certificates import REVOKE
from webapp.db.due import Due
from webapp.web.house import House


def _revoke(house: House, row: Due) -> datetime | None:
    """An authority that no longer knows the certificate has tidied it away after its end: there is nothing left to list."""
    try:
        house.door.revoke_certificate(serial=row.key)
    except BadRequest:
        return None
    return None


jobs: dict[str, Callable[[House, Due], datetime | None]] = {REVOKE: _revoke}
