"""What the processes of one run of an evaluation instance tell each other: addresses, and the secret of the run.

The supervisor writes it to a 0600 file under `instance/run/` at each start; it is on no command line and in no environment.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path

from vault.secret import Secret
from webapp.errors import Unavailable

FILE = "evaluation.json"


@dataclass(frozen=True)
class Run:
    """Addresses are origins without a trailing slash."""

    public_url: str
    identity: str
    bank: str
    mcp: str
    secret: Secret[str]

    def key(self, purpose: str) -> Secret[bytes]:
        """A key of this run for one purpose."""
        return Secret(hmac.digest(self.secret.reveal().encode(), purpose.encode(), hashlib.sha256))

    def password(self, purpose: str) -> Secret[str]:
        """The same as text: for client secrets."""
        return Secret(self.key(purpose).reveal().hex())

    @property
    def redirect_uri(self) -> str:
        """Where the identity provider sends people back to."""
        return f"{self.public_url}/sign-in/callback"

    @property
    def bank_redirect_uri(self) -> str:
        return f"{self.public_url}/connections/callback"


def write(instance: Path, run: Run) -> None:
    """Replace the file at once; it is never readable by anyone else."""
    path = instance / "run" / FILE
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    document = {
        "public_url": run.public_url, "identity": run.identity, "bank": run.bank, "mcp": run.mcp, "secret": run.secret.reveal(),
    }
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file)
    fresh.replace(path)


def read(instance: Path) -> Run:
    """Raises Unavailable when the instance does not run."""
    try:
        document = json.loads((instance / "run" / FILE).read_text())
    except FileNotFoundError as error:
        raise Unavailable("The evaluation parts of this instance are not running.", code="not_running") from error
    return Run(document["public_url"], document["identity"], document["bank"], document["mcp"], Secret(document["secret"]))
