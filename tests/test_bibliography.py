"""Each citation in lessons and docstrings agrees with docs/references.bib; each entry is cited."""

import ast
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from pybtex.database import parse_file
from pybtex.richtext import Text

from .gates import NOTEBOOKS, plain, prose

ROOT = Path(__file__).parents[1]
ENTRIES = dict(parse_file(ROOT / "docs" / "references.bib", encoding="utf-8").entries.items())
MODULES = sorted(ROOT.glob("kl_course/**/*.py"))
DASH = "\N{EN DASH}"
LINK = re.compile(r"\]\((https?://(?:[^()\s]|\([^()]*\))+)\)")
# A name and a year: “Bishop 2006”, “Miyato et al. (2019)”, “Tang and Munos 2025”.
MENTION = re.compile(r"\b([A-Z][\w-]*[a-z][\w-]*)(?: et al\.)?,? \(?((?:18|19|20)\d\d)\b")
DOCSTRING_CITATION = re.compile(r"(?:^ *|; )([A-Z][^()\"\n]+) \((\d{4})\),\s+\"([^\"]+)\"", re.M)


def title(entry):
    return str(Text.from_latex(entry.fields["title"]))


def surnames(entry):
    persons = entry.persons.get("author", [])
    return [" ".join([*person.prelast_names, *person.last_names]) for person in persons]


TITLES = {key: plain(title(entry)) for key, entry in ENTRIES.items()}


def links(entry):
    fields = entry.fields
    addresses = {
        "doi": "https://doi.org/{}",
        "eprint": "https://arxiv.org/abs/{}",
        "url": "{}",
    }
    return {address.format(fields[n]) for n, address in addresses.items() if n in fields}


ADDRESSES = set().union(*map(links, ENTRIES.values()))


def entries_of(name, year):
    """Return the keys of the entries by an author, given by the last word of the name, and year."""
    return {
        key
        for key, entry in ENTRIES.items()
        if entry.fields.get("year") == year and name in " ".join(surnames(entry)).split()
    }


def references(notebook):
    """Return the items of the list under the heading References."""
    text = "\n".join(cell.source for cell in prose(notebook)).partition("## References")[2]
    return re.split(r"^- ", text.strip(), flags=re.M)[1:]


@cache
def entries_in(item):
    """Return the keys of the entries whose titles an item of a list of references holds."""
    text = plain(item)
    return {key for key, short in TITLES.items() if short in text}


def given_links(item):
    return {unquote(link) for link in LINK.findall(item)}


def problems_in(item):
    """Yield what in an item of a list of references is not as in references.bib."""
    cited = [ENTRIES[key] for key in sorted(entries_in(item))]
    if not cited:
        yield f"no title of references.bib in: {item}"
        return
    for entry in cited:
        names = surnames(entry)
        named = [name for name in names if re.search(rf"\b{re.escape(name)}\b", item)]
        abridged = re.search(r"et al\.|and others", item)
        if named != names and not (abridged and named[:1] == names[:1]):
            yield f"{title(entry)}: the authors are {names}"
        if f"({entry.fields.get('year', '')})" not in item and "year" in entry.fields:
            yield f"{title(entry)}: the year is {entry.fields['year']}"
        addresses = set().union(*(links(e) for e in cited if title(e) == title(entry)))
        if addresses and not addresses & given_links(item):
            yield f"{title(entry)}: it is linked by one of {addresses}"
    for link in given_links(item) - set().union(*map(links, cited)):
        yield f"{link} is in no entry of references.bib that the item names"
    years = {entry.fields.get("year") for entry in cited}
    for name, year in re.findall(r"(\w+) \((\d{4})\)", item):
        if year not in years and not entries_of(name, year):
            yield f"{name} ({year}) is not in references.bib"
    pages = {entry.fields.get("pages", "").replace("--", DASH) for entry in cited}
    for given in re.findall(rf"\b\d+{DASH}\d+\b", item):
        if given not in pages:
            yield f"pages {given}; references.bib has {pages}"


