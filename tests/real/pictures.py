"""Pictures of the pages: `python -m tests.real.pictures` writes README's into docs/pictures/ and those of deciding
(`tests.real.states`) beside them; with a FOLDER, also every page and state there, in light, in dark and on a phone."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, Page, ViewportSize

from tests.browser_parts import chromium
from tests.real import states
from tests.real.walk import Walk
from tests.up_parts import ROOT, start

WIDE, PHONE = ViewportSize(width=1200, height=860), ViewportSize(width=360, height=740)
PUBLISHED = ROOT / "docs" / "pictures"
CHOSEN = {
    "action-light": "action-light.png", "action-dark": "action-dark.png", "action-fold": "action-phone.png",
    "queue-light": "queue.png", "accounts-light": "accounts.png", "agent-card-held-light": "agent-card.png",
}
"""Which of them README shows, and under what name."""


class Camera:
    """Takes each page in light, in dark and on a phone: the whole of it, and what a phone shows first."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        for place in (folder, PUBLISHED):
            if place:
                place.mkdir(parents=True, exist_ok=True)

    def look(self, page: Page, name: str) -> None:
        page.wait_for_load_state()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            self.take(page, f"{name}-{scheme}")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(PHONE)
        self.take(page, f"{name}-phone")
        self.take(page, f"{name}-fold", whole=False)
        page.set_viewport_size(WIDE)

    def take(self, page: Page, name: str, *, whole: bool = True) -> None:
        if self.folder:
            page.screenshot(path=self.folder / f"{name}.png", full_page=whole, animations="disabled")
        if name in CHOSEN:
            shown = page.viewport_size or WIDE
            first = FloatRect(x=0, y=0, width=shown["width"], height=PHONE["height"])
            page.screenshot(path=PUBLISHED / CHOSEN[name], clip=first, animations="disabled")


def main(folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        up = start(Path(place) / "instance")
        try:
            up.wait()
            Walk(up, browser, Camera(folder).look, lambda page: page.set_viewport_size(WIDE)).all()
        finally:
            up.stop()
    states.all_of_them()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
