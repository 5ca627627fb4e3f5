"""The built site as files: its links, its texts, its downloads (`make test-browser`).

Nothing here needs a browser, but all of it needs the site, which test_site_browser.py opens.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from notebooks import announced_minutes

from .browsing import NOTEBOOKS, ROOT

pytestmark = pytest.mark.browser

HOME = ROOT / "docs" / "index.md"
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
LESSON = re.compile(r"^\| \[(\d\d) .+?\]\(notebooks/(\w+)\.ipynb\)( ★)? \| (.+?) \|", re.M)


@cache
def soup(path):
    return BeautifulSoup(path.read_text(), "html.parser")


def pages(site):
    """Return the pages of the site; _modules has the package's source code, made by Sphinx."""
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def problems(site, check):
    return [f"{p.relative_to(site)}: {x}" for p in pages(site) for x in check(p)]


def test_links_lead_somewhere(site):
    assert not problems(site, broken_links)


def broken_links(page):
    for element in soup(page).find_all(href=True) + soup(page).find_all(src=True):
        link = urlsplit(element.get("href", element.get("src")))
        if link.scheme or link.netloc:
            continue
        target = (page.parent / unquote(link.path)).resolve() if link.path else page
        if not target.is_file():
            yield f"no file: {link.geturl()}"
        elif link.fragment and not soup(target).find(id=unquote(link.fragment)):
            yield f"no such place: {link.geturl()}"


def test_nothing_is_loaded_from_outside(site):
    assert not problems(site, outside_addresses)
    for sheet in site.rglob("*.css"):
        addresses = re.findall(r"(?:url\(|@import )\s*[\"']?([^\"')\s]+)", sheet.read_text())
        assert not [a for a in addresses if not is_local(a)], sheet


def outside_addresses(page):
    for name, attribute in LOADING.items():
        for element in soup(page).find_all(name, {attribute: True}):
            if not is_local(element[attribute]):
                yield element[attribute]


def is_local(address):
    parts = urlsplit(address)
    return parts.scheme == "data" or not (parts.scheme or parts.netloc)


def test_pages_have_a_language_a_title_and_one_heading(site):
    assert not problems(site, heading_problems)


def heading_problems(page):
    headings = soup(page).find_all("h1")
    visible = [heading for heading in headings if not heading.find_parent(id="jb-print-docs-body")]
    if len(visible) != 1:
        yield f"{len(visible)} headings of level 1"
    if not soup(page).html.get("lang"):
        yield "no language"
    if not soup(page).title.text.strip():
        yield "no title"


def test_images_are_described(site):
    assert not problems(site, images_without_text)


def images_without_text(page):
    for image in soup(page).find_all("img"):
        text = image.get("alt", "")
        # Sphinx fills in the file name where there is no alternative text.
        if len(text.split()) < 4 or text.endswith(".png"):
            yield f"{image.get('src', '')[:80]}: {text!r}"


# -------------------------------------------------------------------------------- the home page


def test_home_page_shows_the_map_of_the_readme():
    rows = LESSON.findall(HOME.read_text())
    assert rows == LESSON.findall((ROOT / "README.md").read_text())
    assert [name for _, name, _, _ in rows] == [path.stem for path in NOTEBOOKS]


def test_home_page_gives_the_minutes_of_the_lessons():
    text = HOME.read_text()
    told = [int(minutes) for minutes in re.findall(r"^\| \[\d\d .* \| (\d+) \|$", text, re.M)]
    assert told == [minutes(path) for path in NOTEBOOKS]
    core = sum(n for n, row in zip(told, LESSON.findall(text), strict=True) if row[2])
    assert "core path: four and a half hours." in text
    assert round(core / 30) == 9
    assert "The whole course takes nine and a half." in text
    assert round(sum(told) / 30) == 19


def minutes(path):
    return announced_minutes(nbformat.read(path, as_version=4))


# --------------------------------------------------------------------------- the notebooks' pages


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_can_be_downloaded(site, path):
    page = site / "notebooks" / f"{path.stem}.html"
    button = soup(page).select_one("a.btn-download-source-button")
    assert (page.parent / button["href"]).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_solutions_are_folded(site, path):
    page = BeautifulSoup((site / "notebooks" / f"{path.stem}.html").read_text(), "html.parser")
    folds = [fold for fold in page.select("details.hide") if "solution" in fold.summary.text]
    cells = nbformat.read(path, as_version=4).cells
    solutions = [cell for cell in cells if "solution" in cell.metadata.get("tags", [])]
    assert [fold.pre.text.strip() for fold in folds] == [s.source.strip() for s in solutions]
    assert not any(solution.outputs for solution in solutions)
    for fold in folds:
        assert "open" not in fold.attrs
        fold.decompose()
    text = page.article.text
    assert not [s.id for s in solutions for line in returned(s.source) if line in text]


def returned(source):
    """Return the lines of a solution that say what it returns, those of one name excepted."""
    return [line.strip() for line in source.splitlines() if re.match(r"\s+return .*\W.*\w", line)]


# --------------------------------------------------------------------------- the launch links


def test_without_an_address_there_are_no_launch_links(site):
    hosts = "[href*='mybinder.org'], [href*='colab.research.google.com']"
    assert not problems(site, lambda page: soup(page).select(hosts))


def test_launch_links(tmp_path):
    name = "02_kl_divergence"
    result = build_at("https://github.com/you/course", tmp_path, f"{name}.ipynb")
    assert result.returncode == 0, result.stderr
    lesson = soup(tmp_path / "html" / "notebooks" / f"{name}.html")
    links = {a.text.strip(): a["href"] for a in lesson.select(".dropdown-launch-buttons a")}
    assert links == {
        "Binder": "https://mybinder.org/v2/gh/you/course/main"
        f"?urlpath=lab/tree/notebooks/{name}.ipynb",
        "Colab": "https://colab.research.google.com/github/you/course/blob/main"
        f"/notebooks/{name}.ipynb",
    }
    home = soup(tmp_path / "html" / "index.html")
    assert "COURSE_REPOSITORY" not in home.article.text
    assert not home.select(".dropdown-launch-buttons"), "the home page is no notebook"
    elsewhere = soup(tmp_path / "html" / "elsewhere.html").article.text
    assert "git clone --depth 1 https://github.com/you/course course" in elsewhere
    assert "OWNER/NAME" not in elsewhere


def test_a_bad_address_is_refused(tmp_path):
    result = build_at("https://github.com/you/course.git", tmp_path, "02_kl_divergence.ipynb")
    assert result.returncode != 0
    for part in ("COURSE_REPOSITORY", "'https://github.com/you/course.git'", "without a slash"):
        assert part in result.stderr


def build_at(address, folder, notebook):
    """Build a part of the site with the public address of a repository."""
    docs, notebooks = folder / "docs", folder / "notebooks"
    docs.mkdir()
    notebooks.mkdir()
    for name in ("conf.py", "index.md", "elsewhere.md", "references.bib"):
        shutil.copy(ROOT / "docs" / name, docs)
    for name in ("_static", "node_modules"):
        (docs / name).symlink_to(ROOT / "docs" / name)
    shutil.copy(ROOT / "notebooks" / notebook, notebooks)
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", docs, folder / "html"]
    environment = os.environ | {"COURSE_REPOSITORY": address}
    return subprocess.run(command, env=environment, capture_output=True, text=True)
