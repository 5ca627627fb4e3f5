"""The gates of gates.py over all notebooks, and for each gate bad notebooks that it must stop."""

import re
from itertools import pairwise

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from .gates import (
    CLAIMS,
    COURSE_GATES,
    EXERCISES,
    GATES,
    LAST,
    LEDGER,
    NOTEBOOKS,
    binds_equations_to_checks,
    code_cells,
    counts_its_holes,
    decides_each_claim_once,
    decides_its_claims,
    describes_its_figures,
    draws_computed_data,
    has_clean_outputs,
    has_its_sections,
    has_no_private_path,
    has_sound_exercises,
    is_executed_in_order,
    is_of_readable_size,
    is_valid,
    loads_no_keras_early,
    plain,
    quotes_computed_numbers,
    speaks_plainly,
    stays_offline,
)

VERDICTS = {"TRUE", "FALSE", "PARTLY", "MEASURED", "CODE", "UNDECIDED"}


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.__name__)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_gate(path, gate):
    notebook = nbformat.read(path, as_version=4)
    problems = list(gate(notebook, int(path.name[:2])))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("gate", COURSE_GATES, ids=lambda gate: gate.__name__)
def test_course_gate(gate):
    notebooks = {int(path.name[:2]): nbformat.read(path, as_version=4) for path in NOTEBOOKS}
    problems = list(gate(notebooks))
    assert not problems, "\n".join(problems)


def test_ledger_of_claims_is_sound():
    ids = [name for claim in LEDGER for name in claim["ids"]]
    assert len(ids) == len(set(ids))
    for claim in LEDGER:
        assert claim.keys() == {"ids", "claim", "verdict", "right"}
        assert claim["verdict"] in VERDICTS, claim["ids"]
        for part in ("claim", "right"):
            assert claim[part].endswith("."), claim["ids"]
            assert not re.search(r"\*\*|`|\$|\\", claim[part]), f"{claim['ids']}: not plain text"


def test_notebooks_are_numbered_from_00():
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"
    assert all(int(b.name[:2]) > int(a.name[:2]) for a, b in pairwise(NOTEBOOKS))


# The gates on trial: a small good notebook, and what spoils it


RIGHT = CLAIMS["A3"]["right"]


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
        new_markdown_cell("It is 0.046, or 4.6%, by (2.3), not 4.70.", id="e"),
        new_code_cell(
            "axis.plot(x, y[[0, 1, 2]])", id="f", outputs=[new_output("stream", text="0.0458")]
        ),
        new_markdown_cell("**Claim.** One name.\n\n**Why it is tempting.** It is.", id="g"),
        new_markdown_cell(f"**Verdict: FALSE.** **{RIGHT}**", id="h"),
    ]
    cells[4].metadata.given = {"4.70": "log2 26"}
    cells[7].metadata.tags = ["claim-A3"]
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
        new_markdown_cell(task, id=f"{name}-task", metadata={"tags": ["exercise-task"]}),
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


def tag(name, *tags):
    return lambda notebook: cell(notebook, name).metadata.update(tags=[*tags])


def decide_five_claims(notebook):
    pair = [cell(notebook, "g"), cell(notebook, "h")]
    for i in range(4):
        notebook.cells += [NotebookNode(c, id=f"{c.id}{i}") for c in pair]


def decide_two_at_once(notebook, second=CLAIMS["A12"]):
    set_source("g", "It is.", "It is.\n\n**Claim.** Two.\n\n**Why it is tempting.** So.")(notebook)
    cell(notebook, "h").source += f"\n\n**Verdict: {second['verdict']}.** **{second['right']}**"
    tag("h", "claim-A3", "claim-A12")(notebook)


def decide_two_with_one_argument(notebook):
    decide_two_at_once(notebook)
    cell(notebook, "g").source = "**Claim.** One.\n\n**Why it is tempting.** It is."


def exchange_two_verdicts(notebook):
    decide_two_at_once(notebook, CLAIMS["A1"])
    tag("h", "claim-A3", "claim-A1")(notebook)
    for old, new in (("TRUE", "?"), ("FALSE", "TRUE"), ("?", "FALSE")):
        set_source("h", f"Verdict: {old}", f"Verdict: {new}")(notebook)


