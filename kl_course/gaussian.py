r"""Closed forms for normal distributions.

Spread is given as a standard deviation `std`, never as a variance or a logarithm; several
dimensions have a covariance matrix `cov`. Arguments are named, since their order is easily mixed
up: p is the first distribution of KL(P ‖ Q), q the second.

Near equality the textbook formulas subtract numbers of size 1 to leave almost nothing. Here each
is a sum of non-negative terms that start from the differences p - q: between floats within a factor
of two these are exact. (In a `base` below 1, values are negative: its logarithm is.)
"""

from functools import partial

import numpy as np

from kl_course import _accurate as accurate
from kl_course import _validation as validation
from kl_course._blocks import by_rows, sum_symbols

NEARLY_EQUAL = 0.05  # nats: below it, the difference of two covariance matrices is what counts


def normal_entropy(std, *, base=None):
    r"""Return the differential entropy of a normal distribution, elementwise.

    .. math:: h(P) = \tfrac12 \log(2 \pi e\, \sigma^2)

    Parameters
    ----------
    std : array_like
        Standard deviations, above 0.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each entry; negative for a std below 0.242.

    Raises
    ------
    ValueError
        If a standard deviation is not a positive finite number, or `base` is invalid.

    References
    ----------
    Cover and Thomas (2006), "Elements of Information Theory", example 8.1.2.

    Examples
    --------
    >>> normal_entropy([0.1, 1.0]).round(6)
    array([-0.883647,  1.418939])
    """
    std = validation.standard_deviation("std", std)
    return _in_unit(_entropies(std), base, std)


def normal_kl(*, mean_p, std_p, mean_q, std_q, base=None):
    r"""Return the KL divergence of N(mean_p, std_p²) from N(mean_q, std_q²), elementwise.

    .. math:: \mathrm{KL}(P \| Q) = \log \frac{\sigma_q}{\sigma_p}
              + \frac{\sigma_p^2 + (\mu_p - \mu_q)^2}{2 \sigma_q^2} - \frac12

    Parameters
    ----------
    mean_p, std_p, mean_q, std_q : array_like
        Means and standard deviations (above 0); they broadcast.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each entry: 0 where P equals Q, never negative, infinite only where the value
        or the difference of the means exceeds the largest float.

    Raises
    ------
    ValueError
        If a mean is NaN or infinite, a standard deviation is not a positive finite number, the
        shapes do not broadcast, or `base` is invalid.

    References
    ----------
    Rasmussen and Williams (2006), "Gaussian Processes for Machine Learning", equation A.23.

    Examples
    --------
    >>> normal_kl(mean_p=1, std_p=1, mean_q=0, std_q=1)
    np.float64(0.5)
    """
    arrays = _parameters(mean_p, std_p, mean_q, std_q)
    full = dict(zip(arrays, validation.broadcast(**arrays), strict=True))
    return _sum_coordinates({name: a[..., None] for name, a in full.items()}, base)


def diag_normal_kl(*, mean_p, std_p, mean_q, std_q, base=None):
    r"""Return the KL divergence of one normal from another with independent coordinates each.

    .. math:: \mathrm{KL}(P \| Q) = \sum_{i=1}^{d} \left[ \log \frac{\sigma_{q,i}}{\sigma_{p,i}}
              + \frac{\sigma_{p,i}^2 + (\mu_{p,i} - \mu_{q,i})^2}{2 \sigma_{q,i}^2}
              - \frac12 \right]

    Parameters
    ----------
    mean_p, std_p, mean_q, std_q : array_like
        Means and standard deviations (above 0), the d coordinates on the last axis. Leading axes
        broadcast; a single number stands for all coordinates.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each pair of distributions: a sum, not a mean, over the coordinates.

    Raises
    ------
    ValueError
        As for `normal_kl`, and if the numbers of coordinates differ.

    References
    ----------
    Kingma and Welling (2013), "Auto-Encoding Variational Bayes", appendix B, for Q = N(0, I).

    Examples
    --------
    >>> diag_normal_kl(mean_p=[1, 0, 1], std_p=1, mean_q=0, std_q=1)
    np.float64(1.0)
    """
    arrays = _parameters(mean_p, std_p, mean_q, std_q)
    validation.same_dimension(**arrays)
    return _sum_coordinates(arrays, base)


def mvn_entropy(cov, *, base=None):
    r"""Return the differential entropy of a normal distribution with covariance matrix `cov`.

    .. math:: h(P) = \tfrac12 \log \left( (2 \pi e)^d \det \Sigma \right)

    Parameters
    ----------
    cov : array_like
        Covariance matrices, of shape (..., d, d).
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each matrix; it can be negative.

    Raises
    ------
    ValueError
        If a matrix has an entry that is NaN or infinite, is not square, not symmetric (up to
        rounding) or not positive definite, or `base` is invalid.

    References
    ----------
    Cover and Thomas (2006), "Elements of Information Theory", theorem 8.4.1.

    Examples
    --------
    >>> mvn_entropy([[1.0, 0.5], [0.5, 1.0]]).round(6)
    np.float64(2.694036)
    """
    cov, factors = validation.covariance("cov", cov)
    return _in_unit(_entropies(_diagonal(factors)).sum(axis=-1), base, cov)


