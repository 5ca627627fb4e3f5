"""Normal distributions: hand values, digits, other libraries, laws, messages."""

from functools import partial
from math import e, log, pi

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import integrate, stats

import kl_course as kc

from . import reference
from .reference import by_row, relative_error
from .test_validation import raises

EPS = 2.22e-16
FEW_ROUNDINGS = 4 * EPS  # 2.6 are the most seen; 3.5 in sums over coordinates
close_to = partial(pytest.approx, abs=0)  # by itself approx grants 1e-12


@pytest.fixture
def rng():
    return np.random.default_rng(4321)


def normal_kl(mean_p, std_p, mean_q, std_q, **options):
    return kc.normal_kl(mean_p=mean_p, std_p=std_p, mean_q=mean_q, std_q=std_q, **options)


def diag_normal_kl(mean_p, std_p, mean_q, std_q, **options):
    return kc.diag_normal_kl(mean_p=mean_p, std_p=std_p, mean_q=mean_q, std_q=std_q, **options)


def mvn_kl(mean_p, cov_p, mean_q, cov_q, **options):
    return kc.mvn_kl(mean_p=mean_p, cov_p=cov_p, mean_q=mean_q, cov_q=cov_q, **options)


def rounding(condition):
    """Return the relative error granted to covariances: half of it is the most seen."""
    return (8 + 2 * condition) * EPS


def random_cov(rng, size, condition=10.0):
    """Return a covariance with eigenvalues from 1 to 1/condition."""
    rotation = np.linalg.qr(rng.standard_normal((size, size)))[0]
    cov = rotation * np.geomspace(1, 1 / condition, size) @ rotation.T
    return (cov + cov.T) / 2


def near_cov(rng, cov, delta):
    """Return L (I + delta Z) L', with Z random and symmetric: near in every direction."""
    factor, noise = np.linalg.cholesky(cov), rng.standard_normal(cov.shape)
    near = cov + delta / 4 * factor @ (noise + noise.T) @ factor.T
    return (near + near.T) / 2


def random_pair(rng, *shape):
    """Return mean_p, cov_p, mean_q, cov_q: a stack of pairs of the given shape (..., d)."""
    covs = [[random_cov(rng, shape[-1]) for _ in np.ndindex(shape[:-1])] for _ in "pq"]
    cov_p, cov_q = (np.reshape(cov, (*shape, shape[-1])) for cov in covs)
    return rng.standard_normal(shape), cov_p, rng.standard_normal(shape), cov_q


# ---- hand values


def test_hand_values_of_one_dimension():
    assert normal_kl(1, 1, 0, 1) == 0.5
    assert normal_kl(3, 2, -1, 2) == 2
    assert normal_kl(0, 0.5, 0, 1) == close_to(log(2) - 3 / 8, rel=1e-15)
    assert normal_kl(0, 1, 0, 0.5) == close_to(3 / 2 - log(2), rel=1e-15)
    assert normal_kl(0, 2, 1, 3) == close_to(log(1.5) - 2 / 9, rel=1e-15)


def test_hand_values_of_more_dimensions():
    expected = (2 / 1 + 0.5 / 3 - 2 + log(3)) / 2
    assert expected == close_to(0.632639, rel=1e-6)
    assert mvn_kl([1, 2], np.diag([2, 0.5]), [1, 2], np.diag([1, 3])) == close_to(
        expected, rel=1e-15
    )
    assert diag_normal_kl([0, 0], [2**0.5, 0.5**0.5], [0, 0], [1, 3**0.5]) == close_to(
        expected, rel=2e-15
    )
    # z = (1, 2), precision [[1, -1], [-1, 2]]: z' precision z = 5
    assert mvn_kl([1, 2], [[2, 1], [1, 1]], [0, 0], [[2, 1], [1, 1]]) == close_to(2.5, rel=1e-15)
    # precision_q = [[2, -1], [-1, 1]]: trace 3, determinants 1 and 1
    assert mvn_kl([0, 0], np.eye(2), [0, 0], [[1, 1], [1, 2]]) == close_to(0.5, rel=1e-15)


def test_hand_values_of_entropy():
    assert kc.normal_entropy(1) == close_to(log(2 * pi * e) / 2, rel=1e-15)
    assert kc.normal_entropy(1 / (2 * pi * e) ** 0.5) == pytest.approx(0, abs=1e-15)
    assert kc.normal_entropy(0.125) == close_to(log(2 * pi * e) / 2 - 3 * log(2), rel=2e-15)
    assert kc.mvn_entropy([[2, 1], [1, 1]]) == close_to(log(2 * pi * e), rel=1e-15)
    assert kc.mvn_entropy([[4.0]]) == close_to(kc.normal_entropy(2), rel=1e-15)


# ---- digits: one dimension and independent coordinates


@pytest.mark.parametrize("delta", [1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2, 0.1, 0.3, 1, 3, 10])
def test_pairs_at_any_closeness(rng, delta):
    mean_p, std_p = 10 * rng.standard_normal(150), np.exp(rng.standard_normal(150))
    mean_q = mean_p * (1 + delta * rng.standard_normal(150))
    std_q = std_p * (1 + delta * rng.random(150))
    mean_q[:50], std_q[50:100] = mean_p[:50], std_p[50:100]
    for pair in [(mean_p, std_p, mean_q, std_q), (mean_q, std_q, mean_p, std_p)]:
        exact = by_row(reference.normal_kl, *pair)
        assert relative_error(normal_kl(*pair), exact) < FEW_ROUNDINGS


