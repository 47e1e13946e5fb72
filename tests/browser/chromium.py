"""A headless Chromium, controlled by Selenium: Debian's packages ``chromium`` and ``chromium-driver``."""

import base64
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

PATIENCE = 20.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
DESKTOP, PHONE = (1280, 900), (360, 780)
T = TypeVar("T")


def why_no_browser() -> str:
    """Why there is no browser. Empty if there is one."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"no {' and no '.join(missing)} on the PATH (make brokers installs them where apt-get may)" if missing else ""
    )


class Browser:
    """One browser with one tab."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Open a page in a new document."""
        self.driver.get("about:blank")
        self.driver.get(url)

    def resize(self, size: tuple[int, int], *, mobile: bool = False) -> None:
        """Give the page a viewport of this size."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, *, dark: bool = False, reduced_motion: bool = False) -> None:
        """Set a user's preferences for the page."""
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else "no-preference"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script. Return its result."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        """The elements of a CSS selector."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Wait for the first element of a selector."""
        return self.until(selector, lambda: self.all(selector))[0]

    def button(self, text: str) -> WebElement:
        """Wait for a button with this text that can be pressed."""

        def probe() -> WebElement | None:
            return next((b for b in self.all("button") if b.text == text and b.is_enabled()), None)

        result = self.until(f"the button {text!r}", probe)
        assert result is not None
        return result

    def text(self, selector: str = "main") -> str:
        """The visible text of an element. Empty while the element does not exist."""
        objects = self.all(selector)
        return objects[0].text if objects else ""

    def until_text(self, *parts: str, selector: str = "main") -> str:
        """Wait until the text of an element contains all parts."""
        self.until(" and ".join(parts), lambda: all(part in self.text(selector) for part in parts))
        return self.text(selector)

    def until(self, what: str, probe: Callable[[], T], timeout: float = PATIENCE) -> T:
        """Wait for the first true result of a probe."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                result = probe()
            except StaleElementReferenceException:
                result = None
            if result:
                return result
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {timeout:g} s; the page says:\n{self.text('body')[:3000]}")
            time.sleep(0.05)

    def problems(self) -> list[str]:
        """The browser's complaints since the last call: script errors, and requests that the policy refused."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save the visible part, or the whole page, as a PNG."""
        result = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"format": "png", "captureBeyondViewport": whole}
        )
        path.write_bytes(base64.b64decode(result["data"]))


@contextmanager
def browsing() -> Iterator[Browser]:
    """Start a browser. Afterwards remove it and its files."""
    with tempfile.TemporaryDirectory(prefix="asya-chromium-", ignore_cleanup_errors=True) as directory:
        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for flag in (*FLAGS, f"--user-data-dir={directory}", f"--window-size={DESKTOP[0]},{DESKTOP[1]}"):
            options.add_argument(flag)
        driver = Chrome(options, Service(str(shutil.which("chromedriver"))))
        try:
            yield Browser(driver)
        finally:
            try:
                driver.quit()
            except WebDriverException:
                driver.service.stop()
