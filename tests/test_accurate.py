"""Digits: every divergence against 100-digit arithmetic, down to the last few units of rounding.

The references are those of the exactly normalised vectors, see reference.py.
"""

import numpy as np
import pytest

import kl_course as kc

from . import reference
from .reference import by_row, nearly_equal, random_rows, relative_error

FEW_ROUNDINGS = 8 * 2.2e-16  # 5 are the most seen; the rest is room for other machines' log
PAIRS = {
    "cross_entropy": (kc.cross_entropy, reference.cross_entropy),
    "kl": (kc.kl_divergence, reference.kl),
    "js": (kc.js_divergence, reference.js),
    "jeffreys": (kc.jeffreys_divergence, reference.jeffreys),
    "total_variation": (kc.total_variation, reference.total_variation),
}
pairs = pytest.mark.parametrize(("function", "exact"), PAIRS.values(), ids=PAIRS)
ROWS = {2: 20, 10: 20, 100: 4, 1000: 1}  # size of the alphabet: number of pairs


@pytest.fixture
def rng():
    return np.random.default_rng(1234)


def with_zeros(rng, p, share):
    """Set about a share of the entries to zero, never a whole row."""
    p = np.where(rng.random(p.shape) < share, 0, p)
    p[p.sum(axis=1) == 0, 0] = 1
    return p / p.sum(axis=1, keepdims=True)


# ---- ordinary and nearly equal pairs


@pytest.mark.parametrize("size", ROWS)
@pairs
def test_any_pair(function, exact, rng, size):
    p, q = random_rows(rng, ROWS[size], size), random_rows(rng, ROWS[size], size)
    assert relative_error(function(p, q), by_row(exact, p, q)) < FEW_ROUNDINGS


@pytest.mark.parametrize("delta", [1e-1, 1e-2, 1e-4, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12])
@pairs
def test_nearly_equal_pairs(function, exact, rng, delta):
    for size, rows in ROWS.items():
        p = random_rows(rng, rows, size)
        q = nearly_equal(rng, p, delta)
        assert relative_error(function(p, q), by_row(exact, p, q)) < FEW_ROUNDINGS, size


@pairs
def test_a_ratio_that_crosses_every_branch(function, exact):
    """Ratios q/p from 1e-5 to 1e5, finely spaced around 1, 1/2 and 2."""
    ratios = np.concatenate([np.geomspace(1e-5, 1e5, 80), np.linspace(0.4, 2.5, 80)])
    p = np.full((len(ratios), 3), [0.125, 0.375, 0.5]) / np.maximum(ratios, 1)[:, None]
    q = p * [1.0, 1.0, 0.0] * ratios[:, None]
    p[:, 2], q[:, 2] = 1 - p[:, :2].sum(axis=1), 1 - q[:, :2].sum(axis=1)
    assert relative_error(function(p, q), by_row(exact, p, q)) < FEW_ROUNDINGS


@pairs
def test_a_million_symbols(function, exact, rng):
    """200 different pairs, each 5000 times: the exact sum has 200 terms."""
    p, q = random_rows(rng, 2, 200) / 5000
    order = rng.permutation(np.repeat(np.arange(200), 5000))
    counts = np.full(200, 5000)
    assert relative_error(function(p[order], q[order]), exact(p, q, counts)) < FEW_ROUNDINGS
    q = nearly_equal(rng, p, 1e-6) / 5000
    assert relative_error(function(p[order], q[order]), exact(p, q, counts)) < FEW_ROUNDINGS


def test_entropy_of_a_million_symbols(rng):
    p = random_rows(rng, 1, 200)[0] / 5000
    order = rng.permutation(np.repeat(np.arange(200), 5000))
    exact = reference.entropy(p, np.full(200, 5000))
    assert relative_error(kc.entropy(p[order]), exact) < FEW_ROUNDINGS


# ---- zeros, the smallest and the largest quotients


