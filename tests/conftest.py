"""The browser and the built site, started once for all tests that need them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def new_page():
    from .browsing import chromium

    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 1400})
        yield context.new_page


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Build the site from the committed notebooks."""
    site = tmp_path_factory.mktemp("site") / "html"
    subprocess.run([sys.executable, ROOT / "docs" / "fetch_assets.py"], check=True)
    options = ["-W", "--keep-going", "-q", "-b", "html"]
    subprocess.run([sys.executable, "-m", "sphinx", *options, ROOT / "docs", site], check=True)
    return site
