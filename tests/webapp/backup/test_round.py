"""The whole round, with the commands as an operator types them: an instance is backed up while it runs, goes on, is restored on
an empty folder elsewhere, and starts."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from tests import token_parts
from tests.keeper_parts import KeeperParts, SignedPerson, sign_in
from tests.real.running import short_folder
from tests.webapp.exchange.conftest import Scene
from vault import authority, embedded, factors, tickets
from vault.door import Answer, Door, SessionProof
from vault.errors import FactorRefused, NotApproved, NotSignedIn
from vault.secret import Secret
from vault.shapes import Evidence
from webapp.approvals.seeing import open_
from webapp.approvals.tables import Action
from webapp.audit import RESTORED, sequence
from webapp.audit.commands import audit
from webapp.audit.tables import Checkpoint, Entry
from webapp.backup import restored
from webapp.broker.tables import Lease
from webapp.cli import main
from webapp.config import Settings
from webapp.connections import health_check
from webapp.connections.tables import Connection
from webapp.db import Database
from webapp.db.due import Due
from webapp.oauth import tokens
from webapp.people.tables import Session
from webapp.supervisor import lock
from webapp.web.house import House

pytestmark = pytest.mark.real


@contextmanager
def running(house: House) -> Iterator[None]:
    """As `counterseal up` holds the instance, and signs its log."""
    held, stop = lock.take(house.settings.instance), threading.Event()

    def signing() -> None:
        while not stop.wait(0.3):
            sequence(house)

    thread = threading.Thread(target=signing)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        os.close(held)


@dataclass
class Code:
    """Somebody with an authenticator app."""

    person: SignedPerson
    app: pyotp.TOTP

    @classmethod
    def enrol(cls, keeper: KeeperParts) -> Code:
        who = sign_in(keeper)
        offer = keeper.door.totp_begin(proof=who.proof, account="ada")
        app, now = pyotp.TOTP(parse_qs(urlsplit(offer.uri.reveal()).query)["secret"][0]), datetime.now(UTC)
        keeper.door.totp_finish(proof=who.proof, sealed=offer.sealed, code=Secret(app.at(now)), name="Phone")
        return cls(who, app)

    def at(self, when: datetime | None = None) -> Secret[str]:
        return Secret(self.app.at(when or datetime.now(UTC)))


def signed_in_again(keeper: KeeperParts, person: str) -> SessionProof:
    """What the keeper gives somebody whom it knows."""
    inside, session = keeper.inside(), Secret(secrets.token_urlsafe(32))
    ticket = tickets.new(
        person=person, name="Ada", email="ada@example.com", groups=("user",), auth_time=inside.clock(), now=inside.clock()
    )
    return SessionProof(authority.issue(inside, ticket, session), session)


@contextmanager
def started(folder: Path, settings: Settings) -> Iterator[tuple[KeeperParts, House]]:
    """The restored instance's vault and keeper, and a house as its web process has it."""
    parts = KeeperParts(folder, Door(folder / "run" / "keeper" / "door.sock"), True, folder.with_suffix(".log"))
    embedded.prepare(folder)
    database = Database(f"sqlite:///{folder / 'counterseal.sqlite'}")
    try:
        parts.start_vault()
        parts.start_keeper()
        yield parts, House(settings.model_copy(update={"instance": folder, "database_url": database.url}), database, parts.door)
    finally:
        database.close()
        parts.close()
        parts.stop_keeper()
        parts.stop_vault()


def one(house: House, table: type, key: str):
    with house.database.read() as session:
        return session.get(table, key)


def last_note(house: House) -> str:
    sequence(house)
    with house.database.read() as session:
        return session.scalars(select(Checkpoint.note).order_by(Checkpoint.size.desc())).first() or ""


def counterseal(*words: str) -> tuple[int, str]:
    """The command, in this process: exit status, and what it said."""
    done = CliRunner().invoke(main, list(words), env={"COUNTERSEAL_INSTANCE": None})
    return done.exit_code, done.output


def verified(folder: Path, checkpoint: Path | None = None) -> tuple[int, str]:
    words = ["verify", *(["--checkpoint", str(checkpoint)] if checkpoint else [])]
    done = CliRunner().invoke(audit, words, env={"COUNTERSEAL_INSTANCE": str(folder)})
    return done.exit_code, done.output


