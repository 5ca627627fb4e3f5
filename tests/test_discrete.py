"""Divergences of probability vectors: hand values, other libraries, calling conventions, laws.

How many digits they keep is the matter of test_accurate.py, bad input that of test_validation.py.
"""

import tracemalloc
from functools import partial
from math import inf, log

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from scipy.stats import entropy as scipy_entropy

import kl_course as kc

from . import reference

P, Q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.2, 0.3, 0.3])
PAIR_FUNCTIONS = [
    kc.cross_entropy,
    kc.kl_divergence,
    kc.js_divergence,
    kc.jeffreys_divergence,
    kc.total_variation,
]
FUNCTIONS = [*PAIR_FUNCTIONS, kc.kl_from_logits]
close_to = partial(pytest.approx, abs=0)  # by itself approx grants 1e-12
functions = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
pair_functions = pytest.mark.parametrize("function", PAIR_FUNCTIONS, ids=lambda f: f.__name__)


def some_rows(*shape, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1])


# ---- hand values


HAND_VALUES = [
    (kc.entropy, ([0.25] * 4,), log(4)),
    (kc.entropy, ([0.5, 0.25, 0.25],), 1.5 * log(2)),
    (kc.entropy, ([0, 1, 0],), 0),
    (
        kc.cross_entropy,
        (
            [0.5, 0.25, 0.25],
            [0.25, 0.25, 0.5],
        ),
        1.75 * log(2),
    ),
    (
        kc.cross_entropy,
        (
            [0, 1, 0],
            [0.25, 0.5, 0.25],
        ),
        log(2),
    ),
    (
        kc.cross_entropy,
        (
            [0.5, 0.5],
            [1, 0],
        ),
        inf,
    ),
    (
        kc.kl_divergence,
        (
            [0.5, 0.25, 0.25],
            [0.25, 0.25, 0.5],
        ),
        0.25 * log(2),
    ),
    (
        kc.kl_divergence,
        (
            [0, 1],
            [0.5, 0.5],
        ),
        log(2),
    ),
    (
        kc.kl_divergence,
        (
            [0.5, 0.5],
            [0, 1],
        ),
        inf,
    ),
    (
        kc.kl_divergence,
        (
            [0.5, 0.5, 0],
            [0.5, 0.25, 0.25],
        ),
        0.5 * log(2),
    ),
    (
        kc.js_divergence,
        (
            [1, 0],
            [0, 1],
        ),
        log(2),
    ),
    (
        kc.js_divergence,
        (
            [1, 0],
            [0.5, 0.5],
        ),
        0.5 * log(4 / 3) + 0.25 * log(2 / 3) + 0.25 * log(2),
    ),
    (
        kc.jeffreys_divergence,
        (
            [0.25, 0.75],
            [0.75, 0.25],
        ),
        log(3),
    ),
    (
        kc.jeffreys_divergence,
        (
            [0.5, 0.5],
            [0, 1],
        ),
        inf,
    ),
    (
        kc.jeffreys_divergence,
        (
            [0, 1],
            [0.5, 0.5],
        ),
        inf,
    ),
    (
        kc.total_variation,
        (
            [0.5, 0.25, 0.25],
            [0.25, 0.25, 0.5],
        ),
        0.25,
    ),
    (
        kc.total_variation,
        (
            [1, 0],
            [0, 1],
        ),
        1,
    ),
    (kc.mutual_information, ([[0.5, 0], [0, 0.5]],), log(2)),
    (kc.mutual_information, ([[0.125, 0.375], [0.125, 0.375]],), 0),
    (kc.mutual_information, ([[0.5, 0.25], [0, 0.25]],), 1.5 * log(2) - 0.75 * log(3)),
    (
        kc.bernoulli_kl,
        (
            0.5,
            0.25,
        ),
        0.5 * log(4 / 3),
    ),
    (
        kc.bernoulli_kl,
        (
            0,
            0.5,
        ),
        log(2),
    ),
    (
        kc.bernoulli_kl,
        (
            1,
            0,
        ),
        inf,
    ),
    (
        kc.bernoulli_kl,
        (
            0.5,
            1,
        ),
        inf,
    ),
    (
        kc.bernoulli_kl,
        (
            1,
            1,
        ),
        0,
    ),
    (
        kc.kl_from_logits,
        (
            [0, 0],
            [log(3), 0],
        ),
        0.5 * log(4 / 3),
    ),
    (
        kc.kl_from_logits,
        (
            [0, -inf],
            [0, 0],
        ),
        log(2),
    ),
    (
        kc.kl_from_logits,
        (
            [0, 0],
            [0, -inf],
        ),
        inf,
    ),
    (
        kc.kl_from_logits,
        (
            [0, 1, -inf],
            [0, 1, -inf],
        ),
        0,
    ),
]


