"""Each term in italics has an entry in docs/glossary.md, which leads to its definition."""

import re
from collections import defaultdict
from pathlib import Path

import nbformat
import pytest

from .gates import NOT_PROSE, NOTEBOOKS, prose

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"
ITALIC = re.compile(r"(?<![*\w])\*(?![*\s])([^*]+?)(?<![*\s])\*(?![*\w])")
# Italics also set off a sentence or its start (“*Proof.*”, “*Why?*”), a menu (“*Run → …*”), the
# name of a case at the start of a list item, and the following words: stressed, names, no terms.
STRESSED = {
    *("all", "every", "first", "is", "later", "more", "shorter and wider", "squared", "suspect"),
    *("KL does not depend on the unit", "class means", "probabilities", "random, longer"),
    *("shuffled", "Alice", "Alice's Adventures in Wonderland", "Foundations of Machine Learning"),
    *("setosa", "versicolor"),
}


def name(term):
    """Return a term without its capitals and its plural s."""
    return " ".join(term.split()).casefold().removesuffix("s")


def anchor(heading):
    """Return the anchor that the site gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def sections(path):
    """Yield (anchor, text) for each section of a notebook, up to the references."""
    text = "\n\n".join(cell.source for cell in prose(nbformat.read(path, as_version=4)))
    text = re.sub(r"```.*?```", "", text.partition("## References")[0], flags=re.S)
    for section in re.split(r"^(?=#+ )", text, flags=re.M)[1:]:
        heading, _, body = section.partition("\n")
        yield anchor(heading.lstrip("# ")), NOT_PROSE.sub("", body)


def italics(text):
    """Yield what stands in italics in a text, sentences, menus and items of lists apart."""
    for words in ITALIC.findall(re.sub(r"^- \*[^*]+\*", "-", text, flags=re.M)):
        if not re.search(r"[.?:]$|→|\n\n", words):
            yield " ".join(words.split())


def places():
    """Return for each term in italics the places where it stands, as “notebook#section”."""
    found = defaultdict(list)
    for path in NOTEBOOKS:
        for section, text in sections(path):
            for words in italics(text):
                found[words].append(f"notebooks/{path.name}#{section}")
    return found


def entries():
    """Return (names, explanation) of each entry of the glossary."""
    lines = PAGE.read_text(encoding="utf-8").partition("```{glossary}\n")[2].partition("```")[0]
    for entry in lines.strip().split("\n\n"):
        names, _, explanation = entry.partition("\n  ")
        yield names.splitlines(), " ".join(explanation.split())


PLACES = places()
ENTRIES = list(entries())


def test_each_term_is_in_the_glossary():
    explained = {name(term) for names, _ in ENTRIES for term in names}
    stressed = set(map(name, STRESSED))
    missing = {t: at for t, at in PLACES.items() if name(t) not in explained | stressed}
    lines = [f"{term!r}, in italics in {at[0]}" for term, at in missing.items()]
    assert not lines, "\n".join(["explain in docs/glossary.md, or add to STRESSED:", *lines])


@pytest.mark.parametrize(("names", "explanation"), ENTRIES, ids=[e[0][0] for e in ENTRIES])
def test_entry_is_a_sentence_that_leads_to_a_definition(names, explanation):
    sentence, place = re.fullmatch(r"(.+) \[\d\d\]\((\S+)\)", explanation).groups()
    assert re.fullmatch(r"[A-Z0-9].+\.", sentence)
    set_off = {name(term) for term, at in PLACES.items() if place in at}
    assert set_off & set(map(name, names)), f"{names} are not in italics in {place}"


def test_names_are_unique_and_in_order():
    names = [name(term) for terms, _ in ENTRIES for term in terms]
    assert len(names) == len(set(names))
    firsts = [terms[0].casefold() for terms, _ in ENTRIES]
    assert firsts == sorted(firsts)


def test_stressed_words_occur():
    assert set(PLACES) >= STRESSED


def test_italics():
    text = "- *case*: a *first term* and *second*. *Proof.* **Bold** *Run → All*, π* and 2 * 3 *is*"
    assert list(italics(text)) == ["first term", "second", "is"]
