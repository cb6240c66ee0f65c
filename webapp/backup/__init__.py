"""Backup and restore of an instance that has its own OpenBao and SQLite: one file, for one recipient."""
