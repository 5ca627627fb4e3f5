"""What CONTRIBUTING.md and README.md name exists: files, targets, tests, gates."""

import re
import shlex
from pathlib import Path

import course
import pytest
from nbformat.v4 import new_notebook

import notebooks
from kl_course import plotting

from . import gates
from .gates import COURSE_GATES, EXERCISES, GATES, NOTEBOOKS

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "README.md")
}
GUIDE = PAGES["CONTRIBUTING.md"]
FICTION = {"13_its_subject.ipynb"}  # the name of a notebook to come
every_page = pytest.mark.parametrize("page", PAGES)


def paths(text):
    """Return what looks like a path of the project: in backticks, in a link, or in a command."""
    names = re.findall(r"`([\w./-]+)`", text)
    names += re.findall(r"\]\(([^):#]+)\)", text)
    names += re.findall(r"[ =\"]((?:tests|notebooks|tools|docs)/[\w./-]+)", text)
    file = r"/|\.(md|py|toml|txt|ipynb|yml)$|^(LICENSE|Makefile)$"
    return {name for name in names if re.search(file, name) and not name.startswith("build/")}


def commands(text):
    """Return the target and the arguments of each call of make, and of tools/course.py."""
    calls = re.findall(r"(?m)(?:^|`)make ([a-z][a-z-]*)(?: ARGS=(\"[^\"]*\"|\S+))?(?=[ `\n])", text)
    calls += re.findall(r"tools/course\.py ([a-z-]+)([^`\n]*)", text)
    return [(target, shlex.split(arguments.strip('"`.,'))) for target, arguments in calls]


@every_page
def test_files_exist(page):
    names = paths(PAGES[page])
    assert len(names) > 10
    assert not [name for name in names - FICTION if not (ROOT / name).exists()]


@every_page
def test_targets_exist(page):
    calls = commands(PAGES[page])
    assert len(calls) > 5
    assert {target for target, _ in calls} <= course.TARGETS.keys()


def test_the_readme_has_all_targets():
    rows = re.findall(r"^\| `make ([a-z-]+)` \|", PAGES["README.md"], flags=re.M)
    assert sorted(rows) == sorted(course.TARGETS)


def test_names_in_commands_select_something():
    stems = [path.stem for path in NOTEBOOKS]
    for target, arguments in commands(GUIDE):
        if target in ("refresh", "course"):
            assert set(arguments) <= set(stems)
        elif "-k" in arguments:
            word = arguments[arguments.index("-k") + 1]
            assert word in EXERCISES or any(word in stem for stem in stems), word


def test_each_gate_is_explained():
    rows = re.findall(r"^\| `(\w+)` \| ", GUIDE, flags=re.M)
    assert sorted(rows) == sorted(gate.__name__ for gate in [*GATES, *COURSE_GATES])


def test_names_in_code_exist():
    browser = (ROOT / "tests" / "test_browser.py").read_text(encoding="utf-8")
    assert "`WRONG_ANSWERS` in `tests/test_browser.py`" in GUIDE
    assert "\nWRONG_ANSWERS = {" in browser
    for name in ("LAST", "NUMPY_ONLY"):
        assert f"`{name}`" in GUIDE
        assert hasattr(gates, name)
    for name in ("P_COLOR", "Q_COLOR", "show", "explorer"):
        assert re.search(rf"`{name}[`(]", GUIDE)
        assert hasattr(plotting, name)


def test_limits_are_those_of_the_gates():
    assert "`loads_no_keras_early` | notebooks 00 to 05 " in GUIDE
    assert list(gates.NUMPY_ONLY) == [0, 1, 2, 3, 4, 5]
    assert "the budget in `tools/notebooks.py`" in GUIDE
    assert notebooks.budget_of(new_notebook()) == notebooks.NUMPY_BUDGET
    assert int(NOTEBOOKS[-1].name[:2]) == gates.LAST
