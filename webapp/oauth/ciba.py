"""OpenID CIBA Core 1.0, poll mode: a token client asks what became of a request that waits for people.

Of CIBA only sections 10.1 and 11 are taken: such a request begins at the token endpoint itself, with `authorization_pending`.
"""

from __future__ import annotations

import re

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError

from webapp.oauth.handed import Asked, Given
from webapp.oauth.rfc8693 import AccountGrant

REQUEST = re.compile(r"car_[A-Za-z0-9_-]{43}", re.ASCII)


class PollGrant(AccountGrant):
    GRANT_TYPE = "urn:openid:params:grant-type:ciba"

    def read(self) -> Asked:
        """Section 10.1."""
        found = self.request.form.get("auth_req_id", "")
        if not found:
            raise InvalidRequestError("Missing: auth_req_id")
        if not REQUEST.fullmatch(found):
            raise InvalidGrantError("This auth_req_id is not known here")
        return Asked(client=self.caller, subject=None, provider="", connection="", scopes=())

    def give(self) -> Given:
        return self.broker.poll(self.caller, self.request.form["auth_req_id"])
