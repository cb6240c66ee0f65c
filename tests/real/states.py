"""Pictures of every state of deciding, for docs/deciding.md: `python -m tests.real.pictures` writes them too.

The pages are those of a real app with its keeper and people with real passkeys; the server that is called is scripted, so that a
call fails, drifts or is lost when the picture needs it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Page, ViewportSize
from sqlalchemy.orm import Session

import tests.tables  # noqa: F401 every room's tables on the metadata
from tests import keeper_parts, small_idp
from tests.app_parts import Browser as Client
from tests.app_parts import People
from tests.browser_parts import chromium, look_through, open_page, served
from tests.clock import Clock
from tests.keeper_parts import PUBLIC_URL
from tests.webapp.approvals.parts import ORDER, Server, decide, draft, need, reject, verdict
from tests.webapp.approvals.test_standing_in import OwnDoor, lend, own
from vault.evidence import Envelope, Need
from webapp.approvals import Handed, Upstream, execution, hold, jobs
from webapp.approvals.drift import Change, Drift
from webapp.approvals.payloads import for_holding
from webapp.composition import create_app
from webapp.config import Settings
from webapp.config_approvals import Decoys, Undo
from webapp.db import Base, Database
from webapp.db.due import Due
from webapp.people import cookies
from webapp.web.house import House

SIZE = ViewportSize(width=1100, height=700)
MOST = 3_000_000
"""Bytes of all of them."""
FINANCE, SECURITY = "finance", "security"


@dataclass
class Scene:
    """A house, its people and a browser. `ask` holds a call of Ada's agent."""

    house: House
    clock: Clock
    server: Server
    people: People
    chrome: Browser
    known: dict[str, Client] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    held: int = 0
    folder: Path = Path()

    def who(self, name: str, *groups: str) -> Client:
        if name not in self.known:
            self.known[name] = self.people(name, groups=groups or ("user",))
        return self.known[name]

    def page(self, name: str) -> Page:
        """Without its live stream: a picture is of one moment."""
        if name not in self.pages:
            cookie = cookies.name(self.house.settings, cookies.SESSION)
            found = self.known[name].get_cookie(cookie)
            assert found is not None
            page = open_page(self.chrome, viewport=SIZE)
            page.route("**/actions/count", lambda route: route.abort())
            page.context.add_cookies([{"name": cookie, "value": found.value, "url": PUBLIC_URL}])
            page.goto("/you/factors/passkey")
            page.get_by_role("button", name="Create the passkey").click()
            page.wait_for_url("**/you")
            self.pages[name] = page
        return self.pages[name]

    def ask(self, needs: Sequence[Need] = (need(),), *, undo: int = 0, decoy: bool = False) -> str:
        self.held += 1
        order = {**ORDER, "amount": str(12 * Decimal(ORDER["amount"]))} if decoy else ORDER  # as decoys are made (decoys.varying)
        made = draft(self.house, self.known["ada"].person, order=order, grant=f"grt_{self.held}")
        key, asked = for_holding(self.house, decoy=decoy), replace(verdict(needs), undo=undo)
        return self.house.database.write(lambda s: hold(
            s, draft=made, verdict=asked, sealer=key, settings=self.house.settings.approvals, now=self.house.clock(),
            evaluation=True,
        )).action_id

    def approve(self, name: str, action: str) -> None:
        client = self.known[name]
        done = decide(client, self.people.passkeys[client.person].passkey, action)
        assert done.status_code == 303, done.text

    def run(self, action: str) -> None:
        execution.run(self.house, action, self.server, self.server.recheck)

    def take(self, name: str, who: str, action: str, show: Callable[[Page], None] | None = None) -> None:
        page = self.page(who)
        page.goto(f"/actions/{action}")
        if show is not None:
            show(page)
        page.wait_for_load_state()
        self.shot(page, name)

    def shot(self, page: Page, name: str) -> None:
        first = FloatRect(x=0, y=0, width=SIZE["width"], height=SIZE["height"])
        page.screenshot(path=self.folder / f"{name}.png", clip=first, animations="disabled")


