"""`/healthz`, and what is served while the keeper or the vault is away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask, Response

from tests.app_parts import Browser, People
from tests.keeper_parts import PUBLIC_URL, KeeperParts
from vault.door import Door
from vault.secret import Secret
from webapp.composition import create_app
from webapp.config import Settings
from webapp.db import Database
from webapp.people.cookies import give_session
from webapp.web.house import House

# The database is asked one thing here, and it is the same on both.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_all_is_well(signed_in: People) -> None:
    answer = signed_in.stranger().get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "database": "ready", "keeper": "ready", "vault": "ready"}


def test_a_sealed_vault_is_said(signed_in: People, keeper: KeeperParts) -> None:
    keeper.seal()
    answer = signed_in.stranger().get("/healthz")
    assert (answer.status_code, answer.json) == (
        503, {"status": "unavailable", "database": "ready", "keeper": "ready", "vault": "sealed"}
    )


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """Where the keeper would answer, if there were one."""
    return tmp_path / "door.sock"


@pytest.fixture
def lonely(database: Database, socket: Path) -> Iterator[Flask]:
    """An app that started before its keeper."""
    door = Door(socket, timeout=20.0)
    made = create_app(House(Settings(public_url=PUBLIC_URL, database_url=database.url), database, door))
    made.test_client_class = Browser
    yield made
    door.close()


def test_without_the_keeper_only_health_and_static_files_are_served(lonely: Flask) -> None:
    """The keys that cookies are signed with come from the keeper: until it answers there is no page that could trust one."""
    client = lonely.test_client()
    health = client.get("/healthz")
    assert (health.status_code, health.json) == (
        503, {"status": "unavailable", "database": "ready", "keeper": "away", "vault": "away"}
    )
    assert client.get("/static/app.css", buffered=True).status_code == 200
    for page in ("/sign-in", "/you", "/sign-in/callback?state=x&code=y"):
        answer = client.get(page)
        assert answer.status_code == 503, page
        assert "Out of service" in answer.text
        assert answer.headers["Retry-After"] == "5"
    assert client.post("/sign-in/start").status_code == 503


def test_when_the_keeper_comes_everything_works_without_a_restart(lonely: Flask, keeper: KeeperParts, socket: Path) -> None:
    assert lonely.test_client().get("/sign-in").status_code == 503
    socket.symlink_to(keeper.door.socket)
    lonely.session_interface._asked = float("-inf")  # type: ignore[attr-defined]
    assert lonely.test_client().get("/sign-in").status_code == 200


def test_on_tls_every_cookie_is_bound_to_this_host(house: House) -> None:
    """`__Host-`: a sibling domain, or plain HTTP, can neither plant nor read it."""
    settings = house.settings.model_copy(update={"public_url": "https://seal.example"})
    client = create_app(replace(house, settings=settings)).test_client()
    answer = client.get("/sign-in", base_url="https://seal.example")
    cookies = answer.headers.getlist("Set-Cookie")
    assert cookies
    for cookie in cookies:
        assert cookie.startswith("__Host-counterseal_")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
        assert "Domain" not in cookie
    assert answer.headers["Strict-Transport-Security"]
    planted = Response()
    give_session(planted, settings, Secret("value"))
    assert planted.headers["Set-Cookie"].startswith("__Host-counterseal_session=value; Secure; HttpOnly; Path=/")


def test_cookies_are_signed_with_the_keepers_key_in_every_process(app: Flask, house: House) -> None:
    """Two web processes: a form of the one is good at the other."""
    one, two = app.test_client(), create_app(house)
    two.test_client_class = Browser
    assert isinstance(one, Browser)
    token, cookie = one.token(), one.get_cookie("counterseal_form")
    assert cookie is not None
    other = two.test_client()
    other.set_cookie("counterseal_form", cookie.value, domain="localhost")
    answer = other.post("/sign-in/start", data={"csrf_token": token}, headers={"Origin": PUBLIC_URL})
    assert "csrf" not in answer.text
    assert app.secret_key == two.secret_key == house.door.app_key("cookies").reveal()
