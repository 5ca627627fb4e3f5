"""Estimates from samples: arithmetic, closed forms within standard errors, laws, messages.

Seeds are fixed; a statistical check allows 5 standard errors.
"""

import pickle
from functools import partial
from math import exp, expm1, inf, log, nan, sqrt

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

import kl_course as kc

from . import reference
from .test_validation import raises

close_to = partial(pytest.approx, abs=0)  # by itself approx grants 1e-12


@pytest.fixture
def rng():
    return np.random.default_rng(2468)


def normal_log_density(mean, std):
    return lambda x: -(((x - mean) / std) ** 2) / 2 - np.log(std) - log(2 * np.pi) / 2


def zero(x):
    return np.zeros(len(x))


def itself(x):
    return np.asarray(x, float)


def k(estimator, r, **options):
    """Return mc_kl of samples whose log ratios log q - log p are r, exactly."""
    return kc.mc_kl(zero, itself, np.asarray(r, float), estimator=estimator, **options)


def assert_within_errors(estimate, truth):
    assert np.all(np.isfinite(estimate.stderr))
    assert np.all(np.abs(estimate.value - truth) < 5 * np.asarray(estimate.stderr))


# ---- mc_kl: k1, k2, k3


@pytest.mark.parametrize(
    ("estimator", "of_one_sample"),
    [("k1", lambda r: -r), ("k2", lambda r: r * r / 2), ("k3", lambda r: expm1(r) - r)],
)
def test_mean_and_standard_error(estimator, of_one_sample):
    r = [0.5, -1.5, 0.25, 2.0, -0.125]
    values = [of_one_sample(x) for x in r]
    estimate = k(estimator, r)
    assert estimate.value == close_to(np.mean(values), rel=1e-14)
    assert estimate.stderr == close_to(stats.sem(values), rel=1e-14)
    assert type(estimate) is kc.Estimate
    assert estimate == (estimate.value, estimate.stderr)


def test_the_first_estimator_is_the_plain_one():
    assert kc.mc_kl(zero, itself, [1.0, 3.0]) == (-2, 1)


def test_the_ratio_is_of_q_to_p():
    log_p, log_q = (lambda x: np.full(len(x), 2.0)), (lambda x: np.full(len(x), -1.0))
    samples = np.zeros(3)
    assert kc.mc_kl(log_p, log_q, samples, estimator="k1") == (3, 0)
    assert kc.mc_kl(log_p, log_q, samples, estimator="k2") == (4.5, 0)
    value = kc.mc_kl(log_p, log_q, samples, estimator="k3").value
    assert value == close_to(exp(-3) - 1 + 3, rel=1e-15)


@pytest.mark.parametrize("base", [2, 10, 0.5])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_a_base_is_a_unit_of_value_and_error(estimator, base):
    nats, other = k(estimator, [0.1, -0.4, 0.7]), k(estimator, [0.1, -0.4, 0.7], base=base)
    assert other.value == close_to(nats.value / log(base), rel=1e-14)
    assert other.stderr == close_to(nats.stderr / abs(log(base)), rel=1e-14)


# k3 holds q/p, whose variance is finite only for std_q^2 < 2 std_p^2
PAIRS = [(1, 1, 0, 1), (0, 1, 0, 0.7), (0.5, 1, 0, 1.1)]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_normals_within_the_standard_error(rng, estimator, pair):
    mean_p, std_p, mean_q, std_q = pair
    truth = kc.normal_kl(mean_p=mean_p, std_p=std_p, mean_q=mean_q, std_q=std_q)
    log_p, log_q = normal_log_density(mean_p, std_p), normal_log_density(mean_q, std_q)
    estimate = kc.mc_kl(log_p, log_q, rng.normal(mean_p, std_p, 50_000), estimator=estimator)
    assert_within_errors(estimate, truth)
    assert estimate.stderr < truth / 20


def test_vectors_within_the_standard_error(rng):
    mean, cov = np.array([0.5, -0.5]), np.array([[1.0, 0.6], [0.6, 1.0]])
    p, q = stats.multivariate_normal(mean, cov), stats.multivariate_normal([0, 0])
    truth = kc.mvn_kl(mean_p=mean, cov_p=cov, mean_q=[0, 0], cov_q=np.eye(2))
    samples = rng.multivariate_normal(mean, cov, 20_000)
    for estimator in ("k1", "k3"):
        assert_within_errors(kc.mc_kl(p.logpdf, q.logpdf, samples, estimator=estimator), truth)


