"""A real provider as Harbour Bank, and a person who connects an account at it through the pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.app_parts import Browser
from tests.keeper_parts import KeeperParts
from tests.oidc_provider import Provider, serve
from webapp.audit.tables import Entry
from webapp.connections.tables import Connection
from webapp.web.house import House

CALLBACK = "/connections/callback"
SCOPES = ["accounts:read", "payees:read", "payments:send"]


@pytest.fixture(scope="session")
def real_bank() -> Iterator[Provider]:
    with serve([f"http://localhost:8000{CALLBACK}"], scopes=SCOPES) as made:
        yield made


@pytest.fixture
def bank(real_bank: Provider, house: House, keeper: KeeperParts) -> Iterator[Provider]:
    """npm `oidc-provider`, known to the keeper under Harbour Bank's name: it names itself, narrows and rotates. It says whose
    account a token is for only where `openid` was asked for, and ends the whole grant when one access token is revoked: the
    operator's own catalogue says so."""
    own = "{overrides: harbour, base_scopes: [openid], revoke_effect: grant, grants_apart: false}"
    extra = own_file(keeper, "harbour", own)
    house.door.provider_put("harbour", record(real_bank))
    yield real_bank
    extra.unlink()


def own_file(keeper: KeeperParts, name: str, text: str) -> Path:
    """One of the operator's own files of the catalogue."""
    path = keeper.instance / "providers" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def only(monkeypatch: pytest.MonkeyPatch, keeper: KeeperParts, *names: str) -> None:
    """Of the providers that tests before this one set up at the same keeper, these alone; what is set up from here on counts."""
    providers = type(keeper.door).providers
    others = {*keeper.door.providers()} - {*names}
    monkeypatch.setattr(type(keeper.door), "providers", lambda door: tuple(sorted({*providers(door)} - others)))


def record(bank: Provider, **more: Any) -> dict[str, Any]:
    where = bank.issuer
    return bank.record(**{
        "authorize_url": f"{where}/auth", "token_url": f"{where}/token", "revoke_url": f"{where}/token/revocation",
        "userinfo_url": f"{where}/me", "jwks_url": f"{where}/jwks", **more,
    })


def begin(browser: Browser, scopes: list[str] | None = None, **fields: str) -> str:
    """Press "Continue": the address at the provider."""
    sent = browser.send("/connections/new", provider="harbour", scope=scopes or SCOPES, **fields)
    assert sent.status_code == 303, sent.text
    return sent.headers["Location"]


def back(browser: Browser, came: dict[str, str], path: str = CALLBACK) -> TestResponse:
    return browser.get(f"{path}?{urlencode(came)}")


def connect(browser: Browser, bank: Provider, scopes: list[str] | None = None, *, as_: str = "alice", **fields: str) -> str:
    """Connect an account; the connection's id."""
    before = set(ids(browser))
    done = back(browser, bank.consent(begin(browser, scopes, **fields), login_hint=as_))
    assert done.status_code == 303, done.text
    found = [one for one in ids(browser) if one not in before]
    return found[0] if found else fields.get("connection", "")


def ids(browser: Browser) -> list[str]:
    return re.findall(r'id="(con_[0-9a-z]+)"', browser.get("/connections").text)


def rows(house: House, person: str) -> list[Connection]:
    with house.database.read() as session:
        return list(session.scalars(select(Connection).where(Connection.person == person)))


def log(house: House) -> list[str]:
    with house.database.read() as session:
        return list(session.scalars(select(Entry.kind).order_by(Entry.id)))
