"""Flask's own session: it holds the CSRF token and the messages between two pages, nothing else. Its signing key is the
keeper's, the same in every web process, and asked for when it is first needed."""

from __future__ import annotations

import time
from hashlib import sha256

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from vault.errors import KeeperError
from webapp.web.house import House

ASK_AGAIN = 1.0
"""Seconds between two questions to a keeper that did not answer."""


class KeeperSigned(SecureCookieSessionInterface):
    """Until the key is known there is no session, `app.secret_key` is None and the guard answers 503."""

    digest_method = staticmethod(sha256)

    def __init__(self, house: House) -> None:
        self._house = house
        self._asked = float("-inf")

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if app.secret_key is None:
            self._ask(app)
        return super().open_session(app, request)

    def _ask(self, app: Flask) -> None:
        now = time.monotonic()
        if now - self._asked < ASK_AGAIN:
            return
        self._asked = now
        try:
            app.secret_key = self._house.door.app_key("cookies").reveal()
        except KeeperError:
            return
        self._asked = float("-inf")
