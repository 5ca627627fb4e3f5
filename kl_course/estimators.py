"""Entropy, KL divergence and its gradient from samples, where no formula sums them up.

An `Estimate` carries its standard error. All are in nats unless `base` says otherwise.
"""

import math
from typing import NamedTuple

import numpy as np

from kl_course import _accurate as accurate
from kl_course import _validation as validation
from kl_course._blocks import BLOCK
from kl_course.discrete import entropy, kl_divergence


class Estimate(NamedTuple):
    """A value, and the standard error of the mean that it is."""

    value: float | np.ndarray
    stderr: float | np.ndarray


def mc_kl(log_p, log_q, samples, *, estimator="k1", base=None):
    r"""Estimate the KL divergence of P from Q by a mean over samples of P.

    With r = log q(x) - log p(x) at each sample x, the three estimators are means of

    .. math:: k_1 = -r, \qquad k_2 = \tfrac12 r^2, \qquad k_3 = (e^r - 1) - r

    If the KL is finite, k1 is unbiased; so is k3 if P covers Q. k2 is biased, by little near
    equality. No sample of k2 or k3 is negative. Near equality k3 varies less than k1. Far apart,
    or where Q has the longer tails, its variance can be huge or infinite, and the standard error
    falls short.

    Parameters
    ----------
    log_p, log_q : callable
        Logarithms of the densities or probabilities: from `samples` to an array of shape (n,).
    samples : array_like
        n independent samples of P, on the first axis.
    estimator : str
        "k1", "k2" or "k3".
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    Estimate
        The mean over the samples and its standard error.

    Raises
    ------
    ValueError
        If there are fewer than two samples, a log ratio is not finite, `log_p` or `log_q` does not
        return n real numbers, or `estimator` or `base` is invalid.

    References
    ----------
    Schulman (2020), "Approximating KL Divergence", http://joschu.net/blog/kl-approx.html.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(1, 1, 10_000)  # samples of N(1, 1)
    >>> mc_kl(lambda x: -((x - 1) ** 2) / 2, lambda x: -(x**2) / 2, x).value.round(1)
    np.float64(0.5)
    """
    if estimator not in list(_ESTIMATORS):
        raise ValueError(f"estimator is {estimator!r}; expected one of {list(_ESTIMATORS)}")
    unit = validation.log_base(base)
    r = -_log_ratios(log_p, log_q, validation.finite("samples", samples))
    with np.errstate(over="ignore", invalid="ignore"):
        return _mean(_ESTIMATORS[estimator](r) / unit)


def _k3(r):
    growth = np.expm1(r)
    return accurate.near_or(lambda: growth - r, 1.0, 1 + growth, growth)


_ESTIMATORS = {"k1": np.negative, "k2": lambda r: r * r / 2, "k3": _k3}


def score_gradient(log_p, log_q, score, samples):
    r"""Estimate the gradient of KL(P_θ ‖ Q) by the score function, from samples of P_θ.

    .. math:: \nabla_\theta \mathrm{KL}(P_\theta \| Q) = \mathbb{E}_{x \sim P_\theta}
              \left[ \log \frac{p_\theta(x)}{q(x)} \, \nabla_\theta \log p_\theta(x) \right]

    This holds if the support of P_θ does not depend on θ, and the density is smooth enough in θ to
    differentiate under the integral. It asks for no derivative by x, so that it serves discrete
    samples too; Q may be known up to a factor. The variance of one sample is n times the squared
    standard error.

    Parameters
    ----------
    log_p, log_q : callable
        Logarithms of the densities or probabilities: from `samples` to an array of shape (n,).
    score : callable
        The gradient of log p_θ(x) by θ: from `samples` to an array of shape (n, parameters).
    samples : array_like
        n independent samples of P_θ, on the first axis.

    Returns
    -------
    Estimate
        Arrays of shape (parameters,): the mean over the samples, in nats, and its standard error.

    Raises
    ------
    ValueError
        As for `mc_kl`, and if `score` does not return finite numbers in that shape.

    References
    ----------
    Williams (1992), "Simple Statistical Gradient-Following Algorithms for Connectionist
    Reinforcement Learning".

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(1, 1, 10_000)  # θ = 1, and Q = N(0, 1)
    >>> log_p, log_q = lambda x: -((x - 1) ** 2) / 2, lambda x: -(x**2) / 2
    >>> score_gradient(log_p, log_q, lambda x: (x - 1)[:, None], x).value.round(1)
    array([1.])
    """
    samples = validation.finite("samples", samples)
    scores = _returned("score", score, samples, shape=(-1,))
    return _mean(_log_ratios(log_p, log_q, samples)[:, None] * scores)


