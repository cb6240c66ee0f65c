"""Tickets: what the keeper signed about a person and their session, verified here on each request."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime

from vault.door import Door, Ticket, verify_ticket
from vault.errors import NotSignedIn
from vault.secret import Secret
from webapp.people.rules import fingerprint

KEPT = 4096
VERSION = re.compile(r"vault:v(\d{1,9}):")


class Tickets:
    """Verifies tickets with the keeper's public keys, which are asked for once, and again when a ticket names a newer one.

    What was verified is kept for the next request under the ticket and the session it was verified with: a ticket that is
    copied into another session's row is another entry, and fails. Safe for many threads and greenlets.
    """

    def __init__(self, door: Door) -> None:
        self._door = door
        self._keys: Mapping[int, bytes] = {}
        self._verified: OrderedDict[tuple[str, str], Ticket] = OrderedDict()
        self._lock = threading.Lock()

    def verify(self, ticket: str, session: Secret[str], now: datetime) -> Ticket:
        """Raises NotSignedIn when the ticket does not verify, is over, or belongs to another session; KeeperAway or
        VaultAway when the keys are not known yet and cannot be asked for."""
        place = (ticket, fingerprint(session.reveal()))
        with self._lock:
            known = self._verified.get(place)
            if known is not None:
                self._verified.move_to_end(place)
        if known is None:
            known = verify_ticket(ticket, session, self._keys_for(ticket), now)
            self._keep(place, known)
        if now >= known.expires_at:
            raise NotSignedIn("the ticket is over")
        return known

    def _keep(self, place: tuple[str, str], ticket: Ticket) -> None:
        with self._lock:
            self._verified[place] = ticket
            while len(self._verified) > KEPT:
                self._verified.popitem(last=False)

    def _keys_for(self, ticket: str) -> Mapping[int, bytes]:
        named = VERSION.search(ticket)
        if named is None:
            raise NotSignedIn("the ticket names no key")
        if int(named.group(1)) not in self._keys:
            self._keys = dict(self._door.public_keys().authority)
        return self._keys