@pytest.mark.parametrize("shift", [0, 1e-8, 1e-3, 0.3, 5])
def test_a_ratio_of_stds_that_crosses_every_branch(shift):
    """Ratios from 1e-5 to 1e5, finely spaced around 1, 1/2 and 2."""
    ratio = np.concatenate([np.geomspace(1e-5, 1e5, 80), np.linspace(0.4, 2.5, 80)])
    zero = np.zeros_like(ratio)
    for pair in [(zero + shift, ratio, zero, zero + 1), (zero, zero + 1, zero + shift, ratio)]:
        exact = by_row(reference.normal_kl, *pair)
        assert relative_error(normal_kl(*pair), exact) < FEW_ROUNDINGS


EXTREMES = {
    "p far wider": (0, 1e100, 0, 1),
    "p far narrower": (0, 1, 0, 1e100),
    "p narrower than a quotient can tell": (0, 1e-200, 0, 1e200),
    "p a little wider": (0, np.nextafter(1, 2), 0, 1),
    "q a little wider": (0, 1, 0, np.nextafter(1, 2)),
    "a small shift only": (1e-150, 1, 0, 1),
    "a large shift only": (-1e150, 1, 0, 1),
    "large and near": (1e300, 1e299, 1.0000001e300, 1.00001e299),
    "large and far": (1e308, 1e306, -5e307, 1e307),
    "small and near": (1e-300, 1e-301, 1.0000001e-300, 1.00001e-301),
    "small and far": (1e-300, 1e-300, -3e-300, 5e-301),
    "subnormal": (0, 3.5e-323, 1.5e-323, 1e-323),
    "a large mean, a small shift": (1e15 + 1, 1, 1e15, 1),
    "means of opposite sign": (1e-3, 1, -1e-19, 1),
    "just below the largest float": (1.6e154, 1, 0, 1),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pair", EXTREMES.values(), ids=EXTREMES)
def test_extreme_pairs(pair):
    assert relative_error(normal_kl(*pair), reference.normal_kl(*pair)) < FEW_ROUNDINGS


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pair", [(0, 1e150, 0, 1e-50), (0, 1, 1e200, 1), (0, 1, 0, 1e-160)])
def test_a_value_beyond_the_largest_float_is_infinite(pair):
    mean_p, std_p, mean_q, std_q = pair
    assert normal_kl(*pair) == np.inf
    assert diag_normal_kl([mean_p] * 2, std_p, mean_q, std_q) == np.inf
    assert mvn_kl([mean_p] * 2, std_p**2 * np.eye(2), [mean_q] * 2, std_q**2 * np.eye(2)) == np.inf


@pytest.mark.filterwarnings("error")
def test_a_value_beyond_the_largest_single_float_is_infinite():
    mean, std, cov = np.float32([1e20]), np.float32([1e-20]), np.float32([[1e-20]])
    assert normal_kl(mean, std, -mean, std) == np.inf
    assert diag_normal_kl(mean, std, -mean, std) == np.inf
    assert mvn_kl(mean, cov, -mean, cov) == np.inf


@pytest.mark.parametrize("delta", [1e-12, 1e-8, 1e-4, 1e-2, 1])
@pytest.mark.parametrize("size", [1, 2, 30, 1000])
def test_digits_of_independent_coordinates(rng, size, delta):
    shape = (max(1, 200 // size), size)
    mean_p, std_p = rng.standard_normal(shape), np.exp(rng.standard_normal(shape))
    mean_q = mean_p * (1 + delta * rng.standard_normal(shape))
    pair = mean_p, std_p, mean_q, std_p * (1 + delta * rng.random(shape))
    exact = by_row(reference.diag_normal_kl, *pair)
    assert relative_error(diag_normal_kl(*pair), exact) < 5 * EPS


def test_one_wide_coordinate_does_not_drown_the_others():
    std_p, std_q = [1e-3, 1e3, 1, 1 + 1e-9], [1.0000001e-3, 1e3 + 1e-7, 1 + 1e-12, 1]
    zeros = np.zeros(4)
    exact = reference.diag_normal_kl(zeros, std_p, zeros, std_q)
    assert relative_error(diag_normal_kl(0, std_p, 0, std_q), exact) < FEW_ROUNDINGS


def test_digits_of_entropy(rng):
    std = np.exp(5 * rng.standard_normal(300))
    exact = np.array(by_row(reference.normal_entropy, std))
    assert np.all(np.abs(kc.normal_entropy(std) - exact.astype(float)) < 2 * EPS * (2 + abs(exact)))
    for extreme in (5e-324, 1e-300, 1e300):
        assert relative_error(kc.normal_entropy(extreme), reference.normal_entropy(extreme)) < EPS


# ---- digits: full covariances, as many as the condition leaves


CONDITIONS = [1, 1e2, 1e4, 1e6, 1e8]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_digits_of_any_covariances(rng, condition):
    for size in (1, 2, 3, 6):
        for _ in range(4):
            cov_p, cov_q = (random_cov(rng, size, condition) for _ in "pq")
            pair = rng.standard_normal(size), cov_p, rng.standard_normal(size), cov_q
            exact = reference.mvn_kl(*pair)
            assert relative_error(mvn_kl(*pair), exact) < rounding(condition), size


@pytest.mark.parametrize("delta", [1e-12, 1e-8, 1e-4, 1e-2, 0.2])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_digits_of_nearly_equal_covariances(rng, condition, delta):
    for size in (2, 3, 6):
        for mean_q in (np.zeros(size), delta * rng.standard_normal(size) / condition):
            cov_q = random_cov(rng, size, condition)
            pair = np.zeros(size), near_cov(rng, cov_q, delta), mean_q, cov_q
            exact = reference.mvn_kl(*pair)
            assert relative_error(mvn_kl(*pair), exact) < rounding(condition), size


@pytest.mark.parametrize("delta", [1e-12, 1e-8, 1e-4, 1e-1, None])
@pytest.mark.parametrize("condition", [10, 1e4])
def test_the_scales_of_the_coordinates_cost_no_digits(rng, condition, delta):
    """Units from 1e-6 to 1e6: the condition of the covariances is 1e24 times that of `cov`."""
    for _ in range(6):
        cov = random_cov(rng, 6, condition)
        units = rng.permutation(np.geomspace(1e-6, 1e6, 6))
        scale = np.outer(units, units)
        near = random_cov(rng, 6, condition) if delta is None else near_cov(rng, cov, delta)
        pair = units * (delta or 1) * rng.standard_normal(6), near * scale, np.zeros(6), cov * scale
        exact = reference.mvn_kl(*pair)
        assert relative_error(mvn_kl(*pair), exact) < rounding(condition)


def test_digits_of_equal_covariances_and_a_shift(rng):
    for condition in CONDITIONS:
        cov = random_cov(rng, 4, condition)
        for size in (1e-12, 1, 1e12):
            pair = size * rng.standard_normal(4), cov, np.zeros(4), cov
            exact = reference.mvn_kl(*pair)
            assert relative_error(mvn_kl(*pair), exact) < rounding(condition)


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_covariances_of_any_size(rng, scale):
    mean_p, cov_p, mean_q, cov_q = random_pair(rng, 3)
    unit = scale**0.5
    pair = mean_p * unit, cov_p * scale, mean_q * unit, cov_q * scale
    assert relative_error(mvn_kl(*pair), reference.mvn_kl(*pair)) < rounding(10)
    assert kc.mvn_entropy(cov_p * scale) == close_to(
        float(reference.mvn_entropy(cov_p * scale)), rel=rounding(10)
    )


def test_one_coordinate_far_wider(rng):
    cov = random_cov(rng, 3)
    for scale in (1e-8, 1e-4, 1e4, 1e8):
        wide = cov * np.outer([1, 1, scale], [1, 1, scale])
        for pair in [(np.zeros(3), wide, np.ones(3), cov), (np.zeros(3), cov, np.ones(3), wide)]:
            assert relative_error(mvn_kl(*pair), reference.mvn_kl(*pair)) < rounding(10)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_digits_of_entropy_of_a_covariance(rng, condition):
    for size in (2, 6):
        cov = random_cov(rng, size, condition)
        error = abs(kc.mvn_entropy(cov) - float(reference.mvn_entropy(cov)))
        assert error < size * rounding(condition)


def test_entropy_where_the_determinant_overflows():
    for variance in (1e-8, 1e8):
        value = kc.mvn_entropy(variance * np.eye(200))
        assert value == close_to(200 * kc.normal_entropy(variance**0.5), rel=1e-14)


def test_many_dimensions(rng):
    """A rotation leaves KL as it is: the exact value is that of the axes."""
    rotation = np.linalg.qr(rng.standard_normal((200, 200)))[0]
    var_q = np.geomspace(0.1, 10, 200)
    for delta in (1e-6, 0.5):
        var_p = var_q * (1 + delta * rng.random(200))
        cov_p, cov_q = ((rotation * var) @ rotation.T for var in (var_p, var_q))
        mean = delta * rng.standard_normal(200)
        value = mvn_kl(rotation @ mean, (cov_p + cov_p.T) / 2, np.zeros(200), (cov_q + cov_q.T) / 2)
        expected = diag_normal_kl(mean, var_p**0.5, np.zeros(200), var_q**0.5)
        assert value == close_to(expected, rel=1e-13 / delta)  # the rotation rounds the inputs


# ---- never negative, zero at equality


def test_zero_at_equality(rng):
    mean, std = 1e3 * rng.standard_normal((50, 3)), np.exp(5 * rng.standard_normal((50, 3)))
    np.testing.assert_array_equal(normal_kl(mean, std, mean, std), 0)
    np.testing.assert_array_equal(diag_normal_kl(mean, std, mean, std), 0)
    for condition in (*CONDITIONS, 1e12):
        cov = np.array([random_cov(rng, 3, condition) for _ in mean])
        np.testing.assert_array_equal(mvn_kl(mean, cov, mean, cov.copy()), 0)


def test_never_negative(rng):
    """Pairs that differ in the last digits: the textbook form is negative for many of them."""
    for delta in (1e-16, 3e-16, 1e-15, 1e-14, 1e-9):
        std = np.exp(rng.standard_normal((500, 3)))
        std_q = std * (1 + delta * rng.standard_normal(std.shape))
        assert normal_kl(0, std, 0, std_q).min() >= 0
        assert diag_normal_kl(0, std, 0, std_q).min() >= 0
        for condition in (1, 1e3, 1e9):
            cov = np.array([random_cov(rng, 3, condition) for _ in range(100)])
            cov_q = cov * (1 + delta * rng.standard_normal((100, 1, 1)))
            cov_q[::2] += delta * np.eye(3)
            assert mvn_kl(np.zeros(3), cov, np.zeros(3), cov_q).min() >= 0


# ---- independent referees


def test_scipy_agrees_on_entropies(rng):
    for std in (0.01, 1, 37.5):
        assert kc.normal_entropy(std) == close_to(stats.norm(0, std).entropy(), rel=1e-13)
    for size in (1, 2, 5):
        cov = random_cov(rng, size)
        expected = stats.multivariate_normal(np.zeros(size), cov).entropy()
        assert kc.mvn_entropy(cov) == close_to(expected, rel=1e-12)


@pytest.mark.parametrize("pair", [(1, 1, 0, 1), (0.3, 2, -1, 0.7), (0, 0.5, 2, 3)])
def test_quadrature_agrees(pair):
    p, q = stats.norm(*pair[:2]), stats.norm(*pair[2:])
    low, high = p.mean() - 12 * p.std(), p.mean() + 12 * p.std()
    value, _ = integrate.quad(
        lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), low, high, epsabs=0, epsrel=1e-12
    )
    assert normal_kl(*pair) == close_to(value, rel=1e-11)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_scipy_densities_agree(rng, size):
    """The log ratio is quadratic: its mean over 2 d points of mean and covariance P is exact."""
    mean_p, cov_p, mean_q, cov_q = random_pair(rng, size)
    steps = size**0.5 * np.linalg.cholesky(cov_p).T
    points = mean_p + np.concatenate([steps, -steps])
    p, q = stats.multivariate_normal(mean_p, cov_p), stats.multivariate_normal(mean_q, cov_q)
    expected = np.mean(p.logpdf(points) - q.logpdf(points))
    assert mvn_kl(mean_p, cov_p, mean_q, cov_q) == close_to(expected, rel=1e-11)


def test_pytorch_agrees(rng):
    torch = pytest.importorskip("torch")
    d = torch.distributions

    def torch_kl(kind, *pair):
        mean_p, spread_p, mean_q, spread_q = (torch.from_numpy(x) for x in pair)
        return d.kl_divergence(kind(mean_p, spread_p), kind(mean_q, spread_q)).numpy()

    def diagonal(mean, std):
        return d.Independent(d.Normal(mean, std), 1)

    mean_p, cov_p, mean_q, cov_q = random_pair(rng, 20, 4)
    std_p, std_q = (np.exp(rng.standard_normal((20, 4))) for _ in "pq")
    agree = partial(np.testing.assert_allclose, rtol=1e-11)
    agree(normal_kl(mean_p, std_p, mean_q, std_q), torch_kl(d.Normal, mean_p, std_p, mean_q, std_q))
    agree(
        diag_normal_kl(mean_p, std_p, mean_q, std_q),
        torch_kl(diagonal, mean_p, std_p, mean_q, std_q),
    )
    pair = mean_p, cov_p, mean_q, cov_q
    agree(mvn_kl(*pair), torch_kl(d.MultivariateNormal, *pair))
    agree(kc.normal_entropy(std_p), d.Normal(0, torch.from_numpy(std_p)).entropy().numpy())
    full = d.MultivariateNormal(torch.zeros(4).double(), torch.from_numpy(cov_p))
    agree(kc.mvn_entropy(cov_p), full.entropy().numpy())


# ---- units


@pytest.mark.parametrize("base", [2, 10, 0.5, np.float32(2)])
def test_a_base_is_a_unit(rng, base):
    mvn = random_pair(rng, 3)
    pair = (1.0, 2.0, 0.5, 3.0), ([1.0, 2.0], [3.0, 4.0], [0.0, 1.0], [1.0, 2.0])
    values = [
        (kc.normal_entropy(3, base=base), kc.normal_entropy(3)),
        (kc.mvn_entropy(mvn[1], base=base), kc.mvn_entropy(mvn[1])),
        (normal_kl(*pair[0], base=base), normal_kl(*pair[0])),
        (diag_normal_kl(*pair[1], base=base), diag_normal_kl(*pair[1])),
        (mvn_kl(*mvn, base=base), mvn_kl(*mvn)),
    ]
    for value, nats in values:
        assert value == close_to(nats / log(base), rel=1e-15)


# ---- shapes and kinds of input


def test_one_dimension_is_elementwise(rng):
    mean_p, std_p = rng.standard_normal((3, 1)), np.exp(rng.standard_normal(4))
    mean_q, std_q = rng.standard_normal((2, 1, 1)), np.exp(rng.standard_normal((3, 4)))
    values = normal_kl(mean_p, std_p, mean_q, std_q)
    assert values.shape == (2, 3, 4)
    for i, j, k in np.ndindex(2, 3, 4):
        expected = normal_kl(mean_p[j, 0], std_p[k], mean_q[i, 0, 0], std_q[j, k])
        assert values[i, j, k] == close_to(expected, rel=1e-15)
    assert kc.normal_entropy(std_q).shape == (3, 4)
    assert kc.normal_entropy(std_q)[1, 2] == kc.normal_entropy(std_q[1, 2])


def test_independent_coordinates_are_on_the_last_axis(rng):
    mean_p, std_p = rng.standard_normal((5, 1, 3)), np.exp(rng.standard_normal(3))
    mean_q, std_q = rng.standard_normal((2, 3)), np.exp(rng.standard_normal((5, 2, 3)))
    values = diag_normal_kl(mean_p, std_p, mean_q, std_q)
    assert values.shape == (5, 2)
    for i, j in np.ndindex(5, 2):
        expected = diag_normal_kl(mean_p[i, 0], std_p, mean_q[j], std_q[i, j])
        assert values[i, j] == close_to(expected, rel=1e-15)
        elementwise = normal_kl(mean_p[i, 0], std_p, mean_q[j], std_q[i, j])
        assert values[i, j] == close_to(elementwise.sum(), rel=1e-15)


def test_a_number_stands_for_all_coordinates(rng):
    mean, std = rng.standard_normal((4, 3)), np.exp(rng.standard_normal((4, 3)))
    expected = diag_normal_kl(mean, std, np.zeros(3), np.full(3, 2.0))
    np.testing.assert_array_equal(diag_normal_kl(mean, std, 0, 2), expected)
    expected = diag_normal_kl(np.ones(3), np.full(3, 2.0), mean, std)
    np.testing.assert_array_equal(diag_normal_kl(1, 2, mean, std), expected)


@pytest.mark.parametrize(
    "shapes",
    [
        ((3,), (3, 3), (3,), (3, 3), ()),
        ((5, 3), (3, 3), (3,), (3, 3), (5,)),
        ((3,), (5, 3, 3), (3,), (3, 3), (5,)),
        ((3,), (3, 3), (3,), (5, 3, 3), (5,)),
        ((5, 1, 3), (3, 3), (2, 3), (1, 1, 3, 3), (5, 2)),
        ((1, 3), (1, 3, 3), (1, 3), (1, 3, 3), (1,)),
    ],
)
def test_stacks_of_covariances_broadcast(rng, shapes):
    *shapes, common = shapes
    means = [rng.standard_normal(shape) for shape in shapes[::2]]
    covs = [
        np.reshape([random_cov(rng, 3) for _ in np.ndindex(shape[:-2])], shape)
        for shape in shapes[1::2]
    ]
    pair = means[0], covs[0], means[1], covs[1]
    values = mvn_kl(*pair)
    assert np.shape(values) == common
    full = [np.broadcast_to(x, (*common, *x.shape[-1 - k % 2 :])) for k, x in enumerate(pair)]
    for index in np.ndindex(common):
        assert values[index] == close_to(mvn_kl(*(x[index] for x in full)), rel=1e-14)


def test_a_stack_of_near_and_far_pairs_equals_its_members(rng):
    cov = random_cov(rng, 3)
    stack = np.array([cov, near_cov(rng, cov, 1e-9), near_cov(rng, cov, 0.3), 50 * cov, cov / 50])
    values = mvn_kl(np.zeros(3), stack, np.zeros(3), cov)
    for value, member in zip(values, stack, strict=True):
        exact = reference.mvn_kl(np.zeros(3), member, np.zeros(3), cov)
        assert relative_error(value, exact) < rounding(10)
        assert value == close_to(mvn_kl(np.zeros(3), member, np.zeros(3), cov), rel=1e-14)


def test_entropy_of_a_stack_of_covariances(rng):
    cov = random_pair(rng, 2, 4, 3)[1]
    values = kc.mvn_entropy(cov)
    assert values.shape == (2, 4)
    assert values[1, 2] == close_to(kc.mvn_entropy(cov[1, 2]), rel=1e-14)


def test_many_pairs_equal_their_members(rng):
    """More than a block is likely to hold."""
    mean_p, mean_q = rng.standard_normal((2, 70_001, 2))
    std_p, std_q = np.exp(rng.standard_normal((2, 70_001, 2)))
    values = diag_normal_kl(mean_p, std_p, mean_q, std_q)
    elementwise = normal_kl(mean_p, std_p, mean_q, std_q)
    np.testing.assert_allclose(values, elementwise.sum(axis=1), rtol=1e-15)
    for k in (0, 8191, 8192, 16_384, 32_768, 65_536, 70_000):
        row = mean_p[k], std_p[k], mean_q[k], std_q[k]
        assert relative_error(values[k], reference.diag_normal_kl(*row)) < FEW_ROUNDINGS
        assert relative_error(elementwise[k], by_row(reference.normal_kl, *row)) < FEW_ROUNDINGS


def test_numbers_give_a_scalar(rng):
    values = [
        kc.normal_entropy(1),
        normal_kl(0, 1, 1, 2),
        diag_normal_kl([0.0], [1.0], [1.0], [2.0]),
        kc.mvn_entropy(np.eye(2)),
        mvn_kl(*random_pair(rng, 2)),
    ]
    for value in values:
        assert type(value) is np.float64


def test_single_precision_in_and_out(rng):
    mean_p, cov_p, mean_q, cov_q = random_pair(rng, 6, 3)
    std_p, std_q = (np.exp(rng.standard_normal((6, 3))) for _ in "pq")
    cases = [
        (kc.normal_entropy, (std_p,)),
        (normal_kl, (mean_p, std_p, mean_q, std_q)),
        (diag_normal_kl, (mean_p, std_p, mean_q, std_q)),
        (kc.mvn_entropy, (cov_p,)),
        (mvn_kl, (mean_p, cov_p, mean_q, cov_q)),
    ]
    for function, arrays in cases:
        single = [x.astype(np.float32) for x in arrays]
        values = function(*single)
        assert values.dtype == np.float32
        assert type(function(*(x[0] for x in single))) in (np.float32, np.ndarray)
        np.testing.assert_allclose(values, function(*arrays), rtol=1e-4, atol=1e-6)
        if len(arrays) == 4:  # one input in double precision makes the result double
            assert function(*single[:3], arrays[3]).dtype == np.float64
    assert type(normal_kl(*np.float32([0, 1, 1, 2]))) is np.float32


def test_single_precision_is_computed_in_double(rng):
    std_p = np.exp(rng.standard_normal((40, 3))).astype(np.float32)
    std_q = (std_p * (1 + 1e-4 * rng.standard_normal((40, 3)))).astype(np.float32)
    mean_p = rng.standard_normal((40, 3)).astype(np.float32)
    pair = mean_p, std_p, mean_p[::-1], std_q
    exact = np.reshape(by_row(reference.normal_kl, *map(np.ravel, pair)), (40, 3))
    assert relative_error(normal_kl(*pair), exact) < 6e-8
    assert relative_error(diag_normal_kl(*pair), exact.sum(axis=1)) < 6e-8
    cov_q = np.array([random_cov(rng, 3) for _ in range(10)], np.float32)
    cov_p = np.array([near_cov(rng, cov, 1e-3) for cov in cov_q.astype(float)], np.float32)
    means = np.zeros((10, 3), np.float32)
    exact = by_row(reference.mvn_kl, means, cov_p, means, cov_q)
    assert relative_error(mvn_kl(means, cov_p, means, cov_q), exact) < 6.1e-8


def test_lists_integers_views_and_read_only_arrays(rng):
    pair = random_pair(rng, 3)
    expected = mvn_kl(*pair)
    assert mvn_kl(*(x.tolist() for x in pair)) == expected
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in pair]
    for x in strided:
        x.flags.writeable = False
    assert mvn_kl(*strided) == close_to(expected, rel=1e-14)
    assert mvn_kl([1, 0], [[2, 1], [1, 3]], [0, 0], [[1, 0], [0, 1]]) == close_to(
        (5 - 2 - log(5) + 1) / 2, rel=1e-15
    )
    unsigned = np.array([1, 2, 3], np.uint8)
    np.testing.assert_array_equal(
        normal_kl(0, 1, unsigned, unsigned), normal_kl(0, 1, [1, 2, 3], [1, 2, 3])
    )


def test_differences_of_means_are_taken_in_double():
    one, two = np.array([1], np.uint8), np.array([2], np.uint8)  # 1 - 2 would wrap around to 255
    assert normal_kl(one, one, two, one) == 0.5
    assert diag_normal_kl(one, one, two, one) == 0.5
    assert mvn_kl(one, [one], two, [one]) == 0.5
    single = np.float32([1]), np.float32([1e-4])  # they differ by more than single precision holds
    shift = 1 - float(single[1][0])
    assert mvn_kl(single[0], [[1.0]], single[1], [[1.0]]) == close_to(shift**2 / 2, rel=1e-15)
    assert diag_normal_kl(single[0], [1.0], single[1], [1.0]) == close_to(shift**2 / 2, rel=1e-15)


def test_inputs_are_left_as_they_are(rng):
    mean_p, cov_p, mean_q, _ = pair = random_pair(rng, 4, 3)
    std_p, std_q = (np.exp(x) for x in (mean_p, mean_q))
    before = [x.copy() for x in (*pair, std_p, std_q)]
    mvn_kl(*pair)
    kc.mvn_entropy(cov_p)
    normal_kl(mean_p, std_p, mean_q, std_q)
    diag_normal_kl(mean_p, std_p, mean_q, std_q)
    for x, copy in zip((*pair, std_p, std_q), before, strict=True):
        np.testing.assert_array_equal(x, copy)


# ---- laws, on numbers that floats transform exactly


means = st.integers(-1000, 1000).map(lambda k: k / 16)
stds = st.integers(1, 1000).map(lambda k: k / 16)
scales = st.integers(-20, 20).map(lambda k: 2.0**k)
normal_pairs = st.tuples(means, stds, means, stds)


def vectors(size, elements):
    return st.lists(elements, min_size=size, max_size=size).map(np.array)


def factors(size):
    """Draw a lower triangular matrix of small integers with a positive diagonal."""
    integers = vectors(size * size, st.integers(-2, 2)).map(lambda x: x.reshape(size, size))
    diagonal = vectors(size, st.integers(1, 3))
    return st.builds(lambda a, d: (np.tril(a, -1) + np.diag(d)).astype(float), integers, diagonal)


def mvn_pairs(size):
    covs = factors(size).map(lambda a: a @ a.T)
    return st.tuples(vectors(size, means), covs, vectors(size, means), covs)


any_mvn_pair = st.integers(1, 4).flatmap(mvn_pairs)


def digits(*covs):
    """Return the relative tolerance that the conditions of the covariances ask for."""
    return rounding(5 * max(np.linalg.cond(cov) for cov in covs))


@settings(deadline=None)
@given(normal_pairs, scales, st.sampled_from([-1, 1]), means)
def test_a_change_of_unit_or_origin_changes_nothing(pair, scale, sign, origin):
    mean_p, std_p, mean_q, std_q = pair
    moved = [sign * scale * (mean + origin) for mean in (mean_p, mean_q)]
    value = normal_kl(moved[0], scale * std_p, moved[1], scale * std_q)
    assert value == close_to(normal_kl(*pair), rel=1e-15)


@settings(deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda d: st.tuples(mvn_pairs(d), factors(d), st.permutations(range(d)))
    )
)
def test_affine_maps_change_nothing(drawn):
    pair, factor, order = drawn
    matrix, origin = factor[list(order)], np.arange(len(factor))
    mean_p, cov_p, mean_q, cov_q = pair
    mapped = [matrix @ cov @ matrix.T for cov in (cov_p, cov_q)]
    value = mvn_kl(matrix @ mean_p + origin, mapped[0], matrix @ mean_q + origin, mapped[1])
    tolerance = digits(cov_p, cov_q, *mapped)
    assert value == pytest.approx(mvn_kl(*pair), rel=tolerance, abs=tolerance**2)
    entropy = kc.mvn_entropy(cov_p) + log(np.prod(np.diag(factor)))
    assert kc.mvn_entropy(mapped[0]) == pytest.approx(entropy, rel=0, abs=tolerance)


