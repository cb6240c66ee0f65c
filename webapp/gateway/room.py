"""What the gateway keeps in a process: connections to servers, places for waiting calls, the key of `requestState`."""

from __future__ import annotations

from dataclasses import dataclass

from webapp.approvals.outcome import Handed
from webapp.gateway.drifting import recheck
from webapp.gateway.editing import editor
from webapp.gateway.executing import executor
from webapp.gateway.origins import Origins
from webapp.gateway.request_state import RequestStates
from webapp.gateway.upstream import Upstreams
from webapp.web.house import House
from webapp.web.live import Seats


@dataclass(frozen=True)
class Room:
    """Nothing in here is needed by another process. `handed` is what the approvers' room is given: how a held call is sent, and
    what it is compared with before."""

    house: House
    upstreams: Upstreams
    places: Seats
    states: RequestStates
    handed: Handed
    origins: Origins


def make(house: House) -> Room:
    settings = house.settings.gateway
    upstreams, origins = Upstreams(settings), Origins(house)
    return Room(
        house=house, upstreams=upstreams, places=Seats(settings.waiting_per_person, settings.waiting_total),
        states=RequestStates(house.door), handed=Handed(executor(house, upstreams, origins), recheck(house), editor(house)),
        origins=origins,
    )