def put_claim_after_verdict(notebook):
    cell(notebook, "h").source += cell(notebook, "g").source
    cell(notebook, "g").source = ""


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
    (stays_offline, lambda nb: add_code(nb, "!pip install numpy")),
    (stays_offline, lambda nb: add_code(nb, "%pip install numpy")),
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
    (decides_its_claims, tag("h", "claim-A99")),
    (decides_its_claims, tag("h", "claim-B10")),  # an id, but not the first
    (decides_its_claims, tag("b", "see-claim-A99")),
    (decides_its_claims, tag("c", "claim-A3")),
    (decides_its_claims, set_source("h", "FALSE", "PARTLY")),
    (decides_its_claims, set_source("h", RIGHT, RIGHT.replace("one quantity", "two"))),
    (decides_its_claims, set_source("h", f"**{RIGHT}**", RIGHT)),
    (decides_its_claims, lambda nb: cell(nb, "h").update(cell_type="code")),
    (decides_its_claims, set_source("g", "**Claim.**", "")),
    (decides_its_claims, put_claim_after_verdict),
    (decides_its_claims, set_source("g", "**Why it is tempting.**", "")),
    (decides_its_claims, lambda nb: nb.cells.append(cell(nb, "h"))),  # without its own argument
    (decides_its_claims, decide_five_claims),
    (decides_its_claims, decide_two_with_one_argument),
    (decides_its_claims, exchange_two_verdicts),
    (quotes_computed_numbers, set_source("e", "0.046", "0.045")),
    (quotes_computed_numbers, set_source("e", "0.046", "0.0460")),
    (quotes_computed_numbers, set_source("e", "4.6%", "4.7%")),
    (quotes_computed_numbers, set_source("e", "4.6%", "46%")),
    (quotes_computed_numbers, set_source("e", "0.046", "± 3")),
    (quotes_computed_numbers, set_source("e", "(2.3)", "2.3")),
    (quotes_computed_numbers, set_source("e", "4.70", "4.7")),
    (quotes_computed_numbers, lambda nb: cell(nb, "e").metadata.given.update({"4.70": " "})),
    (quotes_computed_numbers, lambda nb: cell(nb, "e").metadata.given.update({"7.7": "stale"})),
    (quotes_computed_numbers, lambda nb: cell(nb, "f").update(outputs=[])),
    (quotes_computed_numbers, lambda nb: cell(nb, "f").metadata.update(tags=["check"])),
    (draws_computed_data, set_source("f", "y[[0, 1, 2]]", "[0.1, 0.2, -0.7]")),
    (draws_computed_data, set_source("f", "y[[0, 1, 2]]", "np.array([0.1, 0.2, 0.7]) * 2")),
    (draws_computed_data, set_source("f", "plot(x, y", "bar(x, height=(1, 2, 3)")),
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


def test_last_notebook_may_decide_any_number_of_claims():
    notebook = good_notebook()
    decide_five_claims(notebook)
    assert list(decides_its_claims(notebook, LAST)) == []


def test_one_cell_may_decide_several_claims():
    notebook = good_notebook()
    decide_two_at_once(notebook)
    assert list(decides_its_claims(notebook, 0)) == []


def test_each_claim_is_decided_once():
    assert list(decides_each_claim_once({0: good_notebook()})) == []
    twice = decides_each_claim_once({0: good_notebook(), 1: good_notebook()})
    assert list(twice) == ["claim A3 is decided 2 times"]
    undecided = list(decides_each_claim_once({0: good_notebook(), LAST: new_notebook()}))
    assert len(undecided) == len(CLAIMS) - 1


@pytest.mark.parametrize(
    "marked_up",
    [
        "KL(P ‖ Q) ≥ 0, and\nlog p² ≤ ½ x",
        r"$\mathrm{KL}(P \,\|\, Q) \ge 0$, and $\log p^2 \le \tfrac{1}{2} x$",
        r"*KL*(P ‖ Q) ≥ 0, and log p^2 ≤ $\frac12 x$",
    ],
)
def test_claims_are_compared_without_their_markup(marked_up):
    assert plain(marked_up) == plain("KL(P ‖ Q) ≥ 0, and log p² ≤ ½ x") == "klpq0andlogp212x"


@pytest.mark.parametrize(
    "text",
    [
        "By (0.1), (2.3) and exercises 1.1 and 1.2 of section 4.5, in 1951.",
        "wordfreq 3.1.1 and Python 3.11, [1.5](https://doi.org/10.5281/9.25), 10 of 26 letters",
        "`x = 1.5`, $x = 1.5$, $$ x = 1.5 \\tag{0.1} $$ <b>",
        "```\n1.5\n```",
        "**Prerequisites:** 1.5 notebooks. **Time:** 1.5 hours.",
    ],
)
def test_what_looks_like_a_number_in_prose(text):
    assert list(quotes_computed_numbers(new_notebook(cells=[new_markdown_cell(text)]), 0)) == []


def test_tasks_and_references_may_hold_any_number():
    task, heading, entry = map(new_markdown_cell, ("1.5", "## References", "volume 1.5, 12%"))
    task.metadata.tags = ["exercise-task"]
    assert list(quotes_computed_numbers(new_notebook(cells=[task, heading, entry]), 0)) == []