@pytest.mark.parametrize(("function", "arguments", "expected"), HAND_VALUES)
def test_hand_values(function, arguments, expected):
    assert function(*arguments) == close_to(expected, rel=1e-15)


def test_a_temperature_divides_both_logits():
    value = kc.kl_from_logits([6, 4, 0], [2, 0, 8], temperature=2)
    assert value == close_to(kc.kl_from_logits([3, 2, 0], [1, 0, 4]), rel=1e-15)


def test_both_directions_of_the_pair_of_the_course():
    assert kc.kl_divergence(P, Q) == close_to(0.045758110924717810, rel=1e-14)
    assert kc.kl_divergence(Q, P) == close_to(0.052324814376454789, rel=1e-14)


def test_a_joint_with_its_own_marginals():
    """Mutual information by enumeration, on a table that is not symmetric."""
    joint = np.array([[0.1, 0.3, 0.05], [0.25, 0.1, 0.2]])
    p_x, p_y = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    expected = np.sum(joint * np.log(joint / (p_x * p_y)))
    assert kc.mutual_information(joint) == close_to(expected, rel=1e-13)


def test_mutual_information_where_it_is_the_rounding_of_the_table():
    rng = np.random.default_rng(2)
    for rows, columns in rng.integers(2, 9, (20, 2)):
        product = np.outer(rng.dirichlet(np.ones(rows)), rng.dirichlet(np.ones(columns)))
        expected = reference.mutual_information(product)
        assert kc.mutual_information(product) == close_to(expected, rel=1e-11)
    product = np.outer(rng.dirichlet(np.ones(200)), rng.dirichlet(np.ones(300))).astype(np.float32)
    expected = kc.mutual_information(product.astype(np.float64) / product.sum(dtype=np.float64))
    assert kc.mutual_information(product) == close_to(expected, rel=1e-7)


# ---- SciPy as an independent referee


def test_scipy_agrees():
    p, q = some_rows(200, 30), some_rows(200, 30, seed=1)
    m = (p + q) / 2
    expected = {
        kc.cross_entropy: scipy_entropy(p, axis=-1) + scipy_entropy(p, q, axis=-1),
        kc.kl_divergence: rel_entr(p, q).sum(axis=-1),
        kc.js_divergence: jensenshannon(p, q, axis=-1) ** 2,
        kc.jeffreys_divergence: (rel_entr(p, q) + rel_entr(q, p)).sum(axis=-1),
        kc.total_variation: (np.maximum(p, m) - np.minimum(p, m)).sum(axis=-1),
    }
    for function, values in expected.items():
        np.testing.assert_allclose(function(p, q), values, rtol=1e-12, err_msg=function.__name__)
    np.testing.assert_allclose(kc.entropy(p), scipy_entropy(p, axis=-1), rtol=1e-12)


def test_scipy_agrees_in_bits():
    p, q = some_rows(50, 7), some_rows(50, 7, seed=1)
    np.testing.assert_allclose(
        kc.kl_divergence(p, q, base=2), scipy_entropy(p, q, base=2, axis=-1), rtol=1e-12
    )
    np.testing.assert_allclose(
        kc.js_divergence(p, q, base=2), jensenshannon(p, q, base=2, axis=-1) ** 2, rtol=1e-12
    )


# ---- units


@pytest.mark.parametrize("base", [2, 10, np.e, 1.5, 0.5, np.float32(2)])
def test_a_base_is_a_unit(base):
    joint = np.array([[0.5, 0.2], [0.1, 0.2]])
    pairs = [
        (kc.entropy(P, base=base), kc.entropy(P)),
        (kc.cross_entropy(P, Q, base=base), kc.cross_entropy(P, Q)),
        (kc.kl_divergence(P, Q, base=base), kc.kl_divergence(P, Q)),
        (kc.js_divergence(P, Q, base=base), kc.js_divergence(P, Q)),
        (kc.jeffreys_divergence(P, Q, base=base), kc.jeffreys_divergence(P, Q)),
        (kc.mutual_information(joint, base=base), kc.mutual_information(joint)),
        (kc.bernoulli_kl(0.3, 0.6, base=base), kc.bernoulli_kl(0.3, 0.6)),
        (kc.kl_from_logits(P, Q, base=base), kc.kl_from_logits(P, Q)),
    ]
    for value, nats in pairs:
        assert value == close_to(nats / log(base), rel=1e-15)


