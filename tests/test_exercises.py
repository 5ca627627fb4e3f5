"""Every exercise of every catalogue, and the engine that judges the answers."""

import ast
import functools
import inspect
import math
import subprocess
import sys

import numpy as np
import pytest

from kl_course import exercises
from kl_course.exercises import Case, Exercise, Property, catalogue, check

ALL = catalogue()
every_exercise = pytest.mark.parametrize("exercise", ALL.values(), ids=ALL.keys())
every_misconception = pytest.mark.parametrize(
    ("exercise", "wrong", "hint"),
    [
        pytest.param(exercise, wrong, hint, id=f"{exercise.id}-{number}")
        for exercise in ALL.values()
        for number, (wrong, hint) in enumerate(exercise.misconceptions, start=1)
    ],
)


# Every exercise


@every_exercise
def test_solution_passes(exercise):
    report = check(exercise.id, exercise.solution)
    assert report.passed, report


@every_exercise
def test_solution_raises_no_warning_on_its_cases(exercise, recwarn):
    for case in exercise.cases:
        assert not np.isnan(exercise.solution(*case.args)).any()
    assert not recwarn.list


@every_exercise
def test_stub_is_not_attempted(exercise):
    namespace = {}
    exec(exercise.stub, namespace)
    stub = namespace[exercise.solution.__name__]
    assert check(exercise.id, stub).status == "not attempted"
    assert stub.__doc__
    assert inspect.signature(stub) == inspect.signature(exercise.solution)


@every_misconception
def test_misconception_gets_its_own_hint(exercise, wrong, hint):
    report = check(exercise.id, wrong)
    assert report.status == "failed"
    assert report.rows["hint"] == hint


@every_exercise
def test_exception_is_explained(exercise):
    def answer(*args):
        raise RuntimeError("out of luck")

    report = check(exercise.id, answer)
    assert report.status == "failed"
    assert report.rows["error"] == "RuntimeError: out of luck"
    assert report.rows["line"].endswith('raise RuntimeError("out of luck")')
    assert "hint" not in report.rows


@every_exercise
def test_text_is_there_and_gives_nothing_away(exercise):
    (function,) = ast.parse(inspect.getsource(exercise.solution)).body
    answer = ast.unparse(function.body[-1].value)
    hints = [hint for _, hint in exercise.misconceptions]
    assert exercise.title
    assert exercise.minutes > 0
    assert len(set(hints)) == len(hints) > 0
    for hint in hints:
        assert len(hint.split()) >= 10
        assert answer not in hint


def test_number_belongs_to_the_module():
    for number, exercise in ALL.items():
        chapter, position = map(int, number.split("."))
        assert exercise.solution.__module__.rpartition(".")[2].startswith(f"ex{chapter:02}_")
        assert position >= 1
    assert list(ALL) == sorted(ALL, key=lambda number: [int(part) for part in number.split(".")])


@every_exercise
def test_properties_are_not_vacuous(exercise):
    """Each property rejects some function that returns numbers, so it can fail at all."""
    answers = [lambda *args: -1.0, lambda *args: 1e6, lambda *args: 1.0 + np.ravel(args[0])[-1]]
    for rule in exercise.properties:
        held = [rule.holds(answer, *case.args) for case in rule.inputs for answer in answers]
        assert not all(held), rule.sentence


# The engine, on an exercise of its own


def scale(values, factor):
    return factor * values


TOY = Exercise(
    id="0.9",
    title="Scale <values>",
    minutes=1,
    stub="",
    solution=scale,
    cases=(
        Case(np.array([1.0, 2.0]), 3.0),
        Case(np.array([0.0, -1.5]), 0.5, note="Half of `values`."),
    ),
    properties=(
        Property(
            "A factor of one changes nothing.",
            lambda f, values: np.array_equal(f(values, 1.0), values),
            inputs=(Case(np.array([5.0])),),
        ),
    ),
    misconceptions=((lambda values, factor: values, "You have not scaled anything."),),
    rtol=1e-6,
)


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setattr(exercises, "catalogue", lambda prefix="ex": {TOY.id: TOY})
    return lambda answer: check("0.9", answer)


def test_report_shows_input_expected_and_given(toy):
    report = toy(lambda values, factor: values / factor)
    assert repr(report) == (
        "✗ 0.9 Scale <values>: failed\n"
        "  input     scale([1, 2], 3)\n"
        "  expected  [3, 6]\n"
        "  given     [0.333333, 0.666667]"
    )