def pathwise_gradient(grad_log_p, grad_log_q, jacobian, samples):
    r"""Estimate the gradient of KL(P_θ ‖ Q) by reparametrisation, from samples x = g(θ, noise).

    .. math:: \nabla_\theta \mathrm{KL}(P_\theta \| Q) = \mathbb{E}\left[
              \left( \frac{\partial x}{\partial \theta} \right)^{\!\top}
              \nabla_x \log \frac{p_\theta(x)}{q(x)} \right]

    This holds for log densities that are differentiable in x, and x in θ, if the score of P_θ has
    mean zero: it is left out, and the variance vanishes where P_θ equals Q. The score has that
    mean if the support of P_θ does not depend on θ. The variance of one sample is n times the
    squared standard error.

    Parameters
    ----------
    grad_log_p, grad_log_q : callable
        Gradients of the log densities by x: from samples of shape (n, d) to the same shape.
    jacobian : callable
        The derivative of x by θ at fixed noise: from samples to an array (n, d, parameters).
    samples : array_like
        n independent samples of P_θ, of shape (n, d).

    Returns
    -------
    Estimate
        Arrays of shape (parameters,): the mean over the samples, in nats, and its standard error.

    Raises
    ------
    ValueError
        If there are fewer than two samples, or a function does not return finite numbers in its
        shape.

    References
    ----------
    Roeder, Wu and Duvenaud (2017), "Sticking the Landing: Simple, Lower-Variance Gradient
    Estimators for Variational Inference".

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(1, 1, (10_000, 1))  # x = θ + noise, and Q = N(0, 1)
    >>> pathwise_gradient(lambda x: 1 - x, lambda x: -x, lambda x: np.ones((len(x), 1, 1)), x)
    Estimate(value=array([1.]), stderr=array([0.]))
    """
    samples = validation.sample_matrix("samples", samples)
    d = samples.shape[1]
    uphill_p = _returned("grad_log_p", grad_log_p, samples, shape=(d,))
    uphill_q = _returned("grad_log_q", grad_log_q, samples, shape=(d,))
    paths = _returned("jacobian", jacobian, samples, shape=(d, -1))
    return _mean(np.einsum("ndk,nd->nk", paths, uphill_p - uphill_q))


def _log_ratios(log_p, log_q, samples):
    """Return log p(x) - log q(x) at each sample."""
    logs_p = _returned("log_p", log_p, samples, "samples of P cannot be impossible under P")
    return logs_p - _returned(
        "log_q",
        log_q,
        samples,
        "if Q excludes this sample of P, the KL is infinite; if its density underflows, "
        "compute the logarithm without forming the density",
    )


def _returned(name, function, samples, remedy="mend the function", shape=()):
    """Return function(samples) as finite numbers, one array of `shape` (-1: any) per sample."""
    if samples.ndim == 0 or len(samples) < 2:
        raise ValueError(
            f"samples has shape {samples.shape}; expected at least two: "
            "the standard error is taken from their spread"
        )
    name = f"{name}(samples)"
    values = validation.real_array(name, function(samples))
    expected = (len(samples), *shape)
    fits = len(values.shape) == len(expected) and all(
        want in (-1, size) for size, want in zip(values.shape, expected, strict=True)
    )
    if not fits:
        wanted = str(expected).replace("-1", "parameters")
        raise ValueError(f"{name} has shape {values.shape}; expected {wanted}")
    validation.refuse_where(name, values, ~np.isfinite(values), f"a finite number: {remedy}")
    return values.astype(np.float64, copy=False)


