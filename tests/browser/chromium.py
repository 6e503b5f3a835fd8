"""A headless Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE_MS = 60_000


def find_chromium() -> str | None:
    """Return where it is installed, if it is."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def launched() -> Iterator[Browser]:
    """Start one with a profile of its own."""
    path = find_chromium()
    assert path is not None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, headless=True, args=list(FLAGS), timeout=2 * PATIENCE_MS
        )
        yield browser
        browser.close()


@contextmanager
def visiting(
    browser: Browser, url: str, credentials: tuple[str, str] | None, *, width: int = 1280, height: int = 800
) -> Iterator[Page]:
    """Open a page as somebody."""
    context = _context(browser, url, credentials, width, height)
    context.set_default_timeout(PATIENCE_MS)
    yield context.new_page()
    context.close()


def _context(
    browser: Browser, url: str, credentials: tuple[str, str] | None, width: int, height: int
) -> BrowserContext:
    viewport = {"width": width, "height": height}
    if credentials is None:
        return browser.new_context(base_url=url, viewport=viewport)  # type: ignore[arg-type] # a plain dict
    name, password = credentials
    return browser.new_context(
        base_url=url,
        viewport=viewport,  # type: ignore[arg-type]
        http_credentials={"username": name, "password": password},
    )


def take(page: Page, path: Path) -> None:
    """Take a picture of what is seen."""
    page.screenshot(path=path, animations="disabled")
