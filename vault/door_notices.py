"""The door's requests for telling people. A part of `vault.door.Door`."""

from __future__ import annotations

from vault.door_readmission import Readmitting
from vault.secret import Secret


class Notices(Readmitting):
    """Addresses of channels, what push services ask for, and the number that an agent shows."""

    def channel_seal(self, *, channel: str, url: Secret[str]) -> str:
        """The address of a channel (2,048 characters at most), sealed under the keeper's own key, for that channel alone."""
        return str(self._line.ask("channel_seal", channel=channel, url=url.reveal())["sealed"])

    def channel_open(self, *, channel: str, sealed: str) -> Secret[str]:
        """The address, for whoever is about to send there. Raises BadRequest for one that is another channel's, TooMany."""
        return Secret(str(self._line.ask("channel_open", again=True, channel=channel, sealed=sealed)["url"]))

    def match_number(self, *, action: str, digest: str) -> str:
        """The two digits that the agent's screen shows for this action and envelope. For the agent's screen, and nothing else."""
        return str(self._line.ask("match_number", again=True, action=action, digest=digest)["number"])

    def push_key(self) -> str:
        """This installation's public key for push services: an uncompressed P-256 point, base64url (RFC 8292 section 3.2)."""
        return str(self._line.ask("push_key", again=True)["key"])

    def push_token(self, *, audience: str, subject: str) -> Secret[str]:
        """A JWT by its private half, good for an hour, for the push service at this https origin (RFC 8292 section 2)."""
        return Secret(str(self._line.ask("push_token", again=True, audience=audience, subject=subject)["token"]))
