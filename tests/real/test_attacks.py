"""Attacks on a standing house, with everything real: what somebody can do who writes to the database, reads the web process's
memory, is signed in as somebody else, or speaks for a server. The rooms' own tests attack each part; these attack the whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psutil
import pyotp
import pytest
import requests
from sqlalchemy import text

from tests.keeper_parts import PUBLIC_URL, until
from tests.real.running import PATIENCE
from tests.real.scripted import Scripted
from tests.real.standing import LEDGER, Standing
from tests.real.visitor import hidden

pytestmark = pytest.mark.real

APPROVE = "UPDATE action SET state = 'approved', decided_at = now(), run_by = now() + interval '15 minutes' WHERE id = :action"
RUN = (
    "INSERT INTO due (id, kind, key, run_at, payload, attempts) "
    "VALUES ('due_' || :action, 'approvals.run', :action, now(), '{}', 0) "
    "ON CONFLICT DO NOTHING"
)
REPLAY = (
    "INSERT INTO decision (id, action, person, verdict, body, signature, entry, at) SELECT 'dec_' || :action, :action, person, "
    "verdict, body, signature, entry, at FROM decision WHERE action = :other LIMIT 1"
)
INVENT = (
    "INSERT INTO decision (id, action, person, verdict, body, signature, entry, at) SELECT 'dec_' || :action, :action, person, "
    "verdict, replace(body, :other, :action), signature, entry, at FROM decision WHERE action = :other LIMIT 1"
)
RELAX = "UPDATE action SET requirement = '[]' WHERE id = :action"
FORGERIES = {
    "an approval": [APPROVE],
    "a requirement": [RELAX, APPROVE],
    "a decision of another action": [REPLAY, APPROVE],
    "a decision": [INVENT, APPROVE],
}


def done_before(stand: Standing, what: str) -> str:
    """A payment that was confirmed and made: its decision is what a forger copies."""
    action = stand.agent("ada", "scripted").task("pay", {"what": f"{what} before"})
    assert stand.visitor("ada").decide(action).status_code == 303
    stand.becomes(action, "done")
    return action


def write(stand: Standing, statements: list[str], **values: str) -> None:
    with stand.engine.begin() as database:
        for statement in statements:
            database.execute(text(statement), {name: value for name, value in values.items() if f":{name}" in statement})


@pytest.mark.parametrize("forged", FORGERIES)
def test_whoever_writes_to_the_database_runs_nothing_and_gets_no_token(
    stand: Standing, upstream: Scripted, what: str, forged: str
) -> None:
    """A worker takes it up, and the agent comes back for it through a web process; both verify the statements."""
    other, agent = done_before(stand, what), stand.agent("ada", "scripted")
    action = agent.task("pay", {"what": what})
    write(stand, [*FORGERIES[forged], RUN], action=action, other=other)
    stand.becomes(action, "void")
    agent.ask("tools/call", {"name": "pay", "arguments": {"what": f"{what} "}}, tasks=True)
    assert upstream.calls(what) == 0
    assert "lease.planned" not in stand.entries(action)
    with stand.engine.connect() as database:
        assert database.scalar(text("SELECT count(*) FROM leases WHERE action = :a"), {"a": action}) == 0


def test_groups_written_into_the_database_make_nobody_anything(stand: Standing, upstream: Scripted, what: str) -> None:
    mira = stand.visitor("mira")
    write(stand, ["UPDATE person SET groups = '[\"admin\", \"audit\", \"finance\", \"ops\"]' WHERE id = :who"], who=mira.person)
    for page in ("/servers", "/log", "/clients"):
        assert mira.get(page).status_code == 403, page


def test_an_answer_for_one_action_decides_no_other(stand: Standing, upstream: Scripted, what: str) -> None:
    ada, agent = stand.visitor("ada"), stand.agent("ada", "scripted")
    first, second = (agent.task("wipe", {"what": f"{what} {number}"}) for number in (1, 2))
    page, shown = ada.get(f"/actions/{first}"), hidden(ada.get(f"/actions/{second}"), "shown")
    for otherwise in ({}, {"shown": shown}):
        assert ada.give(second, page, **otherwise).status_code in (400, 409)
    assert (stand.state(first), stand.state(second)) == ("held", "held")
    assert upstream.calls(f"{what} 2") == 0


def test_a_server_that_calls_its_tool_harmless_is_shown_as_changed_and_refused(
    stand: Standing, upstream: Scripted, what: str
) -> None:
    """`readOnlyHint` after the approval loosens nothing: the pinned text no longer matches, and the tool is closed."""
    agent = stand.agent("ada", "scripted")
    upstream.hints["pay"] = {"readOnlyHint": True}
    try:
        assert "pay" not in agent.connect()
        told = agent.ask("tools/call", {"name": "pay", "arguments": {"what": what}}, tasks=True)
        assert told["error"]["data"]["code"] == "drifted", told
        assert upstream.calls(what) == 0
    finally:
        upstream.hints.clear()
    until(lambda: "pay" in agent.connect(), "the approved text opens it again", PATIENCE)


REFUSED: dict[str, tuple[dict[str, str], str, int]] = {
    "a token in the address": ({"Authorization": ""}, "?access_token={token}", 400),
    "a foreign origin": ({"Origin": "https://evil.example"}, "", 403),
    "the null origin": ({"Origin": "null"}, "", 403),
    "a rebound name": ({"Host": "evil.example"}, "", 421),
    "an origin with our name inside": ({"Origin": f"{PUBLIC_URL}.evil.example"}, "", 403),
}


@pytest.mark.parametrize("attack", REFUSED)
def test_the_gateway_refuses_it(stand: Standing, upstream: Scripted, attack: str) -> None:
    headers, query, status = REFUSED[attack]
    agent, before = stand.agent("ada", "scripted"), len(upstream.heard)
    good = {
        "Host": PUBLIC_URL.removeprefix("http://"), "Authorization": f"Bearer {agent.token}", "Accept": "application/json",
        "MCP-Protocol-Version": "2026-07-28",
    }
    sent = {name: value for name, value in {**good, **headers}.items() if value}
    address = f"http://127.0.0.1:{stand.ports[0]}/mcp/scripted{query.format(token=agent.token)}"
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    answer = requests.post(address, json=asked, headers=sent, timeout=30)
    assert answer.status_code == status, answer.text
    assert agent.token not in answer.text
    assert len(upstream.heard) == before


def test_a_token_for_one_server_is_refused_at_another(stand: Standing, upstream: Scripted) -> None:
    agent = stand.agent("ada", "scripted")
    answer = requests.post(
        f"http://127.0.0.1:{stand.ports[0]}/mcp/other", json={}, timeout=30,
        headers={"Host": PUBLIC_URL.removeprefix("http://"), "Authorization": f"Bearer {agent.token}"},
    )
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.fixture
def secrets_of_the_keeper(stand: Standing, upstream: Scripted, what: str) -> dict[str, bytes]:
    """What only the keeper may have in clear, while the house is at work with it: refresh tokens, a TOTP seed, client secrets,
    the vault's credential."""
    seed = enrol_code(stand)
    done_before(stand, what)
    stand.agent("ada", "scripted").ask("tools/call", {"name": "look", "arguments": {"what": what}})
    keeper = stand.keeper.inside()
    found = {"a TOTP seed": seed.encode(), "the vault's secret id": keeper.settings.secret_id().reveal().encode()}
    with stand.engine.connect() as database:
        connections = database.scalars(text("SELECT id FROM connections")).all()
    for connection in connections:
        record = keeper.kv.read(f"connections/{connection}")
        if record is not None and record.data["refresh"]:
            found[f"refresh token of {connection}"] = record.data["refresh"].encode()
    provider = keeper.kv.read(f"providers/{LEDGER}")
    assert provider is not None
    found["a client secret"] = re.findall(r'"client_secret": "([^"]+)"', json.dumps(provider.data))[0].encode()
    assert sum(name.startswith("refresh token") for name in found) >= 1, "this looks for what is there"
    return found


