"""The built site in a real Chromium, as a reader sees it (`make test-browser`).

Every page is opened from its file. Screenshots: build/screenshots.
"""

import json
import re
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
from matplotlib.image import imread
from playwright.sync_api import expect

from .browsing import NOTEBOOKS, ROOT, SCREENSHOTS, save_screenshots

pytestmark = pytest.mark.browser

DOCS = ROOT / "docs"
AXE = DOCS / "node_modules" / "axe-core" / "axe.min.js"
PAGES = [f"{path.stem}.html" for path in sorted(DOCS.glob("*.md"))]
PAGES += [f"notebooks/{path.stem}.html" for path in NOTEBOOKS]
PAGES += ["genindex.html", "search.html"]
PHONE = {"width": 390, "height": 844}

# What axe-core finds on every page in the theme, (rule, element): nothing of ours is among it.
THIRD_PARTY = {
    ("label-content-name-mismatch", ".search-button-field"),
    ("region", ".sidebar-primary-items__start > .sidebar-primary-item:nth-child(1)"),
}


@pytest.fixture(scope="module")
def open_page(new_page, site):
    """Open a page of the site from its file; fail on any error or outside request."""

    def open_page(path):
        page, problems = new_page(), []
        page.on("console", lambda line: line.type == "error" and problems.append(line.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url[:200]}"))
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:"))
                or problems.append(f"outside request: {request.url}")
            ),
        )
        page.goto((site / path).as_uri())
        page.evaluate("async () => await window.MathJax?.startup?.promise")
        page.wait_for_timeout(300)  # for what scripts load later
        assert not problems
        return page

    return open_page


# ------------------------------------------------------------------------------ on every page


@pytest.fixture(scope="module", params=PAGES, ids=lambda path: Path(path).stem)
def page(request, open_page):
    page = open_page(request.param)
    page.name = Path(request.param).stem
    yield page
    page.close()


def test_mathematics_is_rendered(page):
    save_screenshots(page, "html", f"site-{page.name}")
    assert not page.locator("[data-mml-node=merror]").all_text_contents()
    sources = page.locator("article .math")
    assert sources.count() == page.locator("article .math:has(mjx-container)").count()
    prose = page.evaluate(
        """() => {
            const main = document.querySelector('main').cloneNode(true);
            main.querySelectorAll('pre, code, mjx-container').forEach(node => node.remove());
            return main.textContent;
        }"""
    )
    assert not re.findall(r".*(?:\$\S|\\begin|\\tag|\\\(|\\\[).*", prose)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_no_barriers(page, mode):
    page.emulate_media(color_scheme=mode)
    expect(page.locator("html")).to_have_attribute("data-theme", mode)
    assert barriers(page) == THIRD_PARTY


def barriers(page):
    """Return what axe-core finds, as pairs of a rule and an element."""
    page.add_script_tag(path=AXE)
    violations = page.evaluate(
        """async () => {
            // A colour that is on its way from light to dark is no finding.
            await Promise.all(document.getAnimations().map(animation => animation.finished));
            return (await axe.run()).violations;
        }"""
    )
    return {(v["id"], " ".join(node["target"])) for v in violations for node in v["nodes"]}


def test_fits_a_phone(page):
    """Only tables, code and mathematics scroll sideways, each in itself, and by keyboard too."""
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(1000)  # the theme renews the tab stops some time after a new size
    page.screenshot(path=SCREENSHOTS / f"phone-{page.name}.png")
    sticks_out = page.evaluate(
        """() => {
            const scrolls = node => getComputedStyle(node).overflowX !== 'visible';
            const inScroller = node =>
                node !== document.body && (scrolls(node) || inScroller(node.parentElement));
            return [...document.querySelectorAll('article *')]
                .filter(node => node.getBoundingClientRect().right > innerWidth + 1)
                .filter(node => !inScroller(node.parentElement))
                .map(node => node.outerHTML.slice(0, 100));
        }"""
    )
    assert not sticks_out
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    odd = page.evaluate(
        """() => [...document.querySelectorAll('article *')]
            .filter(node => node.scrollWidth > node.clientWidth + 1)
            .filter(node => /auto|scroll/.test(getComputedStyle(node).overflowX))
            .filter(node => !node.matches('pre, mjx-container, div:has(> table)') || node.tabIndex)
            .map(node => node.outerHTML.slice(0, 100))"""
    )
    assert not odd, "scrolls sideways and should not, or not by keyboard"