def test_everything_comes_back_and_what_could_do_harm_twice_does_not(scene: Scene, keeper: KeeperParts) -> None:
    house, code = scene.house, Code.enrol(keeper)
    untouched = token_parts.account(house, scene.provider, scene.ada.person)
    lease = scene.desk.exchange(scene.subject)
    assert lease.status_code == 200, lease.text
    _, held = scene.held(scope="payments:send")
    _, approved = scene.approved()
    with short_folder("cs-") as room:
        file, key = room / "backup.age", room / "key"
        assert counterseal("backup", "keygen", str(key))[0] == 0
        with running(house):
            words = ("backup", "--to", str(file), "--recipient", f"{key}.pub", "--instance", str(keeper.instance))
            assert counterseal(*words)[0] == 0
            assert file.stat().st_mode & 0o777 == 0o600
            status, said = counterseal(*words)
            assert (status, "never written over" in said) == (1, True), said
        before, after = room / "before", room / "after"
        before.write_text(last_note(house))
        # The original goes on: the provider rotates the refresh token that the copy has, and the log grows.
        house.door.mint(
            connection=scene.account, person=scene.ada.person, scopes=["accounts:read"], receiver="bank", cap=60, exclusive=True
        )
        house.database.write(lambda s: restored.audit.append(
            s, kind="test.later", actor="system", subject="later", detail={}, at=house.clock()
        ))
        after.write_text(last_note(house))
        _nothing_in_clear(keeper, file)
        words = ("restore", str(file), "--identity", str(key), "--instance", str(room / "i"), "--checkpoint", str(after))
        status, said = counterseal(*words)
        assert (status, "lacks 1 of the entries" in said) == (0, True), said
        times = [(folder / "vault" / "secret-id").stat().st_mtime for folder in (keeper.instance, room / "i")]
        assert int(times[0]) == int(times[1]), "a secret is as old as it was"
        assert [path for path in (room / "i").rglob("*") if path.stat().st_mode & 0o077] == []
        status, said = counterseal(*words)
        assert (status, "not empty" in said) == (1, True), said
        with started(room / "i", house.settings) as (parts, copy):
            with pytest.raises(NotApproved):
                _mint_again(copy, scene, approved)  # the keeper by itself, before anything was settled
            restored.settle(copy)
            restored.settle(copy)
            _ended(copy, scene, held, approved)
            _alive(parts, copy, scene, code)
            _tried(copy, scene, untouched)
            sequence(copy)
            status, said = verified(room / "i", before)
            assert status == 0, said
            status, said = verified(room / "i", after)
            assert (status, "says that a backup was restored" in said) == (1, True), said
            assert not (room / "i" / restored.FILE).exists()


def _nothing_in_clear(keeper: KeeperParts, file: Path) -> None:
    content = file.read_bytes()
    for secret in ("seal.key", "secret-id", "backup-secret-id"):
        assert (keeper.instance / "vault" / secret).read_bytes() not in content
    assert not list((keeper.instance / "run").glob("backup-*"))


def _mint_again(copy: House, scene: Scene, action: str) -> None:
    """What an attacker with the copy's database could: its statements are all there, and its vault knows of no spending."""
    opened = open_(copy, action)
    envelope = opened.document.envelope
    copy.door.mint(
        connection=scene.account, person=scene.ada.person, scopes=envelope["scopes"], receiver=envelope["server"]["name"], cap=60,
        evidence=Evidence(opened.document.raw, opened.verified.statements),
    )


def _ended(copy: House, scene: Scene, held: str, approved: str) -> None:
    assert one(copy, Action, held).state == "held"
    assert one(copy, Action, approved).state == "uncertain"
    with copy.database.read() as session:
        assert not session.scalars(select(Session.id).where(Session.ended_at.is_(None))).all()
        assert not session.scalars(select(Lease.id).where(Lease.state == "planned")).all()
        assert session.scalars(select(Lease.outcome)).all() == ["restored"]
        with pytest.raises(tokens.InvalidToken):
            tokens.authenticate(session, scene.subject, scene.desk.resource, copy.clock())
        assert len(session.scalars(select(Entry.id).where(Entry.kind == RESTORED)).all()) == 1, "twice is once"


def _alive(parts: KeeperParts, copy: House, scene: Scene, code: Code) -> None:
    """Passkey and authenticator app verify."""
    proof = signed_in_again(parts, scene.ada.person)
    asked = copy.door.challenge(proof=proof)
    assert asked.options is not None
    answer = Answer(sealed=asked.sealed, assertion=scene.key.get(asked.options, origin=copy.settings.public_url))
    assert copy.door.check(proof=proof, answer=answer).factor.kind == "passkey"
    again, later = signed_in_again(parts, code.person.id), datetime.now(UTC) + timedelta(seconds=90)
    with pytest.raises(FactorRefused):
        copy.door.check(proof=again, answer=Answer(code=code.at()))  # it may have been used before the restore
    checked = factors.check(parts.inside(lambda: later), {
        "proof": {"ticket": again.ticket, "session": again.session.reveal()}, "answer": {"code": code.at(later).reveal()},
    })
    assert checked["factor"]["kind"] == "totp"
    with pytest.raises(NotSignedIn):
        copy.door.challenge(proof=code.person.proof)  # a ticket of before


def _tried(copy: House, scene: Scene, untouched: str) -> None:
    """The account whose refresh token was rotated since asks for its person; the other one mints."""
    with copy.database.read() as session:
        due = session.scalars(select(Due).where(Due.kind == health_check.TRY)).all()
    assert {row.key for row in due} == {scene.account, untouched}
    assert [health_check.try_(copy, row) for row in due] == [None, None]
    assert one(copy, Connection, scene.account).status == "needs_consent"
    assert one(copy, Connection, untouched).status == "active"
    minted = copy.door.mint(
        connection=untouched, person=scene.ada.person, scopes=["accounts:read"], receiver="bank", cap=60
    )
    assert minted.token.reveal()
