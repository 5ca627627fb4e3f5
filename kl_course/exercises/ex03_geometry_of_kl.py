"""The exercises of notebook 03_geometry_of_kl."""

import numpy as np

from kl_course import kl_divergence
from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def kl_of_pairs(p_x, q_x, p_y_x, q_y_x):
    """Return KL of the joint of P from that of Q, in nats, by the chain rule."""
    return kl_divergence(p_x, q_x) + p_x @ kl_divergence(p_y_x, q_y_x)


def kl_merged(p, q, labels):
    """Return KL of p from q, in nats, after symbols with the same label are merged."""
    groups = labels == np.unique(labels)[:, None]  # (labels, symbols)
    return kl_divergence(groups @ p, groups @ q)


def bregman_log(p, q):
    """Return the Bregman divergence of p from q that belongs to f(x) = -sum(log(x))."""
    ratio = p / q
    return np.sum(ratio - 1 - np.log(ratio))


# 3.1 ---------------------------------------------------------------------------------------------

_COINS = (
    np.array([0.5, 0.5]),
    np.array([0.8, 0.2]),
    np.array([[0.9, 0.1], [0.4, 0.6]]),
    np.array([[0.7, 0.3], [0.5, 0.5]]),
)
_THREE = (
    np.array([0.1, 0.3, 0.6]),
    np.array([0.3, 0.5, 0.2]),
    np.array([[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]]),
    np.array([[0.4, 0.6], [0.1, 0.9], [0.25, 0.75]]),
)
_PAIRS = (Case(*_COINS), Case(*_THREE))


def _joint_kl(p_x, q_x, p_y_x, q_y_x):
    return kl_divergence((p_x[:, None] * p_y_x).ravel(), (q_x[:, None] * q_y_x).ravel())


def _rows_kl(p_x, q_x, p_y_x, q_y_x):
    return kl_divergence(p_y_x, q_y_x)


_KL_OF_PAIRS = Exercise(
    id="3.1",
    title="KL of pairs from its parts",
    minutes=5,
    stub='''\
def kl_of_pairs(p_x, q_x, p_y_x, q_y_x):
    """Return KL of the joint of P from that of Q, in nats, by the chain rule."""
    ...
''',
    solution=kl_of_pairs,
    cases=(
        *_PAIRS,
        Case(
            _COINS[0],
            _COINS[1],
            np.full((2, 2), 0.5),
            np.full((2, 2), 0.5),
            note="Given x, both agree about y: only the first part is left.",
        ),
        Case(
            _COINS[0],
            _COINS[0],
            _COINS[2],
            _COINS[3],
            note="Both agree about x: only the second part is left.",
        ),
        Case(
            np.array([0.25, 0.0, 0.75]),
            np.array([0.3, 0.3, 0.4]),
            _THREE[2],
            _THREE[3],
            note="P never shows the second x.",
        ),
    ),
    properties=(
        Property(
            "KL is never negative.",
            lambda f, *parts: f(*parts) >= -_SMALL,
            inputs=_PAIRS,
        ),
        Property(
            "The result equals the KL of the two joint tables.",
            lambda f, *parts: np.isclose(f(*parts), _joint_kl(*parts), rtol=1e-9),
            inputs=_PAIRS,
        ),
    ),
    misconceptions=(
        (
            lambda p_x, q_x, p_y_x, q_y_x: kl_of_pairs(q_x, p_x, q_y_x, p_y_x),
            "Your answer is KL of Q from P. Both parts of the chain rule keep the direction of "
            "the whole: which distribution stands first?",
        ),
        (
            lambda p_x, q_x, *rows: kl_divergence(p_x, q_x) + q_x @ _rows_kl(p_x, q_x, *rows),
            "Your answer weighs the rows with Q's probabilities of x. KL is a mean over what "
            "really happens, and the data come from P.",
        ),
        (
            lambda p_x, q_x, *rows: kl_divergence(p_x, q_x) + np.mean(_rows_kl(p_x, q_x, *rows)),
            "Your answer takes the plain mean of the rows' KLs. The values of x are not equally "
            "likely: how often does P meet each row?",
        ),
        (
            lambda p_x, q_x, *rows: kl_divergence(p_x, q_x) + np.sum(_rows_kl(p_x, q_x, *rows)),
            "Your answer adds the rows' KLs, each with weight 1. A row counts only as often as "
            "its x occurs.",
        ),
        (
            lambda p_x, q_x, *rows: p_x @ _rows_kl(p_x, q_x, *rows),
            "Your answer is the second part of the chain rule only, what y adds once x is known. "
            "What does x itself tell about P and Q?",
        ),
        (
            lambda p_x, q_x, p_y_x, q_y_x: kl_divergence(p_x, q_x),
            "Your answer looks at x only. It would be right if P and Q agreed about y in every "
            "row; here they do not.",
        ),
        (
            lambda p_x, q_x, p_y_x, q_y_x: (
                kl_divergence(p_x, q_x) + kl_divergence(p_x @ p_y_x, q_x @ q_y_x)
            ),
            "Your answer adds the KLs of the two marginals. That is right for independent x and "
            "y; in general y must be compared row by row.",
        ),
        (
            lambda *parts: kl_of_pairs(*parts) / np.log(2),
            "Your answer is in bits. The task asks for nats, the unit of the natural logarithm.",
        ),
    ),
)