# ---------------------------------------------------------------------------- notebooks' pages


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_page(open_page, path):
    stored = nbformat.read(path, as_version=4)
    page = open_page(f"notebooks/{path.stem}.html")

    prose = "\n".join(cell.source for cell in stored.cells if cell.cell_type == "markdown")
    numbers = page.locator("mjx-assistive-mml mlabeledtr > mtd:first-child").all_text_contents()
    assert numbers == [f"({tag})" for tag in re.findall(r"\\tag\{(.+?)\}", prose)]
    assert not page.locator(".eqno:visible").count(), "a second number beside the tag"

    outputs = [output for cell in stored.cells for output in cell.get("outputs", ())]
    figures = [output for output in outputs if "image/png" in output.get("data", ())]
    explorers = json.dumps(stored.metadata.get("widgets", {})).count("<img")
    images = page.locator(".cell_output img")
    assert images.count() == len(figures) + explorers
    alts = images.evaluate_all("images => images.map(i => i.naturalWidth ? i.alt : 'broken.png')")
    assert not [alt for alt in alts if not alt.strip() or alt.endswith(".png")]
    said = " ".join(alts)
    assert all(figure.metadata["image/png"]["alt"] in said for figure in figures)

    hidden = sum("hide-input" in cell.metadata.get("tags", ()) for cell in stored.cells)
    assert page.locator("details.hide:not([open])").count() == hidden
    page.close()


def test_figures_are_readable_in_dark_mode(open_page):
    """The theme dims a figure; the sheet under it stays light, up to its edge."""
    page = open_page("notebooks/01_entropy.html")  # has figures and an explorer
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    save_screenshots(page, "html", "site-dark-01_entropy")
    for figure in page.locator(".cell_output img").all():
        pixels = imread(BytesIO(figure.screenshot()))[..., :3]
        middle = len(pixels) // 2
        assert pixels[middle, 4].min() > 0.8, "the sheet"
        assert np.ptp(pixels[middle, 2:12]) < 0.02, "no frame of another colour"
    page.close()


def test_table_of_claims_leads_to_sections(open_page):
    page = open_page("notebooks/12_claims_on_trial.html")
    assert not page.locator('.cell_output a[href*="ipynb"]').count(), "a notebook is no page"
    page.locator('.cell_output a[href*="02_kl"]').first.click()
    page.wait_for_url("**/02_kl_divergence.html#*")
    assert page.locator(f"[id='{page.url.partition('#')[2]}'] h2").count() == 1
    page.close()


# ------------------------------------------------------------------- how a reader gets about


def test_search_finds_a_term(open_page):
    page = open_page("index.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("Pinsker")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=Pinsker")
    results = page.locator("#search-results li > a")
    expect(results.filter(has_text="Geometry of KL").first).to_be_visible()
    page.close()


def test_keyboard_reaches_content_and_solutions(open_page):
    page = open_page("notebooks/00_start_here.html")
    page.keyboard.press("Tab")
    skip = page.locator("#pst-skip-link a")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    assert page.url.endswith("#main-content")

    summary = page.locator("details.hide summary").filter(has_text="Show the solution")
    stops = []
    for _ in range(100):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(STOP))
        if summary.evaluate("node => node === document.activeElement"):
            break
    expect(summary).to_be_focused()
    assert not [stop["node"] for stop in stops if not stop["visible"]]
    assert not [stop["node"] for stop in stops if stop["sidebar"]], "the link skips the sidebar"
    page.keyboard.press("Enter")
    expect(page.get_by_text("bits_solution", exact=False).first).to_be_visible()
    page.close()


STOP = """() => {
    const node = document.activeElement;
    const style = getComputedStyle(node);
    const ring = style.outlineStyle !== 'none' && style.outlineWidth !== '0px';
    return {
        visible: ring || style.boxShadow !== 'none',
        sidebar: node.closest('#pst-primary-sidebar') !== null,
        node: node.outerHTML.slice(0, 80),
    };
}"""


# ----------------------------------------------------------------------------------- on paper


def test_print_view(open_page):
    """From a dark screen, too: the article alone, dark on white, no line of code cut off."""
    page = open_page("notebooks/12_claims_on_trial.html")
    page.emulate_media(color_scheme="dark", media="print")
    for part in (".bd-sidebar", ".bd-header-article", ".prev-next-footer", "details.hide"):
        expect(page.locator(part).first).to_be_hidden()
    assert page.locator("article h2").first.is_visible()
    page.set_viewport_size({"width": 680, "height": 1000})  # A4 without its margins
    cut = "nodes => nodes.filter(node => node.scrollWidth > node.clientWidth + 1).length"
    assert page.locator("article pre:visible").evaluate_all(cut) == 0
    page.evaluate(
        """() => addEventListener('beforeprint', () => {
            window.printed = document.documentElement.dataset.theme;
        })"""
    )
    page.pdf(path=SCREENSHOTS / "print-12_claims_on_trial.pdf", format="A4")
    assert page.evaluate("window.printed") == "light"
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.close()


def test_cheat_sheet_fits_on_two_pages(open_page):
    page = open_page("cheatsheet.html")
    pdf = page.pdf(path=SCREENSHOTS / "print-cheatsheet.pdf", format="A4")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 2
    page.close()
