"""What a receipt's file is made of, for who writes one and for who checks one: each without what the other needs."""

FORMAT = "counterseal-receipt/1"
BYTES, MOST = 8_000_000, 60
"""Of a file, and of each of its lists."""
FIELDS = {"format", "action", "digest", "decisions", "entries", "checkpoint", "keys"}
