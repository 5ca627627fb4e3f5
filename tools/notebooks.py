"""Run the notebooks: execute, measure and report them, or store their outputs in place."""

from __future__ import annotations

import argparse
import ast
import difflib
import json
import platform
import re
import sys
import textwrap
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import nbformat
import pages
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from kl_course.exercises import catalogue

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
GUIDE = NOTEBOOKS.parent / "docs" / "teaching.md"
MARKS = "<!-- measured: make course ARGS=--publish -->\n", "<!-- end of measured -->\n"
CELL_TIMEOUT = 120  # seconds, as for nbval in course.py

# A cell added to each notebook: the peak memory of its kernel, in units that differ by system.
if sys.platform == "win32":
    PEAK_MEMORY = "__import__('psutil').Process().memory_info().peak_wset"
else:
    PEAK_MEMORY = "__import__('resource').getrusage(0).ru_maxrss"
PEAK_UNIT = 1024 if sys.platform == "linux" else 1

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TQDM_TIMES = re.compile(r"\s\[\d+:\d\d(:\d\d)?(&lt;|,)[^\]]*\]")
ANSI_COLOURS = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True)
class Budget:
    """What a notebook may use on two cores; exceeding it warns, doubling it fails."""

    seconds: float
    megabytes: float


NUMPY_BUDGET = Budget(seconds=10, megabytes=300)
KERAS_BUDGET = Budget(seconds=30, megabytes=1200)
COURSE_SECONDS = 180
KERAS = re.compile(r"(keras|tensorflow|kl_course\.nn)(\.|$)")  # imports that need the larger one


@dataclass
class Run:
    """An executed notebook; ``failure`` is the report on the cell that stopped it."""

    path: Path
    notebook: nbformat.NotebookNode
    seconds: float
    megabytes: float = 0.0
    failure: str | None = None


def code_cells(notebook):
    """Return the code cells that are executed: those with a source."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]


def syntax_nodes(notebook):
    """Yield every node of the syntax trees of the code cells, magics included."""
    for cell in code_cells(notebook):
        with suppress(SyntaxError):  # a lesson may show one on purpose
            yield from ast.walk(ast.parse(TransformerManager().transform_cell(cell.source)))


def count_checks(notebook):
    """Count the ``assert`` statements and the calls of ``check``."""

    def is_check(node):
        if isinstance(node, ast.Call):
            return "check" in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
        return isinstance(node, ast.Assert)

    return sum(map(is_check, syntax_nodes(notebook)))


def imported(notebook):
    """Return the dotted names of all imports."""
    names = set()
    for node in syntax_nodes(notebook):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def budget_of(notebook):
    """Return the budget of a notebook, the larger one if it imports Keras or TensorFlow."""
    return KERAS_BUDGET if any(map(KERAS.match, imported(notebook))) else NUMPY_BUDGET


def verdict(seconds, megabytes, budget):
    """Compare with a budget; return the remark for the table and whether it is a failure."""
    use = max(seconds / budget.seconds, megabytes / budget.megabytes)
    if use <= 1:
        return "", False
    amount = "more than twice the budget" if use > 2 else "over budget"
    return f"{amount} ({budget.seconds:g} s, {budget.megabytes:g} MB)", use > 2


def execute(path, on_cell=lambda: None):
    """Execute one notebook in a fresh kernel; ``on_cell`` is called after each code cell."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK_MEMORY))
    started = []
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        startup_timeout=CELL_TIMEOUT,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=True,
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=lambda cell, cell_index: started.append(cell_index),
        on_cell_executed=lambda **_: on_cell(),
    )
    run = Run(path, notebook, seconds=0.0)
    start = time.perf_counter()
    try:
        client.execute()
        run.megabytes = int(notebook.cells[-1].outputs[0].data["text/plain"]) * PEAK_UNIT / 1e6
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        run.failure = describe_failure(path, notebook, started[-1], error)
    run.seconds = time.perf_counter() - start
    notebook.cells.pop()
    return run


