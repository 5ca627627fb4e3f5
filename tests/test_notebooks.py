"""The gates over all notebooks, and for each gate a bad notebook that it must stop.

A gate takes a notebook and its number and returns what is wrong with it, in words. That the
stored outputs are still true is nbval's part (``make test``).
"""

import ast
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from kl_course.exercises import catalogue

NOTEBOOKS = sorted(Path(__file__).parents[1].joinpath("notebooks").glob("*.ipynb"))
EXERCISES = catalogue()
NUMPY_ONLY = range(6)  # notebooks 00 to 05
STANDARD_SECTIONS = ("What we have shown", "References")
PRIVATE_PATH = re.compile(r"(?<![\w/])(/home/|/root/|/tmp/|/Users/|/work/|/var/|[A-Z]:\\\\)")
NETWORK = {"aiohttp", "ftplib", "http", "httpx", "requests", "socket", "urllib", "urllib3"}
IGNORES = ("nbval-ignore-output", "nbval-skip")


def tags(cell):
    return cell.metadata.get("tags", [])


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def tree(cell):
    """Return the syntax tree of a code cell; magics and shell commands are not used here."""
    return ast.parse(cell.source)


def imported(notebook):
    """Return the dotted names of all imports."""
    names = set()
    for cell in code_cells(notebook):
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def headings(notebook):
    """Return (level, title) of all headings, those in fenced code excluded."""
    text = re.sub(
        r"```.*?```", "", "\n\n".join(cell.source for cell in prose(notebook)), flags=re.S
    )
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", text, flags=re.M)]


# The gates


def is_valid(notebook, number):
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "a cell has no id, or shares one"  # which nbformat would repair in silence
        return
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"not a valid notebook: {error}"


def is_executed_in_order(notebook, number):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}: a cell without its count is never compared"


def has_clean_outputs(notebook, number):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"{cell.id}: an error, or output on stderr"
            text = str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
            if re.search(r"\bat 0x[0-9a-f]+", text):
                yield f"{cell.id}: the address of an object, which changes from run to run"


def has_no_private_path(notebook, number):
    for cell in notebook.cells:
        text = cell.source + "".join(str(output) for output in cell.get("outputs", []))
        if match := PRIVATE_PATH.search(re.sub(r"[A-Za-z0-9+/=]{200,}", "", text)):
            yield f"{cell.id}: the absolute path {match[0]}"


def has_its_sections(notebook, number):
    titles = headings(notebook)
    first = notebook.cells[0].source
    if [level for level, _ in titles].count(1) != 1 or not first.startswith("# "):
        yield "the first cell starts with the only heading of level 1"
    for part in ("you can", "**Prerequisites:**", "**Time:**"):
        if part not in first:
            yield f"the first cell lacks {part!r}"
    if not any(
        "skip to" in c.source or "begin at the section" in c.source for c in prose(notebook)
    ):
        yield "no self-test says where to skip to"
    sections = [title for level, title in titles if level == 2]
    if tuple(sections[-2:]) != STANDARD_SECTIONS:
        yield f"the last sections are {sections[-2:]}, not {STANDARD_SECTIONS}"
    yield from (f"not a question: {title}" for title in sections[:-2] if not title.endswith("?"))
    yield from (f"deeper than level 3: {title}" for level, title in titles if level > 3)


def is_of_readable_size(notebook, number):
    if len(notebook.cells) > 60:
        yield f"{len(notebook.cells)} cells; 60 are the limit"
    for cell in code_cells(notebook):
        limit = 30 if re.search(r"^class ", cell.source, flags=re.M) else 15
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if len(lines) > limit and "hide-input" not in tags(cell):
            yield f"{cell.id}: {len(lines)} lines of code; {limit} are the limit"
    lessons = [c for c in notebook.cells if not {"check", "exercise", "solution"} & set(tags(c))]
    for a, b, c in zip(lessons, lessons[1:], lessons[2:], strict=False):
        if a.cell_type == b.cell_type == c.cell_type == "code":
            yield f"{a.id}: three code cells in a row"