def enrol_code(stand: Standing) -> str:
    """Jonas adds an authenticator app through the first web process, which shows the seed once, and then uses it at the second:
    only the first can have seen it, and it is restarted."""
    jonas = stand.visitor("jonas")
    jonas.port = stand.ports[0]
    page = jonas.get("/you/factors/totp")
    seed = re.search(r"\b([A-Z2-7]{4}(?: ?[A-Z2-7]{4}){7})\b", page.text)
    assert seed, page.text
    key = seed.group(1).replace(" ", "")
    done = jonas.send("/you/factors/totp", name="App", sealed=hidden(page, "sealed"), code=pyotp.TOTP(key).now())
    assert done.status_code == 303, done.text
    stand.web[0].stop()
    stand.mend()
    jonas.port = stand.ports[1]
    return key


def test_no_secret_of_the_keepers_is_in_a_web_process_or_worker(stand: Standing, secrets_of_the_keeper: dict[str, bytes]) -> None:
    """Their whole memory and environment. That the search finds what is there is shown by what they do have."""
    for running in (*stand.web, *stand.worker):


        whole = psutil.Process(running.pid)
        for one in (whole, *whole.children(recursive=True)):
            memory = memory_of(one.pid) + Path(f"/proc/{one.pid}/environ").read_bytes()
            assert PUBLIC_URL.encode() in memory, "the search works"
            there = [name for name, secret in secrets_of_the_keeper.items() if secret in memory]
            assert there == [], f"in process {one.pid} of {running.log.name}"