@settings(max_examples=40, deadline=None)
@given(any_mvn_pair, any_mvn_pair)
def test_independent_blocks_add_up(first, second):
    def joined(a, b):
        if a.ndim == 1:
            return np.concatenate([a, b])
        zeros = np.zeros((len(a), len(b)))
        return np.block([[a, zeros], [zeros.T, b]])

    both = [joined(a, b) for a, b in zip(first, second, strict=True)]
    expected = mvn_kl(*first) + mvn_kl(*second)
    tolerance = digits(both[1], both[3])
    assert mvn_kl(*both) == pytest.approx(expected, rel=tolerance, abs=tolerance**2)
    entropy = kc.mvn_entropy(first[1]) + kc.mvn_entropy(second[1])
    assert kc.mvn_entropy(both[1]) == close_to(entropy, rel=tolerance)


@settings(deadline=None)
@given(st.lists(normal_pairs, min_size=1, max_size=5))
def test_the_three_functions_agree(pairs):
    """Standard deviations of few bits: their squares are exact."""
    mean_p, std_p, mean_q, std_q = np.transpose(pairs)
    expected = normal_kl(mean_p, std_p, mean_q, std_q).sum()
    value = diag_normal_kl(mean_p, std_p, mean_q, std_q)
    assert value == close_to(expected, rel=2e-15)
    value = mvn_kl(mean_p, np.diag(std_p**2), mean_q, np.diag(std_q**2))
    assert value == close_to(expected, rel=2e-14)
    entropy = kc.normal_entropy(std_p).sum()
    assert kc.mvn_entropy(np.diag(std_p**2)) == pytest.approx(entropy, rel=1e-14, abs=1e-14)


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 4).flatmap(mvn_pairs))
def test_fewer_coordinates_tell_less(pair):
    part = [x[(slice(1, None),) * x.ndim] for x in pair]
    whole = mvn_kl(*pair)
    assert 0 <= mvn_kl(*part) <= whole * (1 + digits(pair[1], pair[3])) + 1e-20