def binds_equations_to_checks(notebook, number):
    numbers = [n for cell in prose(notebook) for n in re.findall(r"\\tag\{(.+?)\}", cell.source)]
    for n in numbers:
        if not re.fullmatch(rf"{number}\.\d+", n) or numbers.count(n) > 1:
            yield f"equation ({n}) has a foreign number, or one that is taken"
        checks = [cell for cell in notebook.cells if f"eq-{n}" in tags(cell)]
        holders = [cell for cell in notebook.cells if f"def-{n}" in tags(cell)]
        if len(checks) + len(holders) != 1:
            yield f"equation ({n}) needs one cell tagged eq-{n}, or def-{n} if it defines"
        if any(f"\\tag{{{n}}}" not in cell.source for cell in holders):
            yield f"the cell tagged def-{n} does not hold equation ({n})"
        for cell in checks:
            nodes = ast.walk(tree(cell)) if cell.cell_type == "code" else ()
            if not any(isinstance(node, ast.Assert) for node in nodes):
                yield f"{cell.id}: tagged eq-{n}, but it asserts nothing"
    for cell in notebook.cells:
        for tag in tags(cell):
            if re.match(r"(eq|def)-", tag) and tag.partition("-")[2] not in numbers:
                yield f"{cell.id}: tagged {tag}, but there is no such equation"
        if cell.cell_type == "markdown":
            for n in re.findall(rf"\(({number}\.\d+)\)", cell.source):
                if n not in numbers:
                    yield f"{cell.id}: refers to equation ({n}), which does not exist"


def counts_its_holes(notebook, number):
    holes = [
        cell
        for cell in code_cells(notebook)
        if set(IGNORES) & set(tags(cell)) or re.search(r"NBVAL_(IGNORE_OUTPUT|SKIP)", cell.source)
    ]
    if len(holes) > 2:
        yield f"{len(holes)} cells are not compared; two are the limit"
    yield from (f"{c.id}: not compared, no reason" for c in holes if not c.metadata.get("reason"))


def stays_offline(notebook, number):
    for name in sorted(imported(notebook)):
        if name.partition(".")[0] in NETWORK:
            yield f"imports {name}: a lesson needs no network"
    for cell in code_cells(notebook):
        if re.search(r"^\s*[!%]", cell.source, flags=re.M):
            yield f"{cell.id}: a shell command or magic"


def loads_no_keras_early(notebook, number):
    for name in sorted(imported(notebook)):
        if number in NUMPY_ONLY and re.match(r"(tensorflow|keras|kl_course\.nn)\b", name):
            yield f"imports {name}; notebooks 00 to 05 need NumPy only"


def has_sound_exercises(notebook, number):
    ours = [exercise for exercise in EXERCISES.values() if exercise.id.startswith(f"{number}.")]
    lowest = 1 if number == 0 else 2
    if not lowest <= len(ours) <= 4:
        yield f"{len(ours)} exercises; {lowest} to 4 are expected"
    for exercise in ours:
        name = f"exercise-{exercise.id.replace('.', '-')}"
        positions = [i for i, cell in enumerate(notebook.cells) if cell.id == name]
        if not positions:
            yield f"exercise {exercise.id} of the catalogue is not in the notebook"
            continue
        task, stub, check, solution = notebook.cells[positions[0] - 1 : positions[0] + 3]
        if f"### Exercise {exercise.id}: {exercise.title}\n" not in task.source:
            yield f"{task.id}: the title is not that of the catalogue, {exercise.title!r}"
        if f"{exercise.minutes} minutes" not in task.source or "<details>" not in task.source:
            yield f"{task.id}: the minutes of the catalogue, or the hint, are missing"
        if "exercise" not in tags(stub) or stub.source.strip() != exercise.stub.strip():
            yield f"{stub.id}: not the stub of the catalogue, tagged exercise"
        if "not attempted" not in str(check.outputs):
            yield f"{check.id}: the stub should read “not attempted”"
        hidden = solution.metadata.get("jupyter", {}).get("source_hidden", False)
        if not {"solution", "hide-input"} <= set(tags(solution)) or not hidden:
            yield f"{solution.id}: a solution is tagged solution and hide-input, and folded"
        name = f"{exercise.solution.__name__}_solution"
        if f'assert check("{exercise.id}", {name}).passed' not in solution.source:
            yield f"{solution.id}: the solution is not asserted to pass"


