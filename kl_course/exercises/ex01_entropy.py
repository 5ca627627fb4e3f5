"""The exercises of notebook 01_entropy."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def entropy_bits(p):
    """Return the entropy, in bits, of the probability vector p."""
    p = p[p > 0]  # an impossible symbol adds nothing
    return -np.sum(p * np.log2(p))


def conditional_entropy_bits(p_xy):
    """Return H(Y|X), in bits, of the joint table p_xy with a row for each x."""
    p_x = p_xy.sum(axis=1)
    return sum(p_x[x] * entropy_bits(p_xy[x] / p_x[x]) for x in np.flatnonzero(p_x))


def miller_madow_bits(counts):
    """Return the entropy, in bits, that counts suggest, with Miller and Madow's correction."""
    n = counts.sum()
    observed = np.count_nonzero(counts)
    return entropy_bits(counts / n) + (observed - 1) / (2 * n * np.log(2))


# 1.1 ---------------------------------------------------------------------------------------------

_VECTORS = (
    np.array([0.7, 0.2, 0.1]),
    np.array([0.01, 0.05, 0.64, 0.3]),
    np.array([0.2, 0.2, 0.2, 0.2, 0.2]),
    np.array([0.0, 0.6, 0.4]),
)

_ENTROPY = Exercise(
    id="1.1",
    title="Entropy of a probability vector",
    minutes=5,
    stub='''\
def entropy_bits(p):
    """Return the entropy, in bits, of the probability vector p (a NumPy array)."""
    ...
''',
    solution=entropy_bits,
    cases=(
        Case(np.array([0.5, 0.5]), note="A fair coin: one bit."),
        Case(np.array([0.5, 0.25, 0.125, 0.125])),
        Case(np.array([0.9, 0.1])),
        Case(np.full(8, 1 / 8), note="Eight equally likely symbols: three bits."),
        Case(np.array([0.5, 0.5, 0.0]), note="A symbol that never occurs adds nothing."),
        Case(np.array([0.0, 1.0, 0.0]), note="One symbol is certain: nothing is left to learn."),
    ),
    properties=(
        Property(
            "Entropy is never negative.",
            lambda f, p: f(p) >= -_SMALL,
            inputs=tuple(map(Case, _VECTORS)),
        ),
        Property(
            "Entropy is at most log2 of the number of symbols.",
            lambda f, p: f(p) <= np.log2(p.size) + _SMALL,
            inputs=tuple(map(Case, _VECTORS)),
        ),
        Property(
            "Entropy does not change when the symbols are permuted.",
            lambda f, p: np.isclose(f(np.roll(p, 1)), f(p), rtol=1e-9),
            inputs=tuple(map(Case, _VECTORS)),
        ),
        Property(
            "The entropies of independent symbols add up.",
            lambda f, p, q: np.isclose(f(np.outer(p, q).ravel()), f(p) + f(q), rtol=1e-9),
            inputs=(Case(_VECTORS[0], _VECTORS[1]),),
        ),
    ),
    misconceptions=(
        (
            lambda p: np.log(2) * entropy_bits(p),
            "Your answer is in nats: `np.log` is the natural logarithm. The name of the function "
            "promises bits: a fair coin should give 1.",
        ),
        (
            lambda p: np.log10(2) * entropy_bits(p),
            "Your answer is in decimal digits: its logarithm has base 10. Which base gives 1 for "
            "a fair coin?",
        ),
        (
            lambda p: -entropy_bits(p),
            "Your answer has the right size and the opposite sign. Logarithms of probabilities "
            "are never positive; an average surprise is not.",
        ),
        (
            lambda p: -np.sum(p * np.log2(p)),
            "Your answer is right while no probability is 0. There, log 0 spoils the sum: "
            "NumPy gives nan, `math` stops with an error. Which symbols have to stay out?",
        ),
        (
            lambda p: -np.sum(np.log2(p[p > 0])),
            "Your answer adds the surprises of all symbols with equal weight. Entropy is an "
            "average: how often is each surprise met?",
        ),
        (
            lambda p: -np.mean(p[p > 0] * np.log2(p[p > 0])),
            "Your answer divides by the number of symbols, as `np.mean` does. The weights p "
            "average already: they sum to 1.",
        ),
        (
            lambda p: -np.mean(np.log2(p[p > 0])),
            "Your answer is the mean surprise with equal weight for each symbol. A frequent "
            "symbol should count more than a rare one: by how much?",
        ),
        (
            lambda p: np.log2(p.size),
            "Your answer depends on the number of symbols only. That is the largest entropy that "
            "so many symbols can have. What do the probabilities change?",
        ),
    ),
)

# 1.2 ---------------------------------------------------------------------------------------------

_TABLES = (
    np.array([[0.4, 0.1], [0.2, 0.3]]),
    np.array([[0.1, 0.25, 0.05], [0.3, 0.0, 0.3]]),
    np.array([[0.05, 0.1], [0.3, 0.15], [0.22, 0.18]]),
)