def test_discrete_samples_within_the_standard_error(rng):
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.2, 0.3, 0.3])
    samples = rng.choice(4, 20_000, p=p)
    estimate = kc.mc_kl(lambda i: np.log(p[i]), lambda i: np.log(q[i]), samples, base=2)
    assert_within_errors(estimate, kc.kl_divergence(p, q, base=2))


@pytest.mark.parametrize(
    # with r ~ N(-1/2, 1): E r^2/2 = 5/8; variances of k1 and k3 are 1 and (std/true 1.69)
    ("estimator", "mean", "spread"),
    [("k1", 0.5, 2.00), ("k2", 0.625, 1.73), ("k3", 0.5, 1.69)],
)
def test_bias_and_spread_over_repetitions(rng, estimator, mean, spread):
    n, repetitions = 40, 1500
    log_p, log_q = normal_log_density(1, 1), normal_log_density(0, 1)
    repeated = [
        kc.mc_kl(log_p, log_q, x, estimator=estimator) for x in rng.normal(1, 1, (repetitions, n))
    ]
    values, errors = np.transpose(repeated)
    assert_within_errors(kc.Estimate(values.mean(), stats.sem(values)), mean)
    # the standard error is the spread over repetitions: sqrt(mean of squares) is unbiased for it
    assert values.std() == close_to(sqrt(np.mean(errors**2)), rel=0.08)
    assert values.std() * sqrt(n) / 0.5 == close_to(spread, rel=0.08)


TINY = [1e-300, 1e-100, 1e-30, 1e-16, 1e-12, 1e-8, 1e-6, 1e-4, 1e-2, 0.2, 0.3, 0.69, 1, 5, 30]


@pytest.mark.parametrize("r", [sign * x for x in TINY for sign in (1, -1)] + [0, -1e3, 700])
def test_k2_and_k3_of_one_log_ratio(r):
    """expm1(r) - r by itself keeps half of the digits at 1e-8, and none at 1e-16."""
    for estimator, exact in [("k2", lambda x: x * x / 2), ("k3", reference.mp.expm1)]:
        with reference.mp.workdps(reference.ALL_FLOATS):
            x = reference.mp.mpf(r)
            exact_value = exact(x) - (x if estimator == "k3" else 0)
        estimate = k(estimator, [r, r])
        if exact_value < 1e-307:  # below it, floats lose digits
            assert 0 <= estimate.value <= 1e-307
        else:
            assert reference.relative_error(estimate.value, exact_value) < 1.2e-15
        assert estimate.stderr == 0


def test_no_sample_of_k2_and_k3_is_negative(rng):
    r = np.concatenate([rng.normal(0, scale, 100) for scale in (1e-17, 1e-15, 1e-8, 1e-3, 1)])
    for estimator in ("k2", "k3"):
        for x in r:
            assert k(estimator, [x, x]).value >= 0


def test_equal_distributions_give_zero(rng):
    log_p = normal_log_density(0, 1)
    for estimator in ("k1", "k2", "k3"):
        assert kc.mc_kl(log_p, log_p, rng.standard_normal(50), estimator=estimator) == (0, 0)


# ---- plug-in entropy


def test_hand_values_of_plugin_entropy():
    assert kc.plugin_entropy([2, 1, 1]) == close_to(1.5 * log(2), rel=1e-15)
    assert kc.plugin_entropy([2, 1, 1, 0], base=2) == 1.5
    assert kc.plugin_entropy([0, 7]) == 0
    corrected = partial(kc.plugin_entropy, correction="miller-madow")
    # three of four symbols are seen, in four draws: (3 - 1) / 8
    assert corrected([2, 1, 1, 0]) == close_to(1.5 * log(2) + 0.25, rel=1e-15)
    assert corrected([2, 1, 1, 0], base=2) == close_to(1.5 + 0.25 / log(2), rel=1e-15)
    assert corrected([0, 7]) == 0


def test_plugin_entropy_is_that_of_the_frequencies(rng):
    counts = rng.integers(0, 20, (4, 3, 9)) + np.eye(9, dtype=int)[0]
    values = kc.plugin_entropy(counts)
    corrected = kc.plugin_entropy(counts, correction="miller-madow")
    assert values.shape == corrected.shape == (4, 3)
    for place in np.ndindex(4, 3):
        row = counts[place]
        assert values[place] == close_to(stats.entropy(row), rel=1e-13)
        surplus = (np.count_nonzero(row) - 1) / (2 * row.sum())
        assert corrected[place] == close_to(values[place] + surplus, rel=1e-14)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64, np.float32])
