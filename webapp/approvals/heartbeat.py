"""Says, while an action runs, that somebody is at it."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import cast

from sqlalchemy import CursorResult, update
from sqlalchemy.orm import Session

from webapp.approvals.tables import Action
from webapp.errors import Unavailable
from webapp.web.house import House

log = logging.getLogger("counterseal.approvals")


class Heartbeat:
    """A thread (a greenlet under gevent) that writes the time every few seconds, for as long as this run has the action."""

    def __init__(self, house: House, action_id: str, fence: str) -> None:
        self._house, self._action, self._fence = house, action_id, fence
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{action_id}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._house.settings.approvals.heartbeat):
            try:
                if not self._house.database.write(self._write):
                    return
            except Unavailable:
                log.warning("the heartbeat of %s could not be written; it goes on", self._action)

    def _write(self, session: Session) -> bool:
        done = session.execute(
            update(Action)
            .where(Action.id == self._action, Action.state == "executing", Action.run == self._fence)
            .values(heartbeat_at=self._house.clock()),
            execution_options={"synchronize_session": False},
        )
        return cast("CursorResult[object]", done).rowcount == 1
