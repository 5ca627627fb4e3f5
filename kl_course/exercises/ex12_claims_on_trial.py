"""The exercises of notebook 12_claims_on_trial: repairs of published mistakes."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property


def fitted_kl(x, y):
    """Return KL, in nats, of the normal fitted to the sample x from that fitted to y."""
    shift, ratio = (x.mean() - y.mean()) / y.std(), x.std() / y.std()
    return (ratio**2 + shift**2 - 1) / 2 - np.log(ratio)


def information_bits(counts):
    """Return the mutual information, in bits, of row and column in a table of counts."""
    joint = counts / counts.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    seen = joint > 0
    return np.sum(joint[seen] * np.log2(joint[seen] / independent[seen]))


# 12.1 --------------------------------------------------------------------------------------------

_X = np.array([0.3, -1.2, 2.1, 0.4, 1.4])
_Y = np.array([1.9, -0.5, 3.0, 4.1, 2.0])


def _moments(x, y):
    return x.mean(), x.std(), y.mean(), y.std()


def _as_probabilities(x, y):
    """Do what a widely read program does with two samples."""
    x, y = np.sort(x), np.sort(y)
    return abs(np.nansum(x * np.log(x / y)))


def _scaled_to_one(x, y):
    p, q = np.sort(x) / x.sum(), np.sort(y) / y.sum()
    return np.sum(p * np.log(p / q))


def _difference_for_quotient(x, y):
    m, s, n, t = _moments(x, y)
    return 0.5 * (np.log(s**2 / t**2) + (n - m) ** 2 / (s**2 - t**2))


def _without_spread(x, y):
    m, s, n, t = _moments(x, y)
    return 0.5 * np.log(s**2 / t**2) + (n - m) ** 2 / 2 * (1 / s**2 - 1 / t**2)


def _kl(m, s, n, t):
    return np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5


_FITTED_KL = Exercise(
    id="12.1",
    title="From two samples to a KL",
    minutes=8,
    stub='''\
def fitted_kl(x, y):
    """Return KL, in nats, of the normal fitted to the sample x from that fitted to y."""
    ...
''',
    solution=fitted_kl,
    cases=(
        Case(_X, _Y),
        Case(_Y, _X, note="The other direction: KL of the normal fitted to y first."),
        Case(
            np.array([1.0, 3.0]),
            np.array([2.0, 4.0]),
            note="Equal spread, means one standard deviation apart: half a nat.",
        ),
        Case(
            np.array([1.0, 3.0, 5.0]),
            np.array([2.0, 3.0, 4.0]),
            note="Equal means: only the spread differs.",
        ),
        Case(
            np.array([-3.0, 0.0, -6.0]),
            np.array([2.0, 5.0, 11.0, 12.0]),
            note="A sample may be negative; probabilities may not.",
        ),
        Case(np.array([2.0, 5.0, 3.0]), np.array([5.0, 3.0, 2.0]), note="One sample, shuffled."),
    ),
    properties=(
        Property(
            "The order of the points does not matter.",
            lambda f, x, y: np.isclose(f(x[::-1], y), fitted_kl(x, y), rtol=1e-9),
            inputs=(Case(_X, _Y), Case(_Y, _X)),
        ),
        Property(
            "Another unit of measurement changes nothing.",
            lambda f, x, y: np.isclose(f(100 * x + 7, 100 * y + 7), fitted_kl(x, y), rtol=1e-9),
            inputs=(Case(_X, _Y), Case(_Y, _X)),
        ),
    ),
    misconceptions=(
        (
            _as_probabilities,
            "Your answer treats the points of the samples as probabilities. They are neither "
            "positive nor do they sum to 1: what is it that has a density here?",
        ),
        (
            lambda x, y: _as_probabilities(x, y) / np.log(2),
            "Your answer treats the points of the samples as probabilities, and is in bits. A "
            "point may be negative: what is it that has a density here?",
        ),
        (
            _scaled_to_one,
            "Your answer divides the samples by their sums and calls that probabilities. A point "
            "is a place, not a weight: which two numbers describe the fitted normal?",
        ),
        (
            _difference_for_quotient,
            "Your answer divides by a difference of variances, which is 0 for equal spreads. Look "
            "up the closed form of notebook 04, and start again from there.",
        ),
        (
            _without_spread,
            "Your answer is 0 for two normals that differ in the mean alone. The closed form "
            "measures the shift in units of one standard deviation: of which normal?",
        ),
        (
            lambda x, y: fitted_kl(y, x),
            "Your answer is KL of the normal fitted to y from that fitted to x: the other "
            "direction. Which of the two gives the mean, and which is believed?",
        ),
        (
            lambda x, y: fitted_kl(x, y) / np.log(2),
            "Your answer is in bits. The task asks for nats: which logarithm belongs to them, "
            "and which one did you use?",
        ),
        (
            lambda x, y: fitted_kl(x, y) + 0.5,
            "Your answer is half a nat too large: two equal samples should give 0. Which constant "
            "of the closed form did you leave out?",
        ),
        (
            lambda x, y: fitted_kl(x, y) + np.log(x.std() / y.std()),
            "Your answer has no logarithm of the standard deviations. Without it a wider sample "
            "is charged too much, and a narrower one with nearly the same mean gets a negative KL.",
        ),
        (
            lambda x, y: fitted_kl(x, y) + 2 * np.log(x.std() / y.std()),
            "Your logarithm has the wrong sign: a believed normal that is wider than the true one "
            "costs more. Which of the two standard deviations stands above the fraction bar?",
        ),
        (
            lambda x, y: (
                np.log(y.std() / x.std())
                + (x.var() + (x.mean() - y.mean()) ** 2) / (2 * x.var())
                - 0.5
            ),
            "Your answer measures the shift in standard deviations of x. The surprise is that of "
            "somebody who believes one of the normals: which one?",
        ),
        (
            lambda x, y: fitted_kl(x, y) - (x.mean() - y.mean()) ** 2 / (2 * y.var()),
            "Your answer does not depend on the means: two samples of equal spread always get 0. "
            "Where does the shift enter the closed form?",
        ),
        (
            lambda x, y: (x.mean() - y.mean()) ** 2 / (2 * y.var()),
            "Your answer charges the shift of the mean alone. Two samples may also differ in "
            "spread: what do the other terms of the closed form say?",
        ),
        (
            lambda x, y: _kl(x.mean(), x.var(), y.mean(), y.var()),
            "Your answer takes the variances for standard deviations. Change the unit of the "
            "points, and it changes: which function of NumPy gives the spread in their unit?",
        ),
        (
            lambda x, y: _kl(x.mean(), x.std(ddof=1), y.mean(), y.std(ddof=1)),
            "Your fit divides by n - 1, which makes the variance unbiased. The normal that makes "
            "the sample most likely divides by n; NumPy does so unless told otherwise.",
        ),
        (
            lambda x, y: abs(fitted_kl(x, y) - fitted_kl(y, x)),
            "Your answer is the difference of the two directions. The task asks for one of them: "
            "of the normal fitted to x, from that fitted to y.",
        ),
        (
            lambda x, y: (fitted_kl(x, y) + fitted_kl(y, x)) / 2,
            "Your answer is the mean of both directions, which is half the Jeffreys divergence. "
            "The task asks for one direction: of x from y.",
        ),
    ),
)


# 12.2 --------------------------------------------------------------------------------------------


def _information(joint, independent):
    return np.sum(joint * np.log2(joint / independent))


def _with_margins(margins):
    """Return the information, computed with marginals that are not the joint's own."""

    def wrong(counts):
        joint = counts / counts.sum()
        p_x, p_y = margins(joint)
        seen = (joint > 0) & (p_x * p_y > 0)
        return np.sum(joint[seen] * np.log2(joint[seen] / (p_x * p_y)[seen]))

    return wrong