def test_counts_of_any_type(dtype):
    counts = np.array([200, 100, 100, 0], dtype)  # the total exceeds 255
    before = counts.copy()
    value = kc.plugin_entropy(counts, correction="miller-madow")
    assert value == close_to(1.5 * log(2) + 2 / 800, rel=1e-14)
    np.testing.assert_array_equal(counts, before)
    assert kc.plugin_entropy([10**15, 10**15]) == close_to(log(2), rel=1e-15)


def test_bias_and_its_correction(rng):
    """Each count is binomial: the expected values are sums over what it can be."""
    n, symbols = 100, 37
    counts = rng.multinomial(n, np.full(symbols, 1 / symbols), 4000)
    plain = kc.plugin_entropy(counts)
    corrected = kc.plugin_entropy(counts, correction="miller-madow")
    share = np.arange(1, n + 1) / n
    chance = stats.binom(n, 1 / symbols).pmf(np.arange(1, n + 1))
    mean_plain = -symbols * np.sum(chance * share * np.log(share))
    mean_corrected = mean_plain + (symbols * chance.sum() - 1) / (2 * n)
    assert_within_errors(kc.Estimate(plain.mean(), stats.sem(plain)), mean_plain)
    assert_within_errors(kc.Estimate(corrected.mean(), stats.sem(corrected)), mean_corrected)
    assert abs(corrected.mean() - log(symbols)) < abs(plain.mean() - log(symbols)) / 3


# ---- nearest neighbours


def brute_force_knn_kl(samples_p, samples_q, k):
    """Follow the definition, sample by sample."""
    n, m, d = len(samples_p), len(samples_q), len(samples_p[0])
    total = 0.0
    for i, x in enumerate(samples_p):
        within = sorted(sqrt(sum((x - y) ** 2)) for j, y in enumerate(samples_p) if j != i)
        across = sorted(sqrt(sum((x - y) ** 2)) for y in samples_q)
        total += log(across[k - 1] / within[k - 1])
    return d / n * total + log(m / (n - 1))


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize(("n", "m"), [(8, 8), (7, 12), (12, 6)])
def test_knn_by_brute_force(rng, n, m, d):
    p, q = rng.standard_normal((n, d)), 1 + 2 * rng.standard_normal((m, d))
    for neighbour in (1, 2, 5, 6):
        expected = brute_force_knn_kl(p, q, neighbour)
        assert kc.knn_kl(p, q, k=neighbour) == pytest.approx(expected, rel=1e-12, abs=1e-13)
    assert kc.knn_kl(p, q) == kc.knn_kl(p, q, k=5)
    assert kc.knn_kl(p, q, base=2) == close_to(kc.knn_kl(p, q) / log(2), rel=1e-14)
    assert isinstance(kc.knn_kl(p, q), float)


def test_knn_takes_all_neighbours_there_are(rng):
    p, q = rng.standard_normal((6, 2)), rng.standard_normal((5, 2))
    expected = brute_force_knn_kl(p, q, 5)
    assert kc.knn_kl(p, q, k=5) == close_to(expected, rel=1e-12)
    assert kc.knn_kl(p, q, k=np.int64(5)) == kc.knn_kl(p.tolist(), q.tolist(), k=5)


def test_knn_over_more_samples_than_fit_at_once(rng):
    p, q = rng.standard_normal((200, 2)), rng.standard_normal((3000, 2)) + 0.5
    distances_p = np.sort(np.linalg.norm(p[:, None] - p, axis=2), axis=1)[:, 3]
    distances_q = np.sort(np.linalg.norm(p[:, None] - q, axis=2), axis=1)[:, 2]
    expected = 2 * np.mean(np.log(distances_q / distances_p)) + log(3000 / 199)
    assert kc.knn_kl(p, q, k=3) == close_to(expected, rel=1e-12)


def test_knn_with_a_sample_left_over_for_the_last_block(rng):
    p, q = rng.standard_normal((4, 1)), rng.standard_normal((90_000, 1))  # two rows fit at once
    nu = np.abs(p - q.T).min(axis=1)
    for some in (slice(0, 3), slice(0, 4)):
        n = len(p[some])
        rho = np.sort(np.abs(p[some] - p[some].T), axis=1)[:, 1]
        expected = np.mean(np.log(nu[some] / rho)) + log(90_000 / (n - 1))
        assert kc.knn_kl(p[some], q, k=1) == close_to(expected, rel=1e-12)


