"""How you are told, in Chromium: by form, in both themes and on a phone; installed, pushed to, and without a network."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from tests.app_parts import Browser as Client
from tests.app_parts import People
from tests.browser_parts import PATIENCE, chromium, looked_at, open_page, served
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.parts import draft, held
from tests.webapp.notices.parts import OWN, Service, look, person, send_all
from tests.webapp.notices.push_parts import BrowserKeys, PushService
from tests.webapp.notices.push_parts import serve as serve_push
from webapp.notices.tables import Channel
from webapp.people import cookies
from webapp.web.catalogue import ENGLISH
from webapp.web.house import House
from webapp.web.languages import Language, Languages, cookie_name

pytestmark = [pytest.mark.real, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


@pytest.fixture
def pushed(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PushService]:
    """A push service that this house's operator knows."""
    with serve_push(tmp_path) as (made, pem):
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        house.settings.notices.networks, house.settings.notices.push_services = OWN, [made.netloc]
        yield made


@pytest.fixture
def chrome(app: Flask) -> Iterator[Browser]:
    with served(app) as port, chromium(port) as opened:
        yield opened


def signed(chrome: Browser, house: House, who: Client) -> Page:
    name = cookies.name(house.settings, cookies.SESSION)
    cookie = who.get_cookie(name)
    assert cookie is not None
    page = open_page(chrome)
    page.route("**/actions/count", lambda route: route.abort())
    page.context.add_cookies([{"name": name, "value": cookie.value, "url": PUBLIC_URL}])
    return page


def test_a_person_adds_a_channel_tries_it_and_says_when_to_be_left_alone(
    chrome: Browser, house: House, signed_in: People, service: Service, clock: Clock
) -> None:
    page = signed(chrome, house, signed_in("bob", groups=["finance"]))
    page.goto("/you")
    page.get_by_role("link", name="How you are told").click()
    looked_at(page, "notices-empty")
    page.get_by_label("Its address").fill(service.url)
    page.get_by_label("What to call it").fill("My phone")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_text("try it now")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Test")).click()
    expect(page.get_by_text("Look whether it arrived")).to_be_visible()
    assert len(service.got) == 1
    service.status = 500
    clock.forward(seconds=11)
    page.get_by_role("button", name=re.compile("^Test")).click()
    expect(page.get_by_text("Failing")).to_be_visible()
    page.get_by_label("How often").select_option("daily")
    page.get_by_label("Send nothing between").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_label("Send nothing between")).to_be_checked()
    expect(page.get_by_label("How often")).to_have_value("daily")
    page.get_by_role("button", name="Be silent").click()
    expect(page.get_by_text("Nothing is sent until")).to_be_visible()
    looked_at(page, "notices")
    page.get_by_role("button", name=re.compile("^Take away")).click()
    expect(page.get_by_text("None yet")).to_be_visible()


def test_what_is_pushed_is_shown_by_the_installed_app(chrome: Browser, house: House, signed_in: People) -> None:
    """The worker as the browser runs it: the message is handed to it as the push service would, and a link that leads
    elsewhere is not kept."""
    page = signed(chrome, house, signed_in("bob"))
    page.context.grant_permissions(["notifications"], origin=PUBLIC_URL)
    page.goto("/you/notices")
    devices, known = page.context.new_cdp_session(page), list[str]()

    def registered(event: dict[str, Any]) -> None:
        known.extend(one["registrationId"] for one in event["registrations"])

    devices.on("ServiceWorker.workerRegistrationUpdated", registered)
    devices.send("ServiceWorker.enable")
    page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    page.wait_for_function("() => navigator.serviceWorker.controller !== null", timeout=PATIENCE)
    assert known
    for number, link in enumerate(("/actions", "//evil.example/x"), start=1):
        told = json.dumps({"title": f"Counterseal: {number}", "body": "1 action waits for approval", "link": link})
        # A busy browser may drop what it is handed here; a message handed to it twice replaces itself.
        for _ in range(6):
            devices.send("ServiceWorker.deliverPushMessage", {
                "origin": PUBLIC_URL, "registrationId": known[0], "data": told,
            })
            if page.evaluate(SHOWN, number):
                break
    found = page.evaluate(SHOWN, 2)
    assert found == [["Counterseal: 1", "/actions"], ["Counterseal: 2", "/"]]


