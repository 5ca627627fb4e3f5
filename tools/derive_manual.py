"""Derive kl_course/data/manual.json, one manual in ten languages, from LibreOffice's help.

Run by hand, on Debian 12 (the packages' version is in kl_course/data/README.md):

    for code in en-us de fr es it pt nl pl fi tr; do
        apt-get download libreoffice-help-$code && dpkg -x libreoffice-help-$code*.deb help
    done
    python tools/derive_manual.py help

Pages and paragraphs have the same names in all languages. Kept are the paragraphs of Writer's
guide that are prose and are translated everywhere, in the pages' alphabetical order.
"""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

from kl_course.datasets import LANGUAGES

CODES = ("en-US", "de", "fr", "es", "it", "pt", "nl", "pl", "fi", "tr")
TARGET = Path(__file__).parents[1] / "kl_course" / "data" / "manual.json"


class Page(HTMLParser):
    """The body paragraphs of a page that read the same on every system: name to text."""

    def __init__(self, path):
        super().__init__()
        self.paragraphs = {}
        self._name = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "p" and attrs.get("class") == "paragraph":
            self._name = attrs["id"]
            self.paragraphs[self._name] = ""
        elif self._name and attrs.get("class", "").startswith("switch"):
            # A key or menu that macOS calls otherwise: the page holds both variants.
            del self.paragraphs[self._name]
            self._name = None

    def handle_endtag(self, tag):
        if tag == "p":
            self._name = None

    def handle_data(self, data):
        if self._name:
            self.paragraphs[self._name] += data


def is_prose(english):
    """Tell whether a paragraph is a sentence and not a chain of menus ("Tools - Options")."""
    return len(english) >= 60 and " - " not in english


def is_translated(versions):
    """Tell whether every language has its own version, with no English left in it."""
    return (
        len(set(versions)) == len(CODES)
        and all(version.endswith(".") for version in versions)
        and not any("the" in version.lower().split() for version in versions[1:])
    )


def parallel_paragraphs(folder):
    """Yield the kept paragraphs, each as a tuple of one text per language."""
    for page in sorted(path.name for path in (folder / "en-US/text/swriter/guide").glob("*.html")):
        paths = [folder / code / "text/swriter/guide" / page for code in CODES]
        english, *others = [Page(path).paragraphs for path in paths]
        for name in english:
            versions = tuple(" ".join(page.get(name, "").split()) for page in (english, *others))
            if is_prose(versions[0]) and is_translated(versions):
                yield versions


def main():
    """Write the manual: a list of paragraphs per language."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/derive_manual.py FOLDER (with the unpacked packages)")
    folder = Path(sys.argv[1]) / "usr/share/libreoffice/help"
    # A dict drops repeated paragraphs and keeps the order.
    columns = zip(*dict.fromkeys(parallel_paragraphs(folder)), strict=True)
    manual = dict(zip(LANGUAGES, columns, strict=True))
    text = json.dumps(manual, ensure_ascii=False, indent=1)
    TARGET.write_text(text + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