def test_knn_finds_the_divergence(rng):
    """Within the spread over repetitions, which is about 0.04, and a small bias."""
    values = [kc.knn_kl(rng.normal(1, 1, (500, 1)), rng.normal(0, 1, (500, 1))) for _ in range(16)]
    assert np.mean(values) == pytest.approx(0.5, abs=5 * stats.sem(values) + 0.01)
    values = [kc.knn_kl(rng.normal(0, 1, (300, 2)), rng.normal(0, 1, (600, 2))) for _ in range(16)]
    assert np.mean(values) == pytest.approx(0, abs=5 * stats.sem(values) + 0.01)


lattices = st.integers(0, 2**32 - 1).map(
    # whole numbers of few bits in general position: sums and distances are exact
    lambda seed: np.random.default_rng(seed).choice(10_000, (2, 9, 3), replace=False).astype(float)
)


@settings(deadline=None)
@given(lattices, st.integers(1, 8), st.integers(-40, 40), st.permutations(range(3)))
def test_similar_figures_have_the_same_neighbours(samples, neighbour, exponent, order):
    value = kc.knn_kl(*samples, k=neighbour)
    similar = {
        "moved": samples + 2.0**40,
        "scaled": samples * 2.0**exponent,
        "reflected": samples[..., list(order)] * [1, -1, 1],
        "rotated": samples @ np.array([[2, -2, 1], [1, 2, 2], [2, 1, -2]]) / 3,
        "shuffled": samples[:, ::-1],
    }
    for name, figure in similar.items():
        moved = kc.knn_kl(*figure, k=neighbour)
        assert moved == pytest.approx(value, rel=1e-10, abs=1e-10), name


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_knn_of_any_scale(rng, scale):
    p, q = rng.standard_normal((2, 9, 2))
    expected = kc.knn_kl(p, q, k=2)
    assert kc.knn_kl(scale * p, scale * q, k=2) == close_to(expected, rel=1e-12)


# ---- RunningKL


P, Q = (np.random.default_rng(seed).dirichlet(np.ones(4), 30) for seed in (1, 2))


def one_pass(p, q, base=None):
    values = kc.kl_divergence(p, q, base=base)
    return values.mean(), stats.sem(values)


def running(*batches, base=None):
    part = kc.RunningKL(base=base)
    for p, q in batches:
        part.update(p, q)
    return part


def assert_same(estimate, expected):
    assert estimate.value == close_to(expected[0], rel=1e-13)
    assert estimate.stderr == close_to(expected[1], rel=1e-12)


def test_running_kl_of_one_batch():
    result = running((P, Q)).result()
    assert type(result) is kc.Estimate
    assert_same(result, one_pass(P, Q))
    assert_same(running((P, Q), base=2).result(), one_pass(P, Q, base=2))
    assert_same(running((P, Q), base=None).result(), one_pass(P, Q))


def test_running_kl_takes_rows_of_any_shape():
    expected = one_pass(P, Q)
    assert_same(running((P.reshape(5, 3, 2, 4), Q.reshape(5, 3, 2, 4))).result(), expected)
    assert_same(running(*zip(P, Q, strict=True)).result(), expected)  # vectors are one row each
    assert_same(
        running((P, Q[0]), (P[0], Q)).result(),
        one_pass(
            np.concatenate([P, np.tile(P[0], (30, 1))]), np.concatenate([np.tile(Q[0], (30, 1)), Q])
        ),
    )


@settings(deadline=None)
@given(st.data())
def test_any_split_and_order_of_merging_is_one_pass(data):
    rows = data.draw(st.permutations(range(len(P))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(P)), max_size=6)))
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, len(P)], strict=True):
        batch = rows[start:stop]
        part = kc.RunningKL()
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            if half:
                part.update(P[half], Q[half])
        parts.append(part)
    while len(parts) > 1:
        first = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        second = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        first.merge(second)
        parts.append(first)
    assert_same(parts[0].result(), one_pass(P, Q))


def test_merging_leaves_the_other_as_it_is():
    first, second = running((P[:10], Q[:10])), running((P[10:], Q[10:]))
    before = second.result()
    first.merge(second)
    assert second.result() == before
    second.update(P[:2], Q[:2])
    assert_same(first.result(), one_pass(P, Q))
    first.merge(kc.RunningKL())
    assert_same(first.result(), one_pass(P, Q))


def test_merging_with_itself_doubles_the_rows():
    part = running((P, Q))
    part.merge(part)
    assert_same(part.result(), one_pass(np.tile(P, (2, 1)), np.tile(Q, (2, 1))))


def test_merging_keeps_the_unit():
    bits, nats = running((P[:9], Q[:9]), base=2), running((P[9:], Q[9:]))
    bits.merge(nats)
    assert_same(bits.result(), one_pass(P, Q, base=2))


