"""The bank's own SQLite file: accounts, payees, payments, and what its OAuth provider remembers. Amounts in minor units."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS accounts (
  id TEXT PRIMARY KEY, holder TEXT NOT NULL, name TEXT NOT NULL, iban TEXT NOT NULL UNIQUE, currency TEXT NOT NULL,
  balance_minor INTEGER NOT NULL CHECK (balance_minor >= 0));
CREATE TABLE IF NOT EXISTS payees (
  account TEXT NOT NULL REFERENCES accounts(id), iban TEXT NOT NULL, name TEXT NOT NULL, paid INTEGER NOT NULL,
  last_paid INTEGER NOT NULL, PRIMARY KEY (account, iban));
CREATE TABLE IF NOT EXISTS payments (
  number INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL REFERENCES accounts(id), idempotency_key TEXT,
  fingerprint TEXT NOT NULL, amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL, iban TEXT NOT NULL,
  payee TEXT NOT NULL, reference TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE (account, idempotency_key));
CREATE TABLE IF NOT EXISTS grants (
  id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(id), client TEXT NOT NULL, scopes TEXT NOT NULL,
  created_at INTEGER NOT NULL, revoked_at INTEGER);
CREATE TABLE IF NOT EXISTS codes (
  hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants(id), redirect_uri TEXT NOT NULL, challenge TEXT NOT NULL,
  expires_at INTEGER NOT NULL, used_at INTEGER);
CREATE TABLE IF NOT EXISTS tokens (
  hash TEXT PRIMARY KEY, grant_id TEXT NOT NULL REFERENCES grants(id), kind TEXT NOT NULL CHECK (kind IN ('access', 'refresh')),
  scopes TEXT NOT NULL, expires_at INTEGER NOT NULL, used_at INTEGER, revoked_at INTEGER);
"""

ACCOUNTS = (
    ("acc-2291", "Lindqvist Handel GmbH", "Business current account", "DE02120300000000202051", "EUR", 4_216_380),
    ("acc-7744", "Lindqvist Handel GmbH", "Reserve account", "DE02500105170137075030", "EUR", 12_500_000),
)
DAY = 86_400
# (account, name, IBAN, payments so far, days since the last): nobody here is called Nordlicht, so the first payment to it is new.
PAYEES = (
    ("acc-2291", "Stadtwerke Kiel AG", "DE02100500000054540402", 11, 12),
    ("acc-2291", "Papeterie Brandt OHG", "DE02300209000106531065", 4, 33),
    ("acc-2291", "Hansen Logistik KG", "DE02200505501015871393", 27, 3),
)


class Store:
    """Opens its file for each piece of work: the bank is small, and a connection is not shared between threads."""

    def __init__(self, path: Path, *, now: float) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        with self.transaction() as work:
            for statement in SCHEMA.split(";\n"):
                work.execute(statement)
            work.executemany("INSERT OR IGNORE INTO accounts VALUES (?, ?, ?, ?, ?, ?)", ACCOUNTS)
            rows = ((account, iban, name, paid, int(now) - days * DAY) for account, name, iban, paid, days in PAYEES)
            work.executemany("INSERT OR IGNORE INTO payees VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A writing transaction: committed at the end, rolled back if anything is raised."""
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
