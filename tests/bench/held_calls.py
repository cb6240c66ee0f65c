"""Calls that wait for their owner's word, held as the gateway holds them, without an agent that waits for the outcome."""

from __future__ import annotations

from tests.bench.scene import MODERN, Agent, Scene
from webapp.approvals.holding import Held
from webapp.canonical import parse
from webapp.gateway import calling, holding, judging, room
from webapp.gateway.eras import Ask
from webapp.gateway.judging import Case
from webapp.gateway.negotiation import Target
from webapp.gateway.room import Room
from webapp.gateway.wire import Message
from webapp.oauth.tokens import Caller
from webapp.registry import seed
from webapp.registry.pins import pinned
from webapp.registry.rules import Approval

SERVER = "desk"
MANY = 1_000_000


def place(made: Scene) -> Room:
    """The same server once more, its tool as one that destroys: that asks for the owner's word, and has no amount to cap."""
    house = made.house
    house.settings.approvals.held_per_person = house.settings.approvals.held_per_server = MANY
    url, found = f"http://127.0.0.1:{made.upstream}/mcp", room.make(house)
    listed = found.upstreams.list_tools(Target(url, "bench"))
    house.database.write(lambda s: seed.put(
        s, name=SERVER, url=url, title="Desk", listed=listed, approvals={"get_balance": Approval("destroy")}, now=house.clock()
    ))
    return found


def asked(agent: Agent, name: str, number: int) -> Ask:
    caller = Caller(agent.person, name, agent.client, "Bench", False, agent.grant, "", ("mcp",))
    params = {"name": "get_balance", "arguments": {"account": f"{name} {number}"}}
    return Ask(caller, SERVER, Message("tools/call", params, 1), "modern", MODERN)


def hold(place: Room, agent: Agent, name: str, number: int) -> str:
    """The action's id."""
    house, ask = place.house, asked(agent, name, number)
    with house.database.read() as session:
        who = judging.Who(agent.person, judging.groups(session, agent.person), agent.client, False, agent.grant)
        pin = pinned(session, SERVER, "get_balance")
        arguments = parse(b'{"account":"%s %d"}' % (name.encode(), number))
        case: Case = judging.open_case(session, house.settings.policy, who, pin, arguments)
    store = holding.storing(place, ask, case)
    found = house.database.write(lambda s: calling._admit_held(s, place, ask, case, store))
    if not isinstance(found, Held):
        raise TypeError(f"not held: {found}")
    return found.action_id
