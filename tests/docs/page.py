"""The manual's pictures of ``kubectl asya dashboard`` in a real browser: light, dark, and on a phone.

``python -m tests.docs.page`` draws only these.
"""

import tempfile
import time
from pathlib import Path

from PIL import Image

from cli.manual import DOCS
from tests.browser.chromium import DESKTOP, PHONE, Browser, browsing
from tests.browser.scene import Scene, populate, remember, serving
from tests.harness.operator import alone
from tests.harness.space import Space, actor

LENGTHS = {
    "intake": (40.0, 35.0),
    "language": (12.0, 12.0),
    "translator": (160.0, 80.0),
    "summarizer": (8.0, 9.0),
    "thumbnails": (3.0, 4.0),
}
COLOURS = 256
MAX_BYTES = 150_000
TALL = (DESKTOP[0], 1240)


def draw(directory: Path) -> None:
    """Draw all pictures into ``directory``."""
    with alone() as operator, browsing() as browser:
        operator.start()
        with Space.create(operator.client, "messaging") as space, Space.create(operator.client, "vision") as other:
            populate(space)
            for name in ("captions", "faces"):
                other.apply(actor(name))
                other.wait_condition(name, "Ready", "True")
            with serving(operator.cluster, Path(tempfile.mkdtemp()), space, everywhere=True) as scene:
                scene.pods.peaceful = True
                remember(scene, LENGTHS)
                _draw(browser, scene, directory)


def _draw(browser: Browser, scene: Scene, directory: Path) -> None:
    space = scene.space.name
    browser.resize(DESKTOP)
    browser.open(scene.url)
    browser.until_text("summarizer", "captions", "145")
    _save(browser, directory / "page-actors.png")
    browser.prefer(dark=True)
    browser.open(f"{scene.url}#/routes")
    browser.until_text("Who sends to whom", "42/s", "6.5/s")
    browser.until("all rates", lambda: "…" not in browser.text(".plain"))
    _save(browser, directory / "page-routes-dark.png")
    browser.resize(TALL)
    browser.prefer()
    browser.open(f"{scene.url}#/actor/{space}/broken")
    browser.until_text("What was injected", "message 3f2a handled")
    _save(browser, directory / "page-actor.png")
    browser.resize(PHONE, mobile=True)
    browser.open(scene.url)
    browser.until_text("summarizer")
    _save(browser, directory / "page-phone.png")
    browser.prefer(dark=True)
    browser.open(f"{scene.url}#/actor/{space}/intake")
    browser.until_text("What was injected", "Received", "message 3f2a handled")
    _save(browser, directory / "page-phone-dark.png")


def _save(browser: Browser, path: Path) -> None:
    """Save the visible part with few colours, so that the file is small.

    Raises:
        AssertionError: if the file is still too large.
    """
    time.sleep(0.3)  # for drawings that the browser makes while it is idle
    browser.picture(path)
    Image.open(path).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    assert path.stat().st_size < MAX_BYTES, path


if __name__ == "__main__":
    draw(DOCS / "pictures")