def test_a_result_does_not_end_the_run():
    part = running((P[:10], Q[:10]))
    assert_same(part.result(), one_pass(P[:10], Q[:10]))
    part.update(P[10:], Q[10:])
    assert_same(part.result(), one_pass(P, Q))


def test_workers_can_send_their_part():
    parts = [pickle.loads(pickle.dumps(running((P[k::3], Q[k::3]), base=2))) for k in range(3)]
    total = kc.RunningKL(base=2)
    for part in parts:
        total.merge(part)
    assert_same(total.result(), one_pass(P, Q, base=2))


@pytest.mark.parametrize("size", [1, 7, 3000])
def test_a_small_spread_around_a_large_mean(size):
    """The sum of squares less the square of the sum would leave no digit of the spread."""
    q = 1e-4 * (1 + 1e-9 * np.random.default_rng(3).standard_normal(3000))
    p = np.tile([1.0, 0.0], (3000, 1))
    q = np.stack([q, 1 - q], axis=1)
    part = kc.RunningKL()
    for start in range(0, 3000, size):
        part.update(p[start : start + size], q[start : start + size])
    values = kc.kl_divergence(p, q)
    centred = values - values[0]
    assert part.result().value == close_to(values.mean(), rel=1e-14)
    assert part.result().stderr == close_to(stats.sem(centred), rel=1e-5)


@pytest.mark.filterwarnings("error")
def test_an_infinite_row_makes_the_mean_infinite():
    impossible = [1.0, 0, 0, 0]
    runs = [
        running((P, Q), (P[0], impossible)),
        running((P[0], impossible), (P, Q)),
        running((P, impossible)),
        running((P[0], impossible), (P[1], impossible), (P[2], Q[2])),
    ]
    merged = running((P, Q))
    merged.merge(runs[0])
    merged.merge(running((P, Q)))
    into_infinite = running((P[:2], impossible))
    into_infinite.merge(running((P, Q)))
    into_infinite.merge(runs[0])
    for part in (*runs, merged, into_infinite):
        value, stderr = part.result()
        assert value == inf
        assert np.isnan(stderr)


def test_two_rows_are_enough():
    values = kc.kl_divergence([P[0], P[1]], [Q[0], Q[1]])
    part = running((P[:2], Q[:2]))
    assert part.result().value == close_to(values.mean(), rel=1e-14)
    assert part.result().stderr == close_to(abs(values[0] - values[1]) / 2, rel=1e-12)


def test_a_refused_batch_leaves_the_run_as_it_was():
    part = running((P, Q))
    with raises("p[1]", "sums to 2", "expected 1"):
        part.update([P[0], 2 * P[1]], Q[:2])
    with raises("q[0, 1]", "nan"):
        part.update(P[:1], [[0.5, nan, 0.25, 0.25]])
    assert_same(part.result(), one_pass(P, Q))


def test_single_precision_is_summed_in_double(rng):
    p, q = (rng.dirichlet(np.ones(4), 20_000).astype(np.float32) for _ in "pq")
    part = running(*zip(np.split(p, 100), np.split(q, 100), strict=True))
    assert part.result().value == close_to(kc.kl_divergence(p, q).mean(dtype=float), rel=1e-12)


# ---- gradients


MEAN, STD = 0.7, 1.3  # of P; Q is N(-0.2, 2^2); parameters are (mean, log std)
TRUE_GRADIENT = [(MEAN + 0.2) / 4, STD**2 / 4 - 1]


def score(x):
    z = (x - MEAN) / STD
    return np.stack([z / STD, z**2 - 1], axis=1)


def slope(mean, std):
    return lambda x: (mean - x) / std**2


def path(x):
    """Return the derivative of x = mean + std * noise by (mean, log std), shape (n, 1, 2)."""
    return np.stack([np.ones_like(x), x - MEAN], axis=2)


def test_the_true_gradient_is_that_of_the_closed_form():
    def value(mean, log_std):
        return kc.normal_kl(mean_p=mean, std_p=exp(log_std), mean_q=-0.2, std_q=2)

    h, log_std = 1e-5, log(STD)
    by_differences = [
        (value(MEAN + h, log_std) - value(MEAN - h, log_std)) / (2 * h),
        (value(MEAN, log_std + h) - value(MEAN, log_std - h)) / (2 * h),
    ]
    assert by_differences == close_to(TRUE_GRADIENT, rel=1e-8)


