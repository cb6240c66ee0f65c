"""The registry's due rows."""

from __future__ import annotations

from webapp.registry.look import jobs

__all__ = ["jobs"]
