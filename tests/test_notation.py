"""Each symbol in the formulas of the lessons has its meaning in docs/notation.md."""

import re
import unicodedata
from pathlib import Path

import nbformat
import pytest

import kl_course

from .gates import NOTEBOOKS, code_cells, prose

PAGE = Path(__file__).parents[1] / "docs" / "notation.md"
MATH = re.compile(r"\$\$.+?\$\$|\$[^$]+\$|\\begin\{align\*?\}.+?\\end\{align\*?\}", re.S)
NAME = r"\\(?:mathrm|operatorname\*?)\{(\w+)\}"
SIGNS = {"nabla", "partial"}


def spelt(letter):
    """Return the TeX name of a Greek letter: beta, or Lambda for a capital."""
    kind, _, name = unicodedata.name(letter).partition(" LETTER ")
    name = name.lower().replace("lamda", "lambda")
    return name.capitalize() if "CAPITAL" in kind else name


GREEK = {spelt(letter): letter for letter in "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"}


def symbols(formula):
    r"""Return the letters, names in \mathrm and signs of a formula; its \text is no symbol."""
    formula = re.sub(r"\\(?:tag|text|begin|end)\{.*?\}", " ", formula)
    names = set(re.findall(NAME, formula))
    formula = re.sub(NAME, " ", formula)
    commands = {command.removeprefix("var") for command in re.findall(r"\\([A-Za-z]+)", formula)}
    letters = set(re.findall(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", formula)))
    return names | letters | commands & (GREEK.keys() | SIGNS)


def lesson_symbols(notebook):
    """Return two sets: the symbols to explain, and with them the letters and words of the prose."""
    text = "\n\n".join(cell.source for cell in prose(notebook)).partition("## References")[0]
    text = re.sub(r"```.*?```|`[^`]*`", " ", text, flags=re.S)
    used = set().union(*map(symbols, MATH.findall(text)))
    used |= {name for name, letter in GREEK.items() if letter in MATH.sub(" ", text)}
    return used, used | set(re.findall(r"\b[A-Za-z]+\b", text))


def rows():
    """Yield (symbols, code names, lessons) for each row of the tables of the page."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| $"):
            symbol, *_, code, lessons = (cell.strip() for cell in line.strip("|").split("|"))
            numbers = set()
            for first, last in re.findall(r"(\d\d)(?:\N{EN DASH}(\d\d))?", lessons):
                numbers |= set(range(int(first), int(last or first) + 1))
            yield symbols(" ".join(MATH.findall(symbol))), re.findall(r"`(\w+)`", code), numbers


LESSONS = {int(path.name[:2]): nbformat.read(path, as_version=4) for path in NOTEBOOKS}
ROWS = list(rows())


@pytest.mark.parametrize("number", LESSONS)
def test_each_symbol_is_explained(number):
    explained = set().union(*(names for names, _, lessons in ROWS if number in lessons))
    used, _ = lesson_symbols(LESSONS[number])
    missing = sorted(used - explained)
    assert not missing, f"no row of docs/notation.md for lesson {number:02} has {missing}"


def test_each_row_is_needed():
    mentioned = {number: lesson_symbols(notebook)[1] for number, notebook in LESSONS.items()}
    for names, _, lessons in ROWS:
        assert lessons
        for name in names:
            assert any(name in mentioned.get(number, ()) for number in lessons), (name, lessons)
        for number in lessons & LESSONS.keys():
            assert names & mentioned[number], f"{names} in lesson {number:02}?"


def test_code_names_exist():
    for names, code, lessons in ROWS:
        cells = [c for number in lessons & LESSONS.keys() for c in code_cells(LESSONS[number])]
        source = "\n".join(cell.source for cell in cells)
        for name in code:
            known = hasattr(kl_course, name) or re.search(rf"\b{name}\b", source)
            assert known, f"{name}, the code's name of {names}, is not in lessons {lessons}"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (r"$\mathrm{KL}(P \,\|\, Q) \tag{0.1}$", {"KL", "P", "Q"}),
        (r"$\frac{\partial x}{\partial \theta} \text{noise}$", {"partial", "x", "theta"}),
        (r"$\mathbb{E}[e^{\varepsilon}]$", {"E", "e", "epsilon"}),
    ],
)
def test_symbols(formula, expected):
    assert symbols(formula) == expected