def describes_its_figures(notebook, number):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                if len(alt.split()) < 4:
                    yield f"{cell.id}: a figure without alternative text"
                if alt != cell.metadata.get("mystnb", {}).get("image", {}).get("alt"):
                    yield f"{cell.id}: the site's alternative text differs; make refresh"


def speaks_plainly(notebook, number):
    for cell in prose(notebook):
        for word in re.findall(r"\b(simply|obviously|trivially)\b", cell.source, flags=re.I):
            yield f"{cell.id}: {word!r} helps nobody"


GATES = [
    is_valid,
    is_executed_in_order,
    has_clean_outputs,
    has_no_private_path,
    has_its_sections,
    is_of_readable_size,
    binds_equations_to_checks,
    counts_its_holes,
    stays_offline,
    loads_no_keras_early,
    has_sound_exercises,
    describes_its_figures,
    speaks_plainly,
]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_gate(path, gate):
    notebook = nbformat.read(path, as_version=4)
    problems = list(gate(notebook, int(path.name[:2])))
    assert not problems, "\n".join(problems)


def test_notebooks_are_numbered_from_00():
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"
    assert all(int(b.name[:2]) > int(a.name[:2]) for a, b in pairwise(NOTEBOOKS))


# The gates on trial: a small good notebook, and what spoils it


def good_notebook():
    figure = new_output(
        "display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 1x1>"}
    )
    figure.metadata = {"image/png": {"alt": "A line that falls."}}
    cells = [
        new_markdown_cell("# T\n\nyou can\n\n**Prerequisites:** none. **Time:** 1 minute.", id="a"),
        new_markdown_cell("## Why?\n\nskip to “Why?”. $$ x = 1 \\tag{0.1} $$\n\nBy (0.1)", id="b"),
        new_code_cell("assert 1 == 1", id="c", metadata={"tags": ["eq-0.1"]}),
        new_code_cell("show()", id="d", outputs=[figure]),
    ]
    cells[3].metadata.mystnb = {"image": {"alt": "A line that falls."}}
    for exercise in EXERCISES.values():
        if exercise.id.startswith("0."):
            cells += exercise_cells(exercise)
    cells.append(new_markdown_cell("## What we have shown\n\n## References", id="z"))
    for count, cell in enumerate([c for c in cells if c.cell_type == "code"], 1):
        cell.execution_count = count
    return new_notebook(cells=cells)


def exercise_cells(exercise):
    name = f"exercise-{exercise.id.replace('.', '-')}"
    task = f"### Exercise {exercise.id}: {exercise.title}\n{exercise.minutes} minutes <details>"
    attempted = [new_output("stream", text="not attempted")]
    solution = f'assert check("{exercise.id}", {exercise.solution.__name__}_solution).passed'
    folded = {"tags": ["solution", "hide-input"], "jupyter": {"source_hidden": True}}
    return [
        new_markdown_cell(task, id=f"{name}-task"),
        new_code_cell(exercise.stub, id=name, metadata={"tags": ["exercise"]}),
        new_code_cell("1", id=f"{name}-check", outputs=attempted, metadata={"tags": ["check"]}),
        new_code_cell(solution, id=f"{name}-solution", metadata=folded),
    ]


def cell(notebook, name):
    return next(cell for cell in notebook.cells if cell.id == name)


def add_code(notebook, source, **metadata):
    count = len(code_cells(notebook)) + 1
    new = new_code_cell(source, id=f"new-{count}", execution_count=count, metadata=metadata)
    new.outputs = [new_output("stream", name="stdout", text="")]
    notebook.cells.insert(-1, new)
    return new


def set_source(name, old, new):
    def spoil(notebook):
        target = cell(notebook, name)
        assert old in target.source
        target.source = target.source.replace(old, new)

    return spoil


