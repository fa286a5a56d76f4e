"""Chromium, driven by Playwright: Debian's own, as in the other tests with a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.api.serving import PASSWORD, Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
PATIENCE = 90_000
"""Milliseconds for anything that a page does, even on a busy machine."""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")


@contextmanager
def launched() -> Iterator[Browser]:
    """A browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, running: Running, width: int = 1280, **given: Any) -> Iterator[Page]:
    """A window of a browser, which must have nothing to complain of at its end."""
    context = browser.new_context(base_url=running.url, viewport={"width": width, "height": 900}, **given)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # What a sandboxed report may not do is its own affair.
    assert [one for one in complaints if "sandboxed" not in one] == []


def log_in(page: Page, name: str = "red-admin") -> None:
    """Log in as a person does."""
    page.goto("/")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/searches")


def require_accessible(page: Page) -> None:
    """Axe has no serious finding, and nothing is wider than the window."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    serious = [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in ("serious", "critical")]
    assert serious == [], page.url
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wider) <= 0, page.url
    assert page.locator("h1").count() == 1, page.url