@contextmanager
def scene() -> Iterator[Scene]:
    with keeper_parts.serve(evaluation=True) as keeper, small_idp.serve() as idp, tempfile.TemporaryDirectory() as place:
        database, clock, server = Database(f"sqlite:///{place}/states.sqlite"), Clock(), Server()
        Base.metadata.create_all(database.engine)
        settings = Settings(public_url=PUBLIC_URL, database_url=database.url, instance=Path(place))
        settings.approvals.quick_row, settings.approvals.decoys = 0, Decoys(per_week=1, groups=[FINANCE])
        settings.approvals.undo = Undo(write=0, send=0, money=0, destroy=0)  # but for the picture of it
        inside = keeper.inside(clock)
        house = House(settings, database, OwnDoor(keeper.door.socket, keeper=inside), clock)
        app = create_app(house)
        settings.evaluation = True  # a factor need not be a day old, and the bundled bank is not needed
        app.test_client_class = Client
        app.extensions["approvals"] = server.handed
        with served(app) as port, chromium(port) as chrome:
            made = Scene(house, clock, server, People(app, idp), chrome)
            for name, group in (("ada", "user"), ("bob", FINANCE), ("cleo", FINANCE), ("sam", SECURITY), ("gil", "user")):
                made.who(name, group)
            yield made
        database.close()


def all_of_them(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with scene() as one:
        one.folder = folder
        for work in (waiting, changing, standing_in, ending):
            work(one)
    size = sum(picture.stat().st_size for picture in folder.glob("*.png"))
    assert size < MOST, f"{size} bytes of pictures"


def waiting(one: Scene) -> None:
    one.take("held", "bob", one.ask(), look_through)
    both = one.ask([need(group=FINANCE, quorum=2), need(group=SECURITY)])
    one.approve("cleo", both)
    one.approve("sam", both)
    one.take("half-met", "bob", both)
    undo = one.ask(undo=60)
    one.approve("cleo", undo)
    one.take("undo", "bob", undo)


def changing(one: Scene) -> None:
    """Void by drift; and a page that was open while somebody else approved: the press is answered 409, with what changed."""
    app, drifts = one.people.app, one.ask()
    described = Change("Description", "Send a payment", "Send a payment at once", theirs=True)
    changes = (Change("Amount is at", "/amount", "/total"), described)

    def recheck(_session: Session, envelope: Envelope, _now: datetime) -> Drift | None:
        return Drift("the server or the tool changed since it was held.", changes) if envelope["action"] == drifts else None

    app.extensions["approvals"] = Handed(one.server, recheck)
    one.take("drift", "bob", drifts)
    app.extensions["approvals"] = one.server.handed
    two, page = one.ask([need(quorum=2)]), one.page("bob")
    page.goto(f"/actions/{two}")
    one.approve("cleo", two)
    look_through(page)
    page.get_by_role("button", name="Approve").first.click()
    page.get_by_role("alert").first.wait_for()
    one.shot(page, "changed")


def standing_in(one: Scene) -> None:
    cleo, gil = one.known["cleo"], one.known["gil"]
    lent = lend(cleo, one.people.passkeys[cleo.person].passkey, gil, FINANCE, one.clock)
    assert lent.status_code == 303, lent.text
    one.take("delegated", "gil", one.ask(), look_through)
    ruth = one.who("ruth", "user")
    own(one.house).settings = replace(own(one.house).settings, break_glass=frozenset({ruth.person}))
    glass, page = one.ask([need(quorum=2)]), one.page("ruth")
    page.goto(f"/actions/{glass}/alone")
    one.shot(page, "break-glass")


def ending(one: Scene) -> None:
    done = one.ask()
    one.approve("bob", done)
    one.run(done)
    one.take("executed", "bob", done)
    refused = one.ask()
    said = reject(one.known["bob"], refused, "The payee asked for another account by mail. Ask them by phone first.")
    assert said.status_code == 303, said.text
    one.take("rejected", "bob", refused)
    one.server.answer, lost = Upstream("unknown"), one.ask()
    one.approve("bob", lost)
    one.run(lost)
    one.take("uncertain", "ada", lost)
    decoy = one.ask(decoy=True)
    one.approve("bob", decoy)
    one.take("decoy", "bob", decoy)
    late = one.ask()
    one.clock.forward(hours=4, seconds=1)
    jobs.expire(one.house, Due(key=late))
    one.take("expired", "ada", late)