def _mean(values):
    """Return the mean over the first axis with its standard error."""
    return Estimate(values.mean(axis=0), values.std(axis=0, ddof=1) / math.sqrt(len(values)))


def plugin_entropy(counts, *, correction=None, base=None):
    r"""Estimate the entropy of the distribution that the counts were drawn from.

    .. math:: \hat H = -\sum_i \frac{n_i}{n} \log \frac{n_i}{n}, \qquad
              \hat H_{\mathrm{MM}} = \hat H + \frac{m - 1}{2 n}

    with n the total and m the number of symbols that occur. The plain value is too low on average;
    the correction of Miller and Madow takes away most of that bias unless many symbols are unseen.

    Parameters
    ----------
    counts : array_like
        How often each symbol occurred: whole numbers, the symbols on the last axis.
    correction : str, optional
        None or "miller-madow".
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each vector of counts.

    Raises
    ------
    ValueError
        If a count is negative, NaN, infinite or no whole number, a vector has none but zeros, or
        `correction` or `base` is invalid.

    References
    ----------
    Miller (1955), "Note on the Bias of Information Estimates".

    Examples
    --------
    >>> plugin_entropy([2, 1, 1], base=2)
    np.float64(1.5)
    >>> plugin_entropy([2, 1, 1], correction="miller-madow").round(6)
    np.float64(1.289721)
    """
    if correction not in (None, "miller-madow"):
        raise ValueError(f"correction is {correction!r}; expected None or 'miller-madow'")
    counts = validation.counts("counts", counts)
    total = counts.sum(axis=-1, keepdims=True, dtype=np.float64)
    plain = entropy(counts / total, base=base)
    if correction is None:
        return plain
    surplus = (counts > 0).sum(axis=-1) - 1
    return plain + surplus / (2 * total[..., 0]) / validation.log_base(base)


def knn_kl(samples_p, samples_q, *, k=5, base=None):
    r"""Estimate the KL divergence of P from Q from samples of both, without any density.

    .. math:: \widehat{\mathrm{KL}} = \frac{d}{n} \sum_{i=1}^{n} \log \frac{\nu_k(i)}{\rho_k(i)}
              + \log \frac{m}{n - 1}

    with ρ the Euclidean distance of sample i of P to its k-th neighbour among the others of P, and
    ν that to its k-th neighbour among the samples of Q. For continuous densities it is
    consistent under mild conditions as n and m grow; the bias at given n typically grows with the
    dimension d. The estimate can be negative.

    Parameters
    ----------
    samples_p, samples_q : array_like
        Independent samples, of shapes (n, d) and (m, d). Each distance is computed: time grows as
        n (n + m) d, memory does not. A sample in both sets lowers the estimate.
    k : int
        Which neighbour, from 1 to the smaller of n - 1 and m. A larger k lowers the variance and
        raises the bias.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float
        The estimate. Samples that share a neighbourhood depend on each other, so that their spread
        gives no standard error: repeat it with fresh samples instead.

    Raises
    ------
    ValueError
        If a sample is NaN or infinite, the numbers of coordinates differ, `k` or `base` is
        invalid, or duplicates make a distance 0: rounded or repeated data have no density, and
        the estimate would be infinite.

    References
    ----------
    Wang, Kulkarni and Verdú (2009), "Divergence Estimation for Multidimensional Densities Via
    k-Nearest-Neighbor Distances", equation 5.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> knn_kl(rng.normal(1, 1, (2000, 1)), rng.normal(0, 1, (2000, 1))).round(1)  # exact: 0.5
    np.float64(0.5)
    """
    unit = validation.log_base(base)
    p = validation.sample_matrix("samples_p", samples_p)
    q = validation.sample_matrix("samples_q", samples_q)
    d = validation.same_dimension(samples_p=p, samples_q=q)
    n, m = len(p), len(q)
    if not (isinstance(k, (int, np.integer)) and 1 <= k <= min(n - 1, m)):
        raise ValueError(
            f"k is {k!r}; expected a whole number from 1 to {min(n - 1, m)}, "
            f"the smaller of n - 1 and m for n = {n} and m = {m} samples"
        )
    # Distances square the coordinates: a common power of two keeps them in range.
    exponent = np.frexp(max(np.abs(p).max(), np.abs(q).max()))[1]
    p, q = np.ldexp(p, -exponent), np.ldexp(q, -exponent)
    rho = _neighbour_distances("samples_p", p, p, k + 1)  # each sample is its own nearest
    nu = _neighbour_distances("samples_q", p, q, k)
    return (d * np.mean(np.log(nu / rho)) + np.log(m / (n - 1))) / unit