# ---- shapes, axes and kinds of input


@functions
@pytest.mark.parametrize(
    ("shape_p", "shape_q", "shape"),
    [
        ((4,), (4,), ()),
        ((5, 4), (4,), (5,)),
        ((4,), (5, 4), (5,)),
        ((5, 1, 4), (3, 4), (5, 3)),
        ((1, 4), (1, 4), (1,)),
        ((2, 5, 4), (2, 1, 4), (2, 5)),
    ],
)
def test_inputs_broadcast(function, shape_p, shape_q, shape):
    p, q = some_rows(*shape_p), some_rows(*shape_q, seed=1)
    values = function(p, q)
    assert np.shape(values) == shape
    p, q = np.broadcast_to(p, (*shape, 4)), np.broadcast_to(q, (*shape, 4))
    for index in np.ndindex(shape):
        assert values[index] == close_to(function(p[index], q[index]), rel=1e-15)


@functions
@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_any_axis_holds_the_symbols(function, axis):
    p, q = some_rows(3, 2, 5), some_rows(3, 2, 5, seed=1)
    moved = function(np.moveaxis(p, -1, axis), np.moveaxis(q, -1, axis), axis=axis)
    np.testing.assert_allclose(moved, function(p, q), rtol=1e-15)


def test_the_axis_counts_in_the_common_shape():
    p, q = some_rows(3, 4).T, some_rows(1, 4, seed=1).T
    values = kc.kl_divergence(p, q, axis=0)
    np.testing.assert_allclose(values, kc.kl_divergence(p.T, q.T), rtol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, -1, -3])
def test_any_axis_of_entropy(axis):
    p = some_rows(3, 2, 5)
    moved = kc.entropy(np.moveaxis(p, -1, axis), axis=axis)
    np.testing.assert_allclose(moved, kc.entropy(p), rtol=1e-15)


def test_mutual_information_of_a_stack_of_tables():
    joint = some_rows(6, 12).reshape(2, 3, 3, 4)
    values = kc.mutual_information(joint)
    assert values.shape == (2, 3)
    assert values[1, 2] == close_to(kc.mutual_information(joint[1, 2]), rel=1e-15)


def test_a_variable_of_one_symbol_tells_nothing_in_any_stack():
    joint = some_rows(2, 3, 4)[..., None, :]  # tables of one row
    assert np.array_equal(kc.mutual_information(joint), np.zeros((2, 3)))
    assert np.array_equal(kc.mutual_information(np.swapaxes(joint, -1, -2)), np.zeros((2, 3)))


def test_bernoulli_kl_is_elementwise():
    p, q = np.array([0.1, 0.5, 1.0]), np.array([[0.2], [0.7]])
    values = kc.bernoulli_kl(p, q)
    assert values.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        vectors = [p[j], 1 - p[j]], [q[i, 0], 1 - q[i, 0]]
        assert values[i, j] == close_to(kc.kl_divergence(*vectors), rel=1e-14)


def test_vectors_give_a_scalar():
    values = [function(P, Q) for function in FUNCTIONS]
    values += [kc.entropy(P), kc.mutual_information([P / 2, Q / 2]), kc.bernoulli_kl(0.5, 0.25)]
    for value in values:
        assert type(value) is np.float64


@functions
def test_single_precision_in_and_out(function):
    p, q = some_rows(5, 4), some_rows(5, 4, seed=1)
    single = p.astype(np.float32), q.astype(np.float32)
    values = function(*single)
    assert values.dtype == np.float32
    assert type(function(single[0][0], single[1][0])) is np.float32
    np.testing.assert_allclose(values, function(p, q), rtol=1e-5)
    # one input in double precision makes the result double
    assert function(p, single[1]).dtype == function(single[0], q).dtype == np.float64


def test_single_precision_in_functions_of_one_argument():
    p = some_rows(5, 4).astype(np.float32)
    assert kc.entropy(p).dtype == np.float32
    assert kc.mutual_information(p[:1]).dtype == np.float32
    assert kc.bernoulli_kl(p, p).dtype == np.float32


