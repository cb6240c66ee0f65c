"""A token for an MCP server that is not behind the gateway, at `/oauth/token`: beside its floor, and beside other endpoints."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from urllib.parse import urlencode

from sqlalchemy import insert

from tests.bench import authlib_server
from tests.bench.figures import Figure, interleaved, timed
from tests.bench.http_client import Address, Line, per_second, request
from tests.bench.scene import Agent, Scene
from tests.bench.shared_lease import BODY
from tests.bench.token_scene import Tokens, beside, form, given, oidc_provider, token_scene
from tests.oidc_provider import installed
from tests.scripted_provider import Scripted
from webapp.audit.tables import Entry
from webapp.broker import leases
from webapp.ids import new_id

AT_ONCE, SECONDS, LEAD = 32, 6.0, 2.0
GOAL = 1.75
EXCLUSIVE = 16
"""Refreshes: the keeper lets one account have sixty in a minute."""


def figures(made: Scene, agent: Agent, bank: Scripted, size: int) -> list[Figure]:
    """`size` scales the number of rounds."""
    floor = _floor(made, agent)
    with token_scene(made, agent) as tokens:
        found = [_over_http(tokens, floor, size), _private_key(tokens, floor, size), _throughput(tokens, floor, size)]
        found += _beside_bare(made, agent, tokens, size)
        found += _beside_authlib(tokens, size)
        found += _beside_oidc(tokens, size)
    return [*found, _exclusive(made, agent, bank)]


def _floor(made: Scene, agent: Agent) -> Callable[[], None]:
    """In this process, without HTTP: one read by the keeper's own client, one committed row as long as an entry."""
    house, kv, statement = made.house, made.keeper.inside().kv, insert(Entry.__table__)  # type: ignore[arg-type]

    def act() -> None:
        kv.read(f"connections/{agent.connection.id}")
        row = {"id": new_id("ent"), "at": house.clock(), "kind": "bench.row", "actor": "system", "subject": "", "body": BODY}
        house.database.write(lambda s: s.execute(statement, row))

    return act


def _over_http(tokens: Tokens, floor: Callable[[], None], size: int) -> Figure:
    line, sent = tokens.certified.line(), tokens.certified.asks()
    rounds, each = 8 * size, 20
    value, least = interleaved(lambda: given(line.ask(sent)), floor, rounds=rounds, each=each)
    line.close()
    return Figure("lease-over-http", "ms", value, least, rounds * each, goal=GOAL)


def _private_key(tokens: Tokens, floor: Callable[[], None], size: int) -> Figure:
    """Each request has an assertion of its own, signed before the clock runs."""
    line, rounds, each, warm = tokens.keyed.line(), 8 * size, 20, 50
    ready = [tokens.keyed.asks() for _ in range(rounds * each + warm)]
    value, least = interleaved(lambda: given(line.ask(ready.pop())), floor, rounds=rounds, each=each, warm=warm)
    line.close()
    return Figure("lease-private-key-jwt", "ms", value, least, rounds * each)


def _throughput(tokens: Tokens, floor: Callable[[], None], size: int) -> Figure:
    values, floors, n, sent = [], [], 0, tokens.certified.asks()
    for _ in range(size):
        value, count = _per_second(tokens.certified.address, sent, tokens.certified.context)
        values.append(value)
        floors.append(_floor_per_second(floor))
        n += count
    goal = round(1 / GOAL, 3)
    return Figure(f"lease-throughput-{AT_ONCE}", "tokens/s", median(values), median(floors), n, goal=goal, more=True)


def _floor_per_second(floor: Callable[[], None]) -> float:
    """By as many threads as there are requests under way; they share commits as ours do."""

    def until(end: float) -> int:
        done = 0
        while time.perf_counter() < end:
            floor()
            done += 1
        return done

    with ThreadPoolExecutor(AT_ONCE) as pool:
        end = time.perf_counter() + SECONDS
        return sum(pool.map(until, [end] * AT_ONCE)) / SECONDS


def _per_second(address: Address, sent: bytes, context: object = None) -> tuple[float, int]:
    return per_second(address, sent, connections=AT_ONCE, seconds=SECONDS, lead=LEAD, context=context)  # type: ignore[arg-type]