SPOILED = [
    (is_valid, lambda nb: nb.cells[1].update(id="a")),
    (is_valid, lambda nb: nb.cells[2].pop("outputs")),
    (is_executed_in_order, lambda nb: cell(nb, "c").update(execution_count=None)),
    (is_executed_in_order, lambda nb: cell(nb, "c").update(execution_count=9)),
    (has_clean_outputs, lambda nb: add_code(nb, "1").outputs[0].update(name="stderr")),
    (has_clean_outputs, lambda nb: add_code(nb, "1").outputs[0].update(text="<f at 0x7f3a>")),
    (has_no_private_path, lambda nb: add_code(nb, "open('/home/someone/file')")),
    (has_no_private_path, lambda nb: add_code(nb, "1").outputs[0].update(text="/tmp/x.py:1")),
    (has_its_sections, set_source("a", "**Time:**", "")),
    (has_its_sections, set_source("b", "## Why?", "## Because")),
    (has_its_sections, set_source("b", "skip to", "go to")),
    (has_its_sections, set_source("b", "## Why?", "## Why?\n\n#### Deep")),
    (has_its_sections, set_source("z", "## References", "## Sources")),
    (is_of_readable_size, lambda nb: add_code(nb, "x = 1\n" * 16)),
    (is_of_readable_size, lambda nb: [add_code(nb, "1") for _ in range(3)]),
    (is_of_readable_size, lambda nb: nb.cells.extend([nb.cells[0]] * 60)),
    (binds_equations_to_checks, set_source("c", "assert 1 == 1", "1")),
    (binds_equations_to_checks, lambda nb: cell(nb, "c").metadata.pop("tags")),
    (binds_equations_to_checks, set_source("b", "\\tag{0.1}", "")),
    (binds_equations_to_checks, set_source("b", "By (0.1)", "By (0.2)")),
    (binds_equations_to_checks, set_source("b", "0.1", "3.1")),
    (binds_equations_to_checks, lambda nb: add_code(nb, "assert 1", tags=["def-0.1"])),
    (counts_its_holes, lambda nb: add_code(nb, "1", tags=["nbval-ignore-output"])),
    (counts_its_holes, lambda nb: add_code(nb, "# NBVAL_SKIP\n1")),
    (
        counts_its_holes,
        lambda nb: [add_code(nb, "1", tags=["nbval-skip"], reason="random") for _ in range(3)],
    ),
    (stays_offline, lambda nb: add_code(nb, "from urllib import request")),
    (stays_offline, lambda nb: add_code(nb, "import requests")),
    (loads_no_keras_early, lambda nb: add_code(nb, "import tensorflow as tf")),
    (loads_no_keras_early, lambda nb: add_code(nb, "from kl_course import nn")),
    (has_sound_exercises, set_source("exercise-0-1", "...", "return 1")),
    (has_sound_exercises, lambda nb: cell(nb, "exercise-0-1-check").update(outputs=[])),
    (has_sound_exercises, set_source("exercise-0-1-solution", ".passed", "")),
    (has_sound_exercises, lambda nb: cell(nb, "exercise-0-1-solution").metadata.pop("jupyter")),
    (has_sound_exercises, lambda nb: nb.cells.remove(cell(nb, "exercise-0-1"))),
    (has_sound_exercises, set_source("exercise-0-1-task", "minutes", "hours")),
    (describes_its_figures, lambda nb: cell(nb, "d").outputs[0].update(metadata={})),
    (describes_its_figures, lambda nb: cell(nb, "d").metadata.pop("mystnb")),
    (speaks_plainly, set_source("b", "By (0.1)", "Obviously")),
]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.__name__)
def test_gate_lets_a_good_notebook_pass(gate):
    assert list(gate(good_notebook(), 0)) == []


@pytest.mark.parametrize(("gate", "spoil"), SPOILED, ids=lambda item: item.__name__)
def test_gate_stops_a_bad_notebook(gate, spoil):
    notebook = good_notebook()
    spoil(notebook)
    assert list(gate(notebook, 0))


def test_every_gate_is_on_trial():
    assert {gate for gate, _ in SPOILED} == set(GATES)
