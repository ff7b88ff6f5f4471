"""A real browser without a window, and what it said and asked for meanwhile."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

LIMIT_S = 300


def program(*names: str) -> str:
    """The path of the first of some programs that is installed; skips the test where none is."""
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no {names[0]} on this machine; apt-get install chromium chromium-driver to run this test")
    return found


class Browser:
    """One tab of Chromium."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str, *, width_px: int = 1280) -> None:
        """Load an address anew in a window of a width."""
        self.driver.set_window_size(width_px, 900)
        self.driver.get("about:blank")  # a change of the fragment alone loads nothing
        self.driver.get(address)

    def shows(self, text: str) -> None:
        """Wait until the page shows a text to its reader."""
        WebDriverWait(self.driver, LIMIT_S).until(lambda _: text in self.text, f"{text!r} is not in {self.text!r}")

    @property
    def text(self) -> str:
        """What a reader of the page sees now."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def press(self, text: str) -> None:
        """Click on a button, or on what opens and closes a part of the page, by its text."""
        way = f"//*[self::summary or self::button][normalize-space()='{text}']"
        WebDriverWait(self.driver, LIMIT_S).until(lambda driver: driver.find_elements(By.XPATH, way))[0].click()

    def count(self, selector: str) -> int:
        """The elements that a CSS selector names."""
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def complaints(self) -> list[str]:
        """What stands in the console since it was last asked: errors and warnings, also of refused requests."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def hosts(self) -> set[str]:
        """The hosts, with their ports, that were asked for anything since this was last asked."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return {part.netloc for part in map(urlsplit, sent) if part.scheme in ("http", "https", "ws", "wss")}


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Chromium with a profile of its own in a folder; it is closed in the end."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    flags = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
    for flag in (*flags, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(program("chromedriver")))
    try:
        driver.set_page_load_timeout(LIMIT_S)
        yield Browser(driver)
    finally:
        driver.quit()
