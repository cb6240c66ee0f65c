"""Pictures of the pages: `python -m tests.real.pictures` writes README's into docs/pictures/, those of deciding
(`tests.real.states`) and every page and state of the walk beside them, which docs/pages.md lists; with a FOLDER, also all of them
there, in light, in dark and on a phone, as they are."""

from __future__ import annotations

import shutil
import sys
import tempfile
from base64 import b64decode, b64encode
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
ALL, LIST = PUBLISHED / "pages", ROOT / "docs" / "pages.md"
QUALITY, TALLEST, SCALE = 0.3, 1800, 0.7
"""Of those that docs/pages.md lists: WebP's, pixels, and of what is taken on a screen."""
SHRINK = """async ([png, scale, quality]) => {
  const image = new Image(); image.src = 'data:image/png;base64,' + png; await image.decode();
  const canvas = document.createElement('canvas'); canvas.width = image.width * scale; canvas.height = image.height * scale;
  const drawn = canvas.getContext('2d'); drawn.imageSmoothingQuality = 'high';
  drawn.drawImage(image, 0, 0, canvas.width, canvas.height); return canvas.toDataURL('image/webp', quality); }"""
HEAD = """# Every page

What an evaluation instance comes to, as it is on a screen in the light theme, and on a phone in the dark one. Made by
`python -m tests.real.pictures`; the browser tests walk the same way. The states of a decision are told one by one in
[Deciding](deciding.md). Pages for which more is needed than one evaluation instance (a lost device, another provider's sign-in,
a replay of a month) are looked at in the browser tests alone.
"""


class Camera:
    """Takes each page in light, in dark and on a phone: the whole of it, and what a phone shows first."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.titles: dict[str, str] = {}
        self.listed: dict[str, bytes] = {}
        for place in (folder, ALL):
            if place:
                place.mkdir(parents=True, exist_ok=True)

    def look(self, page: Page, name: str) -> None:
        page.wait_for_load_state()
        self.titles[name] = page.title().removesuffix(" · Counterseal")
        page.emulate_media(color_scheme="dark")
        self.take(page, f"{name}-dark")
        page.set_viewport_size(PHONE)
        self.list_one(page, f"{name}-phone")
        page.set_viewport_size(WIDE)
        page.emulate_media(color_scheme="light")
        self.take(page, f"{name}-light")
        self.list_one(page, name)
        page.set_viewport_size(PHONE)
        self.take(page, f"{name}-phone")
        self.take(page, f"{name}-fold", whole=False)
        page.set_viewport_size(WIDE)

    def list_one(self, page: Page, name: str) -> None:
        height = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
        clip = FloatRect(x=0, y=0, width=(page.viewport_size or WIDE)["width"], height=height)
        self.listed[name] = page.screenshot(full_page=True, clip=clip, animations="disabled")

    def write_list(self, page: Page) -> None:
        for name, picture in self.listed.items():
            scale = 1 if name.endswith("-phone") else SCALE
            (ALL / f"{name}.webp").write_bytes(as_webp(page, picture, scale))
        LIST.write_text(listed(self.titles))

    def take(self, page: Page, name: str, *, whole: bool = True) -> None:
        if self.folder:
            page.screenshot(path=self.folder / f"{name}.png", full_page=whole, animations="disabled")
        if name in CHOSEN:
            shown = page.viewport_size or WIDE
            first = FloatRect(x=0, y=0, width=shown["width"], height=PHONE["height"])
            page.screenshot(path=PUBLISHED / CHOSEN[name], clip=first, animations="disabled")


def as_webp(page: Page, picture: bytes, scale: float) -> bytes:
    """Playwright writes PNG, of which all would be ten times as much; a browser can do both."""
    made: str = page.evaluate(SHRINK, [b64encode(picture).decode(), scale, QUALITY])
    return b64decode(made.partition(",")[2])


def listed(titles: dict[str, str]) -> str:
    rows = [
        f"### {title}\n\n`{name}`\n\n| screen | phone |\n|---|---|\n"
        f"| ![{title}, on a screen](pictures/pages/{name}.webp) | ![{title}, on a phone](pictures/pages/{name}-phone.webp) |\n"
        for name, title in sorted(titles.items())
    ]
    return "\n".join([HEAD, *rows])


def main(folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        up = start(Path(place) / "instance")
        try:
            up.wait()
            shutil.rmtree(ALL, ignore_errors=True)
            camera = Camera(folder)
            Walk(up, browser, camera.look, lambda page: page.set_viewport_size(WIDE)).all()
            camera.write_list(browser.new_page())
        finally:
            up.stop()
    states.all_of_them()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