def test_gradients_of_a_normal_within_the_standard_error(rng):
    x = rng.normal(MEAN, STD, 40_000)
    log_p, log_q = normal_log_density(MEAN, STD), normal_log_density(-0.2, 2)
    by_score = kc.score_gradient(log_p, log_q, score, x)
    by_path = kc.pathwise_gradient(slope(MEAN, STD), slope(-0.2, 2), path, x[:, None])
    for estimate in (by_score, by_path):
        assert type(estimate) is kc.Estimate
        assert estimate.value.shape == estimate.stderr.shape == (2,)
        assert np.all(estimate.stderr < 0.03)
        assert_within_errors(estimate, TRUE_GRADIENT)
    assert np.all(by_path.stderr < by_score.stderr)


def test_arithmetic_of_the_score_gradient():
    samples, scores = np.array([1.0, 2.0, 4.0]), np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 0.0]])
    log_p, log_q = (lambda x: -x), (lambda x: x / 2)
    terms = np.array([-1.5, -3.0, -6.0])[:, None] * scores
    value, stderr = kc.score_gradient(log_p, log_q, lambda x: scores, samples)
    np.testing.assert_allclose(value, terms.mean(axis=0), rtol=1e-15)
    np.testing.assert_allclose(stderr, stats.sem(terms), rtol=1e-14)


def test_arithmetic_of_the_pathwise_gradient(rng):
    n, d, parameters = 5, 3, 2
    samples, jacobian = rng.standard_normal((n, d)), rng.standard_normal((n, d, parameters))
    grad_p, grad_q = (lambda x: -2 * x), (lambda x: x**2 + 1)
    terms = [j.T @ (-2 * x - x**2 - 1) for x, j in zip(samples, jacobian, strict=True)]
    value, stderr = kc.pathwise_gradient(grad_p, grad_q, lambda x: jacobian, samples)
    np.testing.assert_allclose(value, np.mean(terms, axis=0), rtol=1e-13)
    np.testing.assert_allclose(stderr, stats.sem(terms), rtol=1e-13)


def test_gradients_in_two_dimensions(rng):
    """By the four entries of A in x = A noise; the KL from N(0, I) has gradient A - A^-T."""
    factor = np.array([[1.2, 0.3], [-0.4, 0.8]])
    noise = rng.standard_normal((40_000, 2))
    x, precision = noise @ factor.T, np.linalg.inv(factor @ factor.T)
    truth = (factor - np.linalg.inv(factor).T).ravel()

    def jacobian(x):  # d x_a / d A_bc = noise_c if a = b
        return np.einsum("ab,nc->nabc", np.eye(2), noise).reshape(-1, 2, 4)

    estimate = kc.pathwise_gradient(lambda x: -x @ precision, lambda x: -x, jacobian, x)
    assert estimate.value.shape == (4,)
    assert_within_errors(estimate, truth)


def test_at_the_minimum_only_the_path_has_no_variance(rng):
    x = rng.normal(MEAN, STD, 1000)
    value, stderr = kc.pathwise_gradient(slope(MEAN, STD), slope(MEAN, STD), path, x[:, None])
    np.testing.assert_array_equal([value, stderr], 0)
    # Q known up to a factor: the score's mean is zero, its variance is not
    log_p = normal_log_density(MEAN, STD)
    estimate = kc.score_gradient(log_p, lambda x: log_p(x) - 3, score, x)
    assert np.all(estimate.stderr > 0.01)
    assert_within_errors(estimate, 0)


def test_standard_errors_of_gradients_are_spreads_over_repetitions(rng):
    log_p, log_q = normal_log_density(MEAN, STD), normal_log_density(-0.2, 2)
    repeated = [
        kc.score_gradient(log_p, log_q, score, x) for x in rng.normal(MEAN, STD, (800, 100))
    ]
    values, errors = np.array(repeated).transpose(1, 0, 2)
    np.testing.assert_allclose(values.std(axis=0), sqrt_mean_square(errors), rtol=0.15)
    error = np.array([stats.sem(column) for column in values.T])
    assert_within_errors(kc.Estimate(values.mean(axis=0), error), TRUE_GRADIENT)


def sqrt_mean_square(values):
    return np.sqrt(np.mean(values**2, axis=0))


# ---- messages


def test_an_unknown_estimator():
    for estimator in ("k4", "K1", None, 1):
        with raises("estimator", str(estimator), "expected", "k1", "k2", "k3"):
            k(estimator, [0.0, 1.0])


@pytest.mark.parametrize("samples", [[1.0], [[1.0, 2.0]], 3.0])
def test_too_few_samples(samples):
    calls = [
        lambda: kc.mc_kl(zero, zero, samples),
        lambda: kc.score_gradient(zero, zero, lambda x: zero(x)[:, None], samples),
    ]
    if np.ndim(samples) == 2:
        calls.append(
            lambda: kc.pathwise_gradient(
                np.negative, np.negative, lambda x: np.ones((1, 2, 1)), samples
            )
        )
    for call in calls:
        with raises("samples", str(np.shape(samples)), "expected at least two", "standard error"):
            call()


