"""Held requests for tokens, as token clients poll them: what is waited for, how often may be asked, and what it came to."""

from __future__ import annotations

import base64
import hmac
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from vault.door import Door
from vault.secret import Secret
from webapp.approvals.execution import delivered
from webapp.approvals.outcome import link, nobody, numbered
from webapp.approvals.rules import WAITING
from webapp.approvals.tables import Action, TokenRequest
from webapp.approvals.waiting import number
from webapp.db.count import changed
from webapp.db.due import Due, enqueue
from webapp.db.once import insert_once
from webapp.oauth.handed import NotGiven
from webapp.oauth.tokens import digest
from webapp.web.house import House
from webapp.web.keys import AppKeys

PURPOSE = "token-requests"
INTERVAL = 5
SLOWER = 5
"""CIBA section 11: `slow_down` makes the interval longer by at least five seconds."""
SLOWEST = 60
KEPT = timedelta(days=1)
"""After its action can no longer be decided or picked up."""
CLEAN = "approvals.token_request"


@lru_cache(maxsize=8)
def naming(door: Door) -> AppKeys:
    """The key that names what waits, in its generations: asked for before a transaction. Raises KeeperError when it is used."""
    return AppKeys(door, PURPOSE)


def named(house: House, row: TokenRequest) -> str:
    """The `auth_req_id` of what waits, which may have been named with an older generation."""
    names = [name(key, row.action) for key in naming(house.door).all(house.clock())]
    return next((one for one in names if digest(one) == row.hash), names[0])


def name(key: Secret[bytes], action_id: str) -> str:
    """The `auth_req_id`: the same whenever the same request is repeated, and nothing that a reader of the database could make."""
    made = hmac.digest(key.reveal(), action_id.encode(), "sha256")
    return f"car_{base64.urlsafe_b64encode(made).decode().rstrip('=')}"


def open_(session: Session, action_id: str, client: str, key: Secret[bytes], now: datetime) -> None:
    """In the transaction that holds the action."""
    insert_once(
        session, TokenRequest, action=action_id, hash=digest(name(key, action_id)), client=client, interval=INTERVAL,
        polled_at=now, created_at=now,
    )
    expires_at = session.scalars(select(Action.expires_at).where(Action.id == action_id)).one()
    enqueue(session, CLEAN, action_id, expires_at + KEPT)


def find(session: Session, auth_req_id: str, client: str) -> TokenRequest:
    """CIBA section 11: one of another client is an invalid_grant, like one that never was."""
    row = session.scalar(select(TokenRequest).where(TokenRequest.hash == digest(auth_req_id)))
    if row is None or row.client != client:
        raise NotGiven("This auth_req_id is not known here.", code="invalid_grant")
    return row


def too_soon(session: Session, action_id: str, now: datetime) -> bool:
    """Whether the last poll was less than the interval ago. Of two polls at once one comes too soon. Kept in the database: the
    next poll may reach another process. One that was cleaned away has ended, and is told so."""
    row = session.get(TokenRequest, action_id, with_for_update=True)
    if row is None:
        return False
    if now >= row.polled_at + timedelta(seconds=row.interval):
        taken = session.execute(
            update(TokenRequest).where(TokenRequest.action == action_id, TokenRequest.polled_at == row.polled_at)
            .values(polled_at=now), execution_options={"synchronize_session": False},
        )
        if changed(taken) == 1:
            return False
    row.interval = min(SLOWEST, row.interval + SLOWER)
    return True


def waits(house: House, action_id: str, polled: str = "", code: str = "authorization_pending") -> NotGiven:
    """CIBA section 11, with what a client needs to go on polling: `polled` is what it polled with, empty where it asked anew."""
    with house.database.read() as session:
        action, row = session.get_one(Action, action_id), session.get_one(TokenRequest, action_id)
    request = polled or named(house, row)
    address = link(house.settings.public_url, action_id)
    left = int((action.expires_at - house.clock()).total_seconds())
    hint = f"A person has to decide first. Show them this page: {address}{numbered(number(house, action))}{nobody(action)}"
    return NotGiven(
        hint if code == "authorization_pending" else f"Ask again after {row.interval} seconds, and no sooner. {hint}",
        code=code, url=address, request=request, interval=row.interval, expires_in=max(1, left),
    )


def ended(house: House, action_id: str) -> NotGiven:
    """How it ended, told once: after that the same request is a new one. A rejection stands for a while, and what is uncertain is
    refused until a person has looked."""
    with house.database.read() as session:
        action = session.get_one(Action, action_id)
    if action.state != "uncertain":
        house.database.write(lambda s: delivered(s, action_id, house.clock()))
    code, words = WORDS[action.state]
    reason = f" {action.reason[:1].upper()}{action.reason[1:]}" if action.reason and action.state != "expired" else ""
    return NotGiven(words + reason, code=code, url=link(house.settings.public_url, action_id), reason=action.reason_code)


WORDS = {
    "done": ("invalid_grant", "The token was handed out already: a decision gives one token. Ask anew for another one."),
    "rejected": ("access_denied", "A person rejected this."),
    "expired": ("expired_token", "Nobody decided, or nobody came for the token, in time. Ask anew."),
    "withdrawn": ("access_denied", "This was withdrawn."),
    "void": ("access_denied", "What this depended on changed while it waited. Ask anew."),
    "failed": ("access_denied", "No token was given."),
    "uncertain": (
        "access_denied",
        "The token may have been handed out: nobody knows. No other is given for the same request until a person has looked.",
    ),
}


def clean(house: House, due: Due) -> datetime | None:
    """Forget a request long after it lapsed; its action stays. One that somebody gave more time still waits, and its client has
    to find it."""

    def work(session: Session) -> datetime | None:
        row, action = session.get(TokenRequest, due.key), session.get(Action, due.key)
        if action is not None and action.state in WAITING and house.clock() < action.expires_at:
            return action.expires_at + KEPT
        if row is not None:
            session.delete(row)
        return None

    return house.database.write(work)