# ---- messages


STD_ERRORS = {
    "zero": ([1.0, 0.0], ["[1]", "0.0", "expected"]),
    "negative": ([[1.0, 2.0], [-0.5, 1.0]], ["[1, 0]", "-0.5", "expected"]),
    "nan": ([np.nan, 1.0], ["[0]", "nan", "expected"]),
    "infinite": ([1.0, np.inf], ["[1]", "inf", "expected"]),
}


@pytest.mark.parametrize(("std", "fragments"), STD_ERRORS.values(), ids=STD_ERRORS)
def test_a_bad_std_is_named(std, fragments):
    place, *rest = fragments
    with raises("std" + place, *rest):
        kc.normal_entropy(std)
    for function in (normal_kl, diag_normal_kl):
        with raises("std_p" + place, *rest):
            function(0, std, 0, [1.0, 1.0])
        with raises("std_q" + place, *rest):
            function([0.0, 0.0], 1, 0, std)


def test_a_bad_std_that_is_one_number_is_named():
    with raises("std", "-1", "expected"):
        kc.normal_entropy(-1)
    with raises("std_p", "0", "expected"):
        normal_kl(0, 0, 0, 1)
    with raises("std_q", "-2.5", "expected"):
        diag_normal_kl([0.0, 1.0], 1, 0, -2.5)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_bad_mean_is_named(value):
    bad = [[0.0, 0.0], [value, 0.0]]
    for function, spread in [(normal_kl, [1, 1]), (diag_normal_kl, [1, 1]), (mvn_kl, np.eye(2))]:
        with raises("mean_p[1, 0]", str(value), "expected"):
            function(bad, spread, [0, 0], spread)
        with raises("mean_q[1, 0]", str(value), "expected"):
            function([0, 0], spread, bad, spread)


