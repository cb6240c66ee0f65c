"""Whether this process can do its work: for a supervisor, a load balancer and `make run`."""

from __future__ import annotations

from typing import TypedDict

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text

from webapp.errors import Unavailable
from webapp.web.guards import public
from webapp.web.house import House, house

blueprint = Blueprint("health", __name__)


class Health(TypedDict):
    status: str
    """`ok`, or `unavailable` if any of the others is not well."""
    database: str
    keeper: str
    vault: str


def look(the_house: House) -> Health:
    """Asks the database and the keeper now; never raises for either."""
    door = the_house.door.status()
    database = _database(the_house)
    well = database == door.keeper == door.vault == "ready"
    return Health(status="ok" if well else "unavailable", database=database, keeper=door.keeper, vault=door.vault)


def _database(the_house: House) -> str:
    try:
        with the_house.database.read() as session:
            session.execute(text("SELECT 1"))
    except Unavailable:
        return "away"
    return "ready"


@blueprint.get("/healthz")
@public
def healthz() -> ResponseReturnValue:
    health = look(house())
    return jsonify(health), 200 if health["status"] == "ok" else 503