def test_single_precision_is_computed_in_double():
    rng = np.random.default_rng(0)
    p = reference.random_rows(rng, 50, 10)
    q = reference.nearly_equal(rng, p, 1e-3).astype(np.float32)
    p = p.astype(np.float32)
    exact = reference.by_row(reference.kl, p, q)
    assert reference.relative_error(kc.kl_divergence(p, q), exact) < 6e-8


@pytest.mark.parametrize("dtype", [int, bool, np.uint8])
def test_one_hot_rows_of_any_type(dtype):
    one_hot = np.eye(4, dtype=dtype)
    np.testing.assert_allclose(kc.cross_entropy(one_hot, Q), -np.log(Q), rtol=1e-15)
    np.testing.assert_allclose(kc.kl_divergence(one_hot, Q), -np.log(Q), rtol=1e-15)
    np.testing.assert_array_equal(kc.entropy(one_hot), np.zeros(4))
    assert kc.kl_divergence(one_hot, Q).dtype == np.float64


@functions
def test_lists_views_and_read_only_arrays(function):
    p, q = some_rows(6, 4), some_rows(6, 4, seed=1)
    expected = function(p, q)
    np.testing.assert_array_equal(function(p.tolist(), q.tolist()), expected)
    strided = np.repeat(np.repeat(p, 2, axis=0), 3, axis=1)[::2, ::3]
    fixed = q.copy(order="F")
    fixed.flags.writeable = False
    np.testing.assert_allclose(function(strided, fixed), expected, rtol=1e-15)
    np.testing.assert_allclose(function(p[::-1], q[::-1])[::-1], expected, rtol=1e-15)


@functions
def test_inputs_are_left_as_they_are(function):
    p, q = some_rows(6, 4), some_rows(6, 4, seed=1)
    p_before, q_before = p.copy(), q.copy()
    function(p, q)
    np.testing.assert_array_equal(p, p_before)
    np.testing.assert_array_equal(q, q_before)


@functions
def test_a_large_batch_equals_its_rows(function):
    """More rows than a block holds, and rows longer than a block."""
    p, q = some_rows(3000, 17), some_rows(3000, 17, seed=1)
    values = function(p, q)
    for row in (0, 963, 964, 1500, 2999):
        assert values[row] == close_to(function(p[row], q[row]), rel=1e-15)
    p, q = some_rows(2, 50_000), some_rows(2, 50_000, seed=1)
    values = function(p, q)
    order = np.random.default_rng(2).permutation(50_000)
    np.testing.assert_allclose(function(p[:, order], q[:, order]), values, rtol=2e-15)


@functions
def test_one_symbol_has_no_uncertainty(function):
    assert function([1.0], [1.0]) == 0


# ---- memory: a few blocks, no copies of the input


ENTRIES = 10
ROWS = 1_000_000


def peak_above(output_bytes, call):
    """Return the peak of memory during a call in megabytes, its output not counted."""
    tracemalloc.start()
    try:
        call()
        return (tracemalloc.get_traced_memory()[1] - output_bytes) / 1e6
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def large():
    p = np.random.default_rng(0).random((ROWS, ENTRIES))
    p /= p.sum(axis=1, keepdims=True)
    return p


def test_memory_of_kl_divergence(large):
    q = np.full(ENTRIES, 1 / ENTRIES)
    calls = {
        "two arrays": lambda: kc.kl_divergence(large, large[::-1]),
        "q broadcast": lambda: kc.kl_divergence(large, q),
        "symbols first": lambda: kc.kl_divergence(large.T, large[::-1].T, axis=0),
    }
    for name, call in calls.items():
        assert peak_above(8 * ROWS, call) < 10, name


def test_memory_of_kl_divergence_in_single_precision(large):
    single = large.astype(np.float32)
    assert peak_above(4 * ROWS, lambda: kc.kl_divergence(single, single[::-1])) < 10
    contiguous = np.ascontiguousarray(single.T)
    assert peak_above(4 * ROWS, lambda: kc.kl_divergence(contiguous, contiguous, axis=0)) < 10


