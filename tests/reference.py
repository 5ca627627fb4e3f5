"""High-precision references and input generators, shared by the tests.

Each reference takes the floats that the package was given, normalises them exactly and works with
100 decimal digits. So it is also right where a double holds none: two vectors that differ by 1e-12
have a divergence of 1e-24, which is left of terms of 1e-12 that cancel.
"""

import mpmath
import numpy as np

mp = mpmath.mp.clone()
mp.dps = 100
ALL_FLOATS = 1000  # digits that hold 1 + x^2 for the smallest of floats


def _mpf(values):
    return [mp.mpf(float(value)) for value in np.ravel(values)]


def _weighted_sum(terms, counts):
    if counts is None:
        return mp.fsum(terms)
    return mp.fsum(term * int(count) for term, count in zip(terms, counts, strict=True))


def _normalised(values, counts=None):
    values = _mpf(values)
    total = _weighted_sum(values, counts)
    return [value / total for value in values]


def _kl_term(p, q):
    if p == 0:
        return mp.zero
    return mp.inf if q == 0 else p * mp.log(p / q)


def entropy(p, counts=None):
    """Entropy in nats; symbol i stands for ``counts[i]`` symbols of the same probability."""
    p = _normalised(p, counts)
    return -_weighted_sum([_kl_term(a, mp.one) for a in p], counts)


def cross_entropy(p, q, counts=None):
    p, q = _normalised(p, counts), _normalised(q, counts)
    return -_weighted_sum([_cross_term(a, b) for a, b in zip(p, q, strict=True)], counts)


def _cross_term(p, q):
    if p == 0:
        return mp.zero
    return -mp.inf if q == 0 else p * mp.log(q)


def kl(p, q, counts=None):
    p, q = _normalised(p, counts), _normalised(q, counts)
    return _weighted_sum([_kl_term(a, b) for a, b in zip(p, q, strict=True)], counts)


def js(p, q, counts=None):
    p, q = _normalised(p, counts), _normalised(q, counts)
    pairs = [(a, b, (a + b) / 2) for a, b in zip(p, q, strict=True)]
    return _weighted_sum([(_kl_term(a, m) + _kl_term(b, m)) / 2 for a, b, m in pairs], counts)


def jeffreys(p, q, counts=None):
    return kl(p, q, counts) + kl(q, p, counts)


def total_variation(p, q, counts=None):
    p, q = _normalised(p, counts), _normalised(q, counts)
    return _weighted_sum([abs(a - b) / 2 for a, b in zip(p, q, strict=True)], counts)


def mutual_information(p_xy):
    joint = np.reshape(_normalised(p_xy), np.shape(p_xy))
    p_x, p_y = joint.sum(axis=1), joint.sum(axis=0)
    product = np.outer(p_x, p_y)
    return mp.fsum(_kl_term(p, m) for p, m in zip(joint.flat, product.flat, strict=True))


def bernoulli_kl(p, q):
    """KL(Bernoulli(p) || Bernoulli(q)); the complements 1 - p and 1 - q are exact."""
    p, q = mp.mpf(float(p)), mp.mpf(float(q))
    with mp.workdps(ALL_FLOATS):
        return _kl_term(p, q) + _kl_term(1 - p, 1 - q)


def softmax(logits, temperature=1.0):
    temperature = mp.mpf(float(temperature))
    weights = [mp.exp(logit / temperature) for logit in _mpf(logits)]
    total = mp.fsum(weights)
    return [weight / total for weight in weights]


def kl_from_logits(logits_p, logits_q, temperature=1.0):
    """KL of softmax(logits_p / temperature) from softmax(logits_q / temperature)."""
    spread = max(np.ptp(logits_p), np.ptp(logits_q)) / temperature
    with mp.workdps(100 + int(spread / 2)):  # its tails are as small as exp(-spread)
        p, q = softmax(logits_p, temperature), softmax(logits_q, temperature)
        return mp.fsum(_kl_term(a, b) for a, b in zip(p, q, strict=True))


def normal_entropy(std):
    return (mp.log(2 * mp.pi) + 1) / 2 + mp.log(mp.mpf(float(std)))


def normal_kl(mean_p, std_p, mean_q, std_q):
    """KL(N(mean_p, std_p^2) || N(mean_q, std_q^2)) of four numbers."""
    mean_p, std_p, mean_q, std_q = _mpf([mean_p, std_p, mean_q, std_q])
    ratio, shift = std_p / std_q, (mean_p - mean_q) / std_q
    return (ratio**2 - 1 - 2 * mp.log(ratio) + shift**2) / 2


def diag_normal_kl(mean_p, std_p, mean_q, std_q):
    """KL of two vectors of independent normals."""
    return mp.fsum(by_row(normal_kl, mean_p, std_p, mean_q, std_q))


def mvn_entropy(cov):
    cov = _matrix(cov)
    return (cov.rows * (mp.log(2 * mp.pi) + 1) + mp.log(mp.det(cov))) / 2


def mvn_kl(mean_p, cov_p, mean_q, cov_q):
    """KL of two normals with full covariances: the textbook formula, with digits to spare."""
    mean_p, mean_q = mp.matrix(_mpf(mean_p)), mp.matrix(_mpf(mean_q))
    cov_p, cov_q = _matrix(cov_p), _matrix(cov_q)
    precision, shift = cov_q**-1, mean_p - mean_q
    trace = mp.fsum(a * b for a, b in zip(precision, cov_p.T, strict=True))
    log_det = mp.log(mp.det(cov_q) / mp.det(cov_p))
    return (trace - cov_p.rows + log_det + (shift.T * precision * shift)[0]) / 2


def _matrix(rows):
    return mp.matrix([_mpf(row) for row in rows])


def by_row(function, *arrays, **options):
    """Apply a reference to each row of matrices, or to each matrix of stacks of them."""
    return [function(*rows, **options) for rows in zip(*arrays, strict=True)]


def relative_error(values, exact):
    """Return the largest relative error of floats; zero and infinity have to be met exactly."""
    errors = [_relative_error(v, e) for v, e in zip(np.ravel(values), np.ravel(exact), strict=True)]
    return float(max(errors))


def _relative_error(value, exact):
    value = mp.mpf(float(value))
    if value == exact:
        return mp.zero
    if mp.isnan(value) or exact == 0 or mp.isinf(exact):
        return mp.inf
    return abs(value - exact) / abs(exact)


def random_rows(rng, rows, size):
    """Probability vectors, as rows: uniformly distributed over the simplex."""
    return rng.dirichlet(np.ones(size), rows)


def nearly_equal(rng, p, delta):
    """Rows proportional to p_i (1 + delta z_i), with z standard normal."""
    q = p * (1 + delta * rng.standard_normal(p.shape))
    return q / q.sum(axis=-1, keepdims=True)
