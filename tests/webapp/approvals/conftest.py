"""An app with a scripted upstream, and people who hold passkeys."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from flask import Flask

from tests.app_parts import Browser, People
from tests.authenticator import Passkey
from tests.webapp.approvals.parts import Server, with_passkey
from tests.webapp.approvals.reading import reader, reads

__all__ = ["reader", "reads"]
Enrol = Callable[..., tuple[Browser, Passkey]]


@pytest.fixture
def server(app: Flask) -> Server:
    made = Server()
    app.extensions["approvals"] = made.handed
    return made


@pytest.fixture
def someone(server: Server, signed_in: People) -> Enrol:
    """`someone("bob", groups=["finance"])`: their browser and their passkey."""

    def enrol(person: str, groups: Iterable[str] = ("user",)) -> tuple[Browser, Passkey]:
        browser = signed_in(person, groups=groups)
        return browser, with_passkey(browser)

    return enrol