NOT_REAL = {
    "complex": (lambda x: x * (1 + 1j), ["complex128", "real numbers"]),
    "strings": (lambda x: x.astype(str), ["real numbers"]),
    "empty": (lambda x: x[:0], ["empty"]),
}


@pytest.mark.parametrize(("spoil", "fragments"), NOT_REAL.values(), ids=NOT_REAL)
@pytest.mark.parametrize("name", ["mean_p", "spread_p", "mean_q", "spread_q"])
def test_an_array_of_the_wrong_kind_is_named(name, spoil, fragments):
    for function, spread in [(normal_kl, "std"), (diag_normal_kl, "std"), (mvn_kl, "cov")]:
        width = np.eye(2) if spread == "cov" else np.ones(2)
        arrays = {"mean_p": np.ones(2), "spread_p": width, "mean_q": np.ones(2), "spread_q": width}
        arrays[name] = spoil(arrays[name])
        with raises(name.replace("spread", spread), *fragments):
            function(*arrays.values())


@pytest.mark.parametrize(("spoil", "fragments"), NOT_REAL.values(), ids=NOT_REAL)
def test_an_array_of_the_wrong_kind_is_named_by_entropy(spoil, fragments):
    with raises("std", *fragments):
        kc.normal_entropy(spoil(np.ones(2)))
    with raises("cov", *fragments):
        kc.mvn_entropy(spoil(np.eye(2)))