@pairs
def test_zeros(function, exact, rng):
    p = with_zeros(rng, random_rows(rng, 60, 5), 0.3)
    q = with_zeros(rng, random_rows(rng, 60, 5), 0.1)
    values = by_row(exact, p, q)
    assert relative_error(function(p, q), values) < FEW_ROUNDINGS
    assert len({bool(reference.mp.isinf(v)) for v in by_row(reference.kl, p, q)}) == 2


@pairs
def test_zeros_in_nearly_equal_pairs(function, exact, rng):
    p = with_zeros(rng, random_rows(rng, 30, 6), 0.4)
    q = nearly_equal(rng, p, 1e-7)
    assert relative_error(function(p, q), by_row(exact, p, q)) < FEW_ROUNDINGS


SMALLEST = 5e-324
EXTREMES = {
    "subnormal p": ([SMALLEST, 1.0], [0.5, 0.5]),
    "subnormal q": ([0.5, 0.5], [SMALLEST, 1.0]),
    "subnormal both": ([1e-310, 1.0], [3e-320, 1.0]),
    "the quotient overflows": ([0.5, 0.5], [1e-320, 1.0]),
    "the quotient underflows": ([1e-320, 1.0], [0.5, 0.5]),
    "the quotient is subnormal": ([1e-200, 1.0], [1e-90, 1.0]),
    "small both": ([1e-300, 0.25, 0.75], [2e-300, 0.75, 0.25]),
    "small and zero": ([0.0, 1e-300, 1.0], [1e-300, 1e-10, 1.0]),
}


@pytest.mark.parametrize(("p", "q"), EXTREMES.values(), ids=EXTREMES)
@pairs
def test_extreme_quotients(function, exact, p, q):
    with reference.mp.workdps(reference.ALL_FLOATS):
        expected = exact(p, q)
    value = function(p, q)
    # below the normal range a float holds only multiples of the smallest one
    assert relative_error(value, expected) < FEW_ROUNDINGS or abs(value - expected) < 4 * SMALLEST


@pairs
def test_an_extreme_row_costs_its_neighbours_no_digits(function, exact, rng):
    p, q = 1e-9 * random_rows(rng, 2, 200)
    p = np.stack([p, 1 - p], axis=-1)
    q = np.stack([q, 1 - q], axis=-1)
    p[100], q[100] = EXTREMES["the quotient overflows"]
    others = np.arange(200) != 100
    values = by_row(exact, p[others], q[others])
    assert relative_error(function(p, q)[others], values) < FEW_ROUNDINGS


# ---- entropy


@pytest.mark.parametrize("size", ROWS)
def test_entropy(rng, size):
    p = random_rows(rng, ROWS[size], size)
    assert relative_error(kc.entropy(p), by_row(reference.entropy, p)) < FEW_ROUNDINGS


@pytest.mark.parametrize("rest", [1e-3, 1e-6, 1e-9, 1e-12, 1e-14, 1e-16, 1e-30, 1e-300])
def test_entropy_of_nearly_certain_rows(rng, rest):
    p = rest * random_rows(rng, 20, 5)
    p[:, 2] = 1 - (p.sum(axis=1) - p[:, 2])
    with reference.mp.workdps(reference.ALL_FLOATS):
        exact = by_row(reference.entropy, p)
    assert relative_error(kc.entropy(p), exact) < FEW_ROUNDINGS


@pytest.mark.parametrize("rest", [1e-3, 1e-6, 1e-9, 1e-12, 1e-14])
@pairs
def test_pairs_of_nearly_certain_rows(function, exact, rng, rest):
    p, q = rest * random_rows(rng, 20, 5), rest * random_rows(rng, 20, 5)
    for rows in (p, q):
        rows[:, 2] = 1 - (rows.sum(axis=1) - rows[:, 2])
    assert relative_error(function(p, q), by_row(exact, p, q)) < FEW_ROUNDINGS


# ---- sums that are off by rounding


@pytest.mark.parametrize("off", [1e-6, -1e-6, 1e-9])
@pairs
def test_sums_that_are_off(function, exact, rng, off):
    p, q = random_rows(rng, 20, 10), random_rows(rng, 20, 10)
    for scaled in [(p * (1 + 0.99 * off), q), (p, q * (1 + 0.99 * off))]:
        assert relative_error(function(*scaled), by_row(exact, *scaled)) < FEW_ROUNDINGS