@pytest.mark.parametrize("value", [nan, inf])
def test_a_bad_sample_is_named(value):
    with raises("samples[2]", str(value), "expected", "finite"):
        kc.mc_kl(zero, zero, [0.0, 1.0, value])
    with raises("samples[1, 0]", str(value), "expected", "finite"):
        kc.pathwise_gradient(np.negative, np.negative, path, [[0.0], [value]])
    p = np.arange(12.0).reshape(6, 2)
    bad = p.copy()
    bad[3, 1] = value
    with raises("samples_p[3, 1]", str(value), "expected", "finite"):
        kc.knn_kl(bad, p + 0.5, k=1)
    with raises("samples_q[3, 1]", str(value), "expected", "finite"):
        kc.knn_kl(p, bad, k=1)


def with_entry(value, place=2):
    def logs(x):
        result = zero(x)
        result[place] = value
        return result

    return logs


def test_a_log_ratio_that_is_not_finite():
    samples = np.arange(4.0)
    for estimator in ("k1", "k2", "k3"):
        with raises("log_q(samples)[2]", "-inf", "infinite", "underflows", "logarithm"):
            kc.mc_kl(zero, with_entry(-inf), samples, estimator=estimator)
        with raises("log_p(samples)[2]", "-inf", "expected", "impossible under P"):
            kc.mc_kl(with_entry(-inf), zero, samples, estimator=estimator)
    with raises("log_q(samples)[2]", "nan", "expected"):
        kc.mc_kl(zero, with_entry(nan), samples)
    with raises("log_p(samples)[2]", "nan", "expected"):
        kc.score_gradient(with_entry(nan), zero, lambda x: np.ones((4, 2)), samples)
    with raises("log_q(samples)[2]", "-inf", "expected", "infinite", "underflows"):
        kc.score_gradient(zero, with_entry(-inf), lambda x: np.ones((4, 2)), samples)
    with raises("log_p(samples)[2]", "-inf"):  # both are -inf: their difference is nan
        kc.mc_kl(with_entry(-inf), with_entry(-inf), samples)


@pytest.mark.parametrize("shape", [(4, 1), (3,), (), (1, 4)])
def test_log_densities_of_the_wrong_shape(shape):
    samples = np.arange(4.0)
    for name, functions in {
        "log_p(samples)": (lambda x: np.zeros(shape), zero),
        "log_q(samples)": (zero, lambda x: np.zeros(shape)),
    }.items():
        with raises(name, str(shape), "expected (4,)"):
            kc.mc_kl(*functions, samples)
        with raises(name, str(shape), "expected (4,)"):
            kc.score_gradient(*functions, lambda x: np.ones((4, 2)), samples)


def test_functions_of_the_wrong_shape_or_kind():
    samples, good = np.ones((4, 2)), lambda x: np.ones((4, 2, 3))
    with raises("score(samples)", "(4,)", "expected (4, parameters)"):
        kc.score_gradient(zero, zero, zero, samples)
    with raises("grad_log_p(samples)", "(4,)", "expected (4, 2)"):
        kc.pathwise_gradient(zero, np.negative, good, samples)
    with raises("grad_log_q(samples)", "(4, 1)", "expected (4, 2)"):
        kc.pathwise_gradient(np.negative, lambda x: x[:, :1], good, samples)
    with raises("jacobian(samples)", "(4, 2)", "expected (4, 2, parameters)"):
        kc.pathwise_gradient(np.negative, np.negative, np.negative, samples)
    with raises("jacobian(samples)", "(4, 3, 2)", "expected (4, 2, parameters)"):
        kc.pathwise_gradient(np.negative, np.negative, lambda x: np.ones((4, 3, 2)), samples)
    with raises("jacobian(samples)[1, 0, 2]", "nan", "expected"):
        bad = good(samples)
        bad[1, 0, 2] = nan
        kc.pathwise_gradient(np.negative, np.negative, lambda x: bad, samples)
    with raises("samples", "(4,)", "expected (n, d)", "samples[:, None]"):
        kc.pathwise_gradient(np.negative, np.negative, good, np.ones(4))
    with raises("log_q(samples)", "complex128", "real numbers"):
        kc.mc_kl(zero, lambda x: zero(x) + 1j, samples)


