"""Entropy, KL divergence and their relatives for probability vectors.

The direction is the same everywhere: f(p, q) is the divergence *of p from q*, KL(P ‖ Q).
All results are in nats unless `base` says otherwise (a base below 1 turns the sign), and are those
of the exactly normalised vectors: a sum that misses 1 by rounding costs no digits. Larger errors in
the input are refused.
"""

from functools import partial

import numpy as np

from kl_course import _accurate as accurate
from kl_course import _validation as validation
from kl_course._blocks import by_rows, places, sum_symbols


def entropy(p, *, base=None, axis=-1):
    r"""Return the entropy of `p`, the mean surprise of its symbols.

    .. math:: H(P) = -\sum_i p_i \log p_i, \qquad 0 \log 0 = 0

    Parameters
    ----------
    p : array_like
        Probabilities; they sum to 1 along `axis`.
    base : float, optional
        Unit of the result: None for nats, 2 for bits, any base above 0 other than 1.
    axis : int
        Axis of the symbols.

    Returns
    -------
    float or ndarray
        One value for each vector, from 0 (one symbol is certain) to log K (K equally likely).

    Raises
    ------
    ValueError
        If an entry is negative, NaN or infinite, a vector does not sum to 1, or `base` or
        `axis` is invalid.

    References
    ----------
    Shannon (1948), "A Mathematical Theory of Communication", section 6.

    Examples
    --------
    >>> entropy([0.5, 0.25, 0.25], base=2)
    np.float64(1.5)
    """
    return _of_distributions(accurate.entropies, base, axis, p=p)


def cross_entropy(p, q, *, base=None, axis=-1):
    r"""Return the cross-entropy of `q` relative to `p`: the mean surprise of Q under P.

    .. math:: H(P, Q) = -\sum_i p_i \log q_i = H(P) + \mathrm{KL}(P \| Q)

    It is computed as that sum: both parts are non-negative, so that no digits cancel.

    Parameters
    ----------
    p, q : array_like
        Probabilities; they sum to 1 along `axis` and broadcast.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.
    axis : int
        Axis of the symbols, counted in the common shape.

    Returns
    -------
    float or ndarray
        One value for each pair; infinite where q is 0 and p is not.

    Raises
    ------
    ValueError
        As for `kl_divergence`.

    References
    ----------
    Cover and Thomas (2006), "Elements of Information Theory", section 5.4.

    Examples
    --------
    >>> cross_entropy([0.5, 0.5], [0.25, 0.75], base=2).round(6)
    np.float64(1.207519)
    """

    def rows(p, q, *totals):
        return accurate.entropies(p, totals[0]) + accurate.kl_divergences(p, q, *totals)

    return _of_distributions(rows, base, axis, p=p, q=q)


def kl_divergence(p, q, *, base=None, axis=-1):
    r"""Return the Kullback-Leibler divergence of `p` from `q`, also called relative entropy.

    .. math:: \mathrm{KL}(P \| Q) = \sum_i p_i \log \frac{p_i}{q_i}, \qquad 0 \log 0 = 0

    Parameters
    ----------
    p, q : array_like
        Probabilities; they sum to 1 along `axis` and broadcast. Data or target first, model
        second.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.
    axis : int
        Axis of the symbols, counted in the common shape.

    Returns
    -------
    float or ndarray
        One value for each pair: 0 where p equals q, infinite where q is 0 and p is not, never
        negative.

    Raises
    ------
    ValueError
        If an entry is negative, NaN or infinite, a vector does not sum to 1, the shapes do not
        broadcast, the alphabets differ in size, or `base` or `axis` is invalid.

    References
    ----------
    Kullback and Leibler (1951), "On Information and Sufficiency".

    Examples
    --------
    >>> p, q = [0.1, 0.2, 0.3, 0.4], [0.2, 0.2, 0.3, 0.3]
    >>> kl_divergence(p, q).round(6), kl_divergence(q, p).round(6)
    (np.float64(0.045758), np.float64(0.052325))
    """
    return _of_distributions(accurate.kl_divergences, base, axis, p=p, q=q)


def js_divergence(p, q, *, base=None, axis=-1):
    r"""Return the Jensen-Shannon divergence, symmetric in `p` and `q`.

    .. math:: \mathrm{JS}(P, Q) = \tfrac12 \mathrm{KL}(P \| M) + \tfrac12 \mathrm{KL}(Q \| M),
              \qquad M = \tfrac12 (P + Q)

    Its square root is a metric; SciPy's `jensenshannon` returns that root.

    Parameters
    ----------
    p, q : array_like
        Probabilities; they sum to 1 along `axis` and broadcast.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.
    axis : int
        Axis of the symbols, counted in the common shape.

    Returns
    -------
    float or ndarray
        One value for each pair, from 0 (p equals q) to log 2 (nothing in common), never infinite.

    Raises
    ------
    ValueError
        As for `kl_divergence`.

    References
    ----------
    Lin (1991), "Divergence Measures Based on the Shannon Entropy", section IV, equal weights.
    Endres and Schindelin (2003), "A New Metric for Probability Distributions".

    Examples
    --------
    >>> js_divergence([1, 0], [0, 1], base=2)
    np.float64(1.0)
    """
    return _divergence(accurate.js_terms, p, q, base, axis, at_most=np.log(2))


