"""The bank of the app that serves this request. For its views only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import current_app

if TYPE_CHECKING:
    from webapp.evaluation.bank.app import Bank


def bank() -> Bank:
    found: Bank = current_app.extensions["bank"]
    return found
