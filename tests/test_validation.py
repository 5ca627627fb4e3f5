"""Bad input gets a ValueError that names the argument, the place, the value and the remedy."""

import re

import numpy as np
import pytest

import kl_course as kc
from kl_course._validation import fraction, number_from_zero

from .test_discrete import PAIR_FUNCTIONS

HALVES = [0.5, 0.5]
ROWS = np.full((5, 4), 0.25)


def raises(*fragments):
    """Expect a ValueError whose message holds all fragments, in any order, as whole words."""
    words = (rf"(?<![\w.]){re.escape(fragment)}(?![\w])" for fragment in fragments)
    return pytest.raises(ValueError, match="(?s)^" + "".join(f"(?=.*{word})" for word in words))


def pair_function(test):
    return pytest.mark.parametrize("function", PAIR_FUNCTIONS, ids=lambda f: f.__name__)(test)


BAD_ENTRIES = {
    "negative": ([[0.5, 0.5], [1.25, -0.25]], ["[1, 1]", "-0.25", "expected"]),
    "slightly negative": ([1.0, -1e-20], ["[1]", "-1e-20", "expected"]),
    "nan": ([[0.5, np.nan], [0.5, 0.5]], ["[0, 1]", "nan", "expected"]),
    "infinite": ([np.inf, 0.0], ["[0]", "inf", "expected"]),
    "nan in float32": (np.array([1, 0, np.nan], np.float32), ["[2]", "nan", "expected"]),
}
BAD_ARRAYS = {
    "complex": ([0.5, 0.5 + 0j], ["complex128", "real numbers"]),
    "strings": (["0.5", "0.5"], ["real numbers"]),
    "objects": ([None, 1.0], ["object", "real numbers"]),
    "ragged": ([[0.5, 0.5], [1.0]], ["equal length"]),
    "no symbols": ([], ["empty", "(0,)"]),
    "rows without symbols": (np.ones((3, 0)), ["empty", "(3, 0)"]),
    "no rows": (np.ones((0, 3)), ["empty", "(0, 3)"]),
}


def same_size(values):
    """Return a distribution over as many symbols as `values` has, to go with bad ones."""
    size = max(1, np.shape(values)[-1])
    return np.full(size, 1 / size)