def unlisted(notebook):
    """Yield each mention that the notebook's references lack, and each link that no entry has."""
    listed = set().union(*map(entries_in, references(notebook)))
    for cell in prose(notebook):
        text = cell.source.partition("## References")[0]
        for name, year in MENTION.findall(text):
            if not entries_of(name, year) & listed:
                yield f"{cell.id}: {name} {year} is not among the references"
        for link in given_links(text) - ADDRESSES:
            yield f"{cell.id}: {link} is in no entry of references.bib"


def docstrings(path):
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented)]


def entry_of(authors, year, quoted):
    """Return the key of the entry that a citation in a docstring names, or None."""
    names = [name for name in re.split(r", and |, | and | et al\.", authors) if name]
    for key, entry in ENTRIES.items():
        titles = {TITLES[key], plain(title(entry).partition(":")[0])}
        complete = len(names) == len(surnames(entry)) or "et al." in authors
        if plain(quoted) in titles and names == surnames(entry)[: len(names)] and complete:
            return key if entry.fields.get("year") == year else None
    return None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_references_of_a_notebook_agree_with_the_bibliography(path):
    notebook = nbformat.read(path, as_version=4)
    assert references(notebook), "no list under the heading References"
    problems = [problem for item in references(notebook) for problem in problems_in(item)]
    problems += unlisted(notebook)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_citations_of_a_docstring_agree_with_the_bibliography(path):
    for text in docstrings(path):
        section = text.partition("References\n---")[2]
        for authors, year, quoted in DOCSTRING_CITATION.findall(section):
            assert entry_of(authors, year, quoted), f"{authors} ({year}), {quoted}"
        for name, year in MENTION.findall(text):
            assert entries_of(name, year), f"{name} {year} is not in references.bib"


def test_each_entry_is_cited():
    notebooks = [nbformat.read(path, as_version=4) for path in NOTEBOOKS]
    items = [item for notebook in notebooks for item in references(notebook)]
    mentions = [m for path in MODULES for text in docstrings(path) for m in MENTION.findall(text)]
    used = set().union(*map(entries_in, items), *(entries_of(*mention) for mention in mentions))
    texts = [cell.source for notebook in notebooks for cell in prose(notebook)]
    linked = set().union(*map(given_links, texts))
    used |= {key for key, entry in ENTRIES.items() if links(entry) & linked}
    idle = sorted(ENTRIES.keys() - used)
    assert not idle, f"in references.bib, but cited nowhere: {idle}"


# The checks on trial

AMARI = (
    "S. Amari (1998), “Natural Gradient Works Efficiently in Learning”, *Neural Computation* 10, "
    f"251{DASH}276. [doi](https://doi.org/10.1162/089976698300017746)"
)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Amari", "Amara"),
        ("1998", "1999"),
        ("Works Efficiently", "Works"),
        ("276", "277"),
        ("10.1162", "10.1126"),
        (" [doi](https://doi.org/10.1162/089976698300017746)", ""),
    ],
)
def test_a_wrong_reference_is_found(right, wrong):
    assert not list(problems_in(AMARI))
    assert right in AMARI
    assert list(problems_in(AMARI.replace(right, wrong)))


def test_a_source_that_the_list_lacks_is_found():
    cells = [
        nbformat.v4.new_markdown_cell("See Amari (1998) and Fisher 1936.", id="a"),
        nbformat.v4.new_markdown_cell(f"## References\n\n- {AMARI}", id="b"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert list(unlisted(notebook)) == ["a: Fisher 1936 is not among the references"]


@pytest.mark.parametrize(
    "citation",
    [
        ("Amari", "1999", "Natural Gradient Works Efficiently in Learning"),
        ("Amari and Fisher", "1998", "Natural Gradient Works Efficiently in Learning"),
        ("Endres", "2003", "A New Metric for Probability Distributions"),
        ("Amari", "1998", "Natural Gradient"),
    ],
)
def test_a_wrong_citation_in_a_docstring_is_found(citation):
    right = ("Amari", "1998", "Natural Gradient Works Efficiently in Learning")
    assert entry_of(*right) == "amari1998"
    assert entry_of(*citation) is None
