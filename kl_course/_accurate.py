"""The careful sums: terms that keep their digits near equality.

With p and q in floats, the textbook sum of p log(p/q) is made of terms of both signs that
cancel when q is close to p. Adding q - p to each term changes nothing in the end (both sum to
one) and leaves terms that are never negative:

    p log(p/q) + d  with  d = q - p.

d is exact where q is within a factor of two of p, so its digits are what the near forms start
from. Where the two sums differ by rounding, q is scaled to the sum of p, through d as well.
"""

import numpy as np

from kl_course._blocks import BLOCK, sum_symbols

TINY = np.finfo(np.float64).tiny  # below it floats lose digits
NEAR = 1 / 3  # |s| below this, for s = (q - p) / (q + p): q within a factor of two of p
FAR_APART = 0.25  # nats: from here on, the plain sum of p log(p/q) has no digits to lose

# log(q/p) = 2 artanh(s) = 2 (s + s^3/3 + s^5/5 + ...). These are the coefficients from s^3 on;
# for |s| < 1/3 the terms after the sixteenth add less than 1e-17 of the whole.
ARTANH = [2 / (2 * k + 3) for k in range(16)]


def near_terms(p, d, s, largest=NEAR):
    """p log(p/q) + d as s (d - p (2 s^2/3 + 2 s^4/5 + ...)), where nothing cancels for small s.

    The smaller the largest |s|, the fewer terms of the series matter.
    """
    square = s * s
    *lower, last = [c for k, c in enumerate(ARTANH) if k == 0 or largest ** (2 * k) > 1e-17]
    tail = last * square
    for coefficient in reversed(lower):
        tail += coefficient
        tail *= square
    tail *= p
    return s * (d - tail)


def near_or(far, p, q, d):
    """near_terms where q is within a factor of two of p, the entries of far() elsewhere."""
    s = d / (p + q)
    size = np.abs(s)
    largest = size.max()
    if largest < NEAR:
        return near_terms(p, d, s, largest)
    return np.where(size < NEAR, near_terms(p, d, s), far())


def log_ratio(p, q):
    """log(p/q), also where the quotient leaves the range of normal floats; 0 where p is 0."""
    ratio = p / q
    np.copyto(ratio, 1.0, where=p == 0)
    logs = np.log(ratio)
    if not (ratio.min() > TINY and ratio.max() < np.inf):
        outside = (ratio < TINY) | (ratio == np.inf)
        logs[outside] = np.log(p[outside]) - np.log(q[outside])
    return logs


def kl_terms(p, q, d):
    """p log(p/q) + d: q where p is 0, infinite where q is 0 and p is not."""
    return near_or(lambda: p * log_ratio(p, q) + d, p, q, d)


def js_terms(p, q, d):
    """(p log(2p / (p+q)) + q log(2q / (p+q))) / 2."""
    total = p + q
    s = d / total
    terms = total / 4 * (2 * s * np.arctanh(s) + np.log1p(-s * s))
    near = np.abs(s) < 0.5
    if near.all():
        return terms
    logs_p, logs_q = (np.log(np.where(x > 0, 2 * x / total, 1.0)) for x in (p, q))
    return np.where(near, terms, (p * logs_p + q * logs_q) / 2)


def jeffreys_terms(p, q, d):
    """(q - p) log(q/p): infinite where just one of them is 0."""
    s = d / (p + q)
    logs = np.where(np.abs(s) < NEAR, 2 * np.arctanh(s), log_ratio(q, p))
    np.copyto(logs, -np.inf, where=q == 0)
    return np.where(d == 0, 0.0, d * logs)


def dependence_terms(terms, p, exponent, p_x, p_y):
    """terms(p, q, q - p) for the product q = p(x) p(y), p(x) given as p_x 2^exponent.

    Each row is scaled by its power of two, so that no product underflows. The product's rounding
    error would drown a weak dependence: it is added back.
    """
    exponent = exponent.astype(np.int64)
    p = np.ldexp(p, -exponent)
    q = p_x * p_y
    return np.ldexp(terms(p, q, (q - p) + _product_error(p_x, p_y, q)), exponent)


