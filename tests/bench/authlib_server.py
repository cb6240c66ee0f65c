"""What one would write with Authlib's documentation: its Flask server, SQLAlchemy and SQLite, `client_credentials`, HTTP Basic.

SQLite is set as ours is (WAL, `synchronous=FULL`), which is faster than its default of a rollback journal. gunicorn serves it.
"""

from __future__ import annotations

import os
import time
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.integrations.sqla_oauth2 import (
    OAuth2ClientMixin,
    OAuth2TokenMixin,
    create_query_client_func,
    create_save_token_func,
)
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from flask import Flask
from sqlalchemy import Column, Integer, create_engine, event
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker

CLIENT, SECRET, SCOPE = "bench", "a-secret-of-the-bench", "accounts:read"


class Base(DeclarativeBase):
    pass


class Client(Base, OAuth2ClientMixin):  # type: ignore[misc]
    __tablename__ = "client"
    id = Column(Integer, primary_key=True)


class Token(Base, OAuth2TokenMixin):  # type: ignore[misc]
    __tablename__ = "token"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer)


def make() -> Flask:
    app = Flask("authlib-server")
    engine = create_engine(f"sqlite:///{os.environ['BENCH_AUTHLIB_FILE']}")
    event.listen(engine, "connect", _durable)
    Base.metadata.create_all(engine)
    session = scoped_session(sessionmaker(engine))
    _registered(session)
    server = AuthorizationServer(
        app, query_client=create_query_client_func(session, Client), save_token=create_save_token_func(session, Token)
    )
    server.register_grant(ClientCredentialsGrant)

    @app.post("/oauth/token")
    def token() -> Any:
        return server.create_token_response()

    @app.teardown_appcontext
    def done(_error: BaseException | None) -> None:
        session.remove()

    return app


def _durable(connection: Any, _record: object) -> None:
    for setting in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {setting}")


def _registered(session: Any) -> None:
    client = Client(client_id=CLIENT, client_secret=SECRET, client_id_issued_at=int(time.time()), client_secret_expires_at=0)
    client.set_client_metadata({
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "client_secret_basic", "scope": SCOPE,
    })
    session.add(client)
    session.commit()
    session.remove()
