"""Everything is rotated twice under a house of gunicorn's own processes that works all the time, and no request fails.

Three keeper processes, two web servers of two processes each, two workers, PostgreSQL; people sign in and approve, an agent calls
through the gateway, a server takes leases. Persons and programs come at a bounded rate: what is asked is whether each of their
requests is answered rightly, not how many there can be.
"""

from __future__ import annotations

import itertools
import json
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
from joserfc import jwt
from joserfc.jwk import ECKey
from sqlalchemy import create_engine, text

from tests.figures import Figures
from tests.keeper_parts import PUBLIC_URL
from tests.keeper_parts import serve as serve_keeper
from tests.real.conftest import furnish
from tests.real.scripted import serve
from tests.real.standing import LEDGER, READ, Standing, standing
from tests.real.visitor import FIELD, Visitor
from webapp.oauth import rfc7523
from webapp.rotating import KEYS

pytestmark = [pytest.mark.real, pytest.mark.long]
OTHERS = [f"walker{number}" for number in range(600)]
PAUSE = 0.7
"""Seconds that each waits between two requests."""
SETTLED = 70.0
"""Seconds after the newest version came into use: by then every process has used it."""


@pytest.fixture(scope="module")
def house(postgres: str) -> Iterator[Standing]:
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    url = admin.url.set(database=name).render_as_string(hide_password=False)
    keeper = partial(serve_keeper, module="tests.impatient", settings="workers = 3\n")
    with standing(url, workers=2, keeper=keeper, others=OTHERS) as made:
        try:
            yield made
        finally:
            print(made.logs())


class Load:
    """Threads that do their work over and over; what any of them raises is kept."""

    def __init__(self, work: dict[str, Callable[[int], None]]) -> None:
        self.done, self.failures = dict.fromkeys(work, 0), list[str]()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=item, daemon=True) for item in work.items()]

    def _run(self, name: str, one: Callable[[int], None]) -> None:
        for number in itertools.count():
            if self._stop.wait(PAUSE):
                return
            try:
                one(number)
            except Exception as error:  # each failure counts, whatever it is
                self.failures.append(f"{time.strftime('%H:%M:%S')} {name} {number}: {error!r}"[:2000])
            self.done[name] += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(120)


def signing_in(house: Standing) -> Callable[[int], None]:
    """Somebody new each time: the beginning is sealed by one keeper and opened by another, and a passkey is enrolled."""

    def once(number: int) -> None:
        Visitor(house.ports[number % 2]).sign_in(house.sso, OTHERS[number])

    return once


def calling(house: Standing) -> Callable[[int], None]:
    agent = house.agent("ada", "scripted")

    def once(number: int) -> None:
        found = agent.ask("tools/call", {"name": "look", "arguments": {"what": f"look {number}"}})
        assert not found["result"].get("isError"), found

    return once


def approving(house: Standing, decided: list[str]) -> Callable[[int], None]:
    """A call is held, its owner gives the word for it, a worker runs it. The page was opened before, now and then long before."""
    agent, ada = house.agent("ada", "scripted"), house.visitor("ada")

    def once(number: int) -> None:
        action = agent.task("wipe", {"what": f"{secrets.token_hex(4)} {number}"})
        page = ada.get(f"/actions/{action}")
        time.sleep(number % 5 * 2)
        answer = ada.give(action, page)
        assert answer.status_code == 303, answer.text[-1500:]
        assert house.becomes(action, "done", "failed", "uncertain", "void") == "done"
        decided.append(action)

    return once


def looking(house: Standing) -> Callable[[int], None]:
    jonas = house.visitor("jonas")

    def once(number: int) -> None:
        for path in ("/actions", "/connections", "/history"):
            assert jonas.get(path).status_code == 200, path

    return once


def leasing(house: Standing, folder: Path, connection: str) -> Callable[[int], None]:
    """A token client takes access to an account that its owner gave it for its own use (RFC 6749 section 4.4)."""
    key, ada = ECKey.generate_key("P-256"), house.visitor("ada")
    (folder / "public.json").write_text(json.dumps(key.as_dict(private=False)))
    said = house.command("client", "add", "Night desk", "--jwk", str(folder / "public.json"), "--allow", f"{LEDGER}:{READ}")
    client = re.search(r"\bclient_[0-9a-z]+", said)
    assert client, said
    page = ada.get(f"/connections/consents/new?client={client[0]}&connection={connection}&kind=service")
    fields = dict(FIELD.findall(page.text)) | {"scope": [READ]}
    given = ada.ask("POST", "/connections/consents/new", data=fields, headers={"Origin": PUBLIC_URL})
    assert given.status_code == 303, given.text

    def once(number: int) -> None:
        now = int(time.time())
        named = {"iss": client[0], "sub": client[0], "aud": PUBLIC_URL}
        claims = {**named, "iat": now, "exp": now + 60, "jti": secrets.token_hex(16)}
        assertion = jwt.encode({"alg": "ES256", "kid": key.thumbprint()}, claims, key, algorithms=["ES256"])
        answer = requests.post(f"http://localhost:{house.ports[number % 2]}/oauth/token", headers={"Host": PUBLIC_URL[7:]}, data={
            "grant_type": "client_credentials", "audience": LEDGER, "scope": READ, "client_assertion": assertion,
            "client_assertion_type": rfc7523.TYPE,
        }, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["access_token"]

    return once


def rotated(house: Standing, version: int) -> float:
    """As an operator types it. Seconds until all of the new versions are in use."""
    said = house.command("rotate", "--all", "--instance", str(house.keeper.instance))
    assert {line.split(":")[0] for line in said.splitlines()} >= set(KEYS), said
    made = [house.keeper.door.key_version(key) for key in KEYS]
    assert {one.version for one in made} == {version}
    return max(one.used_from.timestamp() for one in made) - time.time()


def test_nothing_fails_while_everything_is_rotated_twice(house: Standing, tmp_path: Path, figures: Figures) -> None:
    """A quarter of an hour: a new version is used five minutes after it was made, and that is waited for, twice."""
    with serve() as scripted:
        furnish(house, scripted)
        found = re.findall(r'id="(con_[0-9a-z]+)"', house.visitor("ada").get("/connections").text)
        house.agent("ada", "scripted")
        house.visitor("jonas")
        decided: list[str] = []
        load = Load({
            "calls": calling(house), "approvals": approving(house, decided), "pages": looking(house),
            "sign-ins": signing_in(house), "leases": leasing(house, tmp_path, found[-1]),
        })
        with load.running():
            time.sleep(20)
            for version in (2, 3):
                time.sleep(rotated(house, version) + SETTLED)
                assert load.failures == []
        for name, count in load.done.items():
            figures.add(f"{name} while all was rotated twice", count)
        figures.add("requests that failed meanwhile", len(load.failures))
        assert load.failures == []
        assert min(load.done.values()) > 30, load.done
    assert house.command("audit", "verify").startswith("The log holds: ")
    _still_verifies(house, decided, tmp_path)


def _still_verifies(house: Standing, decided: list[str], folder: Path) -> None:
    """Of each generation: the first decision, and the last."""
    for action in (decided[0], decided[len(decided) // 2], decided[-1]):
        receipt = house.visitor("ada").get(f"/actions/{action}/receipt")
        assert receipt.status_code == 200
        (folder / f"{action}.json").write_bytes(receipt.content)
        house.command("receipt", "verify", str(folder / f"{action}.json"), "--keys", str(house.keeper.instance))
