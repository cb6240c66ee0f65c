"""RFC 8707, resource indicators: exactly one, a server of ours, and the same at authorize, token and refresh."""

from __future__ import annotations

from collections.abc import Callable

from authlib.oauth2 import OAuth2Error
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from webapp.config import Settings
from webapp.oauth import metadata, offers
from webapp.oauth.offers import Offer


class InvalidTarget(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """Section 2: the requested resource is invalid, missing, unknown, or malformed."""

    error = "invalid_target"


def one(parameters: MultiDict[str, str]) -> str:
    """The one resource that was named. A token for two servers could be used by the one at the other."""
    named = parameters.getlist("resource")
    if len(named) != 1 or not named[0]:
        raise InvalidTarget("Exactly one resource must be named")
    return named[0]


def same(parameters: MultiDict[str, str], granted: str) -> None:
    if one(parameters) != granted:
        raise InvalidTarget("The resource is not the one that was granted")


def offered(
    session: Session, parameters: MultiDict[str, str], settings: Settings, find: Callable[[Session, str], Offer | None]
) -> tuple[str, Offer]:
    """The resource and the server behind it: one behind the gateway, or a token client's own."""
    resource = one(parameters)
    name = metadata.server_of(settings, resource)
    offer = find(session, name) if name else offers.outside(session, settings, resource)
    if offer is None:
        raise InvalidTarget("There is no such server here")
    return resource, offer