def jeffreys_divergence(p, q, *, base=None, axis=-1):
    r"""Return the Jeffreys divergence, the sum of both directions of KL.

    .. math:: J(P, Q) = \mathrm{KL}(P \| Q) + \mathrm{KL}(Q \| P)
              = \sum_i (q_i - p_i) \log \frac{q_i}{p_i}

    Parameters
    ----------
    p, q : array_like
        Probabilities; they sum to 1 along `axis` and broadcast.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.
    axis : int
        Axis of the symbols, counted in the common shape.

    Returns
    -------
    float or ndarray
        One value for each pair: 0 where p equals q, infinite where just one of them is 0.

    Raises
    ------
    ValueError
        As for `kl_divergence`.

    References
    ----------
    Jeffreys (1946), "An Invariant Form for the Prior Probability in Estimation Problems".

    Examples
    --------
    >>> jeffreys_divergence([0.1, 0.2, 0.3, 0.4], [0.2, 0.2, 0.3, 0.3]).round(6)
    np.float64(0.098083)
    """
    return _divergence(accurate.jeffreys_terms, p, q, base, axis)


def total_variation(p, q, *, axis=-1):
    r"""Return the total variation distance: the largest difference that an event can show.

    .. math:: \mathrm{TV}(P, Q) = \tfrac12 \sum_i |p_i - q_i| = \max_A |P(A) - Q(A)|

    Parameters
    ----------
    p, q : array_like
        Probabilities; they sum to 1 along `axis` and broadcast.
    axis : int
        Axis of the symbols, counted in the common shape.

    Returns
    -------
    float or ndarray
        One value for each pair, from 0 (p equals q) to 1 (nothing in common); it has no unit.

    Raises
    ------
    ValueError
        As for `kl_divergence`.

    References
    ----------
    Levin and Peres (2017), "Markov Chains and Mixing Times", proposition 4.2.

    Examples
    --------
    >>> total_variation([0.5, 0.5], [0.25, 0.75])
    np.float64(0.25)
    """
    return _divergence(lambda p, q, d: np.abs(d) / 2, p, q, None, axis, at_most=1.0)


def mutual_information(p_xy, *, base=None):
    r"""Return the mutual information of a joint distribution.

    .. math:: I(X; Y) = \mathrm{KL}(P_{XY} \| P_X P_Y)
              = \sum_{x, y} p(x, y) \log \frac{p(x, y)}{p(x)\, p(y)}

    Parameters
    ----------
    p_xy : array_like
        Joint probabilities on the last two axes; they sum to 1 over both. The marginals are the
        joint's own.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each table: 0 where X and Y are independent, at most the smaller of their
        entropies.

    Raises
    ------
    ValueError
        If an entry is negative, NaN or infinite, a table does not sum to 1 or has fewer than two
        axes, or `base` is invalid.

    References
    ----------
    Cover and Thomas (2006), "Elements of Information Theory", section 2.3.

    Examples
    --------
    >>> mutual_information([[0.5, 0.0], [0.0, 0.5]], base=2)
    np.float64(1.0)
    """
    unit = validation.log_base(base)
    joint = validation.real_array("p_xy", p_xy)
    if joint.ndim < 2:
        raise ValueError(f"p_xy has shape {joint.shape}; expected a table of two axes or more")
    *lead, rows, columns = joint.shape
    result = np.empty(lead, validation.result_dtype(joint))
    for place in places(lead, rows * columns):
        result[place] = _dependence(joint[place], joint) / unit
    return result[()]


def _dependence(tables, joint):
    """Return KL of each table from the product of its marginals, in nats."""
    with np.errstate(over="ignore"):
        p_x, p_y = (tables.sum(axis=a, keepdims=True, dtype=np.float64) for a in (-1, -2))
        total = p_x.sum(axis=-2, keepdims=True)
    if not (tables.min() >= 0 and validation.sums_to_one(joint, total)):
        validation.refuse_distribution("p_xy", joint, (-2, -1))
    mantissa, exponent = np.frexp(p_x)
    arrays = {"p_xy": tables, "exponent": exponent, "p_x": mantissa, "p_y": p_y / total}

    def sums(terms, axis):
        dependence = partial(accurate.dependence_terms, terms)
        return by_rows(partial(sum_symbols, dependence), arrays, axis)

    # KL of the joint from the product, less what the rounding of the marginals adds to it: their
    # own KL, to second order in the surplus that they leave in each row and column.
    nats = sums(accurate.kl_terms, -1).sum(axis=-1)
    for axis, marginal in ((-1, p_x), (-2, p_y)):
        surplus = sums(lambda p, q, d: d, axis)
        nats -= (surplus / np.maximum(2 * marginal.squeeze(axis), 1e-300) * surplus).sum(axis=-1)
    total = total[..., 0, 0]
    return np.maximum(nats + surplus.sum(axis=-1) ** 2 / (2 * total), 0) / total


