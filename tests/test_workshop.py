"""The zip for a class: what it holds, and that it works without the project.

Two of its notebooks are executed, 00 and 02; all thirteen in CI.
"""

import ast
import html
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from io import BytesIO
from pathlib import Path

import course
import nbformat
import pytest
import workshop
import yaml
from nbformat.v4 import new_code_cell

import notebooks
from kl_course.exercises import check

from .gates import EXERCISES, IGNORES, NOTEBOOKS, code_cells, tags

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WHEEL = f"kl_course-{PROJECT['version']}-py3-none-any.whl"
PINNED = not course.unpinned((ROOT / "constraints.txt").read_text())  # else outputs may differ
COMPLETE = PINNED and os.environ.get("CI") == "true"
EXECUTED = NOTEBOOKS if COMPLETE else [NOTEBOOKS[0], NOTEBOOKS[2]]

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
every_executed = pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)
every_exercise = pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES.keys())


@pytest.fixture(scope="module")
def files():
    return workshop.contents()


@pytest.fixture(scope="module")
def unpacked(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("workshop")
    workshop.pack(files, folder / "workshop.zip")
    with zipfile.ZipFile(folder / "workshop.zip") as archive:
        archive.extractall(folder)
    return folder / workshop.NAME


def edition(files, path):
    """Return the learners' edition of a notebook."""
    return nbformat.reads(files[f"notebooks/{path.name}"].decode(), as_version=4)


def course_cells(path):
    return nbformat.read(path, as_version=4).cells


def solutions(path):
    """Return the functions that solve the exercises of a notebook, by the id of the stub's cell."""
    solved = [cell for cell in course_cells(path) if "solution" in tags(cell)]
    return {c.id.removesuffix("-solution"): ast.parse(c.source).body[0] for c in solved}


def notebook_of(exercise):
    return NOTEBOOKS[int(exercise.id.partition(".")[0])]


def stub_id(exercise):
    return f"exercise-{exercise.id.replace('.', '-')}"


# What it holds


def test_zip_holds_what_it_should_and_nothing_else(unpacked):
    found = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    assert found == {
        "LICENSE",
        "README.txt",
        "constraints.txt",
        "environment.yml",
        "handout.html",
        "notebooks/claims.toml",
        "requirements.txt",
        WHEEL,
        *(f"notebooks/{path.name}" for path in NOTEBOOKS),
    }


def test_same_files_give_the_same_bytes(files, tmp_path, monkeypatch):
    """The files of a clone have other dates, and perhaps other permissions."""
    before = os.umask(0o077)
    ignore = shutil.ignore_patterns(".*", "__pycache__", "build", "node_modules", "tests")
    try:
        shutil.copytree(ROOT, tmp_path / "clone", ignore=ignore, copy_function=shutil.copyfile)
        monkeypatch.setattr(workshop, "ROOT", tmp_path / "clone")
        again = workshop.contents()
    finally:
        os.umask(before)
    workshop.pack(files, tmp_path / "first.zip")
    workshop.pack(dict(reversed(again.items())), tmp_path / "second.zip")
    assert (tmp_path / "first.zip").read_bytes() == (tmp_path / "second.zip").read_bytes()


@every_notebook
def test_notebook_lacks_solutions_and_outputs_and_nothing_else(files, path):
    notebook = edition(files, path)
    nbformat.validate(notebook)
    kept = [cell for cell in course_cells(path) if "solution" not in tags(cell)]
    assert [cell.id for cell in notebook.cells] == [cell.id for cell in kept]
    for cell, before in zip(notebook.cells, kept, strict=True):
        assert (cell.cell_type, cell.source) == (before.cell_type, before.source)
        assert tags(cell) == tags(before)
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(notebook))
    assert "widgets" not in notebook.metadata
    text = files[f"notebooks/{path.name}"].decode()
    assert not re.search(r"\w_solution\b|getsource|kl_course\.exercises\.ex\d", text)


@every_exercise
def test_exercise_is_a_task_the_stub_and_its_check(files, exercise):
    cells = edition(files, notebook_of(exercise)).cells
    place = [cell.id for cell in cells].index(stub_id(exercise))
    task, stub, checked = cells[place - 1 : place + 2]
    assert f"### Exercise {exercise.id}: {exercise.title}\n" in task.source
    assert stub.source.strip() == exercise.stub.strip()
    assert checked.source == f'check("{exercise.id}", {exercise.solution.__name__})'


def without_blanks(text):
    return re.sub(r"\s", "", text)


def steps(function):
    """Return the statements of a solution that have some length, a ``return`` as its value."""
    nodes = [node for node in function.body if not isinstance(node, ast.Expr)]
    texts = [ast.unparse(getattr(node, "value", node)) for node in nodes]
    return [without_blanks(text) for text in texts if len(without_blanks(text)) > 12]


@every_exercise
def test_no_hint_and_no_report_shows_a_step_of_the_solution(files, exercise):
    (ours,) = ast.parse(inspect.getsource(exercise.solution)).body
    (task,) = (
        cell.source
        for cell in edition(files, notebook_of(exercise)).cells
        if cell.id == f"{stub_id(exercise)}-task"
    )
    wrong = [function for function, _ in exercise.misconceptions]
    wrong += [None, 3, lambda *args: 1 / 0, lambda *args: 0.5, lambda *args: args[0]]
    reports = [check(exercise.id, answer) for answer in wrong]
    shown = [task, *map(repr, reports)]
    shown += [html.unescape(re.sub("<.*?>", "", report._repr_html_())) for report in reports]
    for text in shown:
        assert not re.search(r"getsource|_solution\b|exercises\.ex\d", text)
        for step in steps(ours) + steps(solutions(notebook_of(exercise))[stub_id(exercise)]):
            assert step not in without_blanks(text)