def _h_x(p_xy):
    return entropy_bits(p_xy.sum(axis=1))


def _h_y(p_xy):
    return entropy_bits(p_xy.sum(axis=0))


def _h_xy(p_xy):
    return entropy_bits(p_xy.ravel())


def _row_entropies(p_xy):
    return [entropy_bits(row / row.sum()) for row in p_xy if row.any()]


_CONDITIONAL_ENTROPY = Exercise(
    id="1.2",
    title="Conditional entropy of a joint table",
    minutes=8,
    stub='''\
def conditional_entropy_bits(p_xy):
    """Return H(Y|X), in bits, of the joint table p_xy with a row for each x."""
    ...
''',
    solution=conditional_entropy_bits,
    cases=(
        Case(_TABLES[0]),
        Case(_TABLES[1], note="Two values of x, three of y, and one pair that never occurs."),
        Case(
            np.outer([0.2, 0.8], [0.5, 0.25, 0.25]),
            note="X and Y are independent: knowing x does not help, and H(Y|X) = H(Y).",
        ),
        Case(np.diag([0.5, 0.3, 0.2]), note="x determines y: nothing is left to learn."),
        Case(
            np.array([[0.3, 0.2], [0.0, 0.0], [0.1, 0.4]]),
            note="A value of x that never occurs adds nothing.",
        ),
    ),
    properties=(
        Property(
            "Conditional entropy is never negative.",
            lambda f, p_xy: f(p_xy) >= -_SMALL,
            inputs=tuple(map(Case, _TABLES)),
        ),
        Property(
            "On average, knowing x cannot hurt: H(Y|X) is at most H(Y).",
            lambda f, p_xy: f(p_xy) <= _h_y(p_xy) + _SMALL,
            inputs=tuple(map(Case, _TABLES)),
        ),
        Property(
            "The chain rule: H(X) + H(Y|X) = H(X,Y).",
            lambda f, p_xy: np.isclose(_h_x(p_xy) + f(p_xy), _h_xy(p_xy), rtol=1e-9),
            inputs=tuple(map(Case, _TABLES)),
        ),
    ),
    misconceptions=(
        (
            lambda p_xy: conditional_entropy_bits(p_xy.T),
            "Your answer is H(X|Y), the uncertainty about x that is left when y is known. Here "
            "x is known, and each x is a row. Which axis have you summed over?",
        ),
        (
            _h_y,
            "Your answer is H(Y), the uncertainty about y of someone who does not know x. What "
            "are the probabilities of y within one row?",
        ),
        (
            _h_x,
            "Your answer is H(X), the uncertainty about the row. The question is about y, once "
            "the row is known.",
        ),
        (
            _h_xy,
            "Your answer is the joint entropy H(X,Y): the entries went into the logarithm as they "
            "stand in the table. A row of the joint table does not sum to 1; how do you turn it "
            "into the distribution of y for that x?",
        ),
        (
            lambda p_xy: sum(row.sum() * entropy_bits(row) for row in p_xy),
            "Your answer weights the rows, but takes the entropy of a row as it stands in the "
            "table. Such a row does not sum to 1, so it is not yet a distribution of y.",
        ),
        (
            lambda p_xy: p_xy.sum(axis=1) @ [entropy_bits(row) for row in p_xy / p_xy.sum(axis=0)],
            "Your rows were divided by the sums of the columns. The distribution of y for one x "
            "is a row divided by its own sum.",
        ),
        (
            lambda p_xy: -np.sum(p_xy * np.log2(p_xy / p_xy.sum(axis=1, keepdims=True))),
            "Your answer is right while every pair occurs. Where an entry is 0, 0 times the "
            "logarithm of 0 gives nan. Which pairs can stay out of the sum?",
        ),
        (
            lambda p_xy: conditional_entropy_bits(p_xy) if p_xy.any(axis=1).all() else np.nan,
            "Your answer is right while every x occurs. A row of zeros, divided by its sum, is "
            "0/0. How much should a row weigh that never occurs?",
        ),
        (
            lambda p_xy: np.mean(_row_entropies(p_xy)),
            "Your answer is the plain mean of the entropies of the rows. The rows are not equally "
            "likely: how often does each x occur?",
        ),
        (
            lambda p_xy: np.sum(_row_entropies(p_xy)),
            "Your answer adds the entropies of the rows, each with weight 1. Conditional entropy "
            "is an average over x: which weights belong to the rows?",
        ),
        (
            lambda p_xy: _h_x(p_xy) + _h_y(p_xy) - _h_xy(p_xy),
            "Your answer is the mutual information, what x tells about y. Conditional entropy is "
            "the part of H(Y) that x does not tell.",
        ),
        (
            lambda p_xy: -conditional_entropy_bits(p_xy),
            "Your answer has the right size and the opposite sign. Look for a missing minus, or "
            "for a difference taken the wrong way round.",
        ),
        (
            lambda p_xy: np.log(2) * conditional_entropy_bits(p_xy),
            "Your answer is in nats: `np.log` is the natural logarithm. The name of the function "
            "promises bits.",
        ),
    ),
)

