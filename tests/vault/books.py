"""What keepers are asked under load, and books of it: what was read, won and handed out agrees with what was acknowledged."""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field

from tests.scripted_provider import Scripted
from tests.vault.accounts import mint
from vault.errors import NeedsConsent, VaultAway
from vault.kv import CasConflict
from vault.spent import once
from vault.table import Keeper


@dataclass
class Counter:
    """One record that a keeper counts up in, and another reads: what is read is never older than what was acknowledged."""

    writer: Keeper
    reader: Keeper
    path: str
    known: int = 0
    attempts: int = 0

    def count(self) -> None:
        self.attempts += 1
        try:
            self.known = self.writer.kv.update(
                self.path, lambda old: ({"n": (old or {"n": 0})["n"] + 1}, (old or {"n": 0})["n"] + 1)
            )
        except CasConflict as error:
            raise VaultAway("its own write, unheard") from error

    def read(self) -> None:
        before = self.known
        found = self.reader.kv.read(self.path)
        seen = found.data["n"] if found else 0
        assert before <= seen <= self.attempts, f"read {seen}, acknowledged {before}, tried {self.attempts}"


@dataclass
class Spender:
    """Two keepers that ask for the same one-time values, one after the other: nobody wins what another has won."""

    keepers: tuple[Keeper, Keeper]
    name: str = field(default_factory=lambda: secrets.token_hex(6))
    winners: dict[str, int] = field(default_factory=dict)
    turns: list[int] = field(default_factory=lambda: [0, 0])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def race(self, who: int) -> None:
        value = f"{self.name}-{self.turns[who]}"
        won = once(self.keepers[who], "race", value)
        with self._lock:
            assert not (won and value in self.winners), f"{value} was won twice"
            if won:
                self.winners[value] = who
            self.turns[who] += 1


@dataclass
class Rotating:
    """Accounts whose refresh token is replaced at each use, by a provider that takes none twice; each token is for one call."""

    keepers: tuple[Keeper, Keeper]
    provider: Scripted
    connections: list[str]
    minted: list[str] = field(default_factory=list)
    turn: int = 0

    def mint(self, who: int) -> None:
        self.turn += 1
        connection = self.connections[self.turn % len(self.connections)]
        try:
            self.minted.append(mint(self.keepers[who], connection, exclusive=True)["token"])
        except NeedsConsent as error:
            raise AssertionError(f"{connection} was lost: {error.detail}") from error