# 3.2 ---------------------------------------------------------------------------------------------

_P = np.array([0.1, 0.2, 0.3, 0.4])
_Q = np.array([0.2, 0.2, 0.3, 0.3])
_UNEVEN = (
    np.array([0.05, 0.25, 0.1, 0.4, 0.2]),
    np.array([0.3, 0.1, 0.2, 0.1, 0.3]),
    np.array([0, 0, 1, 1, 1]),
)
_MERGERS = (Case(*_UNEVEN), Case(_P, _Q, np.array([0, 1, 1, 0]), note="All of it can be lost."))


def _grouped(reduce, x, labels):
    return np.array([reduce(x[labels == label]) for label in np.unique(labels)])


def _index(labels):
    return np.unique(labels, return_inverse=True)[1]


def _raw_kl(p, q):
    """Return sum(p log(p/q)) of arrays that need not be normalised."""
    return np.sum(p[p > 0] * np.log(p[p > 0] / q[p > 0]))


def _kl_or_nan(p, q):
    """Return nan where `kl_divergence` raises: so is an exception of the learner compared."""
    return kl_divergence(p, q) if np.allclose([p.sum(), q.sum()], 1) else np.nan


def _sum_over_groups(kl, p, q, labels):
    return np.sum([kl(p[labels == label], q[labels == label]) for label in np.unique(labels)])


def _shares(x):
    return x / x.sum()


def _labels_counted(x, labels):
    return np.array([x[labels == label].sum() for label in range(len(set(labels)))])


def _binned(p, q, labels):
    a, b = np.bincount(labels, p), np.bincount(labels, q)
    return np.sum(a * np.log(a / b))


