"""Alembic revisions: plain operations, the same on SQLite and PostgreSQL."""
