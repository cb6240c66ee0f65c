"""For developers: `python -m tests.revise 0002 "what changes and why"` writes the migration that the models ask for."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import tests.tables  # noqa: F401 every room's tables on the metadata
from webapp.db import Base, Database
from webapp.db.migrate import revise, upgrade


def main(name: str, message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'revise.sqlite'}")
        upgrade(database)
        revise(database, Base.metadata, message, name)
        database.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
