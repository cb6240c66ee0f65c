"""Rooms whose sentences cannot be translated yet: while there is one, English alone is offered."""

from __future__ import annotations

UNWRAPPED: frozenset[str] = frozenset()
"""Folders of `templates/`, and rooms of `webapp/`. This list only gets shorter."""
