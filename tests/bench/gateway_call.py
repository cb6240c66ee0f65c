"""An allowed call through the gateway beside the same call straight to its server: latency one at a time, and throughput."""

from __future__ import annotations

from statistics import median

from tests.bench.figures import Figure, interleaved
from tests.bench.http_client import Line, per_second
from tests.bench.scene import Agent, Scene, tool_call

ARGUMENTS = {"account": "main"}
AT_ONCE = 32
SECONDS, LEAD = 8.0, 3.0


def figures(made: Scene, agent: Agent, size: int) -> list[Figure]:
    """`size` scales the number of rounds."""
    through = agent.call("get_balance", ARGUMENTS)
    straight = tool_call("/mcp", f"127.0.0.1:{made.upstream}", "a-token-of-the-same-length-as-ours", "get_balance", ARGUMENTS)
    return [_latency(made, through, straight, size), _throughput(made, through, straight, size)]


def _latency(made: Scene, through: bytes, straight: bytes, size: int) -> Figure:
    gateway, server = Line(made.address), Line(made.straight)

    def call(line: Line, sent: bytes) -> None:
        status, body = line.ask(sent)
        if status != 200 or b'"isError":false' not in body:
            raise RuntimeError(f"answered {status}: {body[:300]!r}")

    rounds, each = 10 * size, 20
    value, floor = interleaved(lambda: call(gateway, through), lambda: call(server, straight), rounds=rounds, each=each)
    gateway.close()
    server.close()
    return Figure("gateway-call", "ms", value, floor, rounds * each, goal=2.5)


def _throughput(made: Scene, through: bytes, straight: bytes, size: int) -> Figure:
    values, floors, n = [], [], 0
    for _ in range(size):
        value, count = per_second(made.address, through, connections=AT_ONCE, seconds=SECONDS, lead=LEAD)
        floor, _ = per_second(made.straight, straight, connections=AT_ONCE, seconds=SECONDS, lead=LEAD)
        values.append(value)
        floors.append(floor)
        n += count
    return Figure(f"gateway-throughput-{AT_ONCE}", "calls/s", median(values), median(floors), n, goal=0.5, more=True)
