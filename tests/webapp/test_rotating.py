"""The keys in the vault are replaced while all goes on: nothing fails, nothing old is lost, and no key is slipped in."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flask import Flask
from sqlalchemy import func, select, update

from tests import token_parts
from tests.app_parts import Browser, People
from tests.authenticator import Passkey
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.rotating_parts import keepers, vault_alone
from tests.scripted_provider import serve
from tests.small_idp import SmallIdp
from tests.webapp.approvals.parts import Server, action, decide, draft, held, with_passkey
from vault.door import Door
from vault.errors import BadRequest
from vault.rotating import introduction
from webapp import audit, rotating
from webapp.approvals import execution, payloads, requests, seeing
from webapp.approvals.tables import Decision, Payload, TokenRequest
from webapp.audit import keys
from webapp.audit.tables import Checkpoint, Entry
from webapp.audit.verify import Report, stored_bodies, stored_notes, verify
from webapp.composition import create_app
from webapp.config import Settings
from webapp.config_approvals import Approvals, Undo
from webapp.db import Database
from webapp.db.due import Due
from webapp.gateway.request_state import Bound, RequestStates, State
from webapp.oauth.tokens import digest
from webapp.rotation import rotate_command, rotated
from webapp.web import keys as app_keys
from webapp.web.house import House

ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def door(clock: Clock) -> Iterator[Door]:
    with vault_alone() as parts:
        yield keepers(parts, clock)[1]


@pytest.fixture
def house(database: Database, door: Door, clock: Clock, tmp_path: Path) -> House:
    """The clock leaps: no entry has waited too long for that."""
    limits = Approvals(log_stalled=600, quick_row=0, undo=Undo(write=0, send=0, money=0, destroy=0))
    settings = Settings(instance=tmp_path, public_url=PUBLIC_URL, database_url=database.url, approvals=limits)
    return House(settings, database, door, clock)


def run(house: House, kind: str, key: str = "all") -> object:
    """What the worker does with a row, now."""
    row = Due(id="due_1", kind=kind, key=key, run_at=house.clock(), payload={}, attempts=1)
    return rotating.jobs[kind](house, row)


def note(house: House, what: str) -> None:
    house.database.write(lambda s: audit.append(s, kind="a.b", actor="system", subject=what, detail={}, at=house.clock()))
    audit.sequence(house)


def verified(house: House, path: Path | None = None) -> Report:
    pinned = keys.pinned(path or house.settings.instance / keys.FILE)
    with house.database.read() as session:
        return verify(bodies=stored_bodies(session), notes=stored_notes(session), keys=pinned)


@ONE
def test_the_logs_next_key_comes_with_the_word_of_the_one_before_and_no_other_is_believed(
    house: House, clock: Clock, tmp_path: Path
) -> None:
    note(house, "one")
    path = house.settings.instance / keys.FILE
    (first,) = path.read_text().splitlines()
    rotating.rotate(house, "audit", "cli")
    lines = path.read_text().splitlines()
    assert lines[0] == first
    assert len(lines) == 2
    with house.database.read() as session:
        entry = session.scalars(select(Entry).where(Entry.kind == "key.rotated")).one()
        covering = session.scalars(select(Checkpoint.note).where(Checkpoint.size > entry.place).order_by(Checkpoint.size)).first()
    assert lines[1] in entry.body.decode()
    keys.open_note(str(covering), [keys.VerifierKey.parse(first)])
    clock.forward(minutes=6)
    path.write_text(first + "\n")
    note(house, "two")
    assert path.read_text().splitlines() == lines, "a machine that was not there learns of it with the first note"
    keys.open_note(stored(house)[-1], keys.pinned(path)[1:])
    assert verified(house).entries == 4
    alone = tmp_path / "first"
    alone.write_text(first + "\n")
    with pytest.raises(keys.BadNote):
        verified(house, alone)
    for forged in forgeries(lines):
        path.write_text("\n".join(forged) + "\n")
        with pytest.raises(keys.BadNote):
            verified(house)
        with pytest.raises(keys.BadNote):
            keys.learn(house)
        note(house, "three")
        assert path.read_text().splitlines() == forged, "it is left for people to look at"


def stored(house: House) -> list[str]:
    with house.database.read() as session:
        return stored_notes(session)


def forgeries(lines: list[str]) -> list[list[str]]:
    """What somebody who can write the file would write."""
    own = Ed25519PrivateKey.generate()
    name = lines[0].split("+")[0]
    key = str(keys.VerifierKey(name, own.public_key().public_bytes_raw()))
    second = lines[1].split(" ")[0]
    word = base64.b64encode(own.sign(introduction(second, key))).decode()
    return [
        [*lines, key], [*lines, f"{key} {word}"], [lines[0], key, lines[1]], [key], [key, lines[0]],
        [lines[0], second], [lines[0], f"{key} {lines[1].split(' ')[1]}"], [lines[1], lines[0]], [lines[1]],
    ]


@ONE
def test_nothing_fails_while_all_keys_are_replaced(house: House, clock: Clock, small_idp: SmallIdp) -> None:
    """Calls are held, decided, run and shown, tokens minted and the log signed, at two keepers and all the time: before, at and
    long after the rotation, until the older versions are opened no more. The clock moves only when each thread got something
    done."""
    app = create_app(house)
    app.test_client_class = Browser
    people, server = People(app, small_idp), Server()
    app.extensions["approvals"] = server.handed
    deciders = [_enrolled(people, name) for name in ("bob", "cleo")]
    first = held(house, draft(house, "per_ada", order=_order("first")))
    wrapped = payloads.sealer(house).key.wrapped
    with serve() as provider:
        account = token_parts.account(house, provider, deciders[0][0].person)
        work = [_deciding(house, server, *one) for one in deciders] + [_minting(house, account, deciders[0][0].person)]
        load = Load([*work, lambda number: note(house, f"n{number}")])
        for step in range(10):
            if step == 2:
                assert rotated(house, rotating.KEYS)
            if step > 2:
                run(house, rotating.REWRAP)
            load.step()
            clock.forward(seconds=50)
        load.step()
        load.end()
    assert load.failures == [], f"{len(load.failures)} of {sum(load.done)} failed: {load.failures[:5]}"
    assert min(load.done) >= 11
    _all_on_the_new(house, first)
    _nobody_notices_that_the_old_is_shut(house, clock, first, wrapped)


class Load:
    """Threads that do their work over and over, twice a step at most; `step` returns when each has done one more."""

    def __init__(self, work: list[Callable[[int], object]]) -> None:
        self.done, self.failures = [0] * len(work), list[str]()
        self._moved, self._stop, self._most = threading.Condition(), False, [0] * len(work)
        self._threads = [threading.Thread(target=self._run, args=(at, one), daemon=True) for at, one in enumerate(work)]
        for thread in self._threads:
            thread.start()

    def _run(self, at: int, one: Callable[[int], object]) -> None:
        while self._may(at):
            try:
                one(self.done[at])
            except Exception as error:  # each failure counts, whatever it is
                self.failures.append(f"{at}: {error!r} {getattr(error, 'detail', '')}")
            with self._moved:
                self.done[at] += 1
                self._moved.notify_all()

    def _may(self, at: int) -> bool:
        with self._moved:
            self._moved.wait_for(lambda: self._stop or self.done[at] < self._most[at])
        return not self._stop

    def step(self) -> None:
        with self._moved:
            self._most = [count + 2 for count in self.done]
            self._wait([count + 1 for count in self.done])

    def during(self, work: Callable[[], object]) -> None:
        """Nobody waits for anybody until it is done, and each has done one more."""
        with self._moved:
            self._most = [sys.maxsize] * len(self.done)
            self._wait([count + 1 for count in self.done])
        work()
        self.step()

    def rest(self) -> None:
        """Nobody is at it when this returns: the clock may leap."""
        with self._moved:
            self._wait(self._most)

    def _wait(self, goal: list[int]) -> None:
        self._moved.notify_all()
        assert self._moved.wait_for(lambda: all(a >= b for a, b in zip(self.done, goal, strict=True)), timeout=120)

    def end(self) -> None:
        with self._moved:
            self._stop = True
            self._moved.notify_all()
        for thread in self._threads:
            thread.join(60)


def _order(reference: str) -> dict[str, str]:
    return {"amount": "480.00", "currency": "EUR", "iban": "DE89 3704 0044 0532 0130 00", "payee": "N", "reference": reference}


def _enrolled(people: People, name: str) -> tuple[Browser, Passkey]:
    browser = people(name, groups=["finance"])
    return browser, with_passkey(browser)


def _deciding(house: House, server: Server, browser: Browser, key: Passkey) -> Callable[[int], object]:
    def once(number: int) -> None:
        made = held(house, draft(house, f"per_{browser.person}", order=_order(f"{browser.person} {number}")))
        answer = decide(browser, key, made)
        assert answer.status_code == 303, answer.text[-2000:]
        assert execution.run(house, made, server, server.recheck).state == "done"

    return once


def _minting(house: House, account: str, person: str) -> Callable[[int], object]:
    def once(number: int) -> None:
        house.door.mint(connection=account, person=person, scopes=["accounts:read"], receiver=f"bank{number % 3}", cap=60)

    return once


def _all_on_the_new(house: House, first: str) -> None:
    """By now the second versions sign, and what was wrapped under the first is moved."""
    with house.database.read() as session:
        signed = session.scalars(select(Decision.signature).order_by(Decision.at)).all()
        old = session.get_one(Payload, (first, "request")).wrapped
    assert signed[0].startswith("vault:v1:")
    assert signed[-1].startswith("vault:v2:")
    keys.open_note(stored(house)[-1], keys.pinned(house.settings.instance / keys.FILE)[1:])
    verified(house)
    assert old.startswith("vault:v2:"), "moved while all went on"


def _nobody_notices_that_the_old_is_shut(house: House, clock: Clock, first: str, wrapped_at_first: str) -> None:
    """After some hours nothing is wrapped under the first version, and a day later it is shut, while payloads are sealed and
    opened without a pause. The clock leaps while nobody is at it."""
    load = Load([*(_keeping(house, first, name) for name in ("ada", "bob")), lambda number: note(house, f"later {number}")])
    load.step()
    for leap in (timedelta(hours=2), timedelta(days=1)):
        load.rest()
        clock.forward(seconds=leap.total_seconds())
        load.during(lambda: run(house, rotating.REWRAP))
    load.end()
    assert load.failures == [], f"{len(load.failures)} of {sum(load.done)} failed: {load.failures[:5]}"
    assert _wrapped_by_first(house) == 0
    assert house.door.key_version("payload").oldest == 2
    with pytest.raises(BadRequest):
        house.door.unwrap(wrapped_at_first)


def _keeping(house: House, first: str, name: str) -> Callable[[int], object]:
    """A new payload is sealed and read again, and the first of all is."""
    def once(number: int) -> None:
        made = held(house, draft(house, f"per_{name}", order=_order(f"kept {name} {number}")))
        for one in (made, first):
            assert seeing.open_(house, one).document.digest == action(house, one).digest

    return once


def _wrapped_by_first(house: House) -> int:
    with house.database.read() as session:
        return session.scalar(select(func.count()).select_from(Payload).where(Payload.wrapped.like("vault:v1:%"))) or 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_payloads_are_moved_in_batches_and_one_that_does_not_open_keeps_the_old_key(
    house: House, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotating, "BATCH", 2)
    monkeypatch.setattr(rotating, "BATCHES", 2)
    made = [held(house, draft(house, f"per_{number}", order=_order(str(number)))) for number in range(5)]
    assert run(house, rotating.REWRAP) is None, "nothing was rotated"
    rotating.rotate(house, "payload", "cli")
    assert run(house, rotating.REWRAP) == clock() + rotating.SOON
    assert _wrapped_by_first(house) == 1
    assert run(house, rotating.REWRAP) == clock() + rotating.SETTLED
    assert _wrapped_by_first(house) == 0
    bad = "vault:v1:" + base64.b64encode(b"x" * 60).decode()
    house.database.write(lambda s: s.execute(update(Payload).where(Payload.action == made[0]).values(wrapped=bad)))
    again = run(house, rotating.REWRAP)
    assert again == house.door.key_version("payload").since + rotating.RETIRED
    clock.now = again  # type: ignore[assignment]
    assert run(house, rotating.REWRAP) is None
    assert house.door.key_version("payload").oldest == 1, "what is not understood is not given up"
    house.database.write(lambda s: s.execute(update(Payload).where(Payload.action == made[0]).values(wrapped="vault:v2:x")))
    assert run(house, rotating.REWRAP) is None
    assert house.door.key_version("payload").oldest == 2
    with house.database.read() as session:
        assert session.scalars(select(Entry.kind).where(Entry.subject == "payload").order_by(Entry.id)).all() == [
            "key.rotating", "key.rotated", "key.retired",
        ]


@ONE
def test_a_key_is_replaced_when_it_is_old_and_not_before(
    house: House, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    rotating.plan(house)
    rotating.plan(house)
    with house.database.read() as session:
        assert sorted(session.scalars(select(Due.key).where(Due.kind == rotating.KIND))) == sorted(rotating.KEYS)
    for key in rotating.KEYS:
        assert run(house, rotating.KIND, key) == clock() + rotating.AGAIN
        assert house.door.key_version(key).version == 1
    clock.forward(days=90, minutes=1)
    for key in rotating.KEYS:
        run(house, rotating.KIND, key)
        assert house.door.key_version(key).version == (1 if key == "ca" else 2)
    clock.forward(days=275)
    run(house, rotating.KIND, "ca")
    assert house.door.key_version("ca").version == 2
    with house.database.read() as session:
        assert session.scalar(select(Due.kind).where(Due.kind == rotating.REWRAP))
    assert run(house, rotating.KIND, "other") == clock() + rotating.AGAIN
    clock.now = datetime.now(UTC)
    assert not rotated(house, rotating.KEYS)
    *said, ca = capsys.readouterr().err.splitlines()
    days = {"app": "day"}
    wanted = [f"{key}: {key} was rotated within the last {days.get(key, 'hour')}." for key in rotating.KEYS if key != "ca"]
    assert said == wanted, "one that is refused keeps none of the others"
    assert ca.startswith("ca: ca was rotated not long ago, and can be again from ")




@ONE
def test_no_form_that_is_open_and_no_sealed_state_is_lost_to_a_new_app_key(
    house: House, clock: Clock, small_idp: SmallIdp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two web processes, of which one does not know of the new key yet; at each moment what one signs is good at the other. After
    32 days nothing that the old one signed is good, nor is the key handed out."""
    monkeypatch.setattr(app_keys, "KEPT", -1.0)
    one, other = create_app(house), create_app(house)
    first = house.door.app_key("cookies").reveal()
    states, bound = RequestStates(house.door), Bound("per_ada", "gra_1", "bank", "tools/call", "d" * 64)
    form, sealed = opened(one), states.seal(State("act_1"), bound, clock())
    naming = requests.naming(house.door)
    waiting = requests.name(naming.current(clock()), "act_1")
    assert rotated(house, ("app",))
    house.door.__dict__["_line"].forget()
    assert posted(other, form)
    assert house.door.app_key("cookies").reveal() == first, "nobody signs with it before all know it"
    early = opened(other)
    clock.forward(minutes=6)
    house.door.__dict__["_line"].forget()
    assert house.door.app_key("cookies").reveal() != first
    for app in (one, other):
        assert posted(app, form)
        assert posted(app, early)
    assert states.open(sealed, bound, clock()).action == "act_1"
    assert posted(one, opened(other))
    row = TokenRequest(action="act_1", hash=digest(waiting))
    assert requests.name(naming.current(clock()), "act_1") != waiting
    assert requests.named(house, row) == waiting, "who polls is told the name it knows"
    clock.forward(days=33)
    house.door.__dict__["_line"].forget()
    assert first not in [key.key.reveal() for key in house.door.app_keys("cookies")]
    assert not posted(one, form)
    assert posted(one, opened(one))


def opened(app: Flask) -> tuple[str, str]:
    """A page with a form: its token, and the cookie."""
    app.test_client_class = Browser
    browser = app.test_client()
    assert isinstance(browser, Browser)
    token, cookie = browser.token(), browser.get_cookie("counterseal_form")
    assert cookie is not None
    return token, cookie.value


def posted(app: Flask, form: tuple[str, str]) -> bool:
    browser = app.test_client()
    browser.set_cookie("counterseal_form", form[1], domain="localhost")
    answer = browser.post("/sign-in/start", data={"csrf_token": form[0]}, headers={"Origin": PUBLIC_URL})
    return answer.status_code != 400


def test_a_command_says_what_to_rotate() -> None:
    for words in ([], ["--all", "--status"], ["--all", "audit"], ["nothing"], ["audit", "accounts", "--provider", "x"]):
        assert CliRunner().invoke(rotate_command, words).exit_code == 2, words
