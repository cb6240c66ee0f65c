"""What a factor of less than 24 hours does not do yet, and what nobody does beside one that a recovery code has set up.

Attack: whoever found a code signs in at the identity provider, enrols with it, and takes away what its owner could end that with.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from vault.authority import Proven
from vault.errors import FactorTooYoung, NotSignedIn
from vault.kv import Data
from vault.table import Keeper

DAY = timedelta(hours=24)
HELD = (
    "A second step was set up with a recovery code less than 24 hours ago. Until it is older nothing else is removed, and no new "
    "codes are made. If it was not you, remove it."
)
AGAIN = "A second step that a recovery code had set up was removed. Sign out and in again."

One = dict[str, Any]


def old_enough(keeper: Keeper, one: One, evaluation: bool) -> bool:
    """A factor younger than 24 h does not approve: whoever takes over a session cannot enrol a factor and approve with it
    before its owner has heard of it. In an evaluation instance, it may."""
    return evaluation or keeper.clock() - datetime.fromisoformat(one["created_at"]) >= DAY


def by_code(keeper: Keeper, data: Data, evaluation: bool) -> list[One]:
    """What a recovery code has enrolled, or was enrolled beside such a factor, and is young."""
    return [one for one in data["factors"] if one.get("by_code") and not old_enough(keeper, one, evaluation)]


def refuse_by_code(keeper: Keeper, data: Data, who: Proven, evaluation: bool, removed: One | None = None) -> None:
    """Beside such a factor nothing goes but those themselves. Raises FactorTooYoung, and as `settled` does."""
    young = by_code(keeper, data, evaluation)
    if young and removed not in young:
        raise FactorTooYoung("beside what a recovery code enrolled", hint=HELD)
    settled(data, who)


def settled(data: Data, who: Proven) -> None:
    """Attack: the same, with a ticket that such a factor gave before it was removed. Raises NotSignedIn."""
    at = who.ticket.factor_at
    if at is None or at.timestamp() <= data.get("by_code_gone", 0):
        raise NotSignedIn("what a recovery code enrolled was removed since", hint=AGAIN)
