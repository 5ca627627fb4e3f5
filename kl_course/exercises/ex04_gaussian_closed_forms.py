"""The exercises of notebook 04_gaussian_closed_forms."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def kl_normal(mean_p, std_p, mean_q, std_q):
    """Return KL(P || Q), in nats, of N(mean_p, std_p²) from N(mean_q, std_q²)."""
    spread = np.log(std_q / std_p) + (std_p / std_q) ** 2 / 2 - 1 / 2
    return spread + ((mean_p - mean_q) / std_q) ** 2 / 2


def kl_full(mean_p, cov_p, mean_q, cov_q):
    """Return KL(P || Q), in nats, of N(mean_p, cov_p) from N(mean_q, cov_q)."""
    shift = mean_p - mean_q
    trace = np.trace(np.linalg.solve(cov_q, cov_p))
    square = shift @ np.linalg.solve(cov_q, shift)
    return (trace + square - len(shift) + _logdet(cov_q) - _logdet(cov_p)) / 2


def kl_standard(mean, log_var):
    """Return KL, in nats, of N(mean, diag(exp(log_var))) from N(0, I)."""
    return np.sum(mean**2 + np.exp(log_var) - 1 - log_var) / 2


# 4.1 ---------------------------------------------------------------------------------------------

_NORMALS = ((0.5, 1.2, -1.0, 0.7), (2.0, 0.3, 2.5, 0.4), (0.0, 3.0, 1.0, 2.0))


def _terms(mean_p, std_p, mean_q, std_q):
    """Return the logarithm, the two squares and the constant of the closed form."""
    shift = mean_p - mean_q
    return np.log(std_q / std_p), std_p**2 / (2 * std_q**2), shift**2 / (2 * std_q**2), -1 / 2


_KL_NORMAL = Exercise(
    id="4.1",
    title="KL of one normal distribution from another",
    minutes=6,
    stub='''\
def kl_normal(mean_p, std_p, mean_q, std_q):
    """Return KL(P || Q), in nats, of N(mean_p, std_p²) from N(mean_q, std_q²)."""
    ...
''',
    solution=kl_normal,
    cases=(
        Case(1.0, 1.0, 0.0, 1.0, note="Equal spreads, means one standard deviation apart."),
        Case(0.0, 0.5, 0.0, 1.0, note="Equal means; P is half as wide as Q."),
        Case(0.0, 2.0, 0.0, 1.0, note="Equal means; P is twice as wide as Q."),
        Case(3.0, 0.7, 3.0, 0.7, note="P and Q are the same."),
        Case(1.5, 0.6, -0.5, 2.5),
        Case(-1.0, 3.0, 2.0, 1.5),
    ),
    properties=(
        Property(
            "KL is never negative.",
            lambda f, *args: f(*args) >= -_SMALL,
            inputs=tuple(Case(*pair) for pair in _NORMALS),
        ),
        Property(
            "Ten times all means and standard deviations is another unit, and changes nothing.",
            lambda f, *args: np.isclose(f(*(10 * arg for arg in args)), f(*args), rtol=1e-9),
            inputs=tuple(Case(*pair) for pair in _NORMALS),
        ),
    ),
    misconceptions=(
        (
            lambda *args: kl_normal(*args) + 1 / 2,
            "Your answer is 1/2 too large, so that even equal distributions differ. What does P "
            "pay with its own density: what is the mean of its own square?",
        ),
        (
            lambda m, s, n, t: kl_normal(m, np.sqrt(s), n, np.sqrt(t)),
            "You treat the standard deviations as variances. Look at which of them the formula "
            "squares. Changing the unit of all four arguments should change nothing.",
        ),
        (
            lambda m, s, n, t: kl_normal(m, s**2, n, t**2),
            "You square the standard deviations once too often: 2 becomes 4, and then 16 in the "
            "fraction. The arguments are standard deviations; one square makes the variance.",
        ),
        (
            lambda m, s, n, t: kl_normal(n, t, m, s),
            "Your answer is KL(Q‖P), the other direction. Which of the two widths measures "
            "the distance of the means?",
        ),
        (
            lambda *args: kl_normal(*args) - 2 * _terms(*args)[0],
            "Your logarithm has the opposite sign. P narrower than Q has the higher density: "
            "which width stands on top?",
        ),
        (
            lambda *args: kl_normal(*args) + _terms(*args)[0],
            "Your logarithm counts twice. It may hold a ratio of variances with a factor 1/2 "
            "before it, or of standard deviations without one.",
        ),
        (
            lambda *args: kl_normal(*args) - _terms(*args)[0] / 2,
            "Your logarithm counts half. The factor 1/2 belongs before a ratio of variances, not "
            "of standard deviations.",
        ),
        (
            lambda m, s, n, t: sum(_terms(m, s, n, t)) + (m - n - (m - n) ** 2) / (2 * t**2),
            "The difference of the means is not squared. Its sign would then matter, and so would "
            "the unit of length.",
        ),
        (
            lambda m, s, n, t: sum(_terms(m, s, n, t)) + (abs(m - n) - (m - n) ** 2) / (2 * t**2),
            "You take the difference of the means without its sign, but not squared. The logarithm "
            "of a normal density falls with the square of the distance.",
        ),
        (
            lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * s**2) - 1 / 2,
            "You divide by the variance of P. It is Q's density that decides what a distance "
            "costs: whose width is its yardstick?",
        ),
        (
            lambda m, s, n, t: (
                np.log(t / s) + s**2 / (2 * t**2) + (m - n) ** 2 / (2 * s**2) - 1 / 2
            ),
            "You measure the shift with P's width. It is Q's density that decides what a distance "
            "costs: both squares stand over Q's variance.",
        ),
        (
            lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2) / 2 * t**2 - 1 / 2,
            "You multiply by Q's variance: `a / 2 * b` is `(a / 2) * b`. Put brackets round the "
            "denominator.",
        ),
        (
            lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * s * t) - 1 / 2,
            "You divide by the product of both widths. The distance from Q's mean is measured "
            "with one yardstick: whose?",
        ),
        (
            lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2 - 1) / (2 * t**2),
            "Your 1 stands in the numerator and is divided by Q's variance. The constant is 1/2, "
            "whatever the widths: take it out of the fraction.",
        ),
        (
            lambda *args: _terms(*args)[2],
            "You have the shift part only: an equal mean with a wrong width would cost nothing.",
        ),
        (
            lambda *args: kl_normal(*args) + _terms(*args)[2],
            "The squared shift lacks its factor 1/2. Variance and squared shift stand over the "
            "same denominator.",
        ),
        (
            lambda *args: 2 * kl_normal(*args),
            "Your answer is twice as large as it should be. The logarithm of a normal density "
            "falls with one half of the squared distance.",
        ),
        (
            lambda *args: kl_normal(*args) + sum(_terms(*args)[1:3]),
            "The fraction lacks its factor 1/2. A normal density falls like exp of minus half "
            "the squared distance.",
        ),
        (
            lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t) - 1 / 2,
            "You divide the squares by a standard deviation. A square over a width is still a "
            "length; a KL does not depend on the unit of length. What is missing below?",
        ),
        (
            lambda m, s, n, t: np.log(t / s) + (s + m - n) ** 2 / (2 * t**2) - 1 / 2,
            "You square the sum of width and shift. Variance and squared shift add up; a sum "
            "squared holds a mixed term as well. Move one bracket.",
        ),
        (
            lambda m, s, n, t: np.log(t / s) + (s**2 - (m - n) ** 2) / (2 * t**2) - 1 / 2,
            "You subtract the squared shift. Means farther apart would then be more alike: try "
            "the first case.",
        ),
        (
            lambda *args: kl_normal(*args) - _terms(*args)[2],
            "The means do not enter your answer: P one standard deviation away from Q would "
            "cost nothing.",
        ),
        (
            lambda *args: _terms(*args)[0],
            "Your answer is the difference of two entropies. It can be negative, and it ignores "
            "the means: the surprise of Q has to be averaged under P.",
        ),
        (
            lambda *args: kl_normal(*args) + (1 / np.log(10) - 1) * _terms(*args)[0],
            "Your logarithm is to base 10, the rest is in nats. `np.log` is the natural one.",
        ),
        (
            lambda *args: kl_normal(*args) / np.log(2),
            "Your answer is in bits. The task asks for nats: nothing is to be divided by the "
            "logarithm of 2.",
        ),
    ),
)

# 4.2 ---------------------------------------------------------------------------------------------


def _logdet(cov):
    return np.linalg.slogdet(cov)[1]


def _square(shift, cov):
    return shift @ np.linalg.solve(cov, shift)


def _own_variances(cov):
    return np.diag(np.diag(cov))


def _published(mean_p, cov_p, mean_q, cov_q):
    trace = np.trace(np.linalg.solve(cov_p, cov_q))
    return (trace + _square(mean_p - mean_q, cov_p) + _logdet(cov_p) - _logdet(cov_q)) / 2


def _det_ratio(cov_q, cov_p):
    return np.linalg.det(cov_q) / np.linalg.det(cov_p)


def _entry_by_entry(mean_p, cov_p, mean_q, cov_q):
    shift, inverse = mean_p - mean_q, 1 / cov_q
    square = shift @ inverse @ shift
    return (np.trace(inverse @ cov_p) + square - len(shift) + _logdet(cov_q) - _logdet(cov_p)) / 2


_TILTED = (np.array([1.0, 0.0]), np.array([[2.0, 0.6], [0.6, 0.5]]))
_ROUND = (np.array([0.0, -0.5]), np.array([[1.0, -0.2], [-0.2, 1.5]]))
_TRIPLE = (
    np.array([0.5, 0.0, 1.0]),
    np.array([[1.0, 0.3, 0.0], [0.3, 2.0, 0.4], [0.0, 0.4, 1.5]]),
)
_UNIT_3 = (np.zeros(3), np.eye(3))

_KL_FULL = Exercise(
    id="4.2",
    title="KL with full covariance matrices",
    minutes=8,
    stub='''\
def kl_full(mean_p, cov_p, mean_q, cov_q):
    """Return KL(P || Q), in nats, of N(mean_p, cov_p) from N(mean_q, cov_q)."""
    ...
''',
    solution=kl_full,
    cases=(
        Case(
            np.zeros(2),
            np.diag([2.0, 0.5]),
            np.zeros(2),
            np.diag([1.0, 3.0]),
            note="Equal means, two independent coordinates.",
        ),
        Case(*_TILTED, *_TILTED, note="P and Q are the same."),
        Case(*_TILTED, *_ROUND),
        Case(*_TRIPLE, *_UNIT_3, note="Three coordinates."),
        Case(*_UNIT_3, *_TRIPLE),
        Case(
            np.array([2.0]),
            np.array([[4.0]]),
            np.array([1.0]),
            np.array([[1.0]]),
            note="One coordinate: the formula of exercise 4.1 should come out.",
        ),
    ),
    properties=(
        Property(
            "KL is never negative.",
            lambda f, *args: f(*args) >= -_SMALL,
            inputs=(Case(*_ROUND, *_TILTED), Case(*_TRIPLE, *_TRIPLE)),
        ),
        Property(
            "KL does not change when the coordinates change places.",
            lambda f, m, s, n, t: np.isclose(
                f(m[::-1], s[::-1, ::-1], n[::-1], t[::-1, ::-1]), f(m, s, n, t), rtol=1e-9
            ),
            inputs=(Case(*_ROUND, *_TILTED), Case(*_UNIT_3, *_TRIPLE)),
        ),
    ),
    misconceptions=(
        (
            lambda *args: kl_full(*args) + len(args[0]) / 2,
            "Your answer is d/2 too large: two equal distributions in d dimensions would differ. "
            "What is the trace of the unit matrix, and what has to be taken off?",
        ),
        (
            lambda *args: kl_full(*args) + (len(args[0]) - 1) / 2,
            "Your answer takes off 1 where it should take off the number of coordinates. In one "
            "dimension you cannot see the difference.",
        ),
        (
            lambda *args: kl_full(*args) + (len(args[0]) - 2) / 2,
            "Your answer takes off 2, which is right for two coordinates only. Where can you "
            "read the number of coordinates?",
        ),
        (
            _published,
            "Your answer is KL(Q‖P), plus d/2: P's matrix is inverted, the ratio of the "
            "determinants is turned round, and d is left out. Does it give 0 for P = Q?",
        ),
        (
            lambda m, s, n, t: kl_full(n, t, m, s) + _logdet(t) - _logdet(s),
            "Both inverses are of P's matrix. Q's density is averaged under P: invert Q's.",
        ),
        (
            lambda m, s, n, t: (
                kl_full(m, s, n, t) + (_det_ratio(t, s) - _logdet(t) + _logdet(s)) / 2
            ),
            "You add the ratio of the determinants itself. For P = Q it is 1: which function "
            "makes 0 of it?",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) - np.trace(np.linalg.solve(t, s)) / 2,
            "The trace does not enter your answer. A wide P often draws what Q calls incredible; "
            "that has to cost something.",
        ),
        (
            _entry_by_entry,
            "`1 / cov_q` divides 1 by each entry, and by 0 where there is no covariance. The "
            "inverse of a matrix is `np.linalg.inv`, and `np.linalg.solve` spares you it.",
        ),
        (
            lambda m, s, n, t: (
                kl_full(m, s, n, t)
                + (np.trace(np.linalg.solve(s, t)) - np.trace(np.linalg.solve(t, s))) / 2
            ),
            "The trace holds the inverse of the wrong matrix. Q's density is averaged under P, "
            "so it is Q's matrix that is inverted.",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) + _logdet(s) - _logdet(t),
            "The logarithm of the determinants has the opposite sign. In one dimension it is the "
            "logarithm of the ratio of variances: which one is on top?",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) + (_square(m - n, s) - _square(m - n, t)) / 2,
            "The shift of the means is measured with P's matrix. As in one dimension, the "
            "yardstick belongs to Q.",
        ),
        (
            lambda m, s, n, t: kl_full(n, t, m, s),
            "Your answer is KL(Q‖P), the other direction. Which of the two matrices is inverted?",
        ),
        (
            lambda *args: 2 * kl_full(*args),
            "Your answer is twice as large as it should be. A normal density falls like exp of "
            "minus one half of the squared distance.",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) + (_logdet(t) - _logdet(s)) / 2,
            "The logarithm of the determinants lacks its factor 1/2. Do all terms stand in the "
            "brackets?",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) - (_logdet(t) - _logdet(s)) / 2,
            "The determinants do not enter your answer. The narrower distribution has the higher "
            "density: where is the logarithm of their ratio?",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) - _square(m - n, t) / 2,
            "The means do not enter your answer. Two equal clouds far apart would cost nothing.",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) + _square(m - n, t) / 2,
            "The term of the means lacks its factor 1/2. Do all terms stand in the brackets?",
        ),
        (
            lambda m, s, n, t: (
                kl_full(m, s, n, t) + (np.trace(t @ s) - np.trace(np.linalg.solve(t, s))) / 2
            ),
            "The trace lacks an inverse: you multiply the two matrices themselves. A variance "
            "is measured in units of Q's variance.",
        ),
        (
            lambda m, s, n, t: (
                kl_full(m, s, n, t) + ((m - n) @ t @ (m - n) - _square(m - n, t)) / 2
            ),
            "The term of the means multiplies with Q's matrix. A wide Q should make a shift "
            "cheaper, not dearer.",
        ),
        (
            lambda m, s, n, t: kl_full(m, s, n, t) + ((m - n) @ (m - n) - _square(m - n, t)) / 2,
            "The shift of the means is measured in plain Euclidean distance. How far it is "
            "depends on Q's widths, and on its tilt.",
        ),
        (
            lambda m, s, n, t: kl_full(m, _own_variances(s), n, _own_variances(t)),
            "Your answer uses the variances only. The correlations, off the diagonal, enter the "
            "inverse, the determinant and the quadratic form.",
        ),
        (
            lambda m, s, n, t: (
                kl_full(m, s, n, t)
                + (np.trace(np.linalg.inv(t) * s) - np.trace(np.linalg.solve(t, s))) / 2
            ),
            "`*` multiplies two arrays entry by entry. The trace is that of the product of two "
            "matrices, which Python writes `@`.",
        ),
        (
            lambda m, s, n, t: kl_full(m, s @ s, n, t @ t),
            "You square the matrices. A covariance matrix holds variances already; nothing is "
            "to be squared but the shift.",
        ),
        (
            lambda *args: kl_full(*args) / len(args[0]),
            "Your answer is the mean over the coordinates. The price of a distribution is paid "
            "for all coordinates together: nothing is divided by their number.",
        ),
        (
            lambda *args: kl_full(*args) / np.log(2),
            "Your answer is in bits. The task asks for nats: nothing is to be divided by the "
            "logarithm of 2.",
        ),
    ),
)

# 4.3 ---------------------------------------------------------------------------------------------

_CODES = (
    (np.array([0.3, -1.2]), np.array([-0.5, 0.8])),
    (np.array([0.0, 0.1, 0.2]), np.array([0.1, 0.0, -0.1])),
)

_KL_STANDARD = Exercise(
    id="4.3",
    title="KL from the standard normal, with log-variances",
    minutes=5,
    stub='''\
def kl_standard(mean, log_var):
    """Return KL, in nats, of N(mean, diag(exp(log_var))) from N(0, I)."""
    ...
''',
    solution=kl_standard,
    cases=(
        Case(np.array([1.0, 0.0, 1.0]), np.zeros(3), note="All variances are 1."),
        Case(np.zeros(2), np.array([1.0, 1.0]), note="The means are 0, the variances e."),
        Case(np.zeros(4), np.zeros(4), note="This is N(0, I) itself."),
        Case(np.array([0.5, -2.0]), np.array([-1.0, 0.5])),
        Case(np.array([0.1, 0.2, -0.3]), np.array([-4.0, 0.3, 2.0])),
    ),
    properties=(
        Property(
            "KL is never negative.",
            lambda f, mean, log_var: f(mean, log_var) >= -_SMALL,
            inputs=tuple(Case(*code) for code in _CODES),
        ),
        Property(
            "Independent coordinates add up: twice the same ones cost twice as much.",
            lambda f, mean, log_var: np.isclose(
                f(np.tile(mean, 2), np.tile(log_var, 2)), 2 * f(mean, log_var), rtol=1e-9
            ),
            inputs=tuple(Case(*code) for code in _CODES),
        ),
    ),
    misconceptions=(
        (
            lambda mean, log_var: (mean**2 + np.exp(log_var) - 1 - log_var) / 2,
            "Your answer has one number for each coordinate. The coordinates are independent: "
            "what happens to their costs?",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) / len(mean),
            "Your answer is the mean over the coordinates. As a loss it would count each "
            "coordinate less, the more of them there are. Costs add up.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, 2 * log_var),
            "You take `log_var` for the logarithm of the standard deviation: then exp of twice "
            "its value would be the variance. Here exp(log_var) is the variance already.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var / 2),
            "You halve `log_var` and take exp of it for the variance: that is the standard "
            "deviation. Which of the two does the formula add?",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) + np.sum(log_var) / 4,
            "The logarithm counts half. One factor 1/2 before the brackets is enough: inside, it "
            "is the logarithm of a variance.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) - np.sum(log_var) / 2,
            "The logarithm counts twice: `log_var` is the logarithm of a variance, and needs "
            "the factor 1/2 like the rest.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) + np.sum(log_var),
            "The logarithm has the opposite sign. A narrow distribution is expensive: what does "
            "a very negative `log_var` have to do?",
        ),
        (
            lambda mean, log_var: -kl_standard(mean, log_var),
            "Your answer has the right size and the opposite sign. The objective that is "
            "maximised holds minus KL; KL itself is not negative.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) + len(mean) / 2,
            "Your answer is 1/2 too large for each coordinate: N(0, I) should cost nothing. What "
            "is exp(0)?",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) + (len(mean) - 1) / 2,
            "You take off 1 once, after the sum. Each coordinate has its own: move it inside.",
        ),
        (
            lambda mean, log_var: 2 * kl_standard(mean, log_var),
            "Your answer is twice as large as it should be. Where is the factor 1/2 of the "
            "normal density?",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) - np.sum(mean**2) / 2,
            "The means do not enter your answer. A code far from 0 would cost nothing.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) + np.sum(mean - mean**2) / 2,
            "The means are not squared, so that a negative one would lower the cost.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) + np.sum(mean**2) / 2,
            "The squared means lack the factor 1/2. Do they stand inside the brackets?",
        ),
        (
            lambda mean, log_var: np.sum(mean**2 + log_var - 1 - np.log(log_var)) / 2,
            "You take `log_var` for the variance itself. It can be negative; which function "
            "makes a variance of it?",
        ),
        (
            lambda mean, log_var: kl_standard(mean, np.exp(log_var)),
            "You apply exp to `log_var` once too often: exp(log_var) is the variance, and the "
            "logarithm of the variance is `log_var` itself.",
        ),
        (
            lambda mean, log_var: np.sum(mean**2 + np.exp(log_var) ** 2 - 1 - log_var) / 2,
            "You square exp(log_var). It is the variance already; only standard deviations are "
            "squared in (4.2).",
        ),
        (
            lambda mean, log_var: np.sum((1 + mean**2) / np.exp(log_var) - 1 + log_var) / 2,
            "Your answer is KL of N(0, I) from the other distribution: you divide by its "
            "variance. Here Q is N(0, I), and its variances are 1.",
        ),
        (
            lambda mean, log_var: kl_standard(mean, log_var) / np.log(2),
            "Your answer is in bits. The task asks for nats: nothing is to be divided by the "
            "logarithm of 2.",
        ),
    ),
)

EXERCISES = (_KL_NORMAL, _KL_FULL, _KL_STANDARD)
