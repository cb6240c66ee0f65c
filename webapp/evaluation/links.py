"""Sign-in links of an evaluation instance: made by the supervisor for whoever owns the terminal, spent by the web process."""

from __future__ import annotations

from webapp.evaluation import signed
from webapp.evaluation.run import Run

PURPOSE = "sign-in link"
LIFETIME = 600


def make(run: Run, now: float) -> str:
    """A link that opens the entrance once, within 10 minutes. It goes to a terminal or a 0600 file, nowhere else.

    The secret is in the fragment, which no server, proxy or referrer sees."""
    return f"{run.public_url}/evaluation/enter#{signed.seal(run.key(PURPOSE), PURPOSE, {}, now=now, lifetime=LIFETIME)}"
