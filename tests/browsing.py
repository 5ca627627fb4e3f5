"""What the tests of JupyterLab and of the site share: Chromium, and pictures of what it shows."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / "build" / "screenshots"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@contextmanager
def chromium():
    """Start Chromium; CHROMIUM names it if it is not on the PATH."""
    arguments = ["--disable-background-networking", "--disable-dev-shm-usage"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium's sandbox refuses to run as root
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def chromium_path():
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        message = "no Chromium found: install it, or set CHROMIUM to its path"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


def save_screenshots(page, scroller, name):
    """Picture everything that the element `scroller` can scroll to, one viewport at a time."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for old in SCREENSHOTS.glob(f"{name}-[0-9][0-9].png"):
        old.unlink()
    element = page.locator(scroller).first
    height, step = element.evaluate("e => [e.scrollHeight, e.clientHeight - 100]")
    for number, top in enumerate(range(0, height - 100, step)):
        element.evaluate("(e, top) => e.scrollTo({top, behavior: 'instant'})", top)
        page.wait_for_timeout(50)  # lets the browser paint what has just come into view
        page.screenshot(path=SCREENSHOTS / f"{name}-{number:02d}.png")
