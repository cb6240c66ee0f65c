"""Pure: why something was rejected, as a person chose or wrote it."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.config_approvals import Approvals
from webapp.errors import BadInput, said

OTHER = "other"
"""The code of a reason in somebody's own words alone."""
PAUSED = "agent_paused"
"""The code of what is refused because the agent was reported."""
STOPPED = "stopped"
"""The code of what was approved and stopped before it ran."""


@dataclass(frozen=True)
class Reason:
    """`words` are for people and models, `code` for programs."""

    code: str
    words: str


def read(settings: Approvals, preset: str, text: str) -> Reason:
    """A preset, words of one's own, or both: then the preset comes first. Raises BadInput for neither, for a preset that is not
    offered, and for too many words."""
    text = text.strip()
    if preset and preset not in settings.reject_reasons:
        raise BadInput("That reason is not offered any more. Choose another one, or write your own.")
    words = " ".join(part for part in (settings.reject_reasons.get(preset, "").strip(), text) if part)
    if not words:
        raise BadInput("Say why: choose a reason, or write your own. The agent gets to read it.")
    if len(words) > settings.reason_length:
        raise BadInput(said(
            "Keep the reason within %(most)s characters; it has %(has)s.", most=settings.reason_length, has=len(words)
        ))
    return Reason(preset or OTHER, words)
