"""A real browser for the pages that dv makes, and what it notices while one is open."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

PATIENCE_MS = 60_000
_PACE_MS = 100


@contextmanager
def chromium() -> Iterator[Browser]:
    """The machine's own Chromium; the test is skipped where there is none, and fails there in CI."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        assert not os.environ.get("CI"), "Chromium isn't installed, and CI must test pages"
        pytest.skip("Chromium isn't installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, **settings: Any) -> Iterator[Page]:
    """A page from disk. It fails the test when it writes an error to the console or asks for anything outside it."""
    # Videos that play while nobody looks at them cost a test most of its time.
    calm: dict[str, Any] = {"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce"}
    context = browser.new_context(**{**calm, **settings})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((file.as_uri(), "blob:", "data:")) else wrong.append(asked.url),
    )
    page.goto(file.as_uri())
    yield page
    assert wrong == []
    context.close()


def until(page: Page, expression: str) -> None:
    """Wait for a JavaScript expression to be true. (Playwright's own way is an `eval`, which our pages forbid.)"""
    for _ in range(PATIENCE_MS // _PACE_MS):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(_PACE_MS)
    raise AssertionError(f"never came true: {expression}")


def overflow(page: Page) -> int:
    """By how many pixels a page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