def bernoulli_kl(p, q, *, base=None):
    r"""Return the KL divergence of Bernoulli(p) from Bernoulli(q), elementwise.

    .. math:: p \log \frac{p}{q} + (1 - p) \log \frac{1 - p}{1 - q}

    Parameters
    ----------
    p, q : array_like
        Probabilities of success, from 0 to 1; they broadcast.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.

    Returns
    -------
    float or ndarray
        One value for each pair: 0 where p equals q, infinite where q is 0 or 1 and p differs
        from q.

    Raises
    ------
    ValueError
        If an entry is not a number from 0 to 1, the shapes do not broadcast, or `base` is invalid.

    References
    ----------
    Cover and Thomas (2006), "Elements of Information Theory", example 2.3.1.

    Examples
    --------
    >>> bernoulli_kl(0.5, [0.5, 0.1]).round(6)
    array([0.      , 0.510826])
    """
    p, q = validation.real_array("p", p), validation.real_array("q", q)

    def both_outcomes(p, q):
        d = q - p
        return accurate.kl_terms(p, q, d) + accurate.kl_terms(1 - p, 1 - q, -d)

    def rows(*blocks):
        for name, x, block in zip("pq", (p, q), blocks, strict=True):
            if not (block.min() >= 0 and block.max() <= 1):
                validation.refuse_values(name, x, low=0, high=1)
        return sum_symbols(both_outcomes, *blocks)

    p, q = validation.broadcast(p=p, q=q)
    return by_rows(rows, {"p": p[..., None], "q": q[..., None]}, base=base)  # rows of one symbol


def kl_from_logits(logits_p, logits_q, *, temperature=1.0, base=None, axis=-1):
    r"""Return the KL divergence of softmax(logits_p / T) from softmax(logits_q / T).

    .. math:: \mathrm{KL}(P \| Q), \quad p_i = \frac{e^{a_i / T}}{\sum_j e^{a_j / T}}, \quad
              q_i = \frac{e^{b_i / T}}{\sum_j e^{b_j / T}}

    No probability is formed on the way to a logarithm, so that saturated logits stay finite.

    Parameters
    ----------
    logits_p, logits_q : array_like
        Logits a and b; they broadcast. A logit of -inf is a probability of 0.
    temperature : float
        T > 0; both sides are divided by it.
    base : float, optional
        Unit of the result: None for nats, 2 for bits.
    axis : int
        Axis of the symbols, counted in the common shape.

    Returns
    -------
    float or ndarray
        One value for each pair; infinite only where a logit of q is -inf and that of p is not
        (or where the value exceeds the largest float).

    Raises
    ------
    ValueError
        If a logit is NaN or +inf, all logits of a vector are -inf, the shapes do not broadcast,
        or `temperature`, `base` or `axis` is invalid.

    References
    ----------
    Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network",
    equation 1 (softmax with temperature).

    Examples
    --------
    >>> kl_from_logits([1000.0, 0.0], [0.0, 0.0]).round(6)
    np.float64(0.693147)
    """
    validation.positive_number("temperature", temperature)
    arrays = {
        "logits_p": validation.real_array("logits_p", logits_p),
        "logits_q": validation.real_array("logits_q", logits_q),
    }

    def rows(*blocks):
        for (name, x), block in zip(arrays.items(), blocks, strict=True):
            if not np.isfinite(block.max(axis=0)).all():
                validation.refuse_logits(name, x, axis)
        return accurate.logit_divergences(*blocks, temperature)

    axis = validation.symbol_axis(axis, **arrays)
    return by_rows(rows, arrays, axis, base)


def _divergence(terms, p, q, base, axis, at_most=np.inf):
    """Sum terms(p, q, q - p) over the symbols of the validated and normalised pairs."""

    def rows(p, q, *totals):
        return accurate.divergences(terms, p, q, *totals)

    return _of_distributions(rows, base, axis, at_most, p=p, q=q)


def _of_distributions(function, base, axis, at_most=np.inf, **inputs):
    """Apply function(*rows, *sums of rows) to blocks of probability vectors."""
    arrays = {name: validation.real_array(name, x) for name, x in inputs.items()}
    axis = validation.symbol_axis(axis, **arrays)

    def rows(*blocks):
        totals = [accurate.probability_sums(block) for block in blocks]
        for (name, x), total in zip(arrays.items(), totals, strict=True):
            if not validation.sums_to_one(x, total):
                validation.refuse_distribution(name, x, (axis,))
        return function(*blocks, *totals)

    return by_rows(rows, arrays, axis, base, at_most)
