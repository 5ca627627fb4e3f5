"""The gates over all notebooks.

A gate takes a notebook and its number, a course gate all notebooks by number; it yields what is
wrong, in words. That the stored outputs are still true is nbval's part (``make test``).
"""

import ast
import re
import tomllib
import unicodedata
from collections import Counter
from itertools import chain
from pathlib import Path

import nbformat

from kl_course.exercises import catalogue
from notebooks import KERAS, WIDGET_VIEW, imported

NOTEBOOKS = sorted(Path(__file__).parents[1].joinpath("notebooks").glob("*.ipynb"))
LEDGER = tomllib.loads(NOTEBOOKS[0].with_name("claims.toml").read_text(encoding="utf-8"))["claim"]
CLAIMS = {claim["ids"][0]: claim for claim in LEDGER}
LAST = 12  # the notebook that decides what is left
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


def headings(notebook):
    """Return (level, title) of all headings, those in fenced code excluded."""
    text = "\n\n".join(cell.source for cell in prose(notebook))
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", text, flags=re.M)]


# Form


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
        if number in NUMPY_ONLY and KERAS.match(name):
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


# Claims


def plain(text):
    r"""Reduce text to its ASCII letters and digits, for a comparison that forgives the markup.

    The ledger writes p² and KL(P ‖ Q) ≥ 0, a notebook perhaps $p^2$ and
    $\mathrm{KL}(P \,\|\, Q) \ge 0$. So \log becomes log, other commands of TeX go, raised and
    lowered signs become plain ones, and the rest goes: with it relations and Greek letters.
    """
    text = re.sub(r"\\(log|ln|exp|max|min|det)(?![a-z])", r"\1", text)
    text = re.sub(r"\\[A-Za-z]+", "", text)
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", text).lower())


def claims_of(cell):
    """Return the ids of the claims that a cell decides, by its tags."""
    return [tag.removeprefix("claim-") for tag in tags(cell) if tag.startswith("claim-")]


def decided_claims(notebook):
    return list(chain.from_iterable(map(claims_of, notebook.cells)))


def decides_its_claims(notebook, number):
    for tag in chain.from_iterable(map(tags, notebook.cells)):
        if re.match("(see-)?claim-", tag) and tag.partition("claim-")[2] not in CLAIMS:
            yield f"the tag {tag} names no claim by its first id"
    if len(decided_claims(notebook)) > 4 and number != LAST:
        yield "more than 4 claims are decided"
    start = 0
    for end, cell in enumerate(notebook.cells):
        names = claims_of(cell)
        if names:
            argument = "\n".join(c.source for c in notebook.cells[start : end + 1])
            argument = argument.partition("**Verdict:")[0]
            for name in names:
                yield from verdict_problems(cell, CLAIMS.get(name))
            for part in ("**Claim.**", "**Why it is tempting.**"):
                if argument.count(part) < len(names):
                    yield f"{cell.id}: too few {part} between the verdict before and this one"
            start = end + 1


def verdict_problems(cell, claim):
    """Yield what a deciding cell lacks, compared with one of its claims in the ledger."""
    if claim is None or cell.cell_type != "markdown":
        yield f"{cell.id}: a claim of the ledger is decided in Markdown"
        return
    verdicts = {}
    for verdict, text in re.findall(
        r"\*\*Verdict: (\w+)\.\*\*(.*?)(?=\*\*Verdict: |\Z)", cell.source, flags=re.S
    ):
        for bold in re.findall(r"\*\*(.+?)\*\*", text, flags=re.S):
            verdicts[plain(bold)] = verdict
    if plain(claim["right"]) not in verdicts:
        yield f"{cell.id}: not in bold after a verdict, as in the ledger: {claim['right']}"
    elif verdicts[plain(claim["right"])] != claim["verdict"]:
        yield f"{cell.id}: the verdict of the ledger is {claim['verdict']}: {claim['right']}"


def decides_each_claim_once(notebooks):
    decided = Counter(name for nb in notebooks.values() for name in decided_claims(nb))
    yield from (f"claim {name} is decided {n} times" for name, n in decided.items() if n > 1)
    if LAST in notebooks:
        yield from (f"claim {name} is nowhere decided" for name in CLAIMS.keys() - decided.keys())


# Numbers in prose

NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]+\$|\\begin\{.*?\\end\{.*?\}"  # code and mathematics
    r"|!?\[[^\]]*\]\([^)]*\)|https?://\S+|</?\w[^>]*>|^\*\*(?:Prerequisites|Time):.*?$"
    r"|\b(?:exercise|equation|section|chapter|version|Python|NumPy|Keras|TensorFlow)s?"
    r" [\d.]+(?:(?:,| and| to) \d+\.\d+)*",
    flags=re.S | re.M | re.I,
)
NUMBER = re.compile(
    r"(?<![\w.])(?P<pm>±\s?)?(?P<value>(?:\d+(?:,\d{3})*(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?)"
    r"(?P<percent>\s?%)?(?!\.?\d)"
)


def numbers(text):
    """Return, for each number without its blanks, its size and half a unit of its last digit."""
    found = {}
    for match in NUMBER.finditer(text):
        digits, _, exponent = match["value"].replace(",", "").partition("e")
        scale = 10.0 ** int(exponent or 0) / (100 if match["percent"] else 1)
        half = 0.5 * 10.0 ** -len(digits.partition(".")[2]) * scale
        found[re.sub(r"\s", "", match[0])] = float(digits) * scale, half
    return found


def lesson_text(notebook, number):
    """Yield (cell, text): the prose up to the references, without tasks and equation numbers."""
    equation = re.compile(rf"\((?:{number}|[1-9]|1[0-2])\.[1-9]\d?\)")
    for cell in prose(notebook):
        text, references, _ = cell.source.partition("## References")
        if "exercise-task" not in tags(cell):
            yield cell, equation.sub("", NOT_PROSE.sub("", text))
        if references:
            return


def computed_numbers(notebook):
    """Return the sizes of the numbers in the text outputs, those of exercises excluded."""
    cells = [c for c in code_cells(notebook) if not {"check", "solution"} & set(tags(c))]
    outputs = [output for cell in cells for output in cell.outputs]
    results = [o for o in outputs if not {"image/png", WIDGET_VIEW} & o.get("data", {}).keys()]
    text = "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in results)
    return [size for size, _ in numbers(text).values()]


def quotes_computed_numbers(notebook, number):
    """Compare sizes only: prose says “0.18 too low” where the output says −0.183."""
    computed = computed_numbers(notebook)
    for cell, text in lesson_text(notebook, number):
        given = cell.metadata.get("given", {})
        quoted = {n: size for n, size in numbers(text).items() if re.search("[.%±]", n)}
        for n, (size, half) in quoted.items():
            if n not in given and not any(abs(x - size) <= half * (1 + 1e-9) for x in computed):
                yield f"{cell.id}: {n} is in no output, nor given with its source"
        for n, source in given.items():
            if n not in quoted or not source.strip():
                yield f"{cell.id}: {n} is given without its source, or not in the text"


# Figures

PLOTS = re.compile(r".*plot|step|scatter|bar|stem|hist$|errorbar|fill|imshow|(tri)?contour|pcolor")
DATA = {"x", "y", "height", "width", "bottom", "left", "xerr", "yerr"}


def is_typed(node):
    """Tell whether three or more literal numbers stand together in a node, indices apart."""
    if isinstance(node, ast.Subscript):
        return is_typed(node.value)
    items = node.elts if isinstance(node, ast.List | ast.Tuple) else ()
    items = [getattr(item, "operand", item) for item in items]  # -1 is a minus and a 1
    numbers = [n for n in items if isinstance(getattr(n, "value", None), int | float)]
    return len(numbers) >= 3 or any(map(is_typed, ast.iter_child_nodes(node)))


def draws_computed_data(notebook, number):
    """Find numbers that are typed into a plotting call.

    With tools/rendering.py, which compares each picture with what its code draws now, this proves
    that no figure is pasted in or typed into a call. Results typed into a variable first pass.
    """
    for cell in code_cells(notebook):
        for call in ast.walk(tree(cell)):
            if isinstance(call, ast.Call) and PLOTS.match(getattr(call.func, "attr", "")):
                keywords = [keyword.value for keyword in call.keywords if keyword.arg in DATA]
                if any(map(is_typed, [*call.args, *keywords])):
                    yield f"{cell.id}: .{call.func.attr}() draws numbers that are typed into it"


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
    decides_its_claims,
    quotes_computed_numbers,
    draws_computed_data,
]
COURSE_GATES = [decides_each_claim_once]
