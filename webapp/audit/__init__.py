"""The log that nobody can quietly change."""

from webapp.audit.log import RESTORED, append, covered, require_flowing
from webapp.audit.sequencer import sequence

__all__ = ["RESTORED", "append", "covered", "require_flowing", "sequence"]
