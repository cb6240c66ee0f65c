"""Spool volumes that are apart: a keeper cannot see what another volume's keeper was answered.

A claim names its volume. When it has run out, and its refresh token may have been traded in, the answer may lie there: the old
token is then asked with only by who sees that volume, or when that volume has said that it holds nothing. A provider that ends a
consent when a refresh token is shown twice would otherwise end it although it had answered.

- A volume that lives says so by itself, within seconds (`tidy`): it takes its answers over, and lets go of claims without any.
- One that is only restarting is waited for, `lost_volume_minutes` of the keeper's settings.
- One that stays away longer counts as lost: the person is told and reconnects. Should it come back, so does the account.
- Where refresh tokens do not rotate, asking again spends nothing, and nobody waits.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from vault.errors import KeeperError, NotKnown
from vault.renewal import load, rescue, save
from vault.spool import Asked
from vault.table import Keeper
from vault.upstreams import upstreams

log = logging.getLogger("counterseal.keeper.volumes")

LOOK = 5.0
"""Seconds between two looks at what was claimed here."""


def watch(keeper: Keeper, stop: threading.Event) -> None:
    """Until `stop`."""
    while not stop.wait(LOOK):
        tidy(keeper)


def tidy(keeper: Keeper) -> None:
    """Settle every claim of this volume that has run out. What the vault does not take now is looked at again."""
    spool, now = upstreams(keeper).spool, keeper.clock()
    for asked in spool.asked():
        if asked.until > now:
            continue
        try:
            rescue(keeper, asked.connection)
            _let_go(keeper, asked)
        except NotKnown:
            pass
        except (KeeperError, OSError) as error:
            log.info("a claim on %s is settled later: %s", asked.connection, getattr(error, "detail", type(error).__name__))
            continue
        spool.forget(asked.holder)


def _let_go(keeper: Keeper, asked: Asked) -> None:
    """Nothing lies here for it, and nothing will: whoever made the claim has long stopped asking. Raises CasConflict."""
    record, version = load(keeper, asked.connection)
    if record.claim is not None and record.claim.holder == asked.holder and record.claim.volume:
        save(keeper, asked.connection, replace(record, claim=replace(record.claim, volume="")), version)
