"""A live page takes a seat while somebody looks at it, and no longer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask, Response

from tests.app_parts import People
from webapp.approvals import queue
from webapp.errors import LimitReached
from webapp.people import sessions
from webapp.web import live
from webapp.web.catalogue import ENGLISH
from webapp.web.languages import Language, Languages


class Still:
    """A source of wake-ups that has none, and counts how often it was waited on."""

    waits = 0

    def mark(self, *_topics: str) -> tuple[int, ...]:
        return (0,)

    def wait(self, _mark: tuple[int, ...], *_topics: str, timeout: float) -> bool:
        self.waits += 1
        assert self.waits < 100, "the stream goes on although nobody is there"
        return False


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's and the browser's end of one TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as browser:
        server, _ = listener.accept()
        with server:
            yield server, browser


def opened(seats: live.Seats, connection: socket.socket | None = None, changes: live.Marks | None = None) -> Response:
    with Flask("test").test_request_context("/", environ_base={"gunicorn.socket": connection}):
        return live.stream(changes or Still(), seats, "per_1", ("queue",), lambda: "shown", alive=lambda: True)


def test_a_browser_that_went_away_gives_its_seat_back() -> None:
    """Somebody who walks through ten pages must not be kept out of the eleventh by the ten they left."""
    seats = live.Seats(per_person=1, total=1)
    with connected() as (server, browser):
        response = opened(seats, server)
        events = iter(response.response)
        assert "retry" in next(events)
        assert "shown" in next(events)
        browser.close()
        assert list(events) == []
        response.close()
    opened(seats).close()


def test_a_stream_that_was_never_read_gives_its_seat_back() -> None:
    seats = live.Seats(per_person=1, total=1)
    opened(seats).close()
    opened(seats).close()


def test_a_stream_ends_when_the_process_is_told_to_stop() -> None:
    seats = live.Seats(per_person=1, total=1)
    response = opened(seats)
    events = iter(response.response)
    assert "retry" in next(events)
    assert "shown" in next(events)
    seats.close()
    assert list(events) == []
    response.close()


class Woken(Still):
    def wait(self, mark: tuple[int, ...], *topics: str, timeout: float) -> bool:
        return not super().wait(mark, *topics, timeout=timeout)


def test_a_stream_sends_nothing_after_its_sign_in_ended() -> None:
    counts, texts = iter([True, True, False]), iter("abcdef")
    with Flask("test").test_request_context("/"):
        response = live.stream(
            Woken(), live.Seats(1, 1), "per_1", ("queue",), lambda: next(texts), alive=lambda: next(counts)
        )
    assert list(response.response) == ["retry: 2000\n\n", "data: a\n\n", "data: b\n\n", "data: c\n\n"]


def test_the_pages_stream_ends_with_the_session(app: Flask, signed_in: People) -> None:
    ada, house = signed_in("ada"), app.extensions["counterseal"]
    answer = ada.get("/actions/count", buffered=False)
    parts = answer.iter_encoded()
    assert next(parts).startswith(b"retry")
    assert next(parts).startswith(b"data")
    house.database.write(lambda db: sessions.end_others(db, person=ada.person, keep="", why="ended", now=house.clock()))
    house.database.changes.fire({"queue"})
    assert list(parts) == []
    answer.close()


def test_what_a_stream_sends_is_in_the_language_of_the_page_that_opened_it(
    app: Flask, signed_in: People, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is rendered outside of the request that says which: a German page must not turn English at its first change."""
    app.extensions["languages"] = Languages([Language("en", ENGLISH), Language("de")])
    monkeypatch.setattr(queue, "count", lambda *_given: 3)
    answer = signed_in("ada").get("/actions/count", headers={"Accept-Language": "de"}, buffered=False)
    parts = answer.iter_encoded()
    assert next(parts).startswith(b"retry")
    assert "warten auf Sie" in next(parts).decode()
    answer.close()


def test_nobody_takes_more_seats_than_they_may() -> None:
    seats = live.Seats(per_person=1, total=5)
    kept = opened(seats)
    with pytest.raises(LimitReached):
        opened(seats)
    kept.close()


def test_a_browser_that_stays_is_pinged() -> None:
    with connected() as (server, _browser):
        changes = Still()
        response = opened(live.Seats(1, 1), server, changes)
        events = iter(response.response)
        assert [next(events) for _ in range(3)][2] == ": ping\n\n"
        assert changes.waits == live.PING / live.LOOK
        response.close()
