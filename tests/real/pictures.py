"""Pictures of the pages: `python -m tests.real.pictures` writes into docs/pictures/ README's, those of deciding
(`tests.real.states`), each stop of the walk and each state that a browser test looks at, and docs/pages.md, which lists both.
With a FOLDER all of it goes there, and docs/ stays as it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from playwright.sync_api import FloatRect, Page

from tests import camera
from tests.browser_parts import chromium
from tests.camera import PHONE, WIDE
from tests.real import states
from tests.real.walk import Walk
from tests.up_parts import ROOT, start

DOCS = ROOT / "docs"
PAGES, STATES = Path("pictures", "pages"), Path("pictures", "states")
"""In docs: of the walk, and of the browser tests."""
CHOSEN = {
    "action": "action-light.png", "action-dark": "action-dark.png", "action-phone": "action-phone.png",
    "queue": "queue.png", "accounts": "accounts.png", "agent-card-held": "agent-card.png",
}
"""README's: what of the walk and in which shape, and its file."""
TOLD = Path(__file__).with_name("pictures.yaml")
"""What each shows, under the page that it is a state of."""
HEAD = """# Every page

Every page in each of its states, on a screen and on a phone, and behind a link in the dark theme. Made by
`python -m tests.real.pictures`, which walks through an evaluation instance, and has the browser tests take what such an instance
does not come to. The states of a decision are told one by one in [Deciding](deciding.md).
"""


class Camera:
    """Takes each stop of the walk, and README's pictures among them."""

    def __init__(self, docs: Path) -> None:
        self.docs = docs

    def look(self, page: Page, name: str) -> None:
        page.wait_for_load_state()
        camera.shoot(page, self.docs / PAGES, name)
        for end, (scheme, window, _) in camera.SHAPES.items():
            if file := CHOSEN.get(f"{name}{end}"):
                page.emulate_media(color_scheme=scheme)
                page.set_viewport_size(window)
                first = FloatRect(x=0, y=0, width=window["width"], height=PHONE["height"])
                page.screenshot(path=self.docs / "pictures" / file, clip=first, animations="disabled")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(WIDE)


def told() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = yaml.safe_load(TOLD.read_text())
    return found


def where(docs: Path) -> dict[str, Path]:
    """Of each state the folder that its pictures are in."""
    return {name: folder for folder in (STATES, PAGES) for name in camera.names(docs / folder)}


def listed(docs: Path) -> str:
    """docs/pages.md. A picture of which nobody said what it shows, or that is missing, is a KeyError."""
    folders, lines = where(docs), [HEAD]
    for page, states_of in told().items():
        lines.append(f"## {page}\n")
        for name, sentence in states_of.items():
            at, alt = f"{folders.pop(name)}/{name}", f"{page}: {sentence.rstrip('.')}"
            lines.append(
                f"### `{name}`\n\n{sentence} [In the dark theme]({at}-dark.webp)\n\n| on a screen | on a phone |\n|---|---|\n"
                f"| ![{alt}]({at}.webp) | ![{alt}; on a phone]({at}-phone.webp) |\n"
            )
    if folders:
        raise KeyError(f"{TOLD.name} does not say what these show: {sorted(folders)}")
    return "\n".join(lines)


def browser_tests() -> list[str]:
    """The files of those that look at pages."""
    looks = re.compile(r"^from tests\..* import .*\blooked_at\b", re.MULTILINE)
    return sorted(str(path) for path in (ROOT / "tests" / "webapp").rglob("test_*.py") if looks.search(path.read_text()))


def main(docs: Path) -> None:
    for folder in (PAGES, STATES):
        shutil.rmtree(docs / folder, ignore_errors=True)
        (docs / folder).mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place, chromium() as browser:
        up = start(Path(place) / "instance")
        try:
            up.wait()
            Walk(up, browser, Camera(docs).look, lambda page: page.set_viewport_size(WIDE)).all()
        finally:
            up.stop()
    states.all_of_them(docs / "pictures" / "deciding")
    pytest = [sys.executable, "-m", "pytest", "-q", *browser_tests()]
    subprocess.run(pytest, cwd=ROOT, env={**os.environ, "SHOTS": str(docs / STATES)}, check=True)
    (docs / "pages.md").write_text(listed(docs))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else DOCS)