@pytest.mark.parametrize("delta", [1e-2, 1e-4, 1e-6])
@pairs
def test_sums_that_are_off_in_nearly_equal_pairs(function, exact, rng, delta):
    p = random_rows(rng, 20, 10)
    q = nearly_equal(rng, p, delta) * (1 + 0.99e-6)
    assert relative_error(function(p, q), by_row(exact, p, q)) < FEW_ROUNDINGS


def test_entropy_of_sums_that_are_off(rng):
    p = random_rows(rng, 20, 10) * (1 - 0.99e-6)
    assert relative_error(kc.entropy(p), by_row(reference.entropy, p)) < FEW_ROUNDINGS


@pairs
def test_single_precision_rows(function, exact, rng):
    """Normalised in single precision: sums are off by about 1e-7."""
    p = random_rows(rng, 50, 10).astype(np.float32)
    q = nearly_equal(rng, p, 1e-5).astype(np.float32)
    assert np.abs(p.sum(axis=1, dtype=float) - 1).max() > 2e-8
    in_double = function(p.astype(np.float64), q.astype(np.float64))
    assert relative_error(in_double, by_row(exact, p, q)) < FEW_ROUNDINGS
    assert relative_error(function(p, q), by_row(exact, p, q)) < 6.1e-8  # one rounding


# ---- Jensen-Shannon at its bound


def test_js_of_disjoint_supports_is_log_2(rng):
    p, q = with_zeros(rng, random_rows(rng, 50, 6), 0.2), random_rows(rng, 50, 6)
    zero = np.zeros_like(p)
    values = kc.js_divergence(np.hstack([p, zero]), np.hstack([zero, q]))
    np.testing.assert_allclose(values, np.log(2), rtol=2.3e-16)
    assert values.max() <= np.log(2)


# ---- mutual information


@pytest.mark.parametrize("strength", [1, 1e-2, 1e-4, 1e-6, 1e-9])
def test_mutual_information(rng, strength):
    x, y = random_rows(rng, 20, 3), random_rows(rng, 20, 4)
    independent = (x[:, :, None] * y[:, None, :]).reshape(20, -1)
    dependent = random_rows(rng, 20, 12)
    joint = ((1 - strength) * independent + strength * dependent).reshape(20, 3, 4)
    exact = by_row(reference.mutual_information, joint)
    values = kc.mutual_information(joint)
    for value, expected in zip(values, exact, strict=True):
        # the marginals are rounded, which counts in second order only
        assert abs(value - expected) < FEW_ROUNDINGS * expected + 1e-31


@pytest.mark.parametrize("small", [1e-100, 1e-280, 1e-310])
def test_mutual_information_where_the_product_underflows(small):
    joint = np.array([[1.0, small], [small, small]])
    with reference.mp.workdps(reference.ALL_FLOATS):
        exact = reference.mutual_information(joint)
    assert relative_error(kc.mutual_information(joint), exact) < 1e-12


def test_mutual_information_of_a_large_table_with_zeros(rng):
    joint = with_zeros(rng, random_rows(rng, 1, 3000), 0.5).reshape(50, 60)
    exact = reference.mutual_information(joint)
    assert relative_error(kc.mutual_information(joint), exact) < FEW_ROUNDINGS


def test_mutual_information_of_a_sum_that_is_off(rng):
    joint = random_rows(rng, 20, 6).reshape(20, 2, 3) * (1 + 0.99e-6)
    exact = by_row(reference.mutual_information, joint)
    assert relative_error(kc.mutual_information(joint), exact) < FEW_ROUNDINGS


# ---- Bernoulli


@pytest.mark.parametrize(
    ("p", "q"),
    [
        (0.5, 1e-20),
        (1e-20, 0.5),
        (1e-300, 2e-300),
        (0.3, 0.3 + 1e-12),
        (1 - 1e-12, 1 - 2e-12),
        (1e-12, 2e-12),
        (0.5, 5e-324),
        (5e-324, 0.25),
        (0.999, 0.001),
        (0.2, 0.4),
        (0.2, 0.1),
        (0.0, 1e-17),
        (1e-17, 0.0),
        (1.0, 1 - 1e-16),
    ],
)
def test_bernoulli_kl(p, q):
    exact = reference.bernoulli_kl(p, q)
    assert relative_error(kc.bernoulli_kl(p, q), exact) < FEW_ROUNDINGS


