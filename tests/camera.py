"""Pictures of pages for docs/pages.md: in light, in dark and on a phone, as small WebP files."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from playwright.sync_api import CDPSession, Page, ViewportSize

WIDE, PHONE = ViewportSize(width=1200, height=860), ViewportSize(width=360, height=740)
SHAPES: dict[str, tuple[Literal["light", "dark"], ViewportSize, float]] = {
    "": ("light", WIDE, 0.7), "-dark": ("dark", WIDE, 0.7), "-phone": ("light", PHONE, 1.0),
}
"""What a file's name ends with, and the theme, the window and the scale of its picture."""
QUALITY, TALLEST = 30, 1800
"""WebP's, of 100; pixels of the page."""
UNREADABLE = """(stale) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync('.qr img, #key, .codes li { filter: blur(7px) }' + (stale ? '' : ' #stale { display: none }'));
  document.adoptedStyleSheets.push(sheet); }"""
"""What a page shows this once, a picture does not show: the seed of an authenticator app, and recovery codes. Nor that a test has
the page's stream stand still, where that is not what is looked at."""
READABLE = "() => { document.adoptedStyleSheets.pop(); }"
SESSIONS: WeakKeyDictionary[Page, CDPSession] = WeakKeyDictionary()


def shoot(page: Page, folder: Path, name: str) -> None:
    """The page as it is shown now, in each shape. The window and the theme are then those of the last one."""
    page.evaluate(UNREADABLE, name.endswith("-stale"))
    # One for each page, and never detached: a page whose session goes loses its virtual authenticator with it.
    devices = SESSIONS.get(page) or SESSIONS.setdefault(page, page.context.new_cdp_session(page))
    for end, (scheme, window, scale) in SHAPES.items():
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(window)
        page.evaluate("scrollTo(0, 0)")
        height = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
        clip = {"x": 0, "y": 0, "width": window["width"], "height": height, "scale": scale}
        taken = devices.send("Page.captureScreenshot", {
            "format": "webp", "quality": QUALITY, "captureBeyondViewport": True, "clip": clip,
        })
        (folder / f"{name}{end}.webp").write_bytes(b64decode(taken["data"]))
    page.evaluate(READABLE)


def name_here(name: str) -> str:
    """Of a state in the test that runs now: the test's room says whose state it is."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "tests/none").partition("::")[0]
    return f"{Path(test).parent.name}-{name}"


def names(folder: Path) -> set[str]:
    """Of what there are pictures of, in any shape."""
    ends = [end for end in SHAPES if end]
    found = [one.stem for one in folder.glob("*.webp")]
    return {next((name.removesuffix(end) for end in ends if name.endswith(end)), name) for name in found}