def _entropy_bits(p):
    p = p[p > 0]
    return -np.sum(p * np.log2(p))


def _joint(counts):
    return counts / counts.sum()


def _independent(counts):
    return _joint(counts).sum(axis=1, keepdims=True) * _joint(counts).sum(axis=0)


def _log_ratios(counts):
    return np.log2(_joint(counts) / _independent(counts))


_TABLES = (
    Case(np.array([[10.0, 20.0, 10.0], [30.0, 5.0, 25.0]])),
    Case(np.array([[2.0, 3.0], [4.0, 8.0], [1.0, 9.0]])),
)

_INFORMATION = Exercise(
    id="12.2",
    title="What a table of counts tells",
    minutes=8,
    stub='''\
def information_bits(counts):
    """Return the mutual information, in bits, of row and column in a table of counts."""
    ...
''',
    solution=information_bits,
    cases=(
        *_TABLES,
        Case(
            np.array([[2.0, 4.0], [6.0, 12.0]]),
            note="Each row has the same shares: row and column are independent.",
        ),
        Case(
            np.array([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 6.0]]),
            note="The row tells the column. Zeros are allowed.",
        ),
        Case(np.array([[0.0, 1.0], [7.0, 2.0]])),
    ),
    properties=(
        Property(
            "Ten times the counts carry the same information.",
            lambda f, counts: np.isclose(f(10 * counts), information_bits(counts), rtol=1e-9),
            inputs=_TABLES,
        ),
        Property(
            "Rows and columns may be exchanged.",
            lambda f, counts: np.isclose(f(counts.T), information_bits(counts), rtol=1e-9),
            inputs=_TABLES,
        ),
    ),
    misconceptions=(
        (
            lambda counts: information_bits(counts) * np.log(2),
            "Your answer is in nats. The task asks for bits: which logarithm counts in bits, "
            "and by which factor are the two units apart?",
        ),
        (
            _with_margins(lambda joint: (np.full((len(joint), 1), 1 / len(joint)), joint.sum(0))),
            "You compare with equally likely rows. The marginal must be that of this table: how "
            "often did each row occur in it?",
        ),
        (
            _with_margins(
                lambda joint: (
                    joint.sum(1, keepdims=True),
                    np.full(joint.shape[1:], 1 / len(joint[0])),
                )
            ),
            "You compare with equally likely columns. The marginal must be that of this table: "
            "how often did each column occur in it?",
        ),
        (
            _with_margins(lambda joint: (1 / len(joint), np.full(joint.shape, 1 / len(joint[0])))),
            "You compare the table with a uniform one. Independence keeps the table's own "
            "marginals: what would each cell be if row and column did not know of each other?",
        ),
        (
            _with_margins(lambda joint: (joint.mean(1, keepdims=True), joint.mean(0))),
            "Your marginals are means of rows and columns. A marginal probability is a sum: over "
            "what, and what do the marginals sum to?",
        ),
        (
            lambda counts: _information(
                counts, counts.sum(axis=1, keepdims=True) * counts.sum(axis=0)
            ),
            "Your answer works with the counts as if they were probabilities: ten times as many "
            "counts would change it. What do probabilities sum to?",
        ),
        (
            lambda counts: _information(_joint(counts), _independent(counts)),
            "Your answer is right, but nan where a count is 0. An event that never happened adds "
            "nothing: 0 log 0 is taken as 0, and Python does not know that.",
        ),
        (
            lambda counts: np.sum(_log_ratios(counts)),
            "Your answer adds the log ratios of all cells with equal weight. How often does each "
            "of them occur?",
        ),
        (
            lambda counts: -np.sum(_independent(counts) * _log_ratios(counts)),
            "Your answer is the KL of the independent table from the joint one. Which of the two "
            "is the truth here, and gives the weights?",
        ),
        (
            lambda counts: _entropy_bits(_joint(counts).sum(axis=1)),
            "Your answer is the entropy of the row: what it would tell of itself. The task asks "
            "for what it tells of the column.",
        ),
        (
            lambda counts: _entropy_bits(_joint(counts).sum(axis=0)),
            "Your answer is the entropy of the column: what it would tell of itself. The task asks "
            "for what it tells of the row.",
        ),
        (
            lambda counts: -information_bits(counts),
            "Your answer has the wrong sign: mutual information is a KL divergence and never "
            "negative. Which of the two stands above the fraction bar?",
        ),
        (
            lambda counts: _entropy_bits(_joint(counts)),
            "Your answer is the joint entropy, the surprise of row and column together. How much "
            "of it is counted twice if each is coded alone?",
        ),
        (
            lambda counts: _entropy_bits(_joint(counts).sum(axis=0)) - information_bits(counts),
            "Your answer is what remains unknown of the column when the row is known. The task "
            "asks for what the row tells, the rest of the column's entropy.",
        ),
        (
            lambda counts: _entropy_bits(_joint(counts).sum(axis=1)) - information_bits(counts),
            "Your answer is what remains unknown of the row when the column is known. The task "
            "asks for what the column tells, the rest of the row's entropy.",
        ),
        (
            lambda counts: 2 * information_bits(counts),
            "Your answer is twice the information. What the row tells of the column and what the "
            "column tells of the row is one number, to be counted once.",
        ),
        (
            lambda counts: information_bits(counts) * counts.sum(),
            "Your answer is the information of all observations together. The task asks for that "
            "of one: it should not grow with the number of counts.",
        ),
        (
            lambda counts: (
                _entropy_bits(_joint(counts).sum(axis=1))
                + _entropy_bits(_joint(counts).sum(axis=0))
            ),
            "Your answer adds the entropies of row and column. Coded together, the two may need "
            "less: how much do they share?",
        ),
    ),
)

EXERCISES = (_FITTED_KL, _INFORMATION)
