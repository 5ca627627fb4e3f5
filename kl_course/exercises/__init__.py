"""Exercises that answer back: ``check("1.2", entropy_bits)``.

An answer is a function. It is run on the cases of its exercise and compared with the reference
solution. If it goes wrong the way a known misconception does, the report leads on from there. If
it passes, the report counts how many exercises of the lesson have passed in this session.
The exercises of notebook ``01_…`` are the ``EXERCISES`` of module ``ex01_…``.
"""

import copy
import html
import pkgutil
import re
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module

import numpy as np

_SYMBOL = {"passed": "✓", "not attempted": "○", "failed": "✗"}
# Each has a contrast of at least 3:1 on white and on black.
_BORDER = {"passed": "#009E73", "not attempted": "#767676", "failed": "#D55E00"}
_SET_AS_CODE = ("input", "expected", "given", "line")
_passed = set()  # the numbers of the exercises that the learner has passed in this session


class Case:
    """The arguments of one call, and a note that tells the learner why they are tried."""

    def __init__(self, *args, note: str = ""):
        self.args = args
        self.note = note


@dataclass(frozen=True)
class Property:
    """A sentence about the function; ``holds(function, *args)`` is true for each of ``inputs``."""

    sentence: str
    holds: Callable[..., bool]
    inputs: tuple[Case, ...]


@dataclass(frozen=True)
class Exercise:
    """A task, its reference solution, and what is known about the ways to miss it.

    ``misconceptions`` are pairs of a wrong function and the hint for those who wrote it. ``rtol``
    is the tolerance of all comparisons, relative to the value or to 1, whichever is larger.
    """

    id: str
    title: str
    minutes: int
    stub: str
    solution: Callable
    cases: tuple[Case, ...]
    misconceptions: tuple[tuple[Callable, str], ...]
    properties: tuple[Property, ...] = ()
    rtol: float = 1e-9


@dataclass(frozen=True)
class Report:
    """The outcome of a check; ``status`` is "passed", "not attempted" or "failed"."""

    title: str
    status: str
    rows: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the answer passed every case and has every property."""
        return self.status == "passed"

    def __repr__(self) -> str:
        """Return a headline and an indented entry for each row."""
        lines = [f"{_SYMBOL[self.status]} {self.title}: {self.status}"]
        for label, text in self.rows.items():
            lines.append(textwrap.fill(f"  {label:<9} {text}", 88, subsequent_indent=" " * 12))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        lines = [f"<strong>{html.escape(repr(self).splitlines()[0])}</strong>"]
        for label, text in self.rows.items():
            marked = html.escape(f"`{text}`" if label in _SET_AS_CODE else text)
            lines.append(f"{label}: " + re.sub("`(.+?)`", r"<code>\1</code>", marked))
        style = f"border-left: 4px solid {_BORDER[self.status]}; padding-left: 1em"
        return f'<div style="{style}">{"<br>".join(lines)}</div>'


def check(exercise: str, answer: Callable) -> Report:
    """Compare the function ``answer`` with the reference solution of an exercise.

    Parameters
    ----------
    exercise : str
        The number of the exercise, such as ``"1.2"``.
    answer : callable
        The learner's function. What it raises is explained in the report.

    Returns
    -------
    Report
        Shown as HTML by a notebook, and as plain text elsewhere. If the answer passes, it counts
        the exercises of the lesson that have passed since Python was started, but not what a
        function named ``..._solution`` passed: that one is the course's own.

    Raises
    ------
    ValueError
        If there is no such exercise.

    Examples
    --------
    >>> check("0.1", lambda nats: nats / np.log(2))
    ✓ 0.1 From nats to bits: passed
      exercises 1 of 1 passed in this session.
    """
    lesson = catalogue(f"ex{str(exercise).partition('.')[0]:0>2}_")  # imports one chapter only
    if (found := lesson.get(exercise)) is None:
        raise ValueError(f"exercise is {exercise!r}; expected one of {list(catalogue())}")
    report = partial(Report, f"{found.id} {found.title}")
    if answer is None or answer is ...:
        return report("not attempted", {"next": "Write the function, then check it."})
    if not callable(answer):
        name, call = found.solution.__name__, _call(found, found.cases[0])
        return report("failed", {"hint": f"Pass the function itself: `{name}`, not `{call}`."})

    def on_copies(*args):
        return answer(*copy.deepcopy(args))

    outcomes = [_outcome(on_copies, case.args) for case in found.cases]
    if all(out is None or out is ... or isinstance(out, NotImplementedError) for out in outcomes):
        return report("not attempted", {"next": "Replace the `...`, and end with a `return`."})
    rows = _wrong_case(found, outcomes) or _broken_property(found, on_copies)
    rows = {label: text for label, text in rows.items() if text}
    status = "failed" if rows else "passed"
    if status == "passed" and not getattr(answer, "__name__", "").endswith("_solution"):
        _passed.add(exercise)
        rows["exercises"] = f"{len(_passed & {*lesson})} of {len(lesson)} passed in this session."
    return report(status, rows)


def catalogue(prefix: str = "ex") -> dict[str, Exercise]:
    """Return the exercises, by number, of the modules whose name starts with ``prefix``."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = [import_module(f"{__name__}.{name}") for name in names if name.startswith(prefix)]
    return {exercise.id: exercise for module in modules for exercise in module.EXERCISES}