_KL_MERGED = Exercise(
    id="3.2",
    title="KL after merging symbols",
    minutes=5,
    stub='''\
def kl_merged(p, q, labels):
    """Return KL of p from q, in nats, after symbols with the same label are merged."""
    ...
''',
    solution=kl_merged,
    cases=(
        *_MERGERS,
        Case(_P, _Q, np.array([0, 1, 2, 3]), note="No label occurs twice: nothing is merged."),
        Case(_P, _Q, np.array([5, 5, 5, 5]), note="One symbol is left; it is certain."),
        Case(_P, _Q, np.array([2, 7, 7, 4]), note="The labels need not start at 0, or be dense."),
        Case(
            np.array([0.5, 0.0, 0.5, 0.0]),
            np.array([0.1, 0.3, 0.2, 0.4]),
            np.array([0, 1, 0, 2]),
            note="Some symbols never occur under P.",
        ),
        Case(
            np.array([0.5, 0.5, 0.0, 0.0]),
            np.array([0.2, 0.8, 0.0, 0.0]),
            np.array([7, 3, 2, 2]),
            note="The group that is merged never occurs.",
        ),
    ),
    properties=(
        Property(
            "Merging symbols never raises KL.",
            lambda f, p, q, labels: f(p, q, labels) <= kl_divergence(p, q) + _SMALL,
            inputs=_MERGERS,
        ),
        Property(
            "New names for the labels change nothing.",
            lambda f, p, q, labels: (
                np.isclose(f(p, q, 9 - 2 * labels), f(p, q, labels)) and f(p, q, labels) >= 0
            ),
            inputs=_MERGERS,
        ),
    ),
    misconceptions=(
        (
            lambda p, q, labels: kl_divergence(p, q),
            "Your answer does not use the labels: it is the KL before merging. What is the "
            "probability of a group of symbols?",
        ),
        (
            lambda p, q, labels: kl_merged(q, p, labels),
            "Your answer is KL of q from p: merged correctly, but with the arguments in the other "
            "order.",
        ),
        (
            lambda p, q, labels: _raw_kl(
                _grouped(np.mean, p, labels), _grouped(np.mean, q, labels)
            ),
            "Your answer averages the probabilities of a group. The group occurs whenever one of "
            "its symbols does: do such chances average, or add?",
        ),
        (
            lambda p, q, labels: _kl_or_nan(
                _grouped(np.mean, p, labels), _grouped(np.mean, q, labels)
            ),
            "Your answer averages the probabilities of a group, so those of all groups need not "
            "sum to 1. Does the chance of “a or e” average, or add?",
        ),
        (
            lambda p, q, labels: kl_divergence(
                _shares(_grouped(np.mean, p, labels)), _shares(_grouped(np.mean, q, labels))
            ),
            "Your answer averages the probabilities of a group and then makes the averages sum "
            "to 1. Sums of probabilities need no such repair.",
        ),
        (
            lambda p, q, labels: _raw_kl(_grouped(np.sum, p, labels), _grouped(np.mean, q, labels)),
            "Your answer adds the probabilities of a group under p and averages them under q. "
            "Both must be merged by the same rule.",
        ),
        (
            lambda p, q, labels: _raw_kl(p, _grouped(np.sum, q, labels)[_index(labels)]),
            "Your answer merges only q: it compares single symbols of p with whole groups of q. "
            "Both must live on the same alphabet.",
        ),
        (
            lambda p, q, labels: _raw_kl(_grouped(np.sum, p, labels)[_index(labels)], q),
            "Your answer merges only p: it compares whole groups of p with single symbols of q. "
            "Both must live on the same alphabet.",
        ),
        (
            lambda p, q, labels: kl_divergence(p, q) - kl_merged(p, q, labels),
            "Your answer is what merging loses, the KL within the groups. The task asks for what "
            "is left.",
        ),
        (
            lambda p, q, labels: _sum_over_groups(_kl_or_nan, p, q, labels),
            "Your answer compares single symbols inside a group, and their probabilities need not "
            "sum to 1. What is the probability of the whole group?",
        ),
        (
            lambda p, q, labels: _sum_over_groups(
                lambda a, b: _kl_or_nan(_shares(a), _shares(b)), p, q, labels
            ),
            "Your answer compares symbols inside a group, divided by its sum: merging hides just "
            "these. What is the probability of the whole group?",
        ),
        (
            lambda p, q, labels: _kl_or_nan(_labels_counted(p, labels), _labels_counted(q, labels)),
            "Your answer is right while the labels are 0, 1, 2 and so on. They need not be: "
            "`np.unique(labels)` lists those that occur.",
        ),
        (
            _binned,
            "Your answer is right while every bin holds something. `np.bincount` makes bins for "
            "labels that do not occur, and an empty bin gives 0/0.",
        ),
        (
            lambda p, q, labels: kl_merged(p, q, labels) / np.log(2),
            "Your answer is in bits. The task asks for nats, the unit of the natural logarithm.",
        ),
    ),
)


