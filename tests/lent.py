"""Databases of the test server that are lent to one test after the other: making and dropping one takes longer than most tests.

What a test gets is as good as new: its rows are gone, sequences begin again, nobody else is connected. A database whose tables,
indexes or triggers a test changed, or whose settings, is dropped and not lent again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

SHAPE = """
SELECT md5(coalesce(string_agg(what, ',' ORDER BY what), '')) FROM (
  SELECT concat_ws(' ', 'r', relname, relkind, relnatts, relhastriggers, relchecks, relrowsecurity, reloptions) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'n', nspname) FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_'
  UNION ALL SELECT concat_ws(' ', 't', tgrelid::regclass, tgname, tgenabled, tgfoid) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT concat_ws(' ', 'c', conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 'a', attrelid::regclass, attname, atttypid, attnotnull, atthasdef) FROM pg_attribute
    WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')
  UNION ALL SELECT concat_ws(' ', 'p', proname, md5(prosrc)) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', 's', setrole, setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
) AS shape(what)
"""
EMPTY = """
DO $$
DECLARE
  relation record;
  filled boolean;
BEGIN
  SET LOCAL session_replication_role = replica;  -- no foreign keys' order, no trigger that keeps the log append-only
  FOR relation IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', relation.name) INTO filled;
    IF filled THEN EXECUTE format('TRUNCATE %s CASCADE', relation.name); END IF;
  END LOOP;
  FOR relation IN SELECT oid::regclass AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' LOOP
    EXECUTE format('ALTER SEQUENCE %s RESTART', relation.name);
  END LOOP;
END $$
"""
LEAVE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Lender:
    """`server` is the URL of the maintenance database, `template` the database that each new one is copied from."""

    def __init__(self, server: str, template: str) -> None:
        self.server, self.template = make_url(server), template
        self.free: list[str] = []
        self.shape = self._shape(template)

    @contextmanager
    def lend(self) -> Iterator[str]:
        """The URL of a database of one's own, with all tables and without a row."""
        name = self.free.pop() if self.free else self._make()
        try:
            yield self.server.set(database=name).render_as_string(hide_password=False)
        finally:
            if self._as_new(name):
                self.free.append(name)
            else:
                self._drop(name)

    def _connect(self, name: str) -> psycopg.Connection:
        url = self.server.set(drivername="postgresql", database=name)
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)

    def _shape(self, name: str) -> str:
        with self._connect(name) as connection:
            found = connection.execute(SHAPE).fetchone()
        assert found is not None
        return str(found[0])

    def _make(self) -> str:
        name = f"t{uuid.uuid4().hex}"
        with self._connect(str(self.server.database)) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(self.template)
            ))
        return name

    def _as_new(self, name: str) -> bool:
        try:
            with self._connect(name) as connection:
                connection.execute(LEAVE)
                found = connection.execute(SHAPE).fetchone()
                if found is None or found[0] != self.shape:
                    return False
                connection.execute(EMPTY)
        except psycopg.OperationalError:
            return False  # the test dropped it, or closed it to everybody
        return True

    def _drop(self, name: str) -> None:
        with self._connect(str(self.server.database)) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
