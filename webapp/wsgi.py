"""What gunicorn loads: the app of this process, made from the environment's settings."""

from __future__ import annotations

import os

from flask import Flask

from webapp import serving
from webapp.composition import create_app, make_house
from webapp.config import Settings
from webapp.db.migrate import require_current, upgrade
from webapp.evaluation import marks


def make() -> Flask:
    """Raises Unavailable when the database is of another version or of another kind of instance. `counterseal up` owns its
    database and brings it up to date; anything else leaves that to the operator."""
    house = make_house(Settings())
    if os.environ.get(serving.WORKER_LOOP) == "1":
        upgrade(house.database)
    require_current(house.database)
    marks.start(house)
    return create_app(house)