BAD_COUNTS = {
    "negative": ([[1, 2], [3, -1]], ["counts[1, 1]", "-1", "expected", "whole number"]),
    "fractional": ([1.0, 2.5], ["counts[1]", "2.5", "expected", "whole number"]),
    "probabilities": ([0.25, 0.75], ["counts[0]", "0.25", "probabilities", "entropy()"]),
    "nan": ([nan, 1.0], ["counts[0]", "nan", "expected"]),
    "infinite": ([1.0, inf], ["counts[1]", "inf", "expected"]),
    "no draws": ([[1, 2], [0, 0]], ["counts[1]", "zeros", "expected at least one"]),
    "no draws at all": ([0, 0, 0], ["counts", "zeros", "expected at least one"]),
    "one number": (5, ["counts", "5", "single number", "expected"]),
    "empty": ([], ["counts", "empty"]),
    "strings": (["a", "b"], ["counts", "real numbers"]),
}


@pytest.mark.parametrize(("counts", "fragments"), BAD_COUNTS.values(), ids=BAD_COUNTS)
def test_bad_counts(counts, fragments):
    for correction in (None, "miller-madow"):
        with raises(*fragments):
            kc.plugin_entropy(counts, correction=correction)


@pytest.mark.parametrize("correction", ["Miller-Madow", "jackknife", True, 0])
def test_an_unknown_correction(correction):
    with raises("correction", repr(correction), "expected None or 'miller-madow'"):
        kc.plugin_entropy([1, 2], correction=correction)


@pytest.mark.parametrize("neighbour", [0, -1, 6, 2.5, 2.0, "2", None, nan, [1]])
def test_a_bad_number_of_neighbours(rng, neighbour):
    p, q = rng.standard_normal((6, 2)), rng.standard_normal((9, 2))
    with raises("k", repr(neighbour), "expected a whole number from 1 to 5", "6", "9"):
        kc.knn_kl(p, q, k=neighbour)


def test_neighbours_are_limited_by_both_samples(rng):
    p, q = rng.standard_normal((9, 2)), rng.standard_normal((4, 2))
    with raises("k", "5", "expected a whole number from 1 to 4"):
        kc.knn_kl(p, q)
    with raises("k", "1"):
        kc.knn_kl(p[:1], q, k=1)


def test_samples_of_the_wrong_shape(rng):
    p = rng.standard_normal((9, 2))
    with raises("samples_p", "(9,)", "expected (n, d)", "samples[:, None]"):
        kc.knn_kl(p[:, 0], p)
    with raises("samples_q", "(3, 3, 2)", "expected (n, d)"):
        kc.knn_kl(p, p.reshape(3, 3, 2))
    with raises("samples_p", "(9, 2)", "samples_q", "(9, 1)", "expected"):
        kc.knn_kl(p, p[:, :1])
    with raises("samples_q", "empty"):
        kc.knn_kl(p, p[:0])


def test_duplicates_that_make_a_distance_zero(rng):
    p, q = rng.standard_normal((9, 2)), rng.standard_normal((9, 2))
    twice = p.copy()
    twice[7] = twice[2]
    with raises("samples_p[2]", "distance of 0", "infinite", "duplicates"):
        kc.knn_kl(twice, q, k=1)
    assert np.isfinite(kc.knn_kl(twice, q, k=2))  # a pair leaves the second neighbour apart
    shared = q.copy()
    shared[4] = p[6]
    with raises("samples_p[6]", "samples_q", "distance of 0", "duplicates"):
        kc.knn_kl(p, shared, k=1)
    assert np.isfinite(kc.knn_kl(p, shared, k=2))
    with raises("samples_p[0]", "distance of 0"):
        kc.knn_kl(np.ones((9, 2)), q)


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows(rows):
    part = kc.RunningKL()
    if rows:
        part.update(P[0], Q[0])
    with raises(str(rows), "expected at least two", "standard error"):
        part.result()


def test_merging_with_something_else():
    with raises("other", "expected a RunningKL"):
        kc.RunningKL().merge(kc.Estimate(0.5, 0.1))


@pytest.mark.parametrize("base", [0, 1, -2, nan, inf, "2", [2], True])
def test_a_bad_base(rng, base):
    p, q = rng.standard_normal((2, 9, 1))
    calls = [
        lambda: k("k1", [0.0, 1.0], base=base),
        lambda: kc.plugin_entropy([1, 2], base=base),
        lambda: kc.plugin_entropy([1, 2], correction="miller-madow", base=base),
        lambda: kc.knn_kl(p, q, base=base),
        lambda: kc.RunningKL(base=base),
    ]
    for call in calls:
        with raises("base", "expected", "number"):
            call()
