"""The door's requests about sessions that end. A part of `vault.door.Door`."""

from __future__ import annotations

from collections.abc import Iterable

from vault.door_standing import Standing
from vault.lines import moment
from vault.secret import Secret
from vault.shapes_people import LoggedOut


class Sessions(Standing):
    """Tickets that no longer count, and who says so."""

    def sessions_end(self, *, person: str, sessions: Iterable[str] = (), everything: bool = False) -> None:
        """From the next request on the tickets of these sessions (200 at most, each by the hex SHA-256 of its cookie), or of
        `everything` that the person signed in to until now, count for nothing: no factor is checked and no decision signed for
        them. Again does no harm. Raises NotKnown for somebody who never signed in."""
        self._line.ask("sessions_end", again=not everything, person=person, sessions=list(sessions), everything=everything)

    def logout_token(self, *, idp: str, token: Secret[str]) -> LoggedOut:
        """Verify a logout token of this identity provider's (OpenID Connect Back-Channel Logout 1.0). It ends nothing by itself,
        and whether it was seen before is for the caller to say. Raises ProviderRefused, ProviderAway, NotKnown."""
        found = self._line.ask("logout_token", self.provider_timeout, again=True, idp=idp, token=token.reveal())
        return LoggedOut(found["issuer"], found["person"], found["sid"], found["jti"], moment(found["until"]))