def test_shapes_that_do_not_broadcast():
    with raises("mean_p", "(3,)", "std_q", "(2,)", "broadcast"):
        normal_kl([0, 0, 0], 1, 0, [1, 1])
    with raises("mean_p", "(4, 2)", "mean_q", "(3, 2)", "broadcast"):
        diag_normal_kl(np.zeros((4, 2)), [1, 1], np.zeros((3, 2)), [1, 1])
    with raises("cov_p", "(4, 2, 2)", "mean_q", "(3, 2)", "broadcast"):
        mvn_kl([0, 0], np.stack([np.eye(2)] * 4), np.zeros((3, 2)), np.eye(2))


def test_numbers_of_coordinates_that_differ():
    with raises("std_p", "(3,)", "mean_q", "(2,)", "expected"):
        diag_normal_kl(0, [1, 1, 1], [0, 0], 1)
    with raises("std_p", "(1,)", "mean_q", "(2,)", "expected"):  # no coordinate is repeated
        diag_normal_kl(0, [1], [0, 0], 1)
    with raises("mean_p", "(3,)", "cov_p", "(2, 2)", "expected"):
        mvn_kl([0, 0, 0], np.eye(2), [0, 0], np.eye(2))
    with raises("mean_q", "(1,)", "expected"):
        mvn_kl([0, 0], np.eye(2), [0], np.eye(2))
    with raises("cov_p", "(2, 2)", "cov_q", "(3, 3)", "expected"):
        mvn_kl([0, 0], np.eye(2), [0, 0, 0], np.eye(3))


