"""One page from which those who run an instance reach all that is theirs: the menu has room for what everybody uses."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from webapp.web.guards import person

blueprint = Blueprint("operate", __name__)


@blueprint.get("/operate")
@person
def page() -> ResponseReturnValue:
    return render_template("operate.html")
