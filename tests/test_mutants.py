"""Tests of tools/mutants.py."""

import ast
import json
import shutil
import tomllib
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("resource", reason="tools/mutants.py forks")
import mutants

ROOT = Path(__file__).resolve().parents[1]
LISTS = tomllib.loads((ROOT / "tools" / "mutants.toml").read_text(encoding="utf-8"))


def function(source):
    return ast.parse(source).body[0]


# The list


@pytest.mark.parametrize("mistake", LISTS["planted"], ids=lambda m: m["name"])
def test_a_planted_mistake_changes_its_file_and_leaves_it_readable(mistake):
    text = (ROOT / mistake["file"]).read_text(encoding="utf-8")
    planted = mutants.with_mistake(text, mistake)
    assert planted != text
    if mistake["file"].endswith(".ipynb"):
        notebook = nbformat.reads(planted, as_version=4)
        assert any(mistake["new"] in cell.source for cell in notebook.cells)
    else:
        ast.parse(planted)
        assert mistake["tests"]
    for path in mistake.get("tests", []):
        assert (ROOT / path).exists()
    for number in mistake.get("notebooks", []):
        assert len(list(ROOT.glob(f"notebooks/{number}_*.ipynb"))) == 1


@pytest.mark.parametrize("text", ["b", "aa"])
def test_a_mistake_that_does_not_fit_its_file_once_is_refused(text):
    with pytest.raises(SystemExit, match=f"M: `old` stands {text.count('a')} times in file.py"):
        mutants.with_mistake(text, {"name": "M", "file": "file.py", "old": "a", "new": "b"})


def test_each_mistake_of_the_museum_is_planted_or_said_to_be_no_code():
    names = " ".join(m["name"] for m in LISTS["planted"])
    assert [n for n in range(1, 18) if f"(M{n})" not in names] == []


# Judging


@pytest.mark.parametrize(
    ("mutant", "change", "only_text"),
    [
        (
            "def f_1(x):\n    return x + 1, 'a'",
            "- return (x + 2, 'a')\n+ return (x + 1, 'a')",
            False,
        ),
        (
            "def f_1(x):\n    return x + 2, 'XX'",
            "- return (x + 2, 'a')\n+ return (x + 2, 'XX')",
            True,
        ),
        (
            "def f_1(x):\n    return x + 2, None",
            "- return (x + 2, 'a')\n+ return (x + 2, None)",
            False,
        ),
    ],
)
def test_a_change_of_text_is_told_from_others(mutant, change, only_text):
    original = function("def f(x):\n    return x + 2, 'a'")
    assert mutants.compare(original, function(mutant)) == (change, only_text)


RESULTS = {
    "kl_course.discrete.x_f__mutmut_1": ("- a\n+ b", "survived"),
    "kl_course.discrete.x_f__mutmut_2": ("- a\n+ c", "killed"),
    "kl_course.nn.vae.xǁVAEǁcall__mutmut_1": ("- a\n+ b", "survived"),
    "kl_course.nn.vae.xǁVAEǁcall__mutmut_2": ("- a\n+ d", "text only"),
}


def test_survivors_that_are_listed_as_equivalent_are_marked():
    entry = {"function": "kl_course.discrete.x_f", "new": "b", "why": "a is b"}
    results = mutants.explained(RESULTS, [entry])
    verdicts = [verdict for _, verdict in results.values()]
    assert verdicts == ["equivalent", "killed", "survived", "text only"]


@pytest.mark.parametrize("new", ["c", "no longer made"])
def test_an_entry_that_is_killed_or_out_of_date_is_refused(new):
    entry = {"function": "kl_course.discrete.x_f", "new": new, "why": ""}
    with pytest.raises(SystemExit, match="not equivalent, or not made any more"):
        mutants.explained(RESULTS, [entry])


def test_the_report_counts_what_is_killed_of_what_is_judged():
    planted = {"swapped": {"unit tests": True, "notebooks": False}, "M": {"notebooks": True}}
    text, survivors = mutants.report(RESULTS, planted, [])
    assert "| `discrete` | 1 | 0 | 1 | 0 | 0 | 0 | 50.0% |" in text
    assert "| `nn.vae` | 0 | 0 | 1 | 0 | 1 | 0 | 0.0% |" in text
    assert "| swapped | killed | **survived** |" in text
    assert "| M |  | killed |" in text
    assert [name for name, _ in survivors] == [n for n in RESULTS if n.endswith("_1")]


TOY = """
def double(x):
    return 2 * x

def countdown(n):
    while n > 0:
        n -= 1
    return n

def unused(x):
    return x + 1
"""
TEST = """
from kl_course.toy import countdown, double, unused

def test_double():
    assert double(3) == 6

def test_countdown():
    assert countdown(3) == 0

def test_nothing():
    unused(1)
"""


def test_mutants_of_a_toy_are_judged_by_the_tests_that_reach_them(tmp_path, monkeypatch):
    pytest.importorskip("mutmut", reason="make mutants installs it")
    copy = tmp_path / "kl_course"
    (copy / "kl_course").mkdir(parents=True)
    (copy / "kl_course" / "__init__.py").touch()
    (copy / "kl_course" / "toy.py").write_text(TOY)
    (copy / "test_toy.py").write_text(TEST)
    (copy / "pytest.ini").touch()
    (copy / "tools").mkdir()
    shutil.copy(mutants.__file__, copy / "tools")
    monkeypatch.chdir(copy)
    made = mutants.mutate(copy, "toy")
    exchange = copy / "names.json"
    exchange.write_text(json.dumps({"names": list(made), "minutes": 5}))
    done = mutants.pytest(copy, "-s", "-p", "mutants", f"--mutants={exchange}", "test_toy.py")
    assert done.returncode == 0, done.stdout
    verdicts = json.loads(exchange.read_text())
    found = {made[name][0].splitlines()[-1]: verdict for name, verdict in verdicts.items()}
    assert found["+ return 3 * x"] == "killed"
    assert found["+ n += 1"] == "endless"
    assert found["+ return x - 1"] == "survived"
