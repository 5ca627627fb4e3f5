"""The museum of notebook 12: a check of the course catches each of its published mistakes.

The mistakes are the functions of the cells tagged museum: here they meet the exercises' checkers,
the package's validation, or a second method.
"""

import ast
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from scipy import integrate, special

import kl_course
from kl_course.exercises import check

from .gates import computed_numbers, quotes_computed_numbers

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "12_claims_on_trial.ipynb"
CELLS = nbformat.read(NOTEBOOK, as_version=4).cells
P, Q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.2, 0.3, 0.3])
LN2 = np.log(2)


def exhibits(tag):
    """Return the functions that the cells with a tag define; the rest of the cells is not run."""
    sources = [cell.source for cell in CELLS if tag in cell.metadata.get("tags", [])]
    nodes = [node for source in sources for node in ast.parse(source).body]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    names = vars(kl_course) | {"np": np, "integrate": integrate}
    exec(compile(ast.Module(functions, type_ignores=[]), NOTEBOOK.name, "exec"), names)
    return {node.name: names[node.name] for node in functions}


MUSEUM = exhibits("museum")


def mean_over_rows(f):
    return lambda teacher, student, temperature: np.mean(f(teacher, student, temperature))


# Mistakes that an exercise recognises: the exercise, and the answer that makes the mistake.
IN_EXERCISES = {
    "unweighted": ("2.1", lambda f: lambda p, q: f(p, q) / LN2),
    "half_weighted": ("2.1", lambda f: lambda p, q: f(p, q) / LN2),
    "reversed_kl": ("2.1", lambda f: lambda p, q: f(p, q) / LN2),
    "clipped_kl": ("2.1", lambda f: lambda p, q: f(p, q) / LN2),
    "entries_as_sample": ("12.1", lambda f: lambda x, y: f(x, y, np.mean(y), np.std(y))),
    "samples_as_probabilities": ("12.1", lambda f: f),
    "information_with_foreign_marginals": (
        "12.2",
        lambda f: (
            lambda counts: f(
                counts / counts.sum(),
                np.full(len(counts), 1 / len(counts)),
                counts.sum(axis=0) / counts.sum(),
            )
        ),
    ),
    "entropy_called_bits": ("1.1", lambda f: f),
    "entropy_of_uniform": ("1.1", lambda f: lambda p: f(len(p)) / LN2),
    "swapped_distillation": ("9.2", mean_over_rows),
    "unscaled_distillation": ("9.2", mean_over_rows),
    "logits_as_probabilities": ("9.2", mean_over_rows),
    "latent_kl_mean": ("4.3", lambda f: f),
    "typed_optimum": ("5.3", lambda f: f),
    "mean_of_all_entries": (
        "6.2",
        lambda f: lambda targets, z: f(targets, z - special.logsumexp(z, axis=1, keepdims=True)),
    ),
    "normal_kl_without_spread": ("4.1", lambda f: f),
    "mvn_kl_without_d": ("4.2", lambda f: f),
    "elbo_from_evidence": (
        "8.1",
        lambda f: (
            lambda x, weight, noise, mean, std: f(
                np.exp(-(x**2) / (2 * (weight**2 + noise**2)))
                / np.sqrt(2 * np.pi * (weight**2 + noise**2)),
                kl_course.normal_kl(
                    mean_p=mean,
                    std_p=std,
                    mean_q=weight * x / (weight**2 + noise**2),
                    std_q=noise / np.sqrt(weight**2 + noise**2),
                ),
            )
        ),
    ),
}
# Those for which the exercise also has the words: a part of the hint that leads on.
HINTS = {
    "unweighted": "with equal weight",
    "half_weighted": "has lost its weight",
    "reversed_kl": "the other direction",
    "samples_as_probabilities": "points of the samples as probabilities",
    "entries_as_sample": "difference of variances",
    "information_with_foreign_marginals": "equally likely rows",
    "entropy_called_bits": "in nats",
    "swapped_distillation": "swapped the roles",
    "unscaled_distillation": "T² is missing",
    "logits_as_probabilities": "never meet a softmax",
    "latent_kl_mean": "mean over the coordinates",
    "mean_of_all_entries": "divided by the number of classes",
}


@pytest.mark.parametrize("name", IN_EXERCISES)
def test_exercise_catches(name):
    exercise, as_answer = IN_EXERCISES[name]
    report = check(exercise, as_answer(MUSEUM[name]))
    assert report.status == "failed", report
    assert "error" not in report.rows, "it fails by its value, not by an exception"