# 3.3 ---------------------------------------------------------------------------------------------

_VECTORS = (
    Case(np.array([1.0, 2.0]), np.array([2.0, 1.0])),
    Case(np.array([0.5, 3.0, 1.5]), np.array([1.0, 2.5, 0.25])),
)


def _f(x):
    return -np.sum(np.log(x))


_BREGMAN_LOG = Exercise(
    id="3.3",
    title="A Bregman divergence of your own",
    minutes=5,
    stub='''\
def bregman_log(p, q):
    """Return the Bregman divergence of p from q that belongs to f(x) = -sum(log(x))."""
    ...
''',
    solution=bregman_log,
    cases=(
        Case(np.array([2.0]), np.array([1.0]), note="One number: a gap of 1 - ln 2."),
        *_VECTORS,
        Case(np.array([0.2, 0.3, 0.5]), np.array([0.6, 0.3, 0.1])),
        Case(
            np.array([3.0, 4.0]),
            np.array([3.0, 4.0]),
            note="At its own point of contact the tangent leaves no gap.",
        ),
    ),
    properties=(
        Property(
            "The tangent of a convex function never lies above it.",
            lambda f, p, q: f(p, q) >= -_SMALL,
            inputs=_VECTORS,
        ),
        Property(
            "Another unit for p and q alike changes nothing.",
            lambda f, p, q: f(p, q) >= 0 and np.isclose(f(1000 * p, 1000 * q), f(p, q)),
            inputs=_VECTORS,
        ),
    ),
    misconceptions=(
        (
            lambda p, q: bregman_log(q, p),
            "Your answer has the arguments swapped: it is the divergence of q from p. The tangent "
            "touches at q, and the gap is read at p.",
        ),
        (
            lambda p, q: -bregman_log(q, p),
            "Your answer takes the gradient at p. The tangent touches the function at q: that is "
            "where its slope belongs.",
        ),
        (
            lambda p, q: -bregman_log(p, q),
            "Your answer has the right size and the opposite sign. Is your f minus the sum of the "
            "logarithms? And which is subtracted: the function, or its tangent?",
        ),
        (
            lambda p, q: _f(p) - _f(q),
            "Your answer is f(p) - f(q), without the slope. It compares f(p) with a horizontal "
            "line, not with the tangent.",
        ),
        (
            lambda p, q: _f(p) - _f(q) - np.sum(p / q - 1),
            "Your answer has a sign error in the tangent. Is the slope of -log(x) positive or "
            "negative, and does the step lead from q to p?",
        ),
        (
            lambda p, q: _f(q) - _f(p) + np.sum(p / q - 1),
            "Your answer has f with the other sign, though its slope is right: f is minus the sum "
            "of the logarithms.",
        ),
        (
            lambda p, q: _f(p) - _f(q) + (p / q - 1),
            "Your answer is a vector: the inner product of gradient and step is missing. Multiply "
            "entry by entry, then add up.",
        ),
        (
            lambda p, q: p / q - 1 - np.log(p / q),
            "Your answer is a vector of gaps, one for each entry. The function f adds over the "
            "entries, and so does its divergence.",
        ),
        (
            lambda p, q: np.mean(p / q - 1 - np.log(p / q)),
            "Your answer divides by the number of entries. The function f is a sum, so its gaps "
            "are added, not averaged.",
        ),
        (
            lambda p, q: np.sum(p * np.log(p / q) - p + q),
            "Your answer belongs to negative entropy: it is KL generalised to positive vectors "
            "(Σ p log(p/q) - p + q). Here f is minus the sum of the logarithms; what is its "
            "gradient?",
        ),
        (
            lambda p, q: np.sum((p - q) ** 2),
            "Your answer belongs to the squared norm. Here f is minus the sum of the logarithms; "
            "what is its gradient?",
        ),
    ),
)

EXERCISES = (_KL_OF_PAIRS, _KL_MERGED, _BREGMAN_LOG)
