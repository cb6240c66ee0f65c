"""The only composition root: which rooms there are, and who is handed what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flask import Flask

from webapp import limits, rotating
from webapp.approvals import absence_views as absence
from webapp.approvals import edit_views as edits
from webapp.approvals import jobs as approvals_jobs
from webapp.approvals import receipt_views as receipts
from webapp.approvals import step_up_views, undo_views
from webapp.approvals import views as approvals
from webapp.approvals.decoys import jobs as decoys
from webapp.approvals.desk import views as desk
from webapp.approvals.giving import Tokens
from webapp.approvals.outcome import Handed
from webapp.approvals.pace import quality_views as pace
from webapp.audit import views as audit
from webapp.broker import jobs as broker_jobs
from webapp.broker import uses
from webapp.clients import jobs as clients_jobs
from webapp.clients import views as clients
from webapp.connections import idle
from webapp.connections import jobs as connections_jobs
from webapp.connections import views as connections
from webapp.evaluation import run as evaluation_run
from webapp.evaluation import views as evaluation
from webapp.gateway import jobs as gateway_jobs
from webapp.gateway import room as gateway_room
from webapp.gateway import views as gateway
from webapp.gateway.front import Front
from webapp.incidents import glass as incidents_glass
from webapp.incidents import jobs as incidents_jobs
from webapp.incidents import views as incidents
from webapp.insights import jobs as insights_jobs
from webapp.insights import views as insights
from webapp.jobs import Handler
from webapp.notices import jobs as notices_jobs
from webapp.notices import views as notices
from webapp.oauth import jobs as oauth_jobs
from webapp.oauth import views as oauth
from webapp.people import guard, lookup
from webapp.people import jobs as people_jobs
from webapp.people import views as people
from webapp.policy import preview, schema_check
from webapp.registry import jobs as registry_jobs
from webapp.registry import pages as registry_pages
from webapp.registry import views as registry
from webapp.secrets import turning
from webapp.secrets import views as secrets
from webapp.web import faults, headers, health, htmx, languages, operate, serves, show, words
from webapp.web.house import House
from webapp.web.live import Seats
from webapp.web.proxies import Proxies

ROOMS = (
    approvals.blueprint,
    edits.blueprint,
    receipts.blueprint,
    pace.blueprint,
    absence.blueprint,
    desk.blueprint,
    undo_views.blueprint,
    step_up_views.blueprint,
    health.blueprint,
    operate.blueprint,
    people.blueprint,
    audit.blueprint,
    clients.blueprint,
    connections.blueprint,
    oauth.blueprint,
    registry.blueprint,
    gateway.blueprint,
    incidents.blueprint,
    notices.blueprint,
    insights.blueprint,
    secrets.blueprint,
)
HERE = Path(__file__).resolve().parent


def folder(name: str) -> str:
    """`templates/` and `static/`: inside the package in a wheel, beside it in a checkout."""
    inside = HERE / name
    return str(inside if inside.is_dir() else HERE.parent / name)


def job_handlers(handed: Handed) -> dict[str, Handler]:
    """Every room's due rows, by kind. `handed` runs what was approved: of `gateway.room`."""
    rooms: tuple[Mapping[str, Handler], ...] = (
        approvals_jobs.handlers(handed),
        gateway_jobs.jobs,
        broker_jobs.jobs,
        clients_jobs.jobs,
        connections_jobs.jobs,
        incidents_jobs.jobs,
        notices_jobs.jobs,
        insights_jobs.jobs,
        oauth_jobs.jobs,
        people_jobs.jobs,
        rotating.jobs,
        turning.jobs,
        registry_jobs.jobs,
    )
    return {kind: handler for jobs in rooms for kind, handler in jobs.items()}


def plan(house: House) -> None:
    """What is due by itself from each worker's start."""
    rotating.plan(house)
    idle.plan(house)
    insights_jobs.plan(house)
    decoys.plan(house)


def create_app(house: House) -> Flask:
    settings = house.settings
    app = Flask("webapp", template_folder=folder("templates"), static_folder=folder("static"))
    app.extensions["counterseal"] = house
    app.extensions["seats"] = Seats(settings.web.streams_per_person, settings.web.streams_total)
    app.extensions["connection_uses"] = uses.reader
    app.extensions["broker"] = Tokens(house)
    app.extensions["glass"] = incidents_glass.opened
    app.extensions["names"] = lookup.names
    app.extensions["registry"] = registry_pages.Handed(preview.of(settings.policy), schema_check.usable)
    app.config.update(
        MAX_FORM_MEMORY_SIZE=settings.web.form_bytes,
        MAX_CONTENT_LENGTH=settings.gateway.request_bytes,
        WTF_CSRF_SSL_STRICT=False,  # `people.guard` checks Origin and Sec-Fetch-Site instead, on TLS or not
        WTF_CSRF_TIME_LIMIT=None,
        SEND_FILE_MAX_AGE_DEFAULT=3600,
    )
    room = gateway_room.make(house)
    app.extensions["gateway"] = room
    app.extensions["approvals"] = room.handed
    htmx.register(app)
    headers.register(app, secure=settings.secure)
    faults.register(app)
    show.register(app, evaluation=settings.evaluation)
    languages.register(app, settings.web.languages)
    words.register(app)
    serves.register(app, settings.only)
    guard.register(app, house)
    for blueprint in ROOMS:
        app.register_blueprint(blueprint)
    if settings.evaluation:
        evaluation.register(app, evaluation_run.read(settings.instance))
    limits.register(app, settings)
    guard.check_marks(app)
    if settings.only != "pages":
        setattr(app, "wsgi_app", Front(app, room))  # noqa: B010 a method in Flask's types
    if settings.web.trusted_proxies:
        proxies = Proxies(app.wsgi_app, settings.web.trusted_proxies, settings.web.client_certificate_header)
        setattr(app, "wsgi_app", proxies)  # noqa: B010 a method in Flask's types
    return app
