"""Authlib's authorization server, held to what design.md promises.

Authlib takes scheme and host from the request, merges query and form, and logs tokens at DEBUG: here the address comes from
`public_url`, the parameters from one place, once each, and those loggers are pinned.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, InvalidClientError, OAuth2Payload, OAuth2Request
from flask import Response
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from webapp.clients import lookup
from webapp.clients.rules import matches, read_redirect_uri
from webapp.clients.tables import Client
from webapp.errors import BadInput
from webapp.oauth import metadata, rfc9207
from webapp.oauth.consent import Decide
from webapp.oauth.offers import Offer
from webapp.web.house import House

# "Issue token %r to %r" and the like: what they would say is never to be written anywhere, whatever level an operator sets.
for _name in (
    "authlib.oauth2.rfc6749.grants.authorization_code",
    "authlib.oauth2.rfc6749.grants.refresh_token",
    "authlib.oauth2.rfc6749.authenticate_client",
):
    logging.getLogger(_name).setLevel(logging.WARNING)
    logging.getLogger(_name).disabled = True

Parameters = MultiDict[str, str]


class Payload(OAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """The parameters of one request, from its query or its form, never from both."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    @property
    def data(self) -> Parameters:
        return self.parameters

    @cached_property
    def datalist(self) -> defaultdict[str, list[str]]:
        return defaultdict(list, {name: self.parameters.getlist(name) for name in self.parameters})


class Request(OAuth2Request):  # type: ignore[misc]
    """A request as our address knows it: the Host header has no say. `peer` is the client certificate (DER) that its sender
    proved to have the key of, to gunicorn or to a proxy that the settings name; None without one."""

    def __init__(
        self, method: str, address: str, parameters: Parameters, headers: Mapping[str, str], peer: bytes | None = None
    ) -> None:
        super().__init__(method, address, headers=headers)
        self.payload = Payload(parameters)
        self.peer = peer

    @property
    def args(self) -> Parameters:
        parameters: Parameters = self.payload.data
        return parameters

    @property
    def form(self) -> Parameters:
        parameters: Parameters = self.payload.data
        return parameters


class Agent(ClientMixin):  # type: ignore[misc]
    """A client row as Authlib asks for it: public, code and refresh only."""

    def __init__(self, row: Client, public_url: str) -> None:
        self.row = row
        self.public_url = public_url

    def get_client_id(self) -> str:
        return self.row.id

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        try:
            read_redirect_uri(redirect_uri, self.public_url)
        except BadInput:
            return False
        return matches(self.row.redirect_uris, redirect_uri)

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "none"


class Server(AuthorizationServer):  # type: ignore[misc]
    """One for each app. `offer` finds the server that a resource names, or None; `decide` gives the rules of the moment."""

    def __init__(self, house: House, offer: Callable[[Session, str], Offer | None], decide: Callable[[], Decide]) -> None:
        super().__init__()
        self.house = house
        self.offer = offer
        self.decide = decide

    def query_client(self, client_id: str) -> Agent | None:
        with self.house.database.read() as session:
            found = lookup.find(session, client_id)
        return Agent(found, self.house.settings.public_url) if found is not None else None

    def authenticate_client(self, request: Request, methods: list[str], endpoint: str = "token") -> Agent:
        """The public client that names itself (RFC 6749 section 3.2.1). None of ours has a secret: one that brings one, or an
        Authorization header, mistakes us for somebody else."""
        if request.headers.get("Authorization") or "client_secret" in request.form or "client_assertion" in request.form:
            raise InvalidClientError("This client has no secret; it sends client_id alone", status_code=401)
        client = self.query_client(request.form.get("client_id", ""))
        if client is None or client.row.kind != "agent":
            raise InvalidClientError("This client is not registered here", status_code=401)
        if client.row.status != "active" and endpoint == "token":
            raise InvalidClientError("This client was paused or revoked by an administrator", status_code=401)
        return client

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def request(
        self, method: str, path: str, parameters: Parameters, headers: Mapping[str, str], peer: bytes | None = None
    ) -> Request:
        """Raises OAuth2Error (`insecure_transport`) when `public_url` is neither https nor loopback."""
        return Request(method, self.house.settings.public_url + path, parameters, headers, peer)

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens: the audit log is written where things happen."""

    def handle_response(self, status: int, body: object, headers: list[tuple[str, str]]) -> Response:
        response = Response(json.dumps(body) if isinstance(body, dict) else str(body), status=status, mimetype="application/json")
        for name, value in headers:
            response.headers[name] = value
        return response

    def handle_error_response(self, request: object, error: OAuth2Error) -> Response:
        """To the client's redirect URI where the error names one, else as JSON (RFC 6749 sections 4.1.2.1 and 5.2)."""
        if error.redirect_uri:
            location = rfc9207.error_answer(error, metadata.issuer(self.house.settings))
            return self.handle_response(303, "", [("Location", location)])
        return self.handle_response(*error())