def mvn_kl(*, mean_p, cov_p, mean_q, cov_q, base=None):
    r"""Return the KL divergence of N(mean_p, cov_p) from N(mean_q, cov_q).

    .. math:: \mathrm{KL}(P \| Q) = \tfrac12 \left[ \operatorname{tr}(\Sigma_q^{-1} \Sigma_p) - d
              + (\mu_p - \mu_q)^\top \Sigma_q^{-1} (\mu_p - \mu_q)
              + \log \frac{\det \Sigma_q}{\det \Sigma_p} \right]

    Parameters
    ----------
    mean_p, mean_q : array_like
        Means, of shape (..., d); a single number stands for all coordinates.
    cov_p, cov_q : array_like
        Covariance matrices, of shape (..., d, d). The leading axes of all four broadcast.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each pair of distributions. Its relative error is at most about the rounding
        unit times the condition number of the covariances, also where they nearly agree.

    Raises
    ------
    ValueError
        As for `mvn_entropy`, and if a mean is NaN or infinite, the numbers of coordinates differ
        or the leading axes do not broadcast.

    References
    ----------
    Rasmussen and Williams (2006), "Gaussian Processes for Machine Learning", equation A.23.

    Examples
    --------
    >>> mvn_kl(mean_p=0, cov_p=[[2, 0], [0, 0.5]], mean_q=0, cov_q=[[1, 0], [0, 3]]).round(6)
    np.float64(0.632639)
    """
    mean_p, mean_q = validation.finite("mean_p", mean_p), validation.finite("mean_q", mean_q)
    cov_p, factor_p = validation.covariance("cov_p", cov_p)
    cov_q, factor_q = validation.covariance("cov_q", cov_q)
    given = {"mean_p": mean_p, "cov_p": cov_p, "mean_q": mean_q, "cov_q": cov_q}
    d = validation.same_dimension(**given)
    try:
        lead = np.broadcast(mean_p, cov_p[..., 0], mean_q, cov_q[..., 0]).shape[:-1]
    except ValueError:
        validation.refuse_shapes(**given)

    def full(matrices):
        return np.broadcast_to(matrices, (*lead, d, matrices.shape[-1]))

    factor_p, factor_q = full(factor_p), full(factor_q)
    difference = full(np.subtract(cov_p, cov_q, dtype=np.float64))
    shift = np.broadcast_to(np.subtract(mean_p, mean_q, dtype=np.float64), (*lead, d))
    with np.errstate(over="ignore"):
        z = _solve(factor_q, shift[..., None].copy())
        nats = _covariance_terms(factor_p, factor_q, difference)
        nats = nats + np.square(z).sum(axis=(-2, -1)) / 2
        return _in_unit(nats, base, *given.values())


def _in_unit(nats, base, *inputs):
    return (nats / validation.log_base(base)).astype(validation.result_dtype(*inputs))[()]


def _entropies(std):
    return np.log(std, dtype=np.float64) + np.log(2 * np.pi * np.e) / 2


def _parameters(mean_p, std_p, mean_q, std_q):
    return {
        "mean_p": validation.finite("mean_p", mean_p),
        "std_p": validation.standard_deviation("std_p", std_p),
        "mean_q": validation.finite("mean_q", mean_q),
        "std_q": validation.standard_deviation("std_q", std_q),
    }


def _sum_coordinates(arrays, base):
    return by_rows(partial(sum_symbols, _normal_terms), arrays, base=base)


def _normal_terms(mean_p, std_p, mean_q, std_q):
    z = (mean_p - mean_q) / std_q
    return _spread_terms(std_p, std_q) + z * (z / 2)


def _spread_terms(std_p, std_q):
    """KL of N(0, std_p²) from N(0, std_q²): x - log(1 + x) + x²/2 with 1 + x = std_p / std_q."""
    ratio, x = std_p / std_q, (std_p - std_q) / std_q
    return accurate.near_or(lambda: x - accurate.log_ratio(std_p, std_q), 1.0, ratio, x) + x * x / 2


def _covariance_terms(factor_p, factor_q, difference):
    """KL of N(0, S_p) from N(0, S_q), given the Cholesky factors of both and S_p - S_q.

    L_q^-1 L_p has on its diagonal the ratios of the standard deviations that each coordinate has
    given those before it; its other entries count as shifts do. Where both are nearly equal, the
    eigenvalues e of L_q^-1 (S_p - S_q) L_q^-T keep more digits: half the sum of e - log(1 + e).
    """
    below = np.tril(_solve(factor_q, factor_p.copy()), -1)
    nats = _spread_terms(_diagonal(factor_p), _diagonal(factor_q)).sum(axis=-1)
    nats = np.asarray(nats + np.square(below).sum(axis=(-2, -1)) / 2)
    close = nats < NEARLY_EQUAL
    if close.any():
        half = _solve(factor_q[close], difference[close])
        e = np.linalg.eigvalsh(_solve(factor_q[close], np.swapaxes(half, -1, -2)))
        nats[close] = accurate.near_terms(1.0, e, e / (2 + e)).sum(axis=-1) / 2
    return nats


def _solve(factor, right):
    """Turn `right` into factor^-1 right, in place, for a lower triangular factor.

    Unlike a general solver, forward substitution does not depend on the coordinates' units.
    """
    for i in range(factor.shape[-1]):
        row = right[..., i, None, :]
        row -= factor[..., i, None, :i] @ right[..., :i, :]
        row /= factor[..., i, None, i, None]
    return right


def _diagonal(matrices):
    return np.diagonal(matrices, axis1=-2, axis2=-1)