# 1.3 ---------------------------------------------------------------------------------------------


def _plugin(counts):
    return entropy_bits(counts / counts.sum())


def _correction(counts):
    return miller_madow_bits(counts) - _plugin(counts)


_COUNTS = (np.array([60, 25, 10, 5]), np.array([2, 0, 7, 1, 0]), np.array([1, 1, 1]))

_MILLER_MADOW = Exercise(
    id="1.3",
    title="Entropy from counts, corrected",
    minutes=5,
    stub='''\
def miller_madow_bits(counts):
    """Return the entropy, in bits, that counts suggest, with Miller and Madow's correction."""
    ...
''',
    solution=miller_madow_bits,
    cases=(
        Case(np.array([5, 1, 2])),
        Case(np.array([60, 25, 10, 5])),
        Case(np.array([1, 1, 1, 1, 1]), note="Every symbol seen once."),
        Case(np.array([5, 0, 3, 2]), note="A symbol that was not seen is not counted."),
        Case(
            np.array([12]),
            note="One symbol was seen: the plug-in entropy is 0, and the formula adds 0.",
        ),
    ),
    properties=(
        Property(
            "The correction is never negative.",
            lambda f, counts: f(counts) >= _plugin(counts) - _SMALL,
            inputs=tuple(map(Case, _COUNTS)),
        ),
        Property(
            "A further symbol with count 0 changes nothing.",
            lambda f, counts: np.isclose(f(np.append(counts, 0)), f(counts), rtol=1e-9),
            inputs=tuple(map(Case, _COUNTS)),
        ),
        Property(
            "The correction shrinks as 1/n.",
            lambda f, counts: np.isclose(
                f(100 * counts) - _plugin(counts), (f(counts) - _plugin(counts)) / 100, atol=_SMALL
            ),
            inputs=tuple(map(Case, _COUNTS)),
        ),
    ),
    misconceptions=(
        (
            _plugin,
            "Your answer is the plug-in entropy, without a correction. A small sample shows too "
            "few rare symbols, so this is too low on average. What is to be added?",
        ),
        (
            lambda counts: _plugin(counts) + np.log(2) * _correction(counts),
            "Your entropy is in bits and your correction in nats. The formula (K - 1)/(2n) comes "
            "from natural logarithms: convert it before you add it.",
        ),
        (
            lambda counts: _plugin(counts) + np.log(2) ** 2 * _correction(counts),
            "Your correction is multiplied by ln 2 where it has to be divided. A quantity has "
            "more bits than nats.",
        ),
        (
            lambda counts: np.log(2) * miller_madow_bits(counts),
            "Your answer is in nats throughout: entropy and correction agree with each other. The "
            "name of the function promises bits.",
        ),
        (
            lambda counts: _plugin(counts) + counts.sum() ** 2 * _correction(counts),
            "Python reads `/ 2 * n` from left to right: it divides by 2 and then multiplies by n. "
            "Where are brackets missing?",
        ),
        (
            lambda counts: _plugin(counts) + counts.sum() / counts.size * _correction(counts),
            "Your n is the length of the array. n is the size of the sample: how many symbols "
            "were drawn?",
        ),
        (
            lambda counts: entropy_bits(counts) + _correction(counts),
            "Your entropy takes the counts as if they were probabilities. What do you have to "
            "divide them by?",
        ),
        (
            lambda counts: _plugin(counts) - _correction(counts),
            "Your answer subtracts the correction. Is the plug-in entropy of a small sample too "
            "high or too low on average?",
        ),
        (
            lambda counts: _plugin(counts) + (counts.size - 1) / (2 * counts.sum() * np.log(2)),
            "Your K counts every symbol of the array. The task counts those that occur in the "
            "sample: look at the zero counts.",
        ),
        (
            lambda counts: (
                _plugin(counts) + np.count_nonzero(counts) / (2 * counts.sum() * np.log(2))
            ),
            "Your correction uses K where K - 1 belongs. With one symbol only, nothing is to be "
            "corrected.",
        ),
        (
            lambda counts: _plugin(counts) + 2 * _correction(counts),
            "Your correction is twice as large as it should be. Look at its denominator.",
        ),
        (
            lambda counts: (
                _plugin(counts) + counts.sum() / np.count_nonzero(counts) * _correction(counts)
            ),
            "Your correction divides by the number of symbols K. It should vanish for a large "
            "sample: which number grows with the sample?",
        ),
    ),
)

EXERCISES = (_ENTROPY, _CONDITIONAL_ENTROPY, _MILLER_MADOW)
