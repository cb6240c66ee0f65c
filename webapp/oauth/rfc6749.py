"""RFC 6749: the authorization code grant and the refresh token grant, for agents and for token clients that prove themselves."""

from __future__ import annotations

from datetime import datetime
from typing import NoReturn

from authlib.consts import default_json_headers
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import (
    AccessDeniedError,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc6749.hooks import hooked
from sqlalchemy.orm import Session

from webapp.clients.tables import Client
from webapp.oauth import grants, issuing, metadata, rfc8707, rfc9207
from webapp.oauth.issuing import Held, Issued, NotLive, SpentAlready
from webapp.oauth.offers import Offer
from webapp.oauth.server import ANY, Parameters, Request, Server
from webapp.oauth.tables import AuthorizationCode, RefreshToken

LONGEST = 2048
"""Characters of any one parameter."""
LONGER = {"authorization_details": 32_000}
TokenAnswer = tuple[int, dict[str, object], list[tuple[str, str]]]


def once_each(parameters: Parameters) -> None:
    """Section 3.1: parameters are not included more than once. Two readers could otherwise each see another one.
    (`resource` has its own error.)"""
    for name, values in parameters.lists():
        if name != "resource" and len(values) > 1:
            raise InvalidRequestError("A parameter was sent twice")
        longest = LONGER.get(name, LONGEST)
        if any(len(value) > longest for value in values):
            raise InvalidRequestError(f"A parameter is longer than {longest} characters")


def scoped(parameters: Parameters) -> None:
    """Section 3.3: there is one scope. What it may do is policy's to say. A client that asks for another one gets this one, and
    is told so; what is not a scope at all is refused."""
    if not set(parameters.get("scope", "")) <= set(map(chr, range(0x20, 0x7F))) - set('"\\'):
        raise InvalidScopeError


def token_answer(issued: Issued) -> TokenAnswer:
    """Section 5.1."""
    return 200, {
        "access_token": issued.access.reveal(),
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "refresh_token": issued.refresh.reveal(),
        "scope": " ".join(issued.scopes),
    }, default_json_headers


class Spending:
    """What both grants share at the token endpoint: a held credential is checked, then spent for tokens, once."""

    request: Request
    server: Server
    what: str
    table: issuing.Spendable

    def check(self, held: Held | None, now: datetime) -> Held:
        """Whether what was presented may be spent by this client. A second use ends the grant, whoever comes with it."""
        if held is None:
            raise InvalidGrantError(f"This {self.what} is not known here")
        if held.spent:
            self.stolen(held, now)
        if held.client != self.request.client.row.id:
            raise InvalidGrantError(f"This {self.what} was given to another client")
        if held.expires_at <= now:
            raise InvalidGrantError(f"This {self.what} has expired")
        rfc8707.same(self.request.form, held.resource)
        return held

    def spend(self, held: Held, now: datetime) -> TokenAnswer:
        house, proof = self.server.house, self.request.proof
        bound = (proof.thumbprint if proof else None) or ""
        try:
            issued = house.database.write(
                lambda s: issuing.exchange(s, held, self.table, limits=house.settings.oauth, now=now, confirmation=bound)
            )
        except SpentAlready:
            self.stolen(held, now)
        except NotLive as error:
            raise InvalidGrantError(f"What this {self.what} stood for was revoked") from error
        return token_answer(issued)

    def stolen(self, held: Held, now: datetime) -> NoReturn:
        """The family ends in a transaction of its own, before anybody is answered."""
        self.server.house.database.write(lambda s: issuing.reused(s, held, self.what, now))
        raise InvalidGrantError(f"This {self.what} was used before; everything it gave is revoked")

    def required(self, *names: str) -> None:
        once_each(self.request.form)
        missing = [name for name in names if not self.request.form.get(name)]
        if missing:
            raise InvalidRequestError(f"Missing: {', '.join(missing)}")


class CodeGrant(Spending, AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    TOKEN_ENDPOINT_AUTH_METHODS = ANY
    what = "authorization code"
    table = AuthorizationCode
    offer: Offer
    resource: str

    @classmethod
    def check_authorization_endpoint(cls, request: Request) -> bool:
        """Every authorization request comes here, so that a wrong response type is refused after the redirect URI was checked."""
        return True

    @staticmethod
    def validate_no_multiple_request_parameter(request: Request) -> None:
        """Authlib's check comes before the redirect URI's; ours is `once_each`, after it."""

    def validate_authorization_request(self) -> str:
        """Check an authorization request and return its redirect URI.

        1. The client is known, active, and named once.
        2. The redirect URI is one that it registered. An error so far is for the person alone (section 4.1.2.1).
        3. The rest: response type, resource, PKCE. An error from here on goes back to the client.
        """
        parameters = self.request.payload.data
        if any(len(parameters.getlist(name)) > 1 for name in ("client_id", "redirect_uri")):
            raise InvalidRequestError("The agent sent a parameter twice")
        client = self.server.query_client(parameters.get("client_id", ""))
        if client is None:
            raise InvalidClientError("This agent is not registered here. Remove it from the agent's settings and connect again.")
        if client.row.status != "active":
            raise InvalidClientError(f"This agent was {client.row.status} by an administrator.")
        redirect_uri: str = parameters.get("redirect_uri", "")
        if not client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError("The agent wants its answer sent to an address that it has not registered.")
        self.request.client = client
        try:
            self.validate_authorization_request_payload(redirect_uri)
        except OAuth2Error as error:
            error.redirect_uri = redirect_uri
            raise
        return redirect_uri

    @hooked  # type: ignore[untyped-decorator]
    def validate_authorization_request_payload(self, redirect_uri: str) -> None:
        """What the client is told about. PKCE is the hook that runs after it."""
        parameters = self.request.payload.data
        once_each(parameters)
        if parameters.get("response_type") != "code":
            raise OAuth2Error("response_type must be code", error="unsupported_response_type")
        if parameters.get("response_mode", "query") != "query":
            raise InvalidRequestError("response_mode must be query")
        scoped(parameters)
        house = self.server.house
        with house.database.read() as session:
            self.resource, self.offer = rfc8707.offered(session, parameters, house.settings, self.server.offer)

    def create_authorization_response(self, redirect_uri: str, grant_user: str | None) -> tuple[int, str, list[tuple[str, str]]]:
        """Section 4.1.2: a code for `grant_user`, the id of the person who allowed it; None is a person who did not."""
        house = self.server.house
        client: Client = self.request.client.row
        if not grant_user:
            raise AccessDeniedError(redirect_uri=redirect_uri)
        now = house.clock()
        challenge = self.request.payload.data["code_challenge"]

        def work(session: Session) -> str:
            grant = grants.consent(
                session, person=grant_user, client=client, resource=self.resource, scopes=[metadata.SCOPE], now=now,
            )
            return issuing.write_code(
                session, grant, redirect_uri=redirect_uri, challenge=challenge, limits=house.settings.oauth, now=now,
            ).reveal()

        code = house.database.write(work)
        answer = rfc9207.answer(redirect_uri, metadata.issuer(house.settings), self.request.payload.state, code=code)
        return 303, "", [("Location", answer)]

    @hooked  # type: ignore[untyped-decorator]
    def validate_token_request(self) -> None:
        """Section 4.1.3. PKCE is the hook that runs after it; only a request that passes all of it spends the code."""
        self.request.client = self.server.authenticate_client(self.request, ANY)
        self.request.auth_method = self.request.client.method
        self.required("code", "redirect_uri", "code_verifier")
        house = self.server.house
        with house.database.read() as session:
            found = issuing.find_code(session, self.request.form["code"])
        held = self.check(found, house.clock())
        if self.request.form["redirect_uri"] != held.redirect_uri:
            raise InvalidGrantError("The redirect_uri is not the one of the authorization request")
        self.request.authorization_code = held

    def create_token_response(self) -> TokenAnswer:
        return self.spend(self.request.authorization_code, self.server.house.clock())


class RefreshGrant(Spending, RefreshTokenGrant):  # type: ignore[misc]
    """Section 6, with a new refresh token each time (RFC 9700 section 4.14.2)."""

    TOKEN_ENDPOINT_AUTH_METHODS = ANY
    what = "refresh token"
    table = RefreshToken

    def validate_token_request(self) -> None:
        self.request.client = self.server.authenticate_client(self.request, ANY)
        self.required("refresh_token")
        scoped(self.request.form)
        house = self.server.house
        with house.database.read() as session:
            found = issuing.find_refresh(session, self.request.form["refresh_token"])
        self.request.refresh_token = self.check(found, house.clock())

    def create_token_response(self) -> TokenAnswer:
        return self.spend(self.request.refresh_token, self.server.house.clock())
