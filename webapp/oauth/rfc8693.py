"""RFC 8693, token exchange: an agent's token for a server becomes that person's account's token for the same server."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from authlib.consts import default_json_headers
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import BaseGrant, InvalidRequestError, InvalidScopeError, TokenEndpointMixin

from vault.errors import KeeperError
from webapp.clients import lookup
from webapp.config import Settings
from webapp.errors import HTTP, OAUTH, CountersealError, look_up
from webapp.oauth import client_auth, rfc9396, tokens
from webapp.oauth.client_auth import Authenticated
from webapp.oauth.handed import Asked, Broker, Given, NotGiven
from webapp.oauth.rfc6749 import TokenAnswer, once_each
from webapp.oauth.rfc8707 import InvalidTarget
from webapp.oauth.server import Parameters, Request, Server

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 a type
PROVIDER = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)
CONNECTION = re.compile(r"/connections/([a-z]{2,8}_[0-9a-z]{1,40})", re.ASCII)
SCOPES = 50
SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,300}", re.ASCII)
"""RFC 6749 section 3.3: `scope-token`."""
PLAINER = {ord(char): plain for char, plain in zip("“”„\"’‘\\", "''''''/", strict=True)}


class TokenRefused(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """NotGiven on the wire, and what is out of service."""

    def __init__(self, code: str, hint: str, *, more: Mapping[str, Any] | None = None, status: int = 400) -> None:
        super().__init__(description=_described(hint), error=code, status_code=status)
        self.more = dict(more or {})

    def get_body(self) -> list[tuple[str, Any]]:
        return [*super().get_body(), *self.more.items()]


def _described(hint: str) -> str:
    """RFC 6749 section 5.2: printable ASCII, without quotes and backslashes. A person's reason may have more in it."""
    plain = unicodedata.normalize("NFKD", hint.translate(PLAINER))
    return "".join(char if " " <= char <= "~" else "?" for char in " ".join(plain.split()) if not unicodedata.combining(char))


def refused(error: CountersealError | KeeperError) -> TokenRefused:
    """Any error of the house as the token endpoint answers it. What is out of service is a 503, and not the client's fault."""
    if isinstance(error, NotGiven):
        more = {
            "error_uri": error.url, "auth_req_id": error.request, "interval": error.interval, "expires_in": error.expires_in,
            "reason_code": error.reason,
        }
        return TokenRefused(error.code, error.hint, more={name: value for name, value in more.items() if value})
    code = look_up(OAUTH, error, "server_error")
    return TokenRefused(code, error.hint, status=look_up(HTTP, error, 400))


def target(parameters: Parameters, settings: Settings) -> tuple[str, str]:
    """Section 2.1: `audience` is a provider's name, `resource` the address of one connected account; at least one of them.
    (provider, connection), one of them perhaps empty. Raises InvalidTarget (section 2.2.2)."""
    named = parameters.getlist("resource")
    if len(named) > 1:
        raise InvalidTarget("One token is for one account")
    audience, resource = parameters.get("audience", ""), named[0] if named else ""
    if not audience and not resource:
        raise InvalidTarget("Name the provider as audience, or the account as resource")
    if audience and not PROVIDER.fullmatch(audience):
        raise InvalidTarget("audience is the name of a provider that is set up here")
    found = CONNECTION.fullmatch(resource.removeprefix(settings.public_url)) if resource.startswith(settings.public_url) else None
    if resource and found is None:
        raise InvalidTarget("resource is the address of a connected account here")
    return audience, found[1] if found else ""


def scopes(parameters: Parameters) -> tuple[str, ...]:
    """Required: what is not asked for is not given. Raises InvalidScopeError."""
    named = sorted(set(parameters.get("scope", "").split(" ")) - {""})
    if not named or len(named) > SCOPES or not all(SCOPE.fullmatch(one) for one in named):
        raise InvalidScopeError(f"Name the scopes at the provider that the call needs, at most {SCOPES}")
    return tuple(named)


def answer(given: Given) -> TokenAnswer:
    """Section 2.2.1, with the lease's id and, as RFC 9396 section 7 has it, what was said of the call."""
    body: dict[str, object] = {
        "access_token": given.token.reveal(), "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
        "expires_in": given.expires_in, "scope": " ".join(given.scopes), "lease_id": given.lease,
    }
    if given.call is not None:
        body["authorization_details"] = rfc9396.document(given.call)
    return 200, body, default_json_headers


class AccountGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """What the grants of this kind share: the client proves who it is, its request becomes a value, the broker answers."""

    server: Server
    request: Request
    caller: Authenticated
    asked: Asked

    def validate_token_request(self) -> None:
        self.caller = client_auth.authenticate(self.server.house, self.request)
        once_each(self.request.form)
        self.asked = self.read()

    def read(self) -> Asked:
        raise NotImplementedError

    def create_token_response(self) -> TokenAnswer:
        try:
            return answer(self.give())
        except (CountersealError, KeeperError) as error:
            raise refused(error) from error

    @property
    def broker(self) -> Broker:
        """These grants are there only where there is one."""
        assert self.server.broker is not None
        return self.server.broker

    def give(self) -> Given:
        return self.broker.give(self.asked)


class ExchangeGrant(AccountGrant):
    GRANT_TYPE = GRANT

    def read(self) -> Asked:
        """Section 2.1.

        1. what is asked for is an access token, and no actor is delegated: we could not honour it;
        2. the subject token is an access token of ours, live, and was given for this very client's own resource;
        3. the account, the scopes, the call.
        """
        form = self.request.form
        if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
            raise InvalidRequestError("The one requested_token_type given here is access_token")
        if "actor_token" in form or "actor_token_type" in form:
            raise InvalidRequestError("An actor_token is not taken here: the actor is the client that authenticated itself")
        if form.get("subject_token_type") != ACCESS_TOKEN:
            raise InvalidRequestError("subject_token_type is urn:ietf:params:oauth:token-type:access_token")
        provider, connection = target(form, self.server.house.settings)
        return Asked(
            client=self.caller, subject=self.subject(form.get("subject_token", "")), provider=provider, connection=connection,
            scopes=scopes(form), call=rfc9396.read(form.get("authorization_details")),
        )

    def subject(self, raw: str) -> tokens.Caller:
        """Section 2.2.2: a subject token that is invalid for any reason is an invalid_request. A token for another server is one:
        else whoever is called by an agent could act for it everywhere."""
        house = self.server.house
        with house.database.look() as session:
            own = lookup.registered(session, self.caller.client.id)
            if own is None or not own[2]:
                raise InvalidRequestError("This client has no resource of its own, so no token was given for it")
            try:
                return tokens.authenticate(session, raw, own[2], house.clock(), self.request.peer)
            except tokens.InvalidToken as error:
                raise InvalidRequestError(f"subject_token: {_described(error.hint)}") from error