def describe_failure(path, notebook, index, error):
    """Return the notebook, the cell, its source and the traceback of an error."""
    cell = notebook.cells[index]
    traceback = error.traceback if isinstance(error, CellExecutionError) else str(error)
    if not sys.stdout.isatty():
        traceback = ANSI_COLOURS.sub("", traceback)
    title = f"{path.name}, cell {index + 1} (id {cell.id}) failed:"
    return f"{title}\n\n{textwrap.indent(cell.source, '    ')}\n\n{traceback.strip()}\n"


def execute_all(paths, jobs):
    """Execute notebooks, ``jobs`` at a time, and return their runs in the order given."""
    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    total = sum(len(code_cells(notebook)) + 1 for notebook in notebooks)  # 1: peak memory
    # The threads of a ThreadPool are daemons: Ctrl-C need not wait for the running kernels.
    with ThreadPool(jobs) as pool, tqdm(total=total, unit="cell", disable=None) as bar:
        return list(pool.imap(partial(execute, on_cell=bar.update), paths))


def report(runs, wall_seconds):
    """Print the table of the runs and the failures; return the exit status."""
    failed = False
    width = max(len("notebook"), *(len(run.path.stem) for run in runs))
    print(f"{'notebook':{width}}  {'seconds':>7}  {'peak MB':>7}  {'checks':>6}")
    for run in runs:
        remark, excessive = verdict(run.seconds, run.megabytes, budget_of(run.notebook))
        if run.failure:
            remark = "FAILED"
        failed = failed or excessive or run.failure is not None
        memory = f"{run.megabytes:.0f}" if run.megabytes else "-"
        checks = count_checks(run.notebook)
        row = f"{run.path.stem:{width}}  {run.seconds:7.1f}  {memory:>7}  {checks:6}  {remark}"
        print(row.rstrip())
    remark, excessive = verdict(wall_seconds, 0, Budget(COURSE_SECONDS, float("inf")))
    checks = sum(count_checks(run.notebook) for run in runs)
    print(f"{'together':{width}}  {wall_seconds:7.1f}  {'':7}  {checks:6}  {remark}".rstrip())
    print_failures(runs)
    return int(failed or excessive)


def print_failures(runs):
    """Print the report on each failed notebook."""
    for run in runs:
        if run.failure:
            print(f"\n{run.failure}")


def announced_minutes(notebook):
    """Return the minutes that the first cell of a lesson announces."""
    return int(re.search(r"\*\*Time:\*\* (\d+) minutes", notebook.cells[0].source)[1])


def teaching_table(measured):
    """Return the table of the teaching guide: minutes, and what ``publish`` has measured."""
    exercises = catalogue()
    lines = ["| lesson | minutes | exercises | seconds | peak MB |", "|---|--:|--:|--:|--:|"]
    for name, used in measured["notebooks"].items():
        minutes = announced_minutes(nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4))
        ours = [e.minutes for e in exercises.values() if e.id.startswith(f"{int(name[:2])}.")]
        cells = minutes, sum(ours), round(used["seconds"]), round(used["megabytes"])
        lines.append(f"| [{name[:2]}](notebooks/{name}.ipynb) | {' | '.join(map(str, cells))} |")
    machine = ", ".join(f"{key} {value}" for key, value in measured["machine"].items())
    return "\n".join([*lines, "", f"Measured with {machine}.", ""])


def publish(runs):
    """Write seconds and memory of all lessons to the teaching guide, and to a file beside it."""
    measured = {
        "machine": pages.machine() | {"python": platform.python_version()},
        "notebooks": {
            run.path.stem: {"seconds": round(run.seconds, 1), "megabytes": round(run.megabytes)}
            for run in runs
        },
    }
    data = json.dumps(measured, indent=1) + "\n"
    (GUIDE.parent / "_static" / "course.json").write_text(data, encoding="utf-8")
    text = pages.with_section(GUIDE.read_text(encoding="utf-8"), MARKS, teaching_table(measured))
    GUIDE.write_text(text, encoding="utf-8", newline="\n")


def widget_state(metadata):
    """Return the stored models of the widgets of a notebook, by id."""
    return metadata.get("widgets", {}).get(WIDGET_STATE, {"state": {}})["state"]


