"""Harbour Bank, the demonstration bank: an OAuth provider (RFC 6749, 7636, 7009, 8414, 9207) and a ledger behind it."""
