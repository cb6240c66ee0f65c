"""The admin's page of how approvers decide."""

from __future__ import annotations

from datetime import timedelta

from flask import render_template

from webapp.approvals.decoys import figures as decoys
from webapp.approvals.pace import quality
from webapp.approvals.pace.views import blueprint
from webapp.web.guards import admin
from webapp.web.house import house
from webapp.web.show import number

__all__ = ["blueprint"]


@blueprint.get("/approvals/quality")
@admin
def figures() -> str:
    settings = house().settings
    with house().database.read() as session:
        now = house().clock()
        found = quality.of(session, settings.approvals, now)
        seeded = decoys.of(session, now - timedelta(days=settings.approvals.quality_days))
    return render_template(
        "approvals/quality.html", found=found, times=quality.TIMES, bands=quality.bands(settings.policy.base_currency, number),
        settings=settings.approvals, decoys=seeded,
    )
