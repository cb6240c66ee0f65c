"""The bank, for the tests of this room."""

from tests.webapp.connections.parts import bank, real_bank

__all__ = ["bank", "real_bank"]