def test_note_of_the_failing_case_is_shown(toy):
    report = toy(lambda values, factor: np.abs(factor * values))
    assert report.rows["input"] == "scale([0, -1.5], 0.5)"
    assert report.rows["about"] == "Half of `values`."


def test_tolerance_is_that_of_the_exercise(toy):
    assert toy(lambda values, factor: factor * values * (1 + 1e-7)).status == "failed"  # property
    assert "property" in toy(lambda values, factor: factor * values * (1 + 1e-7)).rows
    assert "property" not in toy(lambda values, factor: factor * values * (1 + 1e-5)).rows


def test_difference_beyond_the_digits_shown_is_mentioned(toy):
    report = toy(lambda values, factor: factor * values + 4e-6)
    assert report.rows["problem"] == "The two values differ by less than the six digits shown."


def test_broken_property_is_named(toy):
    report = toy(lambda values, factor: factor * values if values.size > 1 else -values)
    assert report.rows["property"] == "A factor of one changes nothing."
    assert report.rows["input"] == "scale([5])"
    assert not report.passed


def test_answer_cannot_change_the_cases(toy):
    def answer(values, factor):
        values *= factor
        return values

    assert toy(answer).passed
    assert toy(answer).passed
    assert TOY.cases[0].args[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("answer", [None, ..., lambda values, factor: None, lambda *args: ...])
def test_nothing_yet_is_not_attempted(toy, answer):
    assert toy(answer).status == "not attempted"


def test_not_implemented_is_not_attempted(toy):
    def answer(values, factor):
        raise NotImplementedError

    assert toy(answer).status == "not attempted"


def test_nothing_on_one_case_only_is_a_failure(toy):
    report = toy(lambda values, factor: None if factor < 1 else factor * values)
    assert report.status == "failed"
    assert report.rows["given"] == "a value of type NoneType"


def test_value_instead_of_function(toy):
    report = toy(1.5)
    assert report.status == "failed"
    assert report.rows["hint"] == "Pass the function itself: `scale`, not `scale([1, 2], 3)`."


@pytest.mark.parametrize("result", ["<script>", {1: 2}, True, 1j, [[1], [1, 2]], object()])
def test_wrong_type_is_explained(toy, result):
    report = toy(lambda values, factor: result)
    assert report.rows["given"] == f"a value of type {type(result).__name__}"
    assert report.rows["problem"].startswith("The result should be an array of shape (2,).")


def test_wrong_shape_is_explained(toy):
    report = toy(lambda values, factor: np.sum(factor * values))
    assert report.rows["problem"].startswith("The result should be an array of shape (2,).")


def test_missing_sum_is_explained():
    report = check("1.1", lambda p: -p * np.log2(p))
    assert report.rows["given"] == "[0.5, 0.5]"
    assert report.rows["problem"].startswith("The result should be a single number.")


def test_nan_is_explained(toy):
    report = toy(lambda values, factor: values * np.nan)
    assert "not a number" in report.rows["problem"]
    assert "hint" not in report.rows


def test_list_is_as_good_as_array(toy):
    assert toy(lambda values, factor: [factor * value for value in values]).passed


def test_pure_python_answer_passes():
    assert check("1.1", lambda p: -sum(float(x) * math.log2(x) for x in p if x)).passed


def test_nan_and_math_domain_error_lead_to_the_same_hint():
    with_numpy = check("1.1", lambda p: -np.sum(p * np.log2(p)))
    with_math = check("1.1", lambda p: -sum(x * math.log2(x) for x in p))
    assert with_math.rows["error"].startswith("ValueError")
    assert with_math.rows["hint"] == with_numpy.rows["hint"]


def test_two_mistakes_at_once_still_get_a_hint():
    report = check("1.1", lambda p: -np.sum(p * np.log(p)))  # wrong unit, and nan for a zero
    assert "nats" in report.rows["hint"]


def test_no_hint_when_the_answer_is_right_wherever_it_is_finite():
    """Such an answer resembles log2(K) on uniform p, and nan for a zero; it is neither."""

    def answer(p):
        return np.log2(p.size) if (p == p[0]).all() else np.nan

    report = check("1.1", answer)
    assert report.status == "failed"
    assert "hint" not in report.rows


def test_one_agreement_among_failures_may_be_chance():
    def answer(p):
        if p.size != 2:
            raise ValueError("two symbols only")
        return {0.5: np.log(2)}.get(p[0], np.inf)  # as if in nats, for the first case alone

    assert "hint" not in check("1.1", answer).rows


def test_one_number_in_an_array_is_not_a_number():
    report = check("1.1", lambda p: [ALL["1.1"].solution(p)])
    assert report.rows["problem"].startswith("The result should be a single number.")


def test_rounding_near_zero_is_no_mistake():
    assert check("1.1", lambda p: ALL["1.1"].solution(p) + 1e-12).passed


def test_minus_zero_is_shown_as_zero():
    report = check("1.1", lambda p: ALL["1.1"].solution(p) + (p.max() == 1))
    assert report.rows["expected"] == "0"


def test_missing_argument_is_explained(toy):
    assert (
        "takes 1 positional argument but 2 were given" in toy(lambda values: values).rows["error"]
    )


def test_learner_content_is_escaped(toy):
    def answer(values, factor):
        raise ValueError("<script>alert('`&`')</script>")

    page = toy(answer)._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "Scale &lt;values&gt;" in page


def test_status_has_a_word_and_a_symbol(toy):
    page = toy(lambda values, factor: values)._repr_html_()
    assert "✗ 0.9" in page
    assert ": failed" in page
    assert "color:" not in page.replace(" ", "")  # the theme's own text colour


def test_report_holds_no_memory_address(toy):
    def answer(values, factor):
        raise TypeError(f"unsupported: {object()}")

    assert (
        repr(toy(answer)).splitlines()[-2] == "  error     TypeError: unsupported: <object object>"
    )
    assert "0x" not in repr(toy(lambda values, factor: object()))


def test_unexpected_exception_types_do_not_escape(toy):
    class BadStringError(Exception):
        def __str__(self):
            raise RuntimeError

    def answer(values, factor):
        raise BadStringError

    assert toy(answer).rows["error"].endswith("BadStringError: <exception str() failed>")


# The progress that a passed report tells


@pytest.fixture
def session(monkeypatch):
    """Forget what other tests have passed."""
    monkeypatch.setattr(exercises, "_passed", set())


def count_of(number, answer):
    return check(number, answer).rows.get("exercises")


def test_a_pass_counts_the_exercises_of_its_lesson(session):
    assert count_of("1.2", ALL["1.2"].solution) == "1 of 3 passed in this session."
    assert count_of("2.1", ALL["2.1"].solution) == "1 of 2 passed in this session."
    assert count_of("1.1", ALL["1.1"].solution) == "2 of 3 passed in this session."
    assert count_of("1.1", ALL["1.1"].solution) == "2 of 3 passed in this session."
    assert count_of("1.3", ALL["1.3"].solution) == "3 of 3 passed in this session."


def test_lessons_whose_numbers_begin_alike_are_counted_apart(session):
    check("1.1", ALL["1.1"].solution)
    assert count_of("10.1", ALL["10.1"].solution) == "1 of 3 passed in this session."


def test_what_does_not_pass_neither_counts_nor_shows_a_count(session):
    assert count_of("1.1", None) is None
    assert count_of("1.1", lambda p: ...) is None
    assert count_of("1.1", lambda p: 0.0) is None
    assert count_of("1.1", 2.0) is None
    assert count_of("1.2", ALL["1.2"].solution) == "1 of 3 passed in this session."


def test_the_solution_in_a_notebook_is_not_the_learners(session):
    def entropy_bits_solution(p):
        return ALL["1.1"].solution(p)

    report = check("1.1", entropy_bits_solution)
    assert report.passed
    assert repr(report) == "✓ 1.1 Entropy of a probability vector: passed"
    assert count_of("1.2", ALL["1.2"].solution) == "1 of 3 passed in this session."


def test_an_answer_need_not_have_a_name(session):
    assert count_of("1.1", functools.partial(ALL["1.1"].solution)).startswith("1 of 3")


@pytest.mark.parametrize("name", ["13.1", "1.99", "1", "", "x", 1.2])
def test_unknown_exercise(name):
    with pytest.raises(ValueError, match=r"expected one of \['0\.1', '1\.1'") as caught:
        check(name, scale)
    assert repr(name) in str(caught.value)


def test_prints_of_the_learner_are_left_alone(toy, capsys):
    def answer(values, factor):
        print("here")
        return factor * values

    assert toy(answer).passed
    assert capsys.readouterr().out.startswith("here\nhere\n")


def test_only_the_chapter_asked_for_is_imported_and_numpy_suffices():
    program = (
        "import sys; from kl_course.exercises import check; check('0.1', None);"
        "heavy = {'kl_course.exercises.ex01_entropy', 'scipy', 'matplotlib', 'keras', 'sklearn'};"
        "print(heavy & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout == "set()\n", result.stderr
