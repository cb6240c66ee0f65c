"""The least that can show the queue: Flask, SQLAlchemy and Jinja, no sign-in, no badge, no headers. gunicorn serves `make()`."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from flask import Flask, render_template_string
from sqlalchemy import and_, create_engine, or_, select
from sqlalchemy.orm import Session

from webapp.approvals.tables import Action, ActionGroup, Decision

PERSON, GROUP, LIMIT = "per_nobody", "finance", 50

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Actions</title></head><body><main>
<ul class="sheet rows">
{% for action in rows %}
<li class="{{ "high" if action.rank // 100 in (0, 2) else "mid" if action.rank < 400 else "" }}">
<div><a class="go" href="/actions/{{ action.id }}"><bdi>{{ action.tool_title }}</bdi></a><div class="small quiet"><bdi>{{ action.client_name }}</bdi> · <bdi>{{ action.server_title }}</bdi></div></div>
<div class="to">{% if action.named %}<strong>“<bdi>{{ action.named }}</bdi>”</strong> <span class="mono quiet small"><bdi>{{ action.recipient[:4] }} … {{ action.recipient[-4:] }}</bdi></span>{% endif %}<div class="chips">{% if "new" in action.flags %}<span class="chip warn">Never approved before</span>{% endif %}{% if "lookalike" in action.flags %}<span class="chip warn">Lookalike</span>{% endif %}</div></div>
<div class="sum num">{{ amount(action) }}</div>
<div class="left num"><time datetime="{{ action.expires_at.isoformat() }}" title="{{ action.expires_at.strftime("%d %B %Y %H:%M:%S") }}" data-until>{{ left(action) }}</time></div>
</li>
{% endfor %}
</ul></main></body></html>"""  # noqa: E501 one row is one row


def amount(action: Action) -> str:
    return f"€{Decimal(action.amount_minor or 0).scaleb(-2):,.2f}"


def left(action: Action) -> str:
    minutes = int((action.expires_at - datetime.now(UTC)) / timedelta(minutes=1))
    return f"{minutes // 60} h {minutes % 60:02} min left"


def make() -> Flask:
    app = Flask("bare")
    engine = create_engine(os.environ["COUNTERSEAL_DATABASE_URL"], connect_args={"check_same_thread": False})
    decided = select(Decision.id).where(Decision.action == Action.id, Decision.person == PERSON).exists()
    asked = select(ActionGroup.name).where(ActionGroup.action == Action.id, ActionGroup.name.in_([GROUP])).exists()
    confirm = and_(Action.asks_owner, Action.owner == PERSON)
    approve = and_(asked, Action.person != PERSON, Action.owner != PERSON, Action.agent_owner != PERSON)

    @app.get("/")
    def queue() -> str:
        waiting = and_(
            Action.state == "held", Action.expires_at > datetime.now(UTC), or_(confirm, approve), ~decided
        )
        with Session(engine) as session:
            rows = session.scalars(
                select(Action).where(waiting).order_by(Action.rank, Action.expires_at, Action.id).limit(LIMIT)
            ).all()
            return render_template_string(PAGE, rows=rows, amount=amount, left=left)

    return app
