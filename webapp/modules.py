"""Our own modules as processes of their own: of this installation, and of no other folder.

Attack: `python -m` puts the folder that somebody happens to be in first on the path, so that a `json.py` in a folder of downloads
would run in the process that holds the credentials, when the command is typed there.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
RUN = """
import runpy, sys
root, name = sys.argv[1:3]
del sys.argv[1:3]
if root not in sys.path:
    sys.path.append(root)
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


def command(name: str, *words: str) -> list[str]:
    """`python -m NAME WORDS`, but `-P`: nothing is looked for in the current folder."""
    return [sys.executable, "-P", "-c", RUN, ROOT, name, *words]