def _product_error(a, b, product):
    """Return a * b - product exactly (Dekker 1971)."""
    (a_high, a_low), (b_high, b_low) = _split(a), _split(b)
    return a_high * b_high - product + a_high * b_low + a_low * b_high + a_low * b_low


def _split(x):
    shifted = x * 134_217_729.0  # 2^27 + 1 cuts the 53 bits in two halves
    high = shifted - (shifted - x)
    return high, x - high


def probability_sums(p):
    """Sum p over the symbols; NaN if an entry is negative or NaN."""
    return sum_symbols(lambda x: x if x.min() >= 0 else x * np.nan, p)


def kl_divergences(p, q, total_p, total_q):
    """KL of p from q, scaled to sum to 1: by the plain sum, or with care where that loses digits.

    No KL exceeds the logarithm of the largest ratio: a look at the ratios tells rows nearly equal.
    It only saves time, so the first symbols of long rows will do.
    """
    if np.all(p[:BLOCK] < (1 + FAR_APART) * q[:BLOCK]):
        return divergences(kl_terms, p, q, total_p, total_q)
    plain = sum_symbols(lambda p, q: p * np.log(np.fmax(p / q, TINY)), p, q)  # 0 log 0 is 0
    # the sum of q - p holds digits that the two sums have lost
    nats = plain / total_p + np.log1p(sum_symbols(np.subtract, q, p) / total_p)
    doubtful = ~((nats > FAR_APART) & (nats < np.inf))
    if doubtful.any():
        rows = slice(None) if doubtful.all() else doubtful
        pairs = p[:, rows], q[:, rows], total_p[rows], total_q[rows]
        nats[rows] = divergences(kl_terms, *pairs)
    return nats


def divergences(terms, p, q, total_p, total_q):
    """Sum terms(p, q, q - p) over the symbols, p and q scaled to sum to 1."""
    surplus = sum_symbols(np.subtract, q, p) / total_q

    def scaled_terms(p, q):
        correction = q * surplus
        return terms(p, q - correction, (q - p) - correction)

    return sum_symbols(scaled_terms, p, q) / total_p


def entropies(p, total):
    """Sum -p log p over the symbols, p scaled to sum to 1.

    A symbol above 0.9 enters as the complement of the others: near certainty, it is their sum
    that holds the digits.
    """
    others = sum_symbols(_below_head, p)
    mass = others / total
    surprise = (sum_symbols(_surprise, p) + others * np.log(total)) / total
    return surprise - np.where(mass < 1, (1 - mass) * np.log1p(-mass), 0.0)


def _below_head(p):
    return np.where(p > 0.9, 0.0, p) if p.max() > 0.9 else p


def _surprise(p):
    p = _below_head(p)
    return -p * np.log(np.maximum(p, 5e-324))  # the smallest float: 0 log 0 becomes 0


def logit_divergences(a, b, temperature):
    """KL of softmax(a / T) from softmax(b / T) over the symbols, the first axis."""
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    largest_a, total_a, p = _softmax(a, temperature)
    largest_b, total_b, q = _softmax(b, temperature)
    # log(q/p): the differences of logits come first, while they are exact
    logs = ((b - a) - (largest_b - largest_a)) / temperature + np.log(total_a / total_b)
    d = np.where(np.abs(logs) < 1, p * np.expm1(logs), q - p)
    surplus = d.sum(axis=0)
    d -= q * surplus
    q -= q * surplus
    terms = near_or(lambda: d - np.where(p > 0, p * (logs + np.log1p(-surplus)), 0.0), p, q, d)
    return np.where(np.isneginf(b) & ~np.isneginf(a), np.inf, terms).sum(axis=0)


def _softmax(x, temperature):
    """Return the largest logit, the sum of exp((x - largest) / T), and the probabilities."""
    largest = x.max(axis=0)
    weights = np.exp((x - largest) / temperature)
    total = weights.sum(axis=0)
    return largest, total, weights / total
