"""The least that can tell pages of a change: Flask and SQLAlchemy, no sign-in, no headers. gunicorn serves `make()`.

Every stream asks what the app's own streams ask: whether its session still counts, what changed last, the person's accounts, and
how many actions wait for them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from flask import Flask, Response, request
from sqlalchemy import and_, create_engine, event, func, or_, select, update
from sqlalchemy.orm import Session

import tests.tables  # noqa: F401 every room's tables on the metadata
from webapp.approvals.tables import Action, ActionGroup, Decision
from webapp.connections.tables import Connection
from webapp.people.tables import Session as SignIn

GROUP, COUNTED = "finance", 100


def make() -> Flask:
    app, changed, state = Flask("bare"), threading.Condition(), [0]
    engine = create_engine(os.environ["COUNTERSEAL_DATABASE_URL"], connect_args={"check_same_thread": False})
    event.listen(engine, "connect", lambda driver, _record: driver.execute("PRAGMA synchronous=FULL"))

    def shown(person: str) -> str:
        now = datetime.now(UTC)
        with Session(engine) as session:
            session.execute(select(SignIn.expires_at, SignIn.ended_at).where(SignIn.person == person)).first()
            latest = session.scalar(select(func.max(Action.changed_at)))
            session.execute(select(Connection.id, Connection.status).where(Connection.person == person)).all()
            some = select(Action.id).where(_waiting(person, now)).limit(COUNTED).subquery()
            count = session.scalar(select(func.count()).select_from(some))
        return f"data: {count} {latest}\n\n"

    @app.get("/live")
    def live() -> Response:
        person = request.args["person"]

        def events() -> Iterator[str]:
            seen = state[0]
            yield shown(person)
            while True:
                with changed:
                    while state[0] == seen:
                        changed.wait(1.0)
                    seen = state[0]
                yield shown(person)

        return Response(events(), mimetype="text/event-stream")

    @app.post("/decide")
    def decide() -> str:
        """What is committed, and when that was."""
        with Session(engine) as session, session.begin():
            latest = session.scalar(select(func.max(Action.changed_at))) or datetime.now(UTC)
            session.execute(update(Action).where(Action.id == request.args["action"]).values(
                state="rejected", changed_at=latest + timedelta(microseconds=1)
            ))
        committed = time.monotonic()
        with changed:
            state[0] += 1
            changed.notify_all()
        return str(committed)

    return app


def _waiting(person: str, now: datetime) -> object:
    decided = select(Decision.id).where(Decision.action == Action.id, Decision.person == person).exists()
    asked = select(ActionGroup.name).where(ActionGroup.action == Action.id, ActionGroup.name.in_([GROUP])).exists()
    approve = and_(asked, Action.person != person, Action.owner != person, Action.agent_owner != person)
    confirm = and_(Action.asks_owner, Action.owner == person)
    return and_(Action.state == "held", Action.expires_at > now, or_(confirm, approve), ~decided)