def test_wheel_holds_package_data_and_metadata(files):
    with zipfile.ZipFile(BytesIO(files[WHEEL])) as wheel:
        held = {name: wheel.read(name) for name in wheel.namelist()}
    package = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in (ROOT / "kl_course").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    assert {name: held[name] for name in held if ".dist-info/" not in name} == package
    (metadata,) = (message_from_bytes(held[name]) for name in held if name.endswith("/METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("kl_course", PROJECT["version"])
    assert metadata.get_all("Provides-Extra") == list(PROJECT["optional-dependencies"])


# How it is installed


def test_conda_installs_the_wheel_under_the_constraints(files):
    ours = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    theirs = yaml.safe_load(files["environment.yml"])
    assert theirs["dependencies"].pop() == {
        "pip": ["-c constraints.txt", f"./{WHEEL}[course]"],
    }
    ours["dependencies"].pop()
    assert theirs == ours


def test_pip_finds_all_that_the_wheel_needs_among_the_constraints(unpacked):
    if not PINNED:
        pytest.skip("this environment has other versions than constraints.txt")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    command = [*pip, "--dry-run", "--no-index", "-r", "requirements.txt"]
    result = subprocess.run(command, cwd=unpacked, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1] == f"Would install kl_course-{PROJECT['version']}", result
    assert (unpacked / "constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()


def test_readme_names_what_is_there(files):
    text = files["README.txt"].decode()
    for name in set(re.findall(r"[\w/]+\.(?:txt|yml|html|ipynb)", text)):
        assert any(file.endswith(name) for file in files), name
    named = re.findall(r"\b3\.\d+", text)
    supported = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if ":: Python :: 3." in c]
    assert named == supported
    assert max(map(len, text.splitlines())) <= 100


def test_handout_needs_nothing_from_elsewhere(files):
    page = files["handout.html"].decode()
    assert not re.search(r"<(script|img|link|iframe)\b|@import|url\(", page)
    assert not re.search(r"\$\w|\{\w+\}`", page), "no TeX and no MyST: nothing renders them here"
    for target in re.findall(r'href="(.*?)"', page):
        assert target in files or target.startswith("https://"), target


@pytest.mark.browser
def test_handout_prints_on_one_page(unpacked, new_page):
    page = new_page()
    page.goto((unpacked / "handout.html").as_uri())
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 1


# That it runs


def with_answers(notebook, answers):
    """Add to each exercise, after its check, the stub's cell with a solution and another check.

    The functions alone: what else a solution's cell computes must not be missed by the lesson.
    """
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if "check" in tags(cell):
            function = answers[cell.id.removesuffix("-check")]
            function.name = function.name.removesuffix("_solution")
            cells.append(new_code_cell(ast.unparse(function), id=f"{cell.id}-answer"))
            cells.append(new_code_cell(cell.source, id=f"{cell.id}-again"))
    cells.append(new_code_cell("import kl_course\n\nprint(kl_course.__file__)", id="where"))
    notebook.cells = cells
    return notebook


@pytest.fixture(scope="module")
def runs(unpacked, tmp_path_factory):
    """Return the executed notebooks of the zip, where kl_course comes from the wheel alone."""
    folder = tmp_path_factory.mktemp("class")
    shutil.copytree(unpacked, folder, dirs_exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-index", "--no-deps", "--target", folder / "installed", folder / WHEEL]
    subprocess.run([*pip, *options], check=True)
    paths = [folder / "notebooks" / path.name for path in EXECUTED]
    for path, original in zip(paths, EXECUTED, strict=True):
        notebook = nbformat.read(path, as_version=4)
        nbformat.write(with_answers(notebook, solutions(original)), path)
    with course.isolated(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder / "installed"))
        executed = notebooks.execute_all(paths, jobs=2)
    return {run.path.name: run for run in executed}


def text_of(cell):
    """Return what a cell printed, and its results as plain text."""
    return [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]


@every_executed
def test_notebook_runs_from_the_unpacked_zip_alone(runs, path):
    run = runs[path.name]
    assert not run.failure, run.failure
    used = Path(run.notebook.cells[-1].outputs[0].text.strip())
    assert used.parts[-3:] == ("installed", "kl_course", "__init__.py")


@every_executed
def test_every_exercise_is_open_and_can_be_solved(runs, path):
    cells = {cell.id: cell for cell in runs[path.name].notebook.cells}
    exercises = [exercise for exercise in EXERCISES.values() if notebook_of(exercise) == path]
    for exercise in exercises:
        checked, again = (f"{stub_id(exercise)}-check{suffix}" for suffix in ("", "-again"))
        assert f"{exercise.title}: not attempted" in text_of(cells[checked])[0]
        assert f"{exercise.title}: passed" in text_of(cells[again])[0]


@every_executed
def test_lessons_compute_what_they_compute_with_the_solutions(runs, path):
    """A lesson must not need what a solution's cell defines or draws at random."""
    if not PINNED:
        pytest.skip("this environment has other versions than constraints.txt")
    computed = {cell.id: cell for cell in runs[path.name].notebook.cells}
    for cell in course_cells(path):
        if cell.cell_type == "code" and not {"solution", *IGNORES} & set(tags(cell)):
            assert text_of(computed[cell.id]) == text_of(cell), cell.id
