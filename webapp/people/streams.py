"""Whether whoever opened a live stream is still signed in."""

from __future__ import annotations

from collections.abc import Callable

from webapp.errors import Unavailable
from webapp.people import sessions
from webapp.web.house import House
from webapp.web.viewer import Viewer


def still_signed_in(the_house: House, viewer: Viewer) -> Callable[[], bool]:
    """For `web.live.stream`. A database that does not answer is a no: the page asks anew."""

    def alive() -> bool:
        try:
            with the_house.database.look() as db:
                return sessions.counts(db, viewer.session, the_house.clock())
        except Unavailable:
            return False

    return alive