def _beside_bare(made: Scene, agent: Agent, tokens: Tokens, size: int) -> list[Figure]:
    """The same floor behind Flask, gunicorn and TLS: what of our ratio is HTTP's."""
    environment = {
        "BENCH_CONNECTION": agent.connection.id, "COUNTERSEAL_DATABASE_URL": made.house.database.url,
        "COUNTERSEAL_INSTANCE": str(made.house.settings.instance),
    }
    with beside(tokens, "tests.bench.bare_lease:make()", **environment) as address:
        return _pair("bare-http", tokens, address, form(address, "/oauth/token", {"a": "b"}), size)


def _beside_authlib(tokens: Tokens, size: int) -> list[Figure]:
    file = tokens.folder / "authlib.sqlite"
    with beside(tokens, "tests.bench.authlib_server:make()", BENCH_AUTHLIB_FILE=str(file)) as address:
        return _pair("authlib", tokens, address, _own(address, "/oauth/token"), size, goals=(1.0, 1.0))


def _beside_oidc(tokens: Tokens, size: int) -> list[Figure]:
    """In memory and without TLS."""
    installed()
    with oidc_provider() as address:
        return _pair("oidc-provider", tokens, address, _own(address, "/token"), size, tls=False)


def _own(address: Address, path: str) -> bytes:
    basic = b64encode(f"{authlib_server.CLIENT}:{authlib_server.SECRET}".encode()).decode()
    fields = {"grant_type": "client_credentials", "scope": authlib_server.SCOPE}
    return form(address, path, fields, Authorization=f"Basic {basic}")


def _pair(
    name: str, tokens: Tokens, address: Address, sent: bytes, size: int, *, tls: bool = True,
    goals: tuple[float | None, float | None] = (None, None),
) -> list[Figure]:
    """Latency one at a time in turns with ours, then throughput. A request of a shared lease each time."""
    context = tokens.trusting if tls else None
    ours, theirs, asked = tokens.certified.line(), Line(address, context), tokens.certified.asks()
    rounds, each = 6 * size, 20
    value, other = interleaved(lambda: given(ours.ask(asked)), lambda: given(theirs.ask(sent)), rounds=rounds, each=each)
    ours.close()
    theirs.close()
    fast, n = _per_second(tokens.certified.address, asked, tokens.certified.context)
    other_fast, _ = _per_second(address, sent, context)
    return [
        Figure(f"lease-beside-{name}", "ms", value, other, rounds * each, goal=goals[0]),
        Figure(f"lease-beside-{name}-{AT_ONCE}", "tokens/s", fast, other_fast, n, goal=goals[1], more=True),
    ]


def _exclusive(made: Scene, agent: Agent, bank: Scripted) -> Figure:
    """What an exclusive lease adds to a shared one, less the provider's own answer: three medians, taken in turns."""
    house, provider = made.house, _provider(bank)

    def lease(exclusive: bool) -> None:
        planned = house.database.write(lambda s: leases.plan(
            s, connection=agent.connection, scopes=("accounts:read",), person=agent.person, client=agent.client,
            grant=agent.grant, server="bench", tool="get_balance", action=None, exclusive=exclusive, cap=300, now=house.clock(),
        ))
        leases.mint(house, planned)

    acts: tuple[Callable[[], object], ...] = (lambda: lease(True), lambda: lease(False), provider)
    for act in acts:
        act()
    alone, shared, answer = (median(times) for times in zip(
        *([timed(act) for act in acts] for _ in range(EXCLUSIVE)), strict=True
    ))
    return Figure("lease-exclusive-adds", "ms over the provider's", alone - shared - answer, None, EXCLUSIVE, goal=5.0)


def _provider(bank: Scripted) -> Callable[[], object]:
    """A refresh at the provider, straight, on a new connection as the keeper's is: rotating a token of its own."""
    host, port = bank.url.removeprefix("http://").split(":")
    held = [str(bank.issue(bank.scopes)["refresh_token"])]

    def act() -> None:
        line = Line((host, int(port)))
        fields = {"grant_type": "refresh_token", "refresh_token": held[0], "client_id": "counterseal", "scope": "accounts:read"}
        named = {"Host": f"{host}:{port}", "Content-Type": "application/x-www-form-urlencoded"}
        status, body = line.ask(request("POST", "/token", named, urlencode(fields).encode()))
        line.close()
        if status != 200:
            raise RuntimeError(f"answered {status}: {body[:300]!r}")
        held[0] = json.loads(body)["refresh_token"]

    return act