def test_a_covariance_that_is_no_square():
    for cov in ([1.0, 2.0], 2.0, np.ones((2, 3)), np.ones((4, 3, 2))):
        with raises("cov", str(np.shape(cov)), "expected", "square"):
            kc.mvn_entropy(cov)
    with raises("cov_q", "(2, 3)", "expected", "square"):
        mvn_kl([0, 0], np.eye(2), [0, 0], np.ones((2, 3)))


def test_a_covariance_that_is_not_symmetric():
    bad = np.eye(3)
    bad[0, 2], bad[2, 0] = 0.5, 0.125
    with raises("cov[0, 2] is 0.5", "cov[2, 0] is 0.125", "0.375 apart", "symmetric", "transpose"):
        kc.mvn_entropy(bad)
    with raises("cov_p[0, 2] is 0.5", "cov_p[2, 0] is 0.125", "symmetric"):
        mvn_kl(np.zeros(3), bad, np.zeros(3), np.eye(3))
    stack = np.stack([np.eye(3)] * 4)
    stack[3] = bad
    with raises("cov_q[3, 0, 2] is 0.5", "cov_q[3, 2, 0] is 0.125", "symmetric"):
        mvn_kl(np.zeros(3), np.eye(3), np.zeros(3), stack)
    bad = np.array([[1e12, 1.0], [1.0001, 1e-12]])  # units: the correlations are 1 and 1.0001
    with raises("cov", "symmetric", "0.0001 apart"):
        kc.mvn_entropy(bad)
    bad = np.array([[1, 0.5], [0.5 + 1e-6, 1]])  # more than rounding in float64, not in float32
    with raises("cov", "symmetric", "1e-06 apart"):
        kc.mvn_entropy(bad)
    assert np.isfinite(kc.mvn_entropy(bad.astype(np.float32)))
    largest = np.finfo(np.float32).max  # in float32 the difference is infinite
    with raises("cov[0, 1]", "symmetric", "6.81e+38 apart"):
        kc.mvn_entropy(np.array([[1, largest], [-largest, 1]], dtype=np.float32))


