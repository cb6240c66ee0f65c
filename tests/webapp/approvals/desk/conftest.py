"""A service that takes messages, for what an action's history says of them."""

from __future__ import annotations

from tests.webapp.notices.conftest import service

__all__ = ["service"]