@pytest.mark.parametrize("name", HINTS)
def test_exercise_explains(name):
    exercise, as_answer = IN_EXERCISES[name]
    assert HINTS[name] in check(exercise, as_answer(MUSEUM[name])).rows["hint"]


def test_every_exhibit_is_on_trial():
    others = {"kl_from_cut_integral", "unchecked_conditional_entropy", "normalising_entropy"}
    assert MUSEUM.keys() == IN_EXERCISES.keys() | others


def test_closed_form_catches_the_cut_integral():
    a, b = 0.1, 0.2

    def density(x):
        return x ** (a - 1) * (1 - x) ** (b - 1) / special.beta(a, b)

    shape = special.psi([a, b]) - special.psi(a + b)
    exact = -special.betaln(a, b) + np.array([a - 1, b - 1]) @ shape
    values = [MUSEUM["kl_from_cut_integral"](density, cut) for cut in (1e-5, 1e-10)]
    assert exact == pytest.approx(4.977342, abs=1e-6)
    assert values[0] == pytest.approx(1.0036, abs=1e-4)
    assert values[1] > 2 * values[0], "the value still moves with the cut: not converged"


def test_package_refuses_what_the_museum_lets_pass():
    joint = 1.1 * np.array([[0.3, 0.2], [0.3, 0.2]])
    assert np.isfinite(MUSEUM["unchecked_conditional_entropy"](joint))
    with pytest.raises(ValueError, match=r"p_xy sums to 1\.1"):
        kl_course.mutual_information(joint)
    assert np.isfinite(MUSEUM["normalising_entropy"]([1, 2, 1]))
    with pytest.raises(ValueError, match="p sums to 4"):
        kl_course.entropy([1, 2, 1])
    logs = np.log(P)
    with pytest.raises(ValueError, match="expected"):
        kl_course.kl_divergence(logs, np.log(Q))


def test_published_values():
    """The mistakes are those that were published, digit by digit."""
    x, y = np.random.default_rng(0).normal([[0], [1]], 1, size=(2, 10_000))
    assert MUSEUM["unweighted"](P, Q) == pytest.approx(-0.405465, abs=1e-6)
    assert MUSEUM["half_weighted"](P, Q) == pytest.approx(4.346967, abs=1e-6)
    assert MUSEUM["entries_as_sample"](P, Q) == pytest.approx(-2.222659, abs=1e-6)
    assert 8000 < MUSEUM["samples_as_probabilities"](x, y) < 9500
    assert 12_500 < MUSEUM["samples_as_probabilities"](y, x) < 14_500
    assert MUSEUM["clipped_kl"]([0.5, 0.5], [1, 0]) == pytest.approx(7.37, abs=0.005)
    teacher, student = np.array([2.0, 0, -1]), np.array([0.0, 1, 0])
    assert MUSEUM["logits_as_probabilities"](teacher, student, 3) == pytest.approx(10.475, abs=1e-3)
    assert MUSEUM["normal_kl_without_spread"](1, 1, 0, 1) == 0
    assert MUSEUM["mvn_kl_without_d"](np.zeros(2), np.eye(2), np.zeros(2), np.eye(2)) == 1


def test_gate_catches_a_number_that_nothing_computed():
    """Prose that says .978 where the output says .969."""
    printed = new_output("stream", text="0.969")
    cells = [new_code_cell("", outputs=[printed]), new_markdown_cell("The student has .978.")]
    notebook = new_notebook(cells=cells)
    assert computed_numbers(notebook) == [0.969]
    assert list(quotes_computed_numbers(notebook, 12))


def test_programs_are_caught():
    programs = exhibits("museum-programs")
    student, teacher = np.log(P), np.log(Q)
    assert np.isnan(programs["kl_div_loss"](teacher, student)), "logarithms for probabilities"
    assert programs["kl_div_loss"](teacher, P) == pytest.approx(kl_course.kl_divergence(P, Q))
    uniform = np.full(10, 0.1)
    assert programs["extra_term"](uniform) == pytest.approx(96.697, abs=1e-3)
    assert kl_course.kl_divergence(uniform, uniform) == 0
    nn = pytest.importorskip("kl_course.nn")
    with pytest.raises(ValueError, match="a probability for each of K classes"):
        nn.check_targets(np.array([[0.0], [1.0]]))
    with pytest.raises(ValueError, match="sums to"):
        nn.check_targets(np.random.default_rng(0).random((5, 10)))