@functions
def test_memory_of_a_batch(function, large):
    part = large[: ROWS // 4]
    assert peak_above(8 * len(part), lambda: function(part, part[::-1])) < 10


@pair_functions
def test_memory_of_a_long_vector(function, large):
    p = large[: ROWS // 5].ravel()  # 2 million symbols, 16 MB
    p = p / p.sum()
    assert peak_above(0, lambda: function(p, p[::-1])) < 10


def test_memory_of_entropy_and_mutual_information(large):
    assert peak_above(8 * ROWS, lambda: kc.entropy(large)) < 10
    tables = large[: ROWS // 4].reshape(-1, 2, 5)
    assert peak_above(8 * len(tables), lambda: kc.mutual_information(tables)) < 10
    one_table = large[: ROWS // 5] / (ROWS // 5)
    assert peak_above(0, lambda: kc.mutual_information(one_table)) < 20


# ---- laws, for any distributions


def positive_weights(size):
    return hnp.arrays(np.float64, size, elements=st.floats(1e-9, 1))


def weights(size):
    """Non-negative weights over many orders of magnitude; about one in four is zero."""
    positive = st.floats(1e-300, 1.0) | st.floats(0.01, 1.0)
    return hnp.arrays(np.float64, size, elements=st.just(0.0) | positive | positive).filter(any)


UP_TO_8 = st.integers(1, 8)


def distributions(number, *, weights=weights, sizes=UP_TO_8):
    """Draw `number` distributions over one alphabet, as rows."""
    rows = sizes.flatmap(lambda size: st.tuples(*[weights(size)] * number))
    return rows.map(lambda rows: np.array([row / row.sum() for row in rows]))


def at_most(smaller, larger):
    """Compare up to rounding; infinity is at most infinity."""
    return smaller <= larger * (1 + 1e-13) + 1e-15


@given(distributions(2))
def test_no_divergence_is_negative(rows):
    p, q = rows
    for function in PAIR_FUNCTIONS:
        assert function(p, q) >= 0
    assert kc.entropy(p) >= 0
    assert kc.bernoulli_kl(p, q).min() >= 0


@given(distributions(2))
def test_zero_if_and_only_if_equal(rows):
    p, q = rows
    for function in PAIR_FUNCTIONS[1:]:
        assert function(p, p) == 0
        if function(p, q) == 0:
            np.testing.assert_allclose(p, q, rtol=0, atol=1e-15)


@given(distributions(2))
def test_infinite_if_and_only_if_the_support_is_violated(rows):
    p, q = rows
    violated = bool(np.any((p > 0) & (q == 0)))
    assert np.isinf(kc.kl_divergence(p, q)) == violated
    assert np.isinf(kc.cross_entropy(p, q)) == violated
    assert np.isinf(kc.jeffreys_divergence(p, q)) == bool(np.any((p > 0) != (q > 0)))
    assert np.isfinite(kc.js_divergence(p, q))


@given(distributions(1), st.floats(-1e-6, 1e-6))
def test_a_sum_off_by_rounding_is_no_difference(rows, deviation):
    (p,) = rows
    q = p * (1 + 0.99 * deviation)
    assert 0 <= kc.kl_divergence(p, q) < 1e-28
    assert 0 <= kc.js_divergence(p, q) < 1e-28
    assert 0 <= kc.total_variation(p, q) < 1e-14


@given(distributions(1))
def test_entropy_is_at_most_that_of_the_uniform(rows):
    (p,) = rows
    assert at_most(kc.entropy(p), log(len(p)))


@given(distributions(2))
def test_cross_entropy_is_entropy_plus_kl(rows):
    p, q = rows
    expected = kc.entropy(p) + kc.kl_divergence(p, q)
    assert kc.cross_entropy(p, q) == close_to(expected, rel=1e-14)


@given(distributions(2, sizes=st.sampled_from([4, 6, 12])))
def test_chain_rule(rows):
    """KL of the joints is that of the marginals plus the mean KL of the conditionals."""
    joint_p, joint_q = rows.reshape(2, 2, -1)
    p_x, q_x = joint_p.sum(axis=1), joint_q.sum(axis=1)
    assume(p_x.min() > 1e-200)
    assume(q_x.min() > 1e-200)
    conditional = kc.kl_divergence(joint_p / p_x[:, None], joint_q / q_x[:, None])
    expected = kc.kl_divergence(p_x, q_x) + p_x @ conditional
    assert kc.kl_divergence(*rows) == close_to(expected, rel=1e-12, abs=1e-15)


# A share next to 0 would make a probability of 1e-300 vanish in the mixture.
@given(distributions(4), st.floats(1e-6, 1 - 1e-6) | st.sampled_from([0.0, 1.0]))
def test_joint_convexity(rows, share):
    p_1, p_2, q_1, q_2 = rows
    p, q = share * p_1 + (1 - share) * p_2, share * q_1 + (1 - share) * q_2
    for function in PAIR_FUNCTIONS[1:]:
        first, second = function(p_1, q_1), function(p_2, q_2)
        mean = (share * first if share > 0 else 0) + ((1 - share) * second if share < 1 else 0)
        assert at_most(function(p, q), mean)


@given(distributions(2, sizes=st.integers(2, 8)))
def test_merging_symbols_loses_information(rows):
    merged = np.column_stack([rows[:, :2].sum(axis=1), rows[:, 2:]])
    for function in PAIR_FUNCTIONS[1:]:
        assert at_most(function(*merged), function(*rows))


@given(distributions(2))
def test_inequalities_between_divergences(rows):
    p, q = rows
    tv, kl, js = kc.total_variation(p, q), kc.kl_divergence(p, q), kc.js_divergence(p, q)
    assert at_most(2 * tv**2, kl)  # Pinsker
    assert js <= log(2)
    assert at_most(js, tv * log(2))
    assert 0 <= tv <= 1
    assert kc.jeffreys_divergence(p, q) == close_to(kl + kc.kl_divergence(q, p), rel=1e-14)


@given(distributions(2))
def test_symmetry(rows):
    p, q = rows
    for function in (kc.js_divergence, kc.jeffreys_divergence, kc.total_variation):
        assert function(p, q) == close_to(function(q, p), rel=1e-14)


@given(distributions(2), st.randoms(use_true_random=False))
def test_the_order_of_the_symbols_is_immaterial(rows, random):
    order = list(range(rows.shape[1]))
    random.shuffle(order)
    for function in PAIR_FUNCTIONS:
        assert function(*rows[:, order]) == close_to(function(*rows), rel=1e-14)


@given(distributions(2), distributions(2))
def test_kl_of_products_adds_up(first, second):
    p, q = (np.outer(a, b).ravel() for a, b in zip(first, second, strict=True))
    assume(np.all((p > 0) == np.outer(first[0] > 0, second[0] > 0).ravel()))  # no underflow
    assume(np.all((q > 0) == np.outer(first[1] > 0, second[1] > 0).ravel()))
    expected = kc.kl_divergence(*first) + kc.kl_divergence(*second)
    assert kc.kl_divergence(p, q) == close_to(expected, rel=1e-12, abs=1e-15)


@given(distributions(3))
def test_a_batch_equals_its_rows(rows):
    for function in PAIR_FUNCTIONS:
        batch = function(rows, rows[:1])
        for value, row in zip(batch, rows, strict=True):
            assert value == close_to(function(row, rows[0]), rel=1e-14)


@given(distributions(1, sizes=st.sampled_from([2, 4, 6, 8])))
def test_mutual_information_by_entropies(rows):
    joint = rows.reshape(2, -1)
    value = kc.mutual_information(joint)
    h_x, h_y = kc.entropy(joint.sum(axis=1)), kc.entropy(joint.sum(axis=0))
    assert value == close_to(h_x + h_y - kc.entropy(joint.ravel()), rel=1e-12, abs=1e-14)
    assert value == close_to(kc.mutual_information(joint.T), rel=1e-14, abs=1e-30)
    assert value >= 0
    assert at_most(value, min(h_x, h_y))


@given(distributions(2, weights=positive_weights), st.floats(-1e3, 1e3))
def test_logits_are_logarithms_up_to_a_constant(rows, constant):
    p, q = rows
    value = kc.kl_from_logits(np.log(p) + constant, np.log(q))
    assert value == close_to(kc.kl_divergence(p, q), rel=1e-9, abs=1e-20 + 1e-24 * constant**2)


@given(st.floats(0, 1), st.floats(0, 1))
def test_bernoulli_kl_is_that_of_two_symbols(p, q):
    assume(p == 0 or 1 - p < 1)  # the complement is to be a float
    assume(q == 0 or 1 - q < 1)
    expected = reference.bernoulli_kl(p, q)
    assert reference.relative_error(kc.bernoulli_kl(p, q), expected) < 2e-15
