"""RFC 6749 section 4.4, client credentials: a token client asks for an account that its owner gave it for its own use."""

from __future__ import annotations

from authlib.oauth2.rfc6749 import InvalidRequestError

from webapp.oauth import rfc9396
from webapp.oauth.handed import Asked
from webapp.oauth.rfc8693 import AccountGrant, scopes, target


class OwnGrant(AccountGrant):
    GRANT_TYPE = "client_credentials"

    def read(self) -> Asked:
        form = self.request.form
        if "subject_token" in form or "actor_token" in form:
            raise InvalidRequestError("A client asks for itself here. For a caller, exchange the caller's token")
        provider, connection = target(form, self.server.house.settings)
        return Asked(
            client=self.caller, subject=None, provider=provider, connection=connection, scopes=scopes(form),
            call=rfc9396.read(form.get("authorization_details")),
        )