def _neighbour_distances(name, points, others, k):
    """Return the distance of each point to its k-th nearest of `others`."""
    distances = np.empty(len(points))
    step = max(1, 16 * BLOCK // len(others))
    for start in range(0, len(points), step):
        rows = slice(start, start + step)
        square = np.zeros((len(points[rows]), len(others)))
        for x, y in zip(points[rows].T, others.T, strict=True):
            square += np.square(x[:, None] - y)
        distances[rows] = np.sqrt(np.partition(square, k - 1, axis=1)[:, k - 1])
    if not distances.min() > 0:
        raise ValueError(
            f"samples_p[{np.argmin(distances)}] equals k or more others of {name}: a distance of 0 "
            "makes the estimate infinite; data that repeat or are rounded have no density: "
            "remove the duplicates, or use a discrete divergence on counts"
        )
    return distances


class RunningKL:
    """The mean of KL(p ‖ q) over rows that arrive in batches, with its standard error.

    Batches, and the results of several workers, are merged by the formula for variances of Chan,
    Golub and LeVeque (1983): up to rounding it does not matter how the rows were split, or in
    which order the parts are merged.

    Parameters
    ----------
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Attributes
    ----------
    count : int
        The number of rows so far.

    Raises
    ------
    ValueError
        From `update`, for rows that `kl_divergence` refuses; from `result`, if there are fewer than
        two rows.

    References
    ----------
    Chan, Golub and LeVeque (1983), "Algorithms for Computing the Sample Variance: Analysis
    and Recommendations", on pairwise updates.

    Examples
    --------
    >>> running = RunningKL(base=2)
    >>> running.update([[0.5, 0.5], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]])
    >>> running.result()
    Estimate(value=np.float64(0.5), stderr=np.float64(0.5))
    """

    def __init__(self, base=None):
        self._unit = validation.log_base(base)
        self.count = 0
        self._total = np.float64(0)
        self._squares = np.float64(0)  # of the deviations from the mean

    def update(self, p, q):
        """Take in the rows of p and q, probabilities on the last axis; P is the first argument."""
        nats = np.ravel(kl_divergence(p, q)).astype(np.float64)
        with np.errstate(invalid="ignore"):  # an infinite row: the mean is infinite, too
            self._add(nats.size, nats.sum(), np.square(nats - nats.mean()).sum())

    def merge(self, other):
        """Take in the rows that another `RunningKL` has seen; it stays as it is."""
        if not isinstance(other, RunningKL):
            raise ValueError(f"other is {other!r}; expected a RunningKL")
        with np.errstate(invalid="ignore"):
            self._add(other.count, other._total, other._squares)

    def _add(self, count, total, squares):
        self._squares = self._squares + squares
        if count and self.count:
            apart = total / count - self._total / self.count
            self._squares += apart**2 * count * self.count / (count + self.count)
        self.count += count
        self._total = self._total + total

    def result(self):
        """Return the mean over all rows and its standard error (nan if the mean is infinite)."""
        if self.count < 2:
            raise ValueError(
                f"there are {self.count} rows so far; expected at least two: "
                "the standard error is taken from their spread"
            )
        variance = self._squares / (self.count - 1)
        return Estimate(
            self._total / self.count / self._unit, np.sqrt(variance / self.count) / self._unit
        )