def _outcome(function, args):
    """Return what the call returns, or the exception that it raises."""
    try:
        with np.errstate(all="ignore"):  # log(0) and the like show in the value
            return function(*args)
    except Exception as error:
        return error


def _wrong_case(exercise, outcomes):
    expected = [_outcome(exercise.solution, case.args) for case in exercise.cases]
    for case, given, value in zip(exercise.cases, outcomes, expected, strict=True):
        if not _same(given, value, exercise.rtol):
            return {
                "input": _call(exercise, case),
                "about": case.note,
                "expected": _show(value),
                **_given(given, np.asarray(value)),
                "hint": _hint(exercise, outcomes, expected),
            }
    return {}


def _broken_property(exercise, answer):
    for rule in exercise.properties:
        for case in rule.inputs:
            held = _outcome(rule.holds, (answer, *case.args))
            if not np.array_equal(held, True):
                given = held if isinstance(held, Exception) else _outcome(answer, case.args)
                return {"input": _call(exercise, case), "property": rule.sentence, **_given(given)}
    return {}


def _hint(exercise, outcomes, expected):
    """Return the hint of the first misconception that answers as the learner does.

    Where the answer breaks down, it need not agree: two mistakes often come together, such as a
    wrong unit and a forgotten zero. An exception counts as nan: `math` raises, NumPy does not.
    """
    same = partial(_same, rtol=exercise.rtol)
    outcomes = [np.nan if _numbers(out) is None else out for out in outcomes]
    finite = [bool(np.isfinite(out).all()) for out in outcomes]
    for wrong, hint in exercise.misconceptions:
        values = [_outcome(wrong, case.args) for case in exercise.cases]
        alike = np.array(list(map(same, outcomes, values)))
        mistaken = ~np.array(list(map(same, values, expected)))
        # one agreement may be chance
        if alike.all() or (sum(finite) > 1 and alike[finite].all() and mistaken[finite].any()):
            return hint
    return ""


def _given(given, expected=None):
    if not isinstance(given, Exception):
        problem = "" if expected is None else _problem(_numbers(given), expected)
        return {"given": _show(given), "problem": problem}
    message = "".join(traceback.format_exception_only(given)).strip()
    frames = traceback.extract_tb(given.__traceback__)
    theirs = [f"{f.lineno}: {f.line}" for f in frames if f.line and __path__[0] not in f.filename]
    return {"error": re.sub(r" at 0x[0-9a-fA-F]+", "", message), "line": next(iter(theirs), "")}


def _problem(numbers, expected):
    """Say in words what is odd about a wrong value, unless it is merely another number."""
    if numbers is None or numbers.shape != expected.shape:
        shape = f"an array of shape {expected.shape}" if expected.ndim else "a single number"
        return f"The result should be {shape}. Look at what your `return` hands back."
    if np.isnan(numbers).any():
        return "nan is “not a number”: it comes from 0/0, 0 · inf or inf - inf."
    close = _show(numbers) == _show(expected)
    return "The two values differ by less than the six digits shown." if close else ""


def _numbers(value):
    """Return the value as an array of real numbers, or None if it is something else."""
    array = np.asarray(_outcome(np.asarray, (value,)))  # holds the error of a ragged list
    return array if array.dtype.kind in "iuf" else None


def _same(value, other, rtol):
    value, other = _numbers(value), _numbers(other)
    if value is None or other is None or value.shape != other.shape:
        return False
    return np.allclose(value, other, rtol=rtol, atol=rtol, equal_nan=True)


def _call(exercise, case):
    return f"{exercise.solution.__name__}({', '.join(map(_show, case.args))})"


def _show(value):
    """Return a short text, the same in each run, with numbers rounded to six digits."""
    if (numbers := _numbers(value)) is None:
        return f"a value of type {type(value).__name__}"
    six = {"all": lambda number: f"{number + 0.0:.6g}"}  # + 0.0 makes 0 of a puzzling -0
    return " ".join(np.array2string(numbers, formatter=six, separator=", ", threshold=24).split())
