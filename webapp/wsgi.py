"""What gunicorn loads: the app of this process, made from the environment's settings."""

from __future__ import annotations

from flask import Flask

from webapp.composition import create_app, make_house
from webapp.config import Settings


def make() -> Flask:
    return create_app(make_house(Settings()))
