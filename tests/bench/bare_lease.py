"""The floor of a lease behind HTTP: bare Flask that reads the connection's record from OpenBao and commits one row as long as an
entry. No caller is checked, nothing is decided. gunicorn serves `make()` as it serves ours."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask
from sqlalchemy import insert

from tests.bench.shared_lease import BODY
from vault.settings import load
from vault.table import make as keeper
from webapp.audit.tables import Entry
from webapp.db import Database
from webapp.ids import new_id


def make() -> Flask:
    app, path = Flask("bare"), f"connections/{os.environ['BENCH_CONNECTION']}"
    kv = keeper(load(Path(os.environ["COUNTERSEAL_INSTANCE"]), evaluation=True, environ=os.environ)).kv
    database = Database(os.environ["COUNTERSEAL_DATABASE_URL"])
    statement = insert(Entry.__table__)  # type: ignore[arg-type]

    @app.post("/oauth/token")
    def token() -> dict[str, str]:
        found = kv.read(path)
        row = {
            "id": new_id("ent"), "at": datetime.now(UTC), "kind": "bench.row", "actor": "system", "subject": "", "body": BODY,
        }
        database.write(lambda s: s.execute(statement, row))
        return {"access_token": "x" * 20 if found else "", "token_type": "Bearer"}

    return app
