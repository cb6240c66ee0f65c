"""Web push: what a browser subscribed to, what it is sent, and what is never sent to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.app_parts import People
from tests.clock import Clock
from tests.webapp.approvals.parts import ORDER, draft, held
from tests.webapp.notices.parts import OWN, look, person, send_all
from tests.webapp.notices.push_parts import BrowserKeys, PushService, serve
from webapp.audit.tables import Entry
from webapp.config_notices import Notices
from webapp.errors import BadInput
from webapp.notices import preferences, push
from webapp.notices.tables import Channel, Notice
from webapp.web.house import House

SERVICES = Notices().push_services


@pytest.fixture
def service(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushService]:
    with serve(tmp_path) as (made, pem):
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        house.settings.notices.networks = OWN
        house.settings.notices.push_services = [made.netloc]
        yield made


def test_a_browser_that_subscribed_gets_what_it_alone_can_read(house: House, signed_in: People, service: PushService) -> None:
    """RFC 8291 and 8292 on the wire: count and place, a path of ours, and nothing of what the agent wants."""
    keys, bob = BrowserKeys(), signed_in("bob", groups=["finance"])
    done = bob.send("/you/notices", do="subscribe", subscription=keys.subscription(service.endpoint))
    assert done.status_code == 303, done.text
    look(house)
    send_all(house)
    service.got.clear()
    held(house, draft(house, person(house, "Ada")))
    look(house)
    send_all(house)
    headers, body = service.got[-1]
    told = json.loads(keys.decrypted(body))
    assert told == {
        "title": "Counterseal: 1 action waits for approval",
        "body": "1 action waits for approval:\n- 1 at Harbour Bank (money)", "link": "/actions",
    }
    assert headers["content-encoding"] == "aes128gcm"
    assert headers["authorization"].startswith("vapid t=")
    assert headers["authorization"].endswith(", k=" + house.door.push_key())
    assert not any(value.encode() in body for value in ORDER.values())


def test_a_browser_that_took_its_permission_back_is_forgotten(house: House, signed_in: People, service: PushService) -> None:
    bob = signed_in("bob", groups=["finance"])
    bob.send("/you/notices", do="subscribe", subscription=BrowserKeys().subscription(service.endpoint))
    service.status = 410
    with house.database.read() as session:
        channel = session.scalars(select(Channel.id)).one()
    bob.send("/you/notices", do="test", channel=channel)
    with house.database.read() as session:
        assert session.scalars(select(Channel.id)).all() == []


def test_the_same_browser_subscribes_once_and_belongs_to_who_sits_there(
    house: House, signed_in: People, service: PushService
) -> None:
    """Attack: the browser that two people use goes on telling the first of them what the second is asked."""
    keys = BrowserKeys()
    bob, cy = signed_in("bob", groups=["finance"]), signed_in("cy", groups=["finance"])
    for one in (bob, bob, cy):
        one.send("/you/notices", do="subscribe", subscription=keys.subscription(service.endpoint))
    with house.database.read() as session:
        assert session.scalars(select(Channel.whom)).all() == [cy.person]
    cy.send("/you/notices", do="unsubscribe", endpoint=service.endpoint)
    with house.database.read() as session:
        assert session.scalars(select(Channel.id)).all() == []


def test_who_subscribes_again_with_their_only_channel_is_still_told_what_waits_for_its_time(
    house: House, signed_in: People, service: PushService, clock: Clock
) -> None:
    """A browser makes new keys, and the digest of the day, for instance, is yet to come."""
    keys, bob = [BrowserKeys(), BrowserKeys()], signed_in("bob", groups=["finance"])
    bob.send("/you/notices", do="subscribe", subscription=keys[0].subscription(service.endpoint))
    house.database.write(lambda s: preferences.store(s, bob.person, {"digest": "hourly"}, "test", clock.now))
    look(house)
    held(house, draft(house, person(house, "Ada")))
    look(house)
    assert bob.send("/you/notices", do="subscribe", subscription=keys[1].subscription(service.endpoint)).status_code == 303
    with house.database.read() as session:
        assert session.scalars(select(Channel.whom)).all() == [bob.person]
        assert session.scalars(select(Notice.kind).where(Notice.ended_at.is_(None), Notice.kind == "approve")).all()
        kinds = session.scalars(select(Entry.kind).where(Entry.kind.startswith("channel.")).order_by(Entry.id)).all()
    assert kinds == ["channel.added", "channel.renewed"]
    clock.forward(hours=1)
    look(house)
    send_all(house)
    told = [json.loads(keys[1].decrypted(body))["title"] for _, body in service.got]
    assert any("1 action waits for approval" in title for title in told), told


@pytest.mark.parametrize("endpoint", [
    "http://fcm.googleapis.com/fcm/send/x", "https://fcm.googleapis.com.evil.example/x", "https://evil.example/fcm.googleapis.com",
    "https://fcm.googleapis.com:8443/x", "https://user@fcm.googleapis.com/x", "https://push.services.mozilla.com/x",
    "https://evilpush.services.mozilla.com.example/x", "https://127.0.0.1/x", "https://169.254.169.254/latest/meta-data",
    "https://fcm.googleapis.com\n.evil.example/x", "https://fcm.googleapis.com/x#y", "",
])
def test_an_endpoint_that_is_no_listed_push_service_is_refused(endpoint: str) -> None:
    with pytest.raises(BadInput):
        push.read(BrowserKeys().subscription(endpoint), SERVICES)


@pytest.mark.parametrize("endpoint", [
    "https://fcm.googleapis.com/fcm/send/x", "https://updates.push.services.mozilla.com/wpush/v2/x",
    "https://wns2-par02p.notify.windows.com/w/?token=x", "https://web.push.apple.com/x",
])
def test_an_endpoint_of_the_usual_browsers_is_taken(endpoint: str) -> None:
    assert push.read(BrowserKeys().subscription(endpoint), SERVICES).endpoint == endpoint


@pytest.mark.parametrize("given", [
    "", "{}", "[]", "null", "x" * 5000, '{"endpoint": 1, "keys": {}}', '{"endpoint": "https://fcm.googleapis.com/x", "keys": 3}',
    json.dumps({"endpoint": "https://fcm.googleapis.com/x", "keys": {"p256dh": "AAAA", "auth": "AAAA"}}),
    json.dumps({"endpoint": "https://fcm.googleapis.com/x", "keys": {"p256dh": "BA" + "A" * 85, "auth": "A" * 22}}),
])
def test_what_is_no_subscription_is_refused(given: str) -> None:
    """Also keys that are no point on the curve."""
    with pytest.raises(BadInput):
        push.read(given, SERVICES)


def test_a_service_taken_off_the_list_is_not_sent_to_any_more(house: House, signed_in: People, service: PushService) -> None:
    bob = signed_in("bob")
    bob.send("/you/notices", do="subscribe", subscription=BrowserKeys().subscription(service.endpoint))
    house.settings.notices.push_services = SERVICES
    with house.database.read() as session:
        channel = session.scalars(select(Channel.id)).one()
    assert "did not work" in bob.post(
        "/you/notices", data={"csrf_token": bob.token(), "do": "test", "channel": channel},
        headers={"Origin": "http://localhost:8000"}, follow_redirects=True,
    ).text
    assert service.got == []
