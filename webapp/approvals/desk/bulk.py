"""Several at once: each is rejected by a decision of its own, or put off. There is no approving of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from vault.errors import KeeperAway, KeeperError, VaultAway, VaultSealed
from webapp.approvals import deciding, queue
from webapp.approvals.desk import snoozing
from webapp.approvals.desk.listing import ID
from webapp.approvals.desk.snoozing import PutOff
from webapp.approvals.payloads import Tampered
from webapp.approvals.reasons import Reason
from webapp.approvals.rules import WAITING
from webapp.approvals.seeing import visible_to
from webapp.approvals.tables import Action
from webapp.errors import BadInput, CountersealError, Unavailable, said
from webapp.web.house import House
from webapp.web.viewer import Viewer

MOST = 50
NONE = "Tick at least one action first."
AWAY = (Unavailable, KeeperAway, VaultAway, VaultSealed)
NOT_TRIED = said("Not tried, since the one before it could not be done either.")


@dataclass(frozen=True)
class Result:
    """What became of one: `why` is empty when it was rejected."""

    action: Action
    why: str = ""
    decoy: bool = False


def picked(ids: Iterable[str]) -> list[str]:
    """Ids as a form sends them. Raises BadInput for none, or for more than a page has."""
    found = list(dict.fromkeys(one for one in ids if ID.fullmatch(one)))
    if not found:
        raise BadInput(NONE)
    if len(found) > MOST:
        raise BadInput(said("At most %(most)s at once.", most=MOST))
    return found


def to_reject(session: Session, viewer: Viewer, ids: Sequence[str]) -> Sequence[Action]:
    """Those of `ids` that this person may see and that can still be stopped, in the queue's order."""
    found = select(Action).where(Action.id.in_(ids), Action.state.in_(WAITING), visible_to(viewer))
    return session.scalars(found.order_by(Action.rank, Action.expires_at, Action.id)).all()


def reject(house: House, viewer: Viewer, shown: dict[str, str], why: Reason) -> list[Result]:
    """One signed rejection for each; `shown` is the digest that the page showed, by id. One that cannot be rejected keeps none of
    the others from it."""
    with house.database.read() as session:
        seen = select(Action).where(Action.id.in_(picked(shown)), visible_to(viewer))
        actions = session.scalars(seen.order_by(Action.rank, Action.expires_at, Action.id)).all()
    results, away = list[Result](), False
    for action in actions:
        if away:
            results.append(Result(action, NOT_TRIED))
            continue
        try:
            state = deciding.reject(house, action.id, viewer, shown=shown[action.id], reason=why.words, code=why.code)
            results.append(Result(action, decoy=state == "withdrawn"))
        except (CountersealError, KeeperError) as error:
            results.append(Result(action, error.hint))
            away = isinstance(error, AWAY) and not isinstance(error, Tampered)  # that one row is; the others are not held up
    return results


def put_off(house: House, viewer: Viewer, ids: Iterable[str], choice: str) -> list[PutOff]:
    """Those that wait for this person. The others are left out: nothing is put off that is not theirs to decide."""
    wanted = picked(ids)
    return house.database.write(lambda s: _put_off(s, house, viewer, wanted, choice))


def _put_off(session: Session, house: House, viewer: Viewer, ids: Sequence[str], choice: str) -> list[PutOff]:
    now = house.clock()
    found = select(Action).where(Action.id.in_(ids), queue.waiting_for(viewer, now)).order_by(Action.id)
    return snoozing.put_off(session, viewer, session.scalars(found).all(), choice, now)


def bring_back(house: House, viewer: Viewer, ids: Iterable[str]) -> int:
    wanted = picked(ids)
    return house.database.write(lambda s: snoozing.bring_back(s, viewer, wanted, house.clock()))