SHOWN = """async (many) => {
  for (let tries = 0; tries < 100; tries += 1) {
    const here = await (await navigator.serviceWorker.ready).getNotifications();
    if (here.length === many) return here.map((one) => [one.title, one.data.link]).sort();
    await new Promise((done) => setTimeout(done, 100));
  }
  return null;
}"""
"""So many notifications, within ten seconds."""
SUBSCRIBES = """(() => {
  const given = %s, made = () => ({
    endpoint: given.endpoint, toJSON: () => given, unsubscribe: async () => { localStorage.removeItem("joined"); return true; },
  });
  PushManager.prototype.getSubscription = async () => localStorage.getItem("joined") ? made() : null;
  PushManager.prototype.subscribe = async (asked) => {
    if (!asked.userVisibleOnly) throw new Error("browsers refuse that");
    localStorage.setItem("joined", btoa(String.fromCharCode(...new Uint8Array(asked.applicationServerKey))));
    return made();
  };
})();"""
"""A browser's side of the Push API, for keys of the test's own: Chromium would ask its maker's service for some."""
CLICKS = """async () => {
  self.clients.openWindow = async (url) => { self.went = url; };
  const [shown] = await self.registration.getNotifications();
  const event = new NotificationEvent("notificationclick", { notification: shown });
  let work = null;
  event.waitUntil = (promise) => { work = promise; };
  self.dispatchEvent(event);
  await work;
  return [self.went, (await self.registration.getNotifications()).length];
}"""
"""What the worker does where somebody presses a notice. Only a person's own press may open a window, so it is told where."""


def test_a_person_has_this_browser_told_reads_what_was_pushed_and_stops_it(
    chrome: Browser, house: House, signed_in: People, pushed: PushService
) -> None:
    """By the page's own buttons, from the key it subscribes with to the page that a notice leads to."""
    keys, bob = BrowserKeys(), signed_in("bob", groups=["finance"])
    page = signed(chrome, house, bob)
    page.add_init_script(SUBSCRIBES % keys.subscription(pushed.endpoint))
    page.context.grant_permissions(["notifications"], origin=PUBLIC_URL)
    page.goto("/you/notices")
    page.get_by_role("button", name="Tell me in this browser").click()
    expect(page.get_by_text("This browser is told from now on.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop telling me in this browser")).to_be_visible()
    expect(page.get_by_role("button", name="Tell me in this browser")).to_be_hidden()
    looked_at(page, "notices-push")
    raw = base64.b64decode(page.evaluate("localStorage.getItem('joined')"))
    assert base64.urlsafe_b64encode(raw).decode().rstrip("=") == house.door.push_key()

    look(house)
    held(house, draft(house, person(house, "Ada")))
    look(house)
    assert set(send_all(house)) == {None}
    told = [json.loads(keys.decrypted(body)) for _, body in pushed.got]
    wanted = [one for one in told if one["title"] == "Counterseal: 1 action waits for approval"]
    assert [one["link"] for one in wanted] == ["/actions"], told
    page.evaluate(
        "async (told) => { const here = await navigator.serviceWorker.ready;"
        " await here.showNotification(told.title, { body: told.body, data: { link: told.link } }); }", wanted[0]
    )
    assert page.context.service_workers[0].evaluate(CLICKS) == [f"{PUBLIC_URL}/actions", 0]

    page.get_by_role("button", name="Stop telling me in this browser").click()
    expect(page.get_by_text("This browser is not told any more.")).to_be_visible()
    expect(page.get_by_role("button", name="Tell me in this browser")).to_be_visible()
    expect(page.get_by_text("None yet")).to_be_visible()
    with house.database.read() as session:
        assert session.scalars(select(Channel.id)).all() == []


def test_without_a_network_the_app_says_so_and_shows_nothing_it_kept(app: Flask, house: House, signed_in: People) -> None:
    with served(app) as port, chromium(port) as chrome:
        page = signed(chrome, house, signed_in("bob"))
        page.goto("/you/notices")
        page.wait_for_function("() => navigator.serviceWorker.controller !== null", timeout=PATIENCE)
        page.route("**/*", lambda route: route.abort())
        page.context.set_offline(True)
        page.goto("/actions")
        expect(page.get_by_role("heading", name="No connection")).to_be_visible()
        assert "Bob" not in page.content()
        looked_at(page, "offline")


def test_the_page_for_no_network_is_kept_in_the_language_that_was_read_last(app: Flask, house: House, signed_in: People) -> None:
    """Who chooses another language gets it there too, without installing anything anew."""
    app.extensions["languages"] = Languages([Language("en", ENGLISH), Language("de")])
    kept = "async () => (await (await caches.match('/offline', {ignoreVary: true})).text()).includes('lang=\"%s\"')"
    with served(app) as port, chromium(port) as chrome:
        page = signed(chrome, house, signed_in("bob"))
        page.goto("/you/notices")
        page.wait_for_function("() => navigator.serviceWorker.controller !== null", timeout=PATIENCE)
        page.wait_for_function(kept % "en", timeout=PATIENCE)
        name = cookie_name(house.settings.secure)
        page.context.add_cookies([{"name": name, "value": "de", "url": PUBLIC_URL, "secure": house.settings.secure}])
        page.goto("/you")
        page.wait_for_function(kept % "de", timeout=PATIENCE)
        assert page.context.service_workers[0].evaluate("() => unread()") == "Etwas wartet auf Sie.", "for want of a message"