def test_bernoulli_kl_of_many_pairs(rng):
    p, q = rng.random((2, 60))
    near = np.clip(p * (1 + 1e-7 * rng.standard_normal(60)), 0, 1)
    for other in (q, q**20, near):
        exact = by_row(reference.bernoulli_kl, p, other)
        assert relative_error(kc.bernoulli_kl(p, other), exact) < FEW_ROUNDINGS


# ---- logits


def worst_of_logits(a, b, temperature=1.0):
    exact = by_row(reference.kl_from_logits, a, b, temperature=temperature)
    return relative_error(kc.kl_from_logits(a, b, temperature=temperature), exact)


@pytest.mark.parametrize("scale", [1, 10, 100, 1000])
def test_logits(rng, scale):
    a, b = scale * rng.standard_normal((2, 10, 10))
    assert worst_of_logits(a, b) < (FEW_ROUNDINGS if scale <= 10 else 3e-14)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2, 10, 100])
def test_temperatures(rng, temperature):
    a, b = 10 * rng.standard_normal((2, 20, 10))
    assert worst_of_logits(a, b, temperature) < 3e-14


@pytest.mark.parametrize("delta", [1e-2, 1e-4, 1e-8, 1e-12])
def test_nearly_equal_logits(rng, delta):
    a = rng.standard_normal((20, 10))
    assert worst_of_logits(a, a + delta * rng.standard_normal(a.shape)) < FEW_ROUNDINGS


def test_logits_that_differ_by_a_constant(rng):
    a = np.round(rng.standard_normal((20, 10)), 3)
    b = np.round(rng.standard_normal((20, 10)), 3)
    shifted = kc.kl_from_logits(a + 1024, b - 512)
    np.testing.assert_allclose(shifted, kc.kl_from_logits(a, b), rtol=1e-11)
    eighths = np.round(8 * a) / 8  # the shift is exact, and so is the result
    assert np.all(kc.kl_from_logits(eighths, eighths + 1024) == 0)


def test_saturated_logits(rng):
    """All mass on one class in both: the divergence lies in the tails."""
    for gap in (20, 50, 100, 300, 600):
        a, b = rng.standard_normal((2, 20, 5))
        a[:, 3] += gap
        b[:, 3] += gap
        assert worst_of_logits(a, b) < 3e-13, gap


def test_logits_saturated_at_different_classes():
    a, b = np.array([[800.0, 0.0, -3.0]]), np.array([[0.0, 800.0, 5.0]])
    assert worst_of_logits(a, b) < FEW_ROUNDINGS
    assert kc.kl_from_logits([1e300, 0], [0, 1e300]) == 1e300
    assert kc.kl_from_logits([1e308, -1e308], [0, 0]) == np.log(2)
    assert kc.kl_from_logits([1e308, -1e308], [1e308, -1e308]) == 0


def test_impossible_classes(rng):
    a, b = rng.standard_normal((2, 20, 6))
    a[::2, 1] = b[::2, 1] = a[5, 3] = a[7, 0] = -np.inf
    # far below all other logits, and as good as impossible
    exact = by_row(reference.kl_from_logits, np.maximum(a, -2000), np.maximum(b, -2000))
    assert relative_error(kc.kl_from_logits(a, b), exact) < FEW_ROUNDINGS


def test_an_impossible_symbol_of_q_is_infinite_even_where_p_underflows():
    assert kc.kl_from_logits([0.0, -2000.0], [0.0, -np.inf]) == np.inf
    assert kc.kl_from_logits([0.0, -np.inf], [0.0, -np.inf]) == 0


def test_logits_in_single_precision(rng):
    a, b = rng.standard_normal((2, 20, 10)).astype(np.float32)
    assert worst_of_logits(a, b) < 6.1e-8