@pytest.mark.parametrize(("values", "fragments"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
@pair_function
def test_a_bad_entry_is_named(function, values, fragments):
    place, *rest = fragments
    with raises("p" + place, *rest):
        function(values, same_size(values))
    with raises("q" + place, *rest):
        function(same_size(values), values)


@pytest.mark.parametrize(("values", "fragments"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_bad_entry_is_named_by_functions_of_one_argument(values, fragments):
    place, *rest = fragments
    with raises("p" + place, *rest):
        kc.entropy(values)


def test_a_bad_entry_of_a_joint_distribution_is_named():
    tables = np.full((3, 2, 2), 0.25)
    tables[2, 0, 1] = -0.25
    with raises("p_xy[2, 0, 1]", "-0.25", "expected"):
        kc.mutual_information(tables)
    with raises("p_xy", "empty", "(0, 2)"):
        kc.mutual_information(np.ones((0, 2)))


@pytest.mark.parametrize(("values", "fragments"), BAD_ARRAYS.values(), ids=BAD_ARRAYS)
def test_an_array_of_the_wrong_kind_is_named(values, fragments):
    with raises("p", *fragments):
        kc.entropy(values)
    for function in PAIR_FUNCTIONS:
        with raises("p", *fragments):
            function(values, HALVES)
        with raises("q", *fragments):
            function(HALVES, values)


def test_one_number_is_no_distribution():
    with raises("p", "1.0", "expected", "vector"):
        kc.entropy(1.0)
    with raises("p", "()", "q", "(2,)", "expected"):
        kc.kl_divergence(1.0, HALVES)


def test_a_bad_entry_of_q_counts_where_p_is_zero():
    with raises("q[0]", "nan"):
        kc.kl_divergence([0.0, 1.0], [np.nan, 1.0])
    with raises("q[0]", "-0.5"):
        kc.kl_divergence([0.0, 1.0], [-0.5, 1.5])


def test_negative_zero_is_zero():
    assert kc.kl_divergence([-0.0, 1.0], [0.5, 0.5]) == kc.kl_divergence([0.0, 1.0], [0.5, 0.5])


@pair_function
def test_a_sum_off_names_the_row(function):
    bad = ROWS.copy()
    bad[3, 1] += 0.1
    with raises("p[3]", "sums to 1.1", "expected 1", "divide by its sum"):
        function(bad, ROWS)
    with raises("q[3]", "sums to 1.1", "expected 1", "divide by its sum"):
        function(ROWS, bad)


def test_a_sum_off_names_the_vector():
    with raises("p", "sums to 4", "divide by its sum", "counts"):
        kc.entropy([3, 1])
    with raises("q", "sums to 0.9"):
        kc.kl_divergence(ROWS, [0.25, 0.25, 0.25, 0.15])  # q is broadcast, and has one row
    with raises("q", "sums to inf"):
        kc.kl_divergence(HALVES, [1e308, 1e308])


def test_a_sum_off_is_placed_in_the_axes_of_the_caller():
    bad = ROWS.T.copy()
    bad[1, 3] += 0.1
    with raises("q[:, 3]", "sums to 1.1"):
        kc.kl_divergence(ROWS.T, bad, axis=0)
    stack = np.full((2, 4, 3), 0.25)
    stack[1, 0, 2] += 0.1
    for axis in (1, -2):
        with raises("p[1, :, 2]", "sums to 1.1"):
            kc.entropy(stack, axis=axis)
    with raises("q[0]", "sums to 1.1"):  # q's own row, not one of the five it is broadcast to
        kc.kl_divergence(ROWS, [ROWS[0] + 0.025])


def test_a_bad_entry_is_placed_in_the_axes_of_the_caller():
    bad = ROWS.T.copy()
    bad[2, 4] = np.nan
    with raises("q[2, 4]", "nan"):
        kc.kl_divergence(ROWS.T, bad, axis=0)
    with raises("q[2]", "-0.5"):
        kc.kl_divergence(ROWS, [0.5, 0.5, -0.5, 0.5])


def test_a_bad_row_is_found_in_a_large_input():
    p = np.full((100_000, 4), 0.25)
    p[98_765, 0] = 0.5
    with raises("p[98765]", "sums to 1.25"):
        kc.kl_divergence(p, ROWS[0])


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-6), (np.float32, 1e-5)])
def test_sums_are_held_to_the_precision_of_their_type(dtype, tolerance):
    rounded = np.array([0.5, 0.5 + tolerance / 2], dtype)
    wrong = np.array([0.5, 0.5 - 2 * tolerance], dtype)
    assert kc.kl_divergence(rounded, HALVES) < tolerance
    assert kc.kl_divergence(HALVES, rounded) < tolerance
    with raises("p", "divide by its sum"):
        kc.kl_divergence(wrong, HALVES)
    with raises("q", "divide by its sum"):
        kc.kl_divergence(HALVES, wrong)


def test_a_sum_within_single_precision_is_refused_in_double():
    with raises("p", "sums to 1.000005"):
        kc.kl_divergence([0.5, 0.500005], np.array(HALVES, np.float32))


@pair_function
def test_shapes_that_do_not_broadcast(function):
    with raises("p", "(5, 4)", "q", "(3, 4)", "broadcast"):
        function(ROWS, ROWS[:3])


@pair_function
def test_alphabets_of_different_size(function):
    with raises("p", "(5, 4)", "4", "q", "(3,)", "3"):
        function(ROWS, np.full(3, 1 / 3))
    with raises("p", "q", "(1,)", "1"):
        function(ROWS, [1.0])
    with raises("p", "(1,)", "1", "q"):
        function([1.0], ROWS)


@pytest.mark.parametrize("base", [0, 1, 1.0, -2, np.nan, np.inf, "2", [2], [2, 3], 2j, {}, True])
def test_a_bad_base(base):
    calls = [
        lambda: kc.entropy(HALVES, base=base),
        lambda: kc.kl_divergence(HALVES, HALVES, base=base),
        lambda: kc.mutual_information([HALVES], base=base),
        lambda: kc.bernoulli_kl(0.5, 0.5, base=base),
        lambda: kc.kl_from_logits(HALVES, HALVES, base=base),
    ]
    for call in calls:
        with raises("base", "expected", "number"):
            call()


@pytest.mark.parametrize("axis", [2, -3, 0.5, "0", None])
def test_a_bad_axis(axis):
    calls = [
        lambda: kc.entropy(ROWS, axis=axis),
        lambda: kc.total_variation(ROWS, ROWS, axis=axis),
        lambda: kc.kl_from_logits(ROWS, ROWS, axis=axis),
    ]
    for call in calls:
        with raises("axis", str(axis), "expected"):
            call()


def test_a_number_from_zero():
    assert number_from_zero("beta", 0) == 0
    assert number_from_zero("beta", 2.5) == 2.5
    for value in (-1e-300, np.inf, np.nan):
        with raises("beta", str(value), "finite number from 0"):
            number_from_zero("beta", value)


def test_the_axes_that_there_are():
    with raises("axis is 2", "expected -2 to 1 for 2 dimensions"):
        kc.entropy(ROWS, axis=2)


@pytest.mark.parametrize("temperature", [0, -1.0, np.nan, np.inf, "1", None, [1.0, 2.0], 1j])
def test_a_bad_temperature(temperature):
    with raises("temperature", "expected", "number"):
        kc.kl_from_logits(HALVES, HALVES, temperature=temperature)


@pytest.mark.parametrize("value", [-0.1, 1.001, np.nan, np.inf, "1", None, [0.5, 0.5], 1j, True])
def test_a_bad_fraction(value):
    with raises("alpha", "expected", "number from 0 to 1"):
        fraction("alpha", value)


@pytest.mark.parametrize("value", [0, 1, 0.3, np.float32(0.5), np.array(0.25)])
def test_a_fraction_becomes_a_float(value):
    assert fraction("alpha", value) == value
    assert type(fraction("alpha", value)) is float


@pytest.mark.parametrize("value", [1.5, -0.25, np.nan, np.inf])
def test_a_bad_probability_of_bernoulli_kl(value):
    with raises("p", str(value), "expected", "from 0 to 1"):
        kc.bernoulli_kl(value, 0.5)
    with raises("q[1, 0]", str(value), "expected", "from 0 to 1"):
        kc.bernoulli_kl(0.5, [[0.5, 0.5], [value, 0.5]])


def test_bad_arrays_of_bernoulli_kl():
    with raises("q", "complex128", "real numbers"):
        kc.bernoulli_kl(0.5, 0.5j)
    with raises("p", "(2,)", "q", "(3,)", "broadcast"):
        kc.bernoulli_kl([0.5, 0.5], [0.5, 0.5, 0.5])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_logits(value):
    logits = np.zeros((3, 2))
    bad = logits.copy()
    bad[2, 1] = value
    with raises("logits_p[2, 1]", str(value), "expected"):
        kc.kl_from_logits(bad, logits)
    with raises("logits_q[2, 1]", str(value), "expected"):
        kc.kl_from_logits(logits, bad)


def test_logits_that_leave_no_symbol_possible():
    bad = np.array([[0.0, 1.0], [-np.inf, -np.inf]])
    with raises("logits_p[1]", "-inf", "expected"):
        kc.kl_from_logits(bad, np.zeros(2))
    with raises("logits_q[1]", "-inf", "expected"):
        kc.kl_from_logits(np.zeros(2), bad)


def test_bad_arrays_of_logits():
    with raises("logits_p", "empty"):
        kc.kl_from_logits([], [0.0])
    with raises("logits_p", "logits_q", "4", "3"):
        kc.kl_from_logits(np.zeros(4), np.zeros(3))
    with raises("logits_p", "(5, 4)", "logits_q", "(3, 4)", "broadcast"):
        kc.kl_from_logits(np.zeros((5, 4)), np.zeros((3, 4)))


def test_a_joint_distribution_that_sums_to_more_than_one():
    joint = np.array([[0.3, 0.2], [0.2, 0.4]])
    with raises("p_xy", "sums to 1.1", "divide by its sum"):
        kc.mutual_information(joint)
    with raises("p_xy[2]", "sums to 1.1"):
        kc.mutual_information([joint / 1.1, joint / 1.1, joint])


def test_a_joint_distribution_needs_two_axes():
    with raises("p_xy", "(2,)", "two"):
        kc.mutual_information(HALVES)
