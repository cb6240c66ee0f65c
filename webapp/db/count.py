"""How many rows a statement changed: what a conditional UPDATE is judged by."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, Result


def changed(result: Result[Any]) -> int:
    """The row count of an executed INSERT, UPDATE or DELETE."""
    return cast("CursorResult[Any]", result).rowcount
