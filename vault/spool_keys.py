"""The key that answers of providers are spooled under: each volume has its own, and its keepers replace it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from vault.errors import TooMany
from vault.table import Body, Keeper
from vault.upstreams import upstreams

log = logging.getLogger("counterseal.keeper")

AGE, SELDOM = timedelta(days=90), timedelta(hours=1)


def by_age(keeper: Keeper) -> None:
    """One look. Raises OSError."""
    spool = upstreams(keeper).spool
    made = spool.key_made
    if made + AGE <= keeper.clock() and spool.rotate(made):
        log.info("the spool's key was replaced")


def rotate(keeper: Keeper, body: Body) -> Mapping[str, Any]:
    """`Door.rotate_spool_key`."""
    spool = upstreams(keeper).spool
    made = spool.key_made
    if spool.keys > 1 and keeper.clock() - made < SELDOM:
        raise TooMany(f"made at {made}", hint="The spool's key was replaced within the last hour.")
    if spool.rotate(made):
        log.info("the spool's key was replaced")
    return {}


HANDLERS = {"rotate_spool_key": rotate}