def memory_of(pid: int) -> bytes:
    """Every readable and writable mapping."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, modes = line.split()[:2]
            if not modes.startswith("rw"):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            try:
                memory.seek(start)
                found.append(memory.read(end - start))
            except (OSError, ValueError, OverflowError):
                continue  # a mapping of the kernel's own
    return b"\n".join(found)


def test_no_secret_is_in_the_database_a_log_or_a_page(
    stand: Standing, upstream: Scripted, secrets_of_the_keeper: dict[str, bytes]
) -> None:
    """After all of this run: the keeper's secrets, the agents' tokens, the accounts' access tokens that a server was sent, and
    the browsers' sessions. The vault's own log is among the logs."""
    secrets = dict(secrets_of_the_keeper)
    for (owner, server), agent in stand.agents.items():
        assert agent.memory.tokens is not None
        secrets[f"the access token of {owner}'s agent at {server}"] = agent.token.encode()
        secrets[f"the refresh token of {owner}'s agent at {server}"] = str(agent.memory.tokens.refresh_token).encode()
    sent = {one["authorization"].removeprefix("Bearer ") for one in upstream.heard} - {""}
    assert len(sent) > 1, "this looks for what there is"
    secrets |= {f"account's access token {number}": token.encode() for number, token in enumerate(sorted(sent))}
    for name, visitor in stand.visitors.items():
        for cookie in visitor.session.cookies:
            if "session" in cookie.name and cookie.value and len(cookie.value) > 20:
                secrets[f"{name}'s cookie {cookie.name}"] = cookie.value.encode()
    places = {"the database": database_of(stand), "the keeper's log": stand.keeper.log.read_bytes()}
    places |= {file.name: file.read_bytes() for file in stand.keeper.instance.rglob("*.log")}
    assert {"web0.log", "web1.log", "worker0.log", "audit.log"} <= set(places)
    places |= {f"{name} at {path}": visitor.get(path).content for name, visitor in stand.visitors.items()
               for path in ("/", "/connections", "/you", "/actions/act_nothing", "/no-such-page")}
    there = [(place, name) for place, content in places.items() for name, secret in secrets.items() if secret in content]
    assert there == []


def database_of(stand: Standing) -> bytes:
    """Every value of every table, as text and as bytes."""
    found = []
    with stand.engine.connect() as database:
        for table in database.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all():
            for row in database.execute(text(f'SELECT * FROM "{table}"')):
                found += [bytes(one) if isinstance(one, bytes | memoryview) else str(one).encode() for one in row]
    return b"\n".join(found)
