"""The database: engine, sessions, column types, due rows and changes."""

from webapp.db.base import Base
from webapp.db.engine import Database

__all__ = ["Base", "Database"]