def test_rounding_leaves_a_covariance_symmetric(rng):
    cov = random_cov(rng, 4)
    rounded = cov * (1 + 1e-13 * rng.standard_normal((4, 4)))
    units = np.outer([1, 1e3, 1e-3, 1], [1, 1e3, 1e-3, 1])
    single = (cov * units).astype(np.float32)
    single[0, 1] *= np.float32(1.000001)
    assert kc.mvn_entropy(rounded) == pytest.approx(kc.mvn_entropy(cov), abs=1e-11)
    assert kc.mvn_entropy(single) == pytest.approx(kc.mvn_entropy(cov), abs=1e-5)
    for cov_q in (2 * cov, cov * (1 + 1e-9)):  # of both triangles, none counts more
        value = mvn_kl(np.zeros(4), rounded, np.zeros(4), cov_q)
        assert value == mvn_kl(np.zeros(4), rounded.T, np.zeros(4), cov_q)


def test_a_covariance_that_is_not_positive_definite():
    bad = np.array([[1.0, 2.0], [2.0, 1.0]])
    with raises("cov", "positive definite", "smallest eigenvalue", "-1"):
        kc.mvn_entropy(bad)
    for name, pair in {"cov_p": (bad, np.eye(2)), "cov_q": (np.eye(2), bad)}.items():
        with raises(name, "positive definite", "smallest eigenvalue", "-1"):
            mvn_kl([0, 0], pair[0], [0, 0], pair[1])
    with raises("cov_p[2]", "positive definite", "smallest eigenvalue", "-1"):
        mvn_kl([0, 0], [np.eye(2), np.eye(2), bad], [0, 0], np.eye(2))
    for singular in (np.zeros((2, 2)), np.ones((2, 2)), np.diag([1.0, 0.0]), -np.eye(2)):
        with raises("cov", "positive definite", "smallest eigenvalue"):
            kc.mvn_entropy(singular)
        with raises("cov_q", "positive definite", "smallest eigenvalue"):
            mvn_kl([0, 0], np.eye(2), [0, 0], singular)


def test_a_small_variance_is_not_what_makes_a_matrix_singular():
    good = np.diag([1e-30, 1, 1e30])  # its units differ, nothing else
    singular = [[2, 1, 0], [1, 2, 1], [0, 1, 2 / 3]]  # up to rounding
    assert kc.mvn_entropy(good) == close_to(3 * kc.normal_entropy(1), rel=1e-14)
    with raises("cov[1]", "positive definite", "smallest eigenvalue"):
        kc.mvn_entropy([good, singular])


def test_a_covariance_of_fewer_samples_than_coordinates(rng):
    """Its determinant is rounding: it may come out above 0."""
    for _ in range(50):
        cov = np.cov(rng.standard_normal((4, 3)))  # 4 coordinates, 3 samples: rank 2
        with raises("cov", "positive definite", "smallest eigenvalue", "more samples"):
            kc.mvn_entropy(cov)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_entry_of_a_covariance_is_named(value):
    stack = np.stack([np.eye(2)] * 3)
    stack[1, 0, 1] = value
    with raises("cov[1, 0, 1]", str(value), "expected"):
        kc.mvn_entropy(stack)
    with raises("cov_q[1, 0, 1]", str(value), "expected"):
        mvn_kl([0, 0], np.eye(2), [0, 0], stack)


@pytest.mark.parametrize("base", [0, 1, -2, np.nan, np.inf, "2", [2], True])
def test_a_bad_base(base):
    calls = [
        lambda: kc.normal_entropy(1, base=base),
        lambda: normal_kl(0, 1, 0, 1, base=base),
        lambda: diag_normal_kl([0], [1], [0], [1], base=base),
        lambda: kc.mvn_entropy(np.eye(2), base=base),
        lambda: mvn_kl([0], [[1]], [0], [[1]], base=base),
    ]
    for call in calls:
        with raises("base", "expected", "number"):
            call()


def test_means_and_spreads_go_by_name():
    for function in (kc.normal_kl, kc.diag_normal_kl, kc.mvn_kl):
        with pytest.raises(TypeError, match="positional"):
            function([0.0], [[1.0]], [0.0], [[1.0]])