def rename_widgets(notebook, stem):
    """Return the notebook with its random widget ids replaced by ``<stem>-<n>``."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    views = [output.get("data", {}).get(WIDGET_VIEW) for output in outputs]
    ids = {*widget_state(notebook.metadata), *(view["model_id"] for view in views if view)}
    if not ids:
        return notebook
    names = {}
    text = re.sub(
        "|".join(ids),
        lambda match: names.setdefault(match[0], f"{stem}-{len(names) + 1}"),
        # Not sorted by key: the order of appearance must not depend on the random ids.
        json.dumps({"cells": notebook.cells, **notebook}),
    )
    return nbformat.from_dict(json.loads(text))


def remove_times(notebook):
    """Remove the elapsed time and the speed from the stored widgets of progress bars."""
    for model in widget_state(notebook.metadata).values():
        if model["model_name"] == "HTMLModel":
            model["state"]["value"] = TQDM_TIMES.sub("", model["state"]["value"])


def copy_alt_text(cell):
    """Copy the alternative text of the figures to where the site looks for it."""
    metadata = [output.get("metadata", {}).get("image/png", {}) for output in cell.outputs]
    alt = " ".join(image["alt"] for image in metadata if "alt" in image)
    site = cell.metadata.pop("mystnb", {})
    image = site.pop("image", {})
    image.pop("alt", None)
    if alt:
        image["alt"] = alt
    if image:
        site["image"] = image
    if site:
        cell.metadata["mystnb"] = site


def without_churn(notebook, stem):
    """Return an executed notebook with all that varies from run to run made constant."""
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"].pop("version", None)
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
        copy_alt_text(cell)
    remove_times(notebook)
    return rename_widgets(notebook, stem)


def output_text(notebook):
    """Return the lines of text in the outputs, each cell's under its id."""
    lines = []
    for cell in code_cells(notebook):
        lines.append(f"[{cell.id}]")
        for output in cell.outputs:
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            lines += (text or output.get("evalue", "")).splitlines()
    return lines


def store(run):
    """Write an executed notebook back and print the text outputs that changed."""
    before = nbformat.read(run.path, as_version=4)
    after = without_churn(run.notebook, run.path.stem)
    run.path.write_text(nbformat.writes(after) + "\n", encoding="utf-8", newline="\n")
    changes = difflib.unified_diff(output_text(before), output_text(after), n=1, lineterm="")
    changes = [line for line in changes if not line.startswith(("---", "+++"))]
    print(f"{run.path.name}: " + ("\n".join(["", *changes]) if changes else "same text outputs"))


def find(names):
    """Return the paths of the named notebooks, or of all."""
    known = sorted(NOTEBOOKS.glob("*.ipynb"))
    paths = []
    for name in names:
        path = Path(name) if name.endswith(".ipynb") else NOTEBOOKS / f"{name}.ipynb"
        if not path.is_file():
            stems = ", ".join(notebook.stem for notebook in known)
            sys.exit(f"There is no notebook {path}. Give a path, or one of these names: {stems}.")
        paths.append(path.resolve())
    return paths or known


def parse(target, arguments):
    """Parse the arguments of a target that runs notebooks; return the paths and the options."""
    parser = argparse.ArgumentParser(prog=f"course.py {target}")
    parser.add_argument("notebooks", nargs="*", help="paths or names (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (default: 2)")
    if target == "course":
        publishing = "measure all, one at a time, and put the figures into docs/teaching.md"
        parser.add_argument("--publish", action="store_true", help=publishing)
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs is {options.jobs}; it must be at least 1")
    paths = find(options.notebooks)
    if not paths:
        parser.error(f"there is no notebook in {NOTEBOOKS}")
    return paths, options


def course(arguments):
    """Execute notebooks, store no output, print the table; return the exit status."""
    paths, options = parse("course", arguments)
    start = time.perf_counter()
    runs = execute_all(find([]), jobs=1) if options.publish else execute_all(paths, options.jobs)
    status = report(runs, time.perf_counter() - start)
    if options.publish and status == 0:
        publish(runs)
    return status


def refresh(arguments):
    """Execute notebooks and store the outputs of those that ran to their end."""
    paths, options = parse("refresh", arguments)
    runs = execute_all(paths, options.jobs)
    for run in runs:
        if not run.failure:
            store(run)
    print_failures(runs)
    return int(any(run.failure for run in runs))
