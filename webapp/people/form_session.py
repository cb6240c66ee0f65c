"""Flask's own session: it holds the CSRF token and the messages between two pages, nothing else. Its signing key is the
keeper's, the same in every web process, and asked for when it is first needed. What an older generation of it signed stays good
(`vault.app_keys`): no form that is open is lost to a new one."""

from __future__ import annotations

import time
from hashlib import sha256

from flask import Flask, Request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface

from vault.errors import KeeperError
from webapp.web.house import House
from webapp.web.keys import AppKeys

ASK_AGAIN = 1.0
"""Seconds between two questions to a keeper that did not answer."""


class KeeperSigned(SecureCookieSessionInterface):
    """Until the key is known there is no session, `app.secret_key` is None and the guard answers 503."""

    digest_method = staticmethod(sha256)

    def __init__(self, house: House) -> None:
        self._house = house
        self._keys = AppKeys(house.door, "cookies")
        self._asked = float("-inf")

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if app.secret_key is not None or time.monotonic() - self._asked >= ASK_AGAIN:
            self._ask(app)
        return super().open_session(app, request)

    def _ask(self, app: Flask) -> None:
        """In this order: what is verified with is always more than what is signed with."""
        try:
            first, *others = (one.reveal() for one in self._keys.all(self._house.clock()))
        except KeeperError:
            self._asked = time.monotonic()
            return
        if app.secret_key == first and app.config.get("SECRET_KEY_FALLBACKS") == others:
            return
        app.config["WTF_CSRF_SECRET_KEY"] = [*reversed(others), first]  # itsdangerous signs with the last
        app.config["SECRET_KEY_FALLBACKS"] = others
        app.secret_key = first
