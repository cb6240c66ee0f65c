"""The page on which people say how they are told."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import select

from tests.app_parts import People
from tests.webapp.notices.parts import Service
from webapp.audit.tables import Entry
from webapp.notices.tables import Channel
from webapp.web.catalogue import ENGLISH
from webapp.web.house import House
from webapp.web.languages import Language, Languages


def _channel(house: House) -> str:
    with house.database.read() as session:
        return session.scalars(select(Channel.id)).one()


def test_a_channel_is_added_tried_and_taken_away_and_its_address_never_shown(
    house: House, signed_in: People, service: Service
) -> None:
    ada, secret = signed_in("ada"), f"ntfy://user:hunter2@127.0.0.1:{service.port}/desk"
    assert ada.send("/you/notices", do="add", url=secret, name="My phone").status_code == 303
    page = ada.get("/you/notices").text
    assert "My phone" in page
    assert "hunter2" not in page
    assert ada.send("/you/notices", do="test", channel=_channel(house)).status_code == 303
    assert "Counterseal: a test" in service.got[0].decode()
    assert "Sent. Look whether it arrived." in ada.get("/you/notices").text
    assert ada.send("/you/notices", do="remove", channel=_channel(house)).status_code == 303
    with house.database.read() as session:
        assert session.scalars(select(Channel.id)).all() == []
        kinds = session.scalars(select(Entry.kind).where(Entry.kind.like("channel.%")).order_by(Entry.id)).all()
        bodies = b"".join(session.scalars(select(Entry.body)))
    assert kinds == ["channel.added", "channel.removed"]
    assert b"hunter2" not in bodies


def test_a_channel_that_fails_says_so_and_why(house: House, signed_in: People, service: Service) -> None:
    ada = signed_in("ada")
    ada.send("/you/notices", do="add", url=service.url)
    service.status = 404
    ada.send("/you/notices", do="test", channel=_channel(house))
    page = ada.get("/you/notices").text
    assert "Failing" in page
    assert "It answered 404." in page


def test_nobody_sees_tries_or_takes_away_what_is_anothers(house: House, signed_in: People, service: Service) -> None:
    ada, eve = signed_in("ada"), signed_in("eve")
    ada.send("/you/notices", do="add", url=service.url, name="Ada's phone")
    for do in ("test", "remove"):
        assert eve.send("/you/notices", do=do, channel=_channel(house)).status_code == 404
    assert "phone" not in eve.get("/you/notices").text
    assert service.got == []


def test_a_stranger_is_sent_to_sign_in_and_a_groups_channels_are_an_admins(house: House, signed_in: People) -> None:
    assert signed_in.stranger().get("/you/notices").status_code == 303
    eve, root = signed_in("eve", groups=["finance"]), signed_in("root", groups=["admin"])
    assert eve.get("/groups/finance/notices").status_code == 403
    assert eve.send("/groups/finance/notices", do="snooze", **{"for": "1h"}).status_code == 403
    assert "How finance is told" in root.get("/groups/finance/notices").text
    assert root.send("/groups/finance/notices", do="prefer", kinds=["approve"], digest="hourly").status_code == 303


@pytest.mark.parametrize(("fields", "words"), [
    ({"do": "add", "url": "syslog://"}, "That kind of channel is not allowed"),
    ({"do": "add", "url": "not an address"}, "no blanks"),
    ({"do": "prefer", "digest": "never"}, "Choose from the list"),
    ({"do": "prefer", "kinds": "everything"}, "Choose from the list"),
    ({"do": "prefer", "quiet": "on", "quiet_first": "07:00", "quiet_last": "07:00"}, "Quiet hours"),
    ({"do": "prefer", "quiet": "on", "quiet_first": "07:07", "quiet_last": "25:00"}, "Quiet hours"),
    ({"do": "prefer", "daily_at": "8"}, "daily digest"),
    ({"do": "snooze", "for": "ever"}, "Say for how long"),
    ({"do": "sing"}, "no such thing"),
], ids=lambda given: given["do"] if isinstance(given, dict) else "")
def test_what_cannot_be_is_refused_in_words(signed_in: People, fields: dict[str, str], words: str) -> None:
    answer = signed_in("ada").send("/you/notices", **fields)
    assert answer.status_code == 400
    assert words in answer.text


def test_preferences_are_kept_and_shown(signed_in: People) -> None:
    ada = signed_in("ada")
    ada.send("/you/notices", do="prefer", kinds=["confirm", "security"], digest="daily", daily_at="07:15", quiet="on",
             quiet_first="21:30", quiet_last="06:45")
    page = ada.get("/you/notices").text
    assert 'value="confirm" checked' in page
    assert 'value="approve">' in page
    for shown in ('value="daily" selected', 'value="07:15"', 'value="21:30"', 'value="06:45"'):
        assert shown in page
    assert 'name="through" checked' not in page


def test_a_silence_is_said_on_the_page_and_ended(signed_in: People) -> None:
    ada = signed_in("ada")
    ada.send("/you/notices", do="snooze", **{"for": "4h"})
    assert "Nothing is sent until" in ada.get("/you/notices").text
    ada.send("/you/notices", do="snooze", **{"for": ""})
    assert "Nothing is sent until" not in ada.get("/you/notices").text


def test_one_person_has_at_most_so_many_channels(house: House, signed_in: People, service: Service) -> None:
    house.settings.notices.channels = 1
    ada = signed_in("ada")
    ada.send("/you/notices", do="add", url=service.url)
    refused = ada.send("/you/notices", do="add", url=service.url)
    assert (refused.status_code, "Take one away first" in refused.text) == (400, True)


def test_the_app_can_be_installed_and_its_worker_is_asked_for_anew(signed_in: People) -> None:
    """The worker keeps no page: what it keeps is named, and has no data in it."""
    browser = signed_in.stranger()
    manifest = browser.get("/manifest.webmanifest")
    assert manifest.json is not None
    assert (manifest.json["display"], manifest.mimetype) == ("standalone", "application/manifest+json")
    worker = browser.get("/service-worker.js")
    assert worker.headers["Service-Worker-Allowed"] == "/"
    assert worker.headers["Cache-Control"] == "no-cache"
    assert worker.text.count("addAll(") == 1
    assert "cache.put" not in worker.text


def test_what_is_kept_for_no_network_and_what_is_installed_speak_the_readers_language(app: Flask, signed_in: People) -> None:
    """And have nothing of the person's on them, who may be somebody else when they are shown."""
    app.extensions["languages"] = Languages([Language("en", ENGLISH), Language("de")])
    bob = signed_in("bob")
    assert "No connection" in bob.get("/offline").text
    offline = bob.get("/offline", headers={"Accept-Language": "de"})
    assert (offline.headers["Content-Language"], '<html lang="de" dir="ltr">' in offline.text) == ("de", True)
    assert "Keine Verbindung" in offline.text
    assert not any(found in offline.text for found in ("Bob", bob.person, "csrf", "/you"))
    linked = bob.get("/you", headers={"Accept-Language": "de"}).text
    assert 'href="/manifest.webmanifest?language=de"' in linked
    stranger = signed_in.stranger()
    german = stranger.get("/manifest.webmanifest?language=de").get_json()
    english = stranger.get("/manifest.webmanifest?language=xx").get_json()
    assert (german["lang"], german["shortcuts"][0]["name"]) == ("de", "Was wartet")
    assert (english["lang"], english["shortcuts"][0]["name"]) == ("en", "What waits")
    assert german["icons"] == english["icons"]
