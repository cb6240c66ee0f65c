"""Authlib's authorization server, held to what design.md promises.

Authlib takes scheme and host from the request, merges query and form, and logs tokens at DEBUG: here the address comes from
`public_url`, the parameters from one place, once each, and those loggers are pinned.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Payload, OAuth2Request
from flask import Response
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from webapp.clients import lookup
from webapp.clients.rules import matches, read_redirect_uri
from webapp.clients.tables import Client
from webapp.errors import BadInput
from webapp.oauth import client_auth, metadata, rfc9207
from webapp.oauth.client_auth import Authenticated
from webapp.oauth.consent import Decide
from webapp.oauth.handed import Broker
from webapp.oauth.offers import Offer
from webapp.oauth.pace import Pace
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
PUBLIC = "none"
ANY = (PUBLIC, *client_auth.METHODS)
"""Every way in which a client of ours comes to an endpoint."""
UNKNOWN = "This client is not registered here, or did not prove who it is: a token client sends its certificate or an assertion."


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
        self.pace: Pace | None = None
        """Counts the requests of token clients, at the endpoint where they are counted."""
        self.proof: Authenticated | None = None
        """How the token client that sent this proved itself; None for an agent."""

    @property
    def args(self) -> Parameters:
        parameters: Parameters = self.payload.data
        return parameters

    @property
    def form(self) -> Parameters:
        parameters: Parameters = self.payload.data
        return parameters


class Known(ClientMixin):  # type: ignore[misc]
    """A client row as Authlib asks for it: an agent, which is public, or a token client that proved itself by `method`."""

    def __init__(self, row: Client, public_url: str, method: str = PUBLIC) -> None:
        self.row = row
        self.public_url = public_url
        self.method = method

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
        return method == self.method


class Server(AuthorizationServer):  # type: ignore[misc]
    """One for each app. `offer` finds the server that a resource names, or None; `decide` gives the rules of the moment;
    `broker` gives token clients the tokens of connected accounts."""

    broker: Broker | None = None

    def __init__(self, house: House, offer: Callable[[Session, str], Offer | None], decide: Callable[[], Decide]) -> None:
        super().__init__()
        self.house = house
        self.offer = offer
        self.decide = decide
        self.pace = Pace(house.settings.clients.requests_per_minute)

    def query_client(self, client_id: str) -> Known | None:
        with self.house.database.read() as session:
            found = lookup.find(session, client_id)
        return Known(found, self.house.settings.public_url) if found is not None else None

    def authenticate_client(self, request: Request, methods: Sequence[str], endpoint: str = "token") -> Known:
        """A token client by its proof (`client_auth`, which `request.proof` then holds), or the public agent that names itself
        (RFC 6749 section 3.2.1). None has a secret: one that brings one mistakes us for somebody else."""
        client_auth.refuse_secrets(request)
        found, asserts = self.query_client(request.form.get("client_id", "")), client_auth.asserts(request)
        if asserts or found is None or found.row.kind != "agent":
            if not asserts and request.peer is None:
                client_auth.refuse(UNKNOWN)
            request.proof = client_auth.authenticate(self.house, request)
            found = Known(request.proof.client, self.house.settings.public_url, request.proof.method)
        elif found.row.status != "active" and endpoint == "token":
            client_auth.refuse("This client was paused or revoked by an administrator.")
        if found.method not in methods:
            client_auth.refuse(f"This is for clients that prove themselves by {' or '.join(methods)}.")
        return found

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def request(
        self, method: str, path: str, parameters: Parameters, headers: Mapping[str, str], peer: bytes | None = None
    ) -> Request:
        """Raises OAuth2Error (`insecure_transport`) when `public_url` is neither https nor loopback."""
        made = Request(method, self.house.settings.public_url + path, parameters, headers, peer)
        made.pace = self.pace if path == metadata.TOKEN else None
        return made

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
