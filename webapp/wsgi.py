"""What gunicorn loads: the app of this process, made from the environment's settings."""

from __future__ import annotations

import logging
import os

from flask import Flask

from webapp import serving
from webapp.backup import restored
from webapp.composition import create_app
from webapp.config import Settings
from webapp.db.migrate import require_current, upgrade
from webapp.evaluation import marks
from webapp.policy import active
from webapp.policy.errors import PolicyRefused
from webapp.web.house import make_house

log = logging.getLogger("counterseal")


def make() -> Flask:
    """Raises Unavailable when the database is of another version or of another kind of instance. `counterseal up` owns its
    database and brings it up to date; anything else leaves that to the operator."""
    house = make_house(Settings())
    if os.environ.get(serving.WORKER_LOOP) == "1":
        upgrade(house.database)
    require_current(house.database)
    marks.start(house)
    restored.settle(house)
    try:
        active.at_start(house)
    except PolicyRefused as error:
        log.critical("the rules do not load, so nothing is decided: %s", error.hint)
    return create_app(house)
