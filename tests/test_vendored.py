"""Scripts that others wrote are the ones that were looked at."""

from __future__ import annotations

import hashlib
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "static" / "vendor"


def test_vendored_scripts_have_the_recorded_digests() -> None:
    recorded = dict(reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    assert recorded == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}


def test_no_script_evaluates_text() -> None:
    """The content security policy has no `unsafe-eval`: a script that needed it would fail on the page."""
    for path in VENDOR.parent.rglob("*.js"):
        assert "new Function(" not in path.read_text(), path
        assert "eval(" not in path.read_text(), path
